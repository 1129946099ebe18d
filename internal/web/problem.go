package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/web/ui"
)

// refusal is an error whose words are meant for the visitor.
type refusal struct {
	code        int
	title, text string
	retry       string // seconds, for Retry-After
}

func (e *refusal) Error() string { return fmt.Sprintf("web: %d %s", e.code, e.title) }

// The refusals that pages give.
var (
	errLogin   = errors.New("web: a login is needed")
	errForeign = &refusal{code: http.StatusForbidden, title: "Refused",
		text: "This request came from a page of another site, so nothing was done."}
	errNoPage = &refusal{code: http.StatusNotFound, title: "No such page",
		text: "There is nothing at this address."}
	// errNoMessage is the same for forged, expired, ended and deleted.
	errNoMessage = &refusal{code: http.StatusNotFound, title: "No such message",
		text: "It does not exist, or it has expired or was deleted. Mail is kept for a limited time only."}
	errNoFile = &refusal{code: http.StatusNotFound, title: "No such attachment",
		text: "The message has no attachment of that name."}
	errForm = &refusal{code: http.StatusBadRequest, title: "That did not work",
		text: "The form was incomplete. Go back, reload the page and try again."}
	errDest = &refusal{code: http.StatusForbidden, title: "Refused",
		text: "Files of a mail are for downloading only."}
)

// answers maps each kind of store error to what a visitor sees.
var answers = map[mailstore.Kind]refusal{
	mailstore.Internal: {code: 500, title: "Our mistake",
		text: "Something went wrong on this server. It was noted in its log."},
	mailstore.NotExist:   *errNoMessage,
	mailstore.Exist:      {code: 409, title: "Already there", text: "Something of that name exists."},
	mailstore.Invalid:    {code: 400, title: "That makes no sense", text: "The request could not be understood."},
	mailstore.Permission: {code: 403, title: "Not allowed", text: "This is not allowed here."},
	mailstore.Quota:      {code: 507, title: "The account is full", text: "Delete some mail, then try again."},
	mailstore.TooLarge:   {code: 413, title: "Too large", text: "The message is over this server's limit."},
	mailstore.Limit: {code: 429, title: "Too many", retry: "60",
		text: "A limit of this server is reached. Try again later."},
	mailstore.Transient: {code: 503, title: "One moment", retry: "5",
		text: "The mail store does not answer right now. Mail that was accepted is safe; try again in a few seconds."},
	mailstore.NoSpace: {code: 503, title: "No room", retry: "60",
		text: "The server's disk is full. Mail can be read and deleted, but nothing new is taken for now."},
	mailstore.Corrupt: {code: 500, title: "Damaged data",
		text: "What is stored for this cannot be read. The server's owner finds more with “eider fsck”."},
}

// refusalOf finds the words for an error.
func refusalOf(err error) refusal {
	var r *refusal
	var tooBig *http.MaxBytesError
	var kind *mailstore.Error
	var no *policy.Refusal
	switch {
	case errors.As(err, &r):
		return *r
	case errors.As(err, &no):
		e := answers[no.Kind]
		if e.text, e.retry = no.Reason, ""; no.Retry > 0 {
			e.retry = strconv.FormatInt(int64((no.Retry+time.Second-1)/time.Second), 10)
		}
		return e
	case errors.As(err, &tooBig):
		return answers[mailstore.TooLarge]
	case errors.As(err, &kind):
		return answers[kind.Kind]
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return answers[mailstore.Transient]
	case errors.Is(err, auth.ErrDisabled):
		return refusal{code: 403, title: "Disabled", text: "This account was disabled by the server's owner."}
	case errors.Is(err, auth.ErrThrottled):
		return refusal{code: 429, title: "Too many attempts", retry: "60",
			text: "Wait a minute, then try again."}
	}
	return answers[mailstore.Internal]
}

// fail answers with an error.
func (s *Site) fail(c *call, err error) {
	if errors.Is(err, errLogin) {
		s.toLogin(c)
		return
	}
	e := refusalOf(err)
	if e.code >= 500 && c.r.Context().Err() == nil {
		// The pattern, never the path: a path may be a permalink.
		s.o.Log.Error("page failed", "route", c.r.Pattern, "err", err)
	}
	if e.retry != "" {
		c.w.Header().Set("Retry-After", e.retry)
	}
	switch c.class {
	case classApp, classMail:
		p := ui.Problem{Shell: s.shell(c, e.title, ""), Code: e.code, Text: e.text, Retry: e.retry != ""}
		if c.r.Method != http.MethodGet {
			p.Path = "/"
		}
		s.show(c, e.code, p)
	case classFrame:
		secure(c.w.Header(), classFrame, "")
		s.show(c, e.code, ui.Problem{Shell: ui.Shell{Title: e.title}, Code: e.code, Text: e.text, Mini: true})
	default:
		secure(c.w.Header(), classFile, "")
		c.w.Header().Del("Content-Disposition")
		c.w.Header().Del("Content-Length")
		c.w.WriteHeader(e.code)
		_, _ = fmt.Fprintf(c.w, "%s. %s\n", e.title, e.text)
	}
}

// toLogin sends a visitor to the login, and scripts the plain fact.
func (s *Site) toLogin(c *call) {
	if c.class == classFrag || c.class == classEvents || c.r.Header.Get("X-Frag") != "" {
		secure(c.w.Header(), classFile, "")
		c.w.Header().Del("X-Frag")
		c.w.WriteHeader(http.StatusUnauthorized)
		_, _ = c.w.Write([]byte("Log in again.\n"))
		return
	}
	to := "/login"
	if c.r.Method == http.MethodGet {
		to += "?next=" + url.QueryEscape(c.r.URL.RequestURI())
	}
	http.Redirect(c.w, c.r, to, http.StatusSeeOther)
}

// local keeps a path that leads to a page of ours, or says "/".
func local(path, otherwise string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") || len(path) > 1000 {
		return otherwise
	}
	return u.RequestURI()
}

func (s *Site) notFound(*call) error { return errNoPage }

// show renders a page; nothing is sent before all of it is known to work.
func (s *Site) show(c *call, code int, v ui.View) {
	w := &late{w: c.w, code: code}
	if err := s.ui.Render(w, v); err != nil && !w.wrote {
		s.o.Log.Error("page failed", "route", c.r.Pattern, "err", err)
		secure(c.w.Header(), classFile, "")
		http.Error(c.w, "The page could not be made.", http.StatusInternalServerError)
	}
}

// late writes the status with the first byte.
type late struct {
	w     http.ResponseWriter
	code  int
	wrote bool
}

func (l *late) Write(b []byte) (int, error) {
	if !l.wrote {
		l.wrote = true
		l.w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		l.w.WriteHeader(l.code)
	}
	return l.w.Write(b)
}
