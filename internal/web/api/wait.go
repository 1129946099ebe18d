package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
)

type waitInput struct {
	Filter
	Mailbox string `query:"mailbox" default:"INBOX" maxLength:"1000"`
	After   string `query:"after" maxLength:"96" doc:"A cursor: mail that came after it; all mail if absent"`
	Timeout string `query:"timeout" maxLength:"20" default:"30s" doc:"At most 300s; a number is seconds"`
}

// Waited is the answer of a wait.
type Waited struct {
	Message *Message `json:"message" doc:"The first that matches; null if none came in time"`
	Cursor  string   `json:"cursor" doc:"Pass on as after to wait for the next one"`
}

type waitOutput struct{ Body Waited }

// wait is GET /v1/messages/wait.
func (a *API) wait(ctx context.Context, in *waitInput) (*waitOutput, error) {
	timeout, ok := seconds(in.Timeout)
	if !ok {
		return nil, problem(http.StatusUnprocessableEntity, "timeout must be 0s to 300s, like 30s.")
	}
	c := callerOf(ctx)
	release, ok := a.waits.take(c.Acct)
	if !ok {
		return nil, problem(http.StatusTooManyRequests, "This account has 20 requests waiting, which is the most.")
	}
	defer release()
	a.o.Metrics.Waits.Inc()
	defer a.o.Metrics.Waits.Dec()

	// Watch first, look then: what arrives while we look wakes us again.
	changed, cancel := a.o.Store.Watch(c.Acct)
	defer cancel()
	w := waiter{a: a, c: c, in: in, timer: time.NewTimer(timeout), changed: changed}
	defer w.timer.Stop()
	return w.run(ctx)
}

// waiter is one wait under way.
type waiter struct {
	a       *API
	c       caller
	in      *waitInput
	timer   *time.Timer
	changed <-chan struct{}
	at      cursor
	located bool
}

// retryPause is how long a wait leaves a store alone that is away.
const retryPause = 250 * time.Millisecond

func (w *waiter) run(ctx context.Context) (*waitOutput, error) {
	for {
		msg, err := w.look(ctx)
		if err != nil && replyOf(err).status != http.StatusServiceUnavailable {
			return nil, w.a.fail("wait", err)
		}
		if msg != nil {
			return &waitOutput{Waited{Message: msg, Cursor: w.at.String()}}, nil
		}
		var again <-chan time.Time
		if err != nil {
			again = time.After(retryPause)
		}
		select {
		case <-w.changed:
		case <-again:
		case <-w.timer.C:
			if err == nil {
				err = w.still(ctx)
			}
			if err != nil {
				return nil, w.a.fail("wait", err)
			}
			return &waitOutput{Waited{Cursor: w.at.String()}}, nil
		case <-w.a.stop:
			return nil, w.a.fail("wait", errStopping)
		case <-ctx.Done():
			return nil, w.a.fail("wait", ctx.Err())
		}
	}
}

var errStopping = &mailstore.Error{Op: "wait", Kind: mailstore.Transient, Err: errors.New("the server is stopping")}

// still is checked before each answer: a wait may be longer than a login holds.
func (w *waiter) still(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	return w.a.still(ctx, w.c)
}

// look reads all that arrived since the last look, oldest first, and returns
// the first message that matches. The cursor moves past what was looked at.
func (w *waiter) look(ctx context.Context) (*Message, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	m, err := w.a.o.Store.Mailbox(ctx, w.c.Acct, w.in.Mailbox)
	if err != nil {
		return nil, err
	}
	if !w.located {
		w.at = cursor{acct: w.c.Acct, mailbox: m.ID}
		if w.in.After != "" {
			if w.at, err = w.a.cursorFor(w.c.Acct, w.in.After, m.ID); err != nil {
				return nil, err
			}
		}
		w.located = true
	}
	for {
		es, err := w.a.o.Store.Entries(ctx, w.c.Acct, m.ID, mailstore.Rows{From: max(w.at.next, 1), Limit: batch})
		if err != nil || len(es) == 0 {
			return nil, err
		}
		rows, err := w.a.match(ctx, w.c.Acct, es, search{Filter: w.in.Filter})
		if err != nil {
			return nil, err
		}
		for i := range rows {
			msg, err := w.a.full(ctx, w.c, m.Name, &rows[i])
			if mailstore.KindOf(err) == mailstore.NotExist && err != nil {
				continue // it went while we read it
			}
			if err != nil {
				return nil, err
			}
			if err := w.still(ctx); err != nil {
				return nil, err
			}
			w.at.next = rows[i].UID + 1
			return msg, nil
		}
		w.at.next = es[len(es)-1].UID + 1
	}
}
