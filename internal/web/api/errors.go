package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/eidermail/eider/internal/mailstore"
)

// reply is what a kind of store error means to a client of the API.
type reply struct {
	status int
	text   string
}

// replies has one entry per mailstore.Kind.
var replies = map[mailstore.Kind]reply{
	mailstore.Internal:   {http.StatusInternalServerError, "The server made a mistake; its log says more."},
	mailstore.NotExist:   {http.StatusNotFound, "There is no such message, mailbox or account (any more)."},
	mailstore.Exist:      {http.StatusConflict, "It is there already."},
	mailstore.Invalid:    {http.StatusUnprocessableEntity, "The request makes no sense."},
	mailstore.Permission: {http.StatusForbidden, "That is not allowed."},
	mailstore.Quota:      {http.StatusInsufficientStorage, "The account is full."},
	mailstore.TooLarge:   {http.StatusRequestEntityTooLarge, "The message is over the limit."},
	mailstore.Limit:      {http.StatusTooManyRequests, "A limit on numbers is reached."},
	mailstore.Transient:  {http.StatusServiceUnavailable, "The store is away or busy; try again."},
	mailstore.NoSpace:    {http.StatusInsufficientStorage, "The server's disk is full."},
	mailstore.Corrupt:    {http.StatusInternalServerError, "Stored data is damaged; run eider fsck."},
}

// replyOf maps an error of the store.
func replyOf(err error) reply {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return replies[mailstore.Transient]
	}
	r, ok := replies[mailstore.KindOf(err)]
	if !ok {
		return replies[mailstore.Internal]
	}
	return r
}

// fail turns an error of the store into the problem that the client sees, and
// logs it where it is ours.
func (a *API) fail(op string, err error) error {
	var known huma.StatusError
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, errEnded) {
		return problem(http.StatusUnauthorized, "The account has another password by now, is disabled, or is gone.")
	}
	r := replyOf(err)
	if r.status >= 500 && !errors.Is(err, context.Canceled) {
		a.o.Log.Error("api request failed", "op", op, "status", r.status, "err", err)
	}
	p := problem(r.status, r.text)
	if r.status == http.StatusServiceUnavailable {
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"2"}})
	}
	return p
}

func problem(status int, text string) *huma.ErrorModel {
	return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: text}
}

// WriteProblem answers with an RFC 9457 problem outside of huma's handlers.
func WriteProblem(w http.ResponseWriter, status int, text string) {
	b, err := json.Marshal(problem(status, text))
	if err != nil {
		b = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// writeError is fail for plain handlers.
func (a *API) writeError(w http.ResponseWriter, op string, err error) {
	err = a.fail(op, err)
	var p *huma.ErrorModel
	if !errors.As(err, &p) {
		p = problem(http.StatusInternalServerError, replies[mailstore.Internal].text)
	}
	WriteProblem(w, p.Status, p.Detail)
}
