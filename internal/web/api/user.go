package api

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/provision"
)

// Limit: bytes read of the body of POST /user.
const MaxUserBody = 64 << 10

// Limit: time for the body of POST /user to come.
const UserBodyTime = 2 * time.Second

// Limit: time to answer POST /user: Nodemailer waits for ever, so a quick
// error is better than a late account.
const UserBudget = 5 * time.Second

// user is POST /user. Nodemailer discards the body of anything but a 200, and
// follows redirects as GET, so each answer to a POST is a 200 that says
// "success" or "error". What is sent along is not needed: some clients send a
// requestor, some {}, some nothing at all.
func (a *API) user(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		writeUser(w, http.StatusMethodNotAllowed, userError("Send a POST to make an account."))
		return
	}
	if err := a.origins.Check(r); err != nil {
		writeUser(w, http.StatusForbidden, userError("Requests of pages of another origin are refused."))
		return
	}
	rc := http.NewResponseController(w)
	// A body that stalls must not hold the caller: it is not needed.
	_ = rc.SetReadDeadline(time.Now().Add(UserBodyTime))
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxUserBody+1))
	if err != nil || len(body) > MaxUserBody {
		// The deadline stays: net/http reads what is left before it closes.
		w.Header().Set("Connection", "close")
		writeUser(w, http.StatusOK, userError("The request's body is too long or never ended."))
		return
	}
	_ = rc.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(r.Context(), UserBudget)
	defer cancel()
	wish, err := wishOf(body)
	if err != nil {
		writeUser(w, http.StatusOK, userError(err.Error()))
		return
	}
	wish.Host, wish.TLS, wish.Peer = r.Host, r.TLS != nil, peerOf(r)
	wish.ViaProxy = a.o.ViaProxy(r) || forwarded(r)
	wish.Token = creationToken(r)
	created, err := a.o.Provision.Create(ctx, wish)
	if err != nil {
		if replyOf(err).status >= 500 && r.Context().Err() == nil {
			a.o.Log.Error("no account could be made", "err", err)
		}
		a.o.Metrics.AccountsRefused.WithLabelValues(mailstore.KindOf(err).String()).Inc()
		refuseUser(w, err)
		return
	}
	a.o.Metrics.AccountsCreated.Inc()
	writeUser(w, http.StatusOK, answerOf(created))
}

// userAnswer is an account without the services that are off, but for smtp:
// whoever makes an account sends with it, and reads its host without looking.
type userAnswer struct {
	provision.Created
	IMAP *advert.Service `json:"imap,omitempty"`
	POP3 *advert.Service `json:"pop3,omitempty"`
}

func answerOf(c provision.Created) userAnswer {
	out := userAnswer{Created: c}
	if c.IMAP.Port != 0 {
		out.IMAP = &c.IMAP
	}
	if c.POP3.Port != 0 {
		out.POP3 = &c.POP3
	}
	return out
}

// wishOf reads what the client says it is, and what it wants of the account.
// A body that makes no sense is no reason to refuse; a wish that does not is one.
func wishOf(body []byte) (provision.Request, error) {
	var r provision.Request
	var b struct {
		Requestor any `json:"requestor"`
		Label     any `json:"label"`
		TTL       any `json:"ttl"`
		Quota     any `json:"quota"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&b) != nil {
		return r, nil
	}
	r.Requestor, _ = b.Requestor.(string)
	r.Label, _ = b.Label.(string)
	var ttl config.Duration
	var quota config.Size
	if !wished(b.TTL, "s", &ttl) {
		return r, errors.New("ttl makes no sense: send seconds, or a text like 2h or 7d.")
	}
	if !wished(b.Quota, "", &quota) {
		return r, errors.New("quota makes no sense: send bytes, or a text like 10MB.")
	}
	r.TTL, r.Limits.Bytes = ttl.Std(), int64(quota)
	return r, nil
}

// wished reads a number or a text with a unit; 0, null and nothing are no wish.
func wished(v any, unit string, to encoding.TextUnmarshaler) bool {
	switch v := v.(type) {
	case nil:
		return true
	case json.Number:
		return to.UnmarshalText([]byte(v.String()+unit)) == nil
	case string:
		if v == "" {
			return true
		}
		if _, err := strconv.ParseUint(v, 10, 63); err == nil {
			v += unit
		}
		return to.UnmarshalText([]byte(v)) == nil
	}
	return false
}

// creationToken is what a client shows to be let make an account: a bearer
// token, or the password of the address (https://x:TOKEN@host).
func creationToken(r *http.Request) string {
	h := r.Header.Get("Authorization")
	if len(h) > maxAuthorization {
		return ""
	}
	if _, pass, ok := r.BasicAuth(); ok {
		return pass
	}
	scheme, token, _ := strings.Cut(h, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// refuseUser says why there is no account, and when there may be one.
func refuseUser(w http.ResponseWriter, err error) {
	var no *policy.Refusal
	var wish *provision.WishError
	answer := map[string]any{"status": "error"}
	switch {
	case errors.As(err, &no):
		answer["error"] = no.Reason
		if no.Retry > 0 {
			secs := int64((no.Retry + time.Second - 1) / time.Second)
			answer["retryAfter"] = secs
			w.Header().Set("Retry-After", strconv.FormatInt(secs, 10))
		}
	case errors.As(err, &wish):
		answer["error"] = wish.Text
	default:
		answer["error"] = replyOf(err).text
	}
	writeUser(w, http.StatusOK, answer)
}

func userError(text string) any {
	return map[string]string{"status": "error", "error": text}
}

func writeUser(w http.ResponseWriter, status int, v any) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		b.Reset()
		b.WriteString(`{"status":"error","error":"The server made a mistake."}` + "\n")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, b.String())
}
