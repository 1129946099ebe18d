// Package faces answers as two catchers that many test suites know: the read
// API of Mailpit (/api/v1, /view) and that of MailHog (/api/v2, and what of
// /api/v1 is its own), so that their client libraries work by changing a host.
//
// They show the INBOX of one account: that of the credentials (Basic or
// Bearer), or, without credentials, the catch-all's, for trusted peers of dev
// mode only and never for a page of another site. What is not offered answers
// 501 and says so. GET /api/v1/messages, which both have, is Mailpit's.
//
// It promises what the native API does: bounded answers, text views and
// downloads that no browser runs, and errors that show nothing inside.
package faces

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/spool"
)

// Limit: bytes of the body of a request to the faces of other catchers, but for a message to store.
const MaxBody = 1 << 20

// Limit: time for the store to answer a request to the faces of other catchers.
const StoreBudget = 5 * time.Second

// Options configure the Faces.
type Options struct {
	Store  *mailstore.Store
	Auth   *auth.Auth
	Policy *policy.Policy
	Spool  *spool.Pool
	// ViaProxy tells that a request came through a PROXY listener; nil: none did.
	ViaProxy func(*http.Request) bool
	Log      *slog.Logger
	Now      func() time.Time // time.Now if nil
	Version  string
}

// Faces is the handler.
type Faces struct {
	o       Options
	mux     *http.ServeMux
	origins *http.CrossOriginProtection

	answers, searches, sends *turns
}

// New makes the Faces.
func New(o Options) *Faces {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ViaProxy == nil {
		o.ViaProxy = func(*http.Request) bool { return false }
	}
	f := &Faces{o: o, mux: http.NewServeMux(), origins: http.NewCrossOriginProtection(),
		answers: newTurns(AnswersAtOnce, 0), searches: newTurns(SearchesAtOnce, AllSearches),
		sends: newTurns(SendsAtOnce, AllSends)}
	for _, r := range [...]struct {
		pattern string
		serve   func(*Faces, *call) error
	}{
		{"GET /api/v1/messages", (*Faces).pitList},
		{"PUT /api/v1/messages", (*Faces).pitMark},
		{"DELETE /api/v1/messages", (*Faces).remove},
		{"GET /api/v1/search", (*Faces).pitSearch},
		{"DELETE /api/v1/search", (*Faces).pitRemoveFound},
		{"GET /api/v1/message/{id}", (*Faces).pitMessage},
		{"GET /api/v1/message/{id}/headers", (*Faces).pitHeaders},
		{"GET /api/v1/message/{id}/raw", (*Faces).raw},
		{"GET /api/v1/message/{id}/part/{part}", (*Faces).part},
		{"GET /api/v1/info", (*Faces).pitInfo},
		{"GET /api/v1/webui", (*Faces).pitWebUI},
		{"GET /api/v1/tags", (*Faces).pitTags},
		{"POST /api/v1/send", (*Faces).pitSend},
		{"GET /view/{name}", (*Faces).pitView},
		{"GET /api/v2/messages", (*Faces).hogList},
		{"GET /api/v2/search", (*Faces).hogSearch},
		{"GET /api/v2/jim", (*Faces).hogJim},
		{"GET /api/v2/outgoing-smtp", (*Faces).hogOutgoing},
		{"GET /api/v1/messages/{id}", (*Faces).hogMessage},
		{"DELETE /api/v1/messages/{id}", (*Faces).removeOne},
		{"GET /api/v1/messages/{id}/download", (*Faces).raw},
	} {
		f.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) { f.handle(w, q, r.serve) })
	}
	f.mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) { f.handle(w, q, (*Faces).notOffered) })
	return f
}

// call is one request of one account.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	ctx  context.Context
	acct mailstore.AcctID
}

// answer is an error whose words are meant for the client.
type answer struct {
	code  int
	text  string
	retry time.Duration // when asking again may be of use; 0: nothing is said of it
}

func (a *answer) Error() string { return a.text }

func bad(format string, args ...any) error {
	return &answer{code: http.StatusBadRequest, text: fmt.Sprintf(format, args...)}
}

var errNone = &answer{code: http.StatusNotFound, text: "There is no such message (any more)."}

// ServeHTTP answers what a router handed over.
func (f *Faces) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

func (f *Faces) handle(w http.ResponseWriter, r *http.Request, serve func(*Faces, *call) error) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-store")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	ctx, cancel := context.WithTimeout(r.Context(), StoreBudget)
	defer cancel()
	acct, err := f.who(ctx, r)
	if err == nil {
		if r.URL.Path != "/api/v1/send" {
			r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		}
		err = serve(f, &call{w: w, r: r, ctx: ctx, acct: acct})
	}
	if err != nil {
		f.fail(w, r, err)
	}
}

var (
	errWho = &answer{code: http.StatusUnauthorized,
		text: "Send the account's user and password (Basic) or its token (Bearer) in the Authorization header."}
	errForeign = &answer{code: http.StatusUnauthorized, text: "Requests of pages of another site are refused."}
)

// who is the account of the credentials, or the catch-all for a trusted peer.
func (f *Faces) who(ctx context.Context, r *http.Request) (mailstore.AcctID, error) {
	if foreign(r) || f.origins.Check(r) != nil {
		return 0, errForeign
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	addr := peer.Addr().Unmap()
	if h := r.Header.Get("Authorization"); h != "" {
		var id auth.Identity
		var err error
		if user, pass, ok := r.BasicAuth(); ok {
			id, err = f.o.Auth.Password(ctx, addr, user, pass)
		} else if scheme, token, _ := strings.Cut(h, " "); strings.EqualFold(scheme, "Bearer") {
			id, err = f.o.Auth.Bearer(ctx, strings.TrimSpace(token))
		} else {
			return 0, errWho
		}
		switch {
		case errors.Is(err, auth.ErrThrottled):
			return 0, &answer{http.StatusTooManyRequests, "Too many wrong passwords; wait a little.", throttlePause}
		case errors.Is(err, auth.ErrBadCredentials), errors.Is(err, auth.ErrNoAccount), errors.Is(err, auth.ErrDisabled):
			return 0, errWho
		}
		return id.Acct, err
	}
	if id := f.o.Policy.CatchAll(); id != 0 && f.o.Policy.Trusted(addr, f.o.ViaProxy(r) || forwarded(r)) {
		return id, nil
	}
	return 0, errWho
}

// foreign tells that a page of another site makes the browser ask.
func foreign(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

// forwarded tells that a proxy stands between: who is behind it cannot be known.
func forwarded(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
			return true
		}
	}
	return false
}

// notOffered is for all else that the other catchers have.
func (f *Faces) notOffered(c *call) error {
	return &answer{code: http.StatusNotImplemented, text: "This server does not offer " + c.r.Method + " " +
		cut(c.r.URL.Path, 100) + "; /openapi.json describes its own API."}
}

func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

const (
	throttlePause = 10 * time.Second // after too many wrong passwords
	busyRetry     = 2 * time.Second  // when the store is away or busy
)

// statuses of store errors.
var statuses = map[mailstore.Kind]answer{
	mailstore.NotExist:   *errNone,
	mailstore.Permission: {code: http.StatusForbidden, text: "That is not allowed."},
	mailstore.Invalid:    {code: http.StatusBadRequest, text: "The request makes no sense."},
	mailstore.Quota:      {code: http.StatusInsufficientStorage, text: "The account is full."},
	mailstore.TooLarge:   {code: http.StatusRequestEntityTooLarge, text: "The message is over the limit."},
	mailstore.Limit:      {code: http.StatusTooManyRequests, text: "A limit is reached; try again later."},
	mailstore.Transient:  {http.StatusServiceUnavailable, "The store is away or busy; try again.", busyRetry},
	mailstore.NoSpace:    {code: http.StatusInsufficientStorage, text: "The server has no room for more."},
}

// fail answers with an error, in the form that Mailpit's clients read.
func (f *Faces) fail(w http.ResponseWriter, r *http.Request, err error) {
	var known *answer
	var no *policy.Refusal
	var big *http.MaxBytesError
	a, ok := statuses[mailstore.KindOf(err)]
	switch {
	case errors.As(err, &known):
		a = *known
	case errors.As(err, &no):
		a = answer{a.code, no.Reason + ".", no.Retry}
	case errors.As(err, &big):
		a = answer{code: http.StatusRequestEntityTooLarge, text: "The request is too large."}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		a = statuses[mailstore.Transient]
	case !ok:
		a = answer{code: http.StatusInternalServerError, text: "The server made a mistake; its log says more."}
	}
	if a.code >= 500 && a.code != http.StatusNotImplemented && r.Context().Err() == nil {
		f.o.Log.Error("request to a compatible API failed", "route", r.Pattern, "err", err)
	}
	if a.code == http.StatusUnauthorized && !foreign(r) && r.Header.Get("Sec-Fetch-Site") == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="eider", charset="UTF-8"`)
	}
	if a.retry > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((a.retry+time.Second-1)/time.Second), 10))
	}
	writeJSON(w, a.code, map[string]string{"Error": a.text})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		b.Reset()
		code = http.StatusInternalServerError
		b.WriteString(`{"Error":"The server made a mistake."}` + "\n")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// reply answers with an object.
func (c *call) reply(v any) error { writeJSON(c.w, http.StatusOK, v); return nil }

// ok is what Mailpit says to a change.
func (c *call) ok() error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = c.w.Write([]byte("ok"))
	return nil
}
