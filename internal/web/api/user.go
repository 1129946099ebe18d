package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

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
	created, err := a.o.Provision.Create(ctx, provision.Request{
		Requestor: requestor(body), Host: r.Host, TLS: r.TLS != nil, Peer: peerOf(r), ViaProxy: forwarded(r)})
	if err != nil {
		if replyOf(err).status >= 500 && r.Context().Err() == nil {
			a.o.Log.Error("no account could be made", "err", err)
		}
		writeUser(w, http.StatusOK, userError(refusal(err)))
		return
	}
	a.o.Metrics.AccountsCreated.Inc()
	writeUser(w, http.StatusOK, created)
}

// requestor reads what the client says it is. Whatever else it sent is no
// reason to refuse.
func requestor(body []byte) string {
	var b struct {
		Requestor string `json:"requestor"`
	}
	if json.NewDecoder(bytes.NewReader(body)).Decode(&b) != nil {
		return ""
	}
	return b.Requestor
}

// refusal says why there is no account.
func refusal(err error) string {
	switch r := replyOf(err); r.status {
	case http.StatusForbidden:
		return "Accounts cannot be made here."
	case http.StatusTooManyRequests:
		return "Too many accounts were made; try again later."
	default:
		return r.text
	}
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
