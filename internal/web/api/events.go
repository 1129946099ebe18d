package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
)

// events is GET /v1/events: a stream of what happens to a mailbox (WHATWG HTML
// §9.2). Each event's id is a cursor; a client that reconnects with
// Last-Event-ID misses nothing.
//
//	event: message   a Summary that arrived
//	event: flags     a Summary whose flags changed
//	event: gone      {"uids":[…]}
//	event: resync    {}: too much happened; list again
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	ctx, c := r.Context(), callerOf(r.Context())
	q := r.URL.Query()
	name := q.Get("mailbox")
	if name == "" {
		name = "INBOX"
	}
	m, now, err := a.locate(ctx, c, name)
	if err != nil {
		a.writeError(w, "events", err)
		return
	}
	after := r.Header.Get("Last-Event-ID")
	if after == "" {
		after = q.Get("after")
	}
	if after != "" {
		if now, err = a.cursorFor(c.Acct, after, m.ID); err != nil {
			a.writeError(w, "events", err)
			return
		}
	}
	if r.Method == http.MethodHead { // its answer is over: a stream would only hold up the connection
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	release, ok := a.streams.take(c.Acct)
	if !ok {
		WriteProblem(w, http.StatusTooManyRequests, "This account has 20 event streams open already; that is the most.")
		return
	}
	defer release()
	a.o.Metrics.Events.Inc()
	defer a.o.Metrics.Events.Dec()
	changed, cancel := a.o.Store.Watch(c.Acct)
	defer cancel()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "private, no-store, no-transform")
	h.Set("Vary", "Authorization")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	f := &feed{a: a, c: c, box: m, at: now, w: w, rc: http.NewResponseController(w)}
	if f.comment("open") != nil {
		return
	}
	f.run(ctx, changed)
}

// locate is place within the store's budget.
func (a *API) locate(ctx context.Context, c caller, name string) (mailstore.Mailbox, cursor, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	return a.place(ctx, c.Acct, name)
}

// feed is one open stream.
type feed struct {
	a   *API
	c   caller
	box mailstore.Mailbox
	at  cursor
	w   http.ResponseWriter
	rc  *http.ResponseController
}

func (f *feed) run(ctx context.Context, changed <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		gone, err := f.step(ctx)
		if gone || err != nil && replyOf(err).status != http.StatusServiceUnavailable {
			return
		}
		var again <-chan time.Time
		if err != nil {
			again = time.After(retryPause)
		}
		select {
		case <-changed:
		case <-again:
		case <-beat.C:
			if f.still(ctx) == errEnded || f.comment("alive") != nil {
				return
			}
		case <-f.a.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// still tells a quiet stream whether it may go on.
func (f *feed) still(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	return f.a.still(ctx, f.c)
}

// step sends what happened since the cursor, to who may still hear it. It is over
// when the mailbox or the client is gone.
func (f *feed) step(ctx context.Context) (over bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	ch, err := f.a.o.Store.Changes(ctx, f.c.Acct, f.box.ID, f.at.epoch, f.at.modseq)
	if err != nil {
		return false, err
	}
	if ch.Gone {
		return true, nil
	}
	if ch.Resync || len(ch.Changed) > 0 || len(ch.Vanished) > 0 {
		if err := f.a.still(ctx, f.c); err != nil {
			return false, err
		}
	}
	es := ch.Changed
	if ch.Resync {
		if f.send("resync", []byte("{}")) != nil {
			return true, nil
		}
		es, err = f.a.o.Store.Entries(ctx, f.c.Acct, f.box.ID, mailstore.Rows{From: max(f.at.next, 1), Limit: MaxScan})
		if err != nil {
			return false, err
		}
	}
	next := f.at
	next.epoch, next.modseq = ch.Epoch, ch.ModSeq
	for len(es) > 0 {
		n := min(batch, len(es))
		rows, err := f.a.match(ctx, f.c.Acct, es[:n], search{})
		if err != nil {
			return false, err
		}
		for i := range rows {
			if f.entry(&rows[i], ch.Resync) != nil {
				return true, nil
			}
			next.next = max(next.next, rows[i].UID+1)
		}
		es = es[n:]
	}
	f.at = next
	if len(ch.Vanished) > 0 || len(ch.Changed) > 0 || ch.Resync {
		return f.vanished(ch.Vanished) != nil, nil
	}
	return false, nil
}

func (f *feed) entry(r *row, resync bool) error {
	name := "message"
	if r.UID < f.at.next && !resync {
		name = "flags"
	}
	return f.write(fmt.Sprintf("event: %s\ndata: %s\n\n", name, mustJSON(summary(f.a, f.c, f.box.Name, r))))
}

// vanished ends a step: its id is the cursor behind all that the step sent, so
// that a stream broken in the middle of a step repeats the step.
func (f *feed) vanished(uids []mailstore.UID) error {
	if len(uids) == 0 {
		return f.write("id: " + f.at.String() + "\nevent: cursor\ndata: {}\n\n")
	}
	b := []byte(`{"uids":[`)
	for i, u := range uids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(u), 10)
	}
	return f.send("gone", append(b, "]}"...))
}

func (f *feed) send(event string, data []byte) error {
	return f.write("id: " + f.at.String() + "\nevent: " + event + "\ndata: " + string(data) + "\n\n")
}

func (f *feed) comment(text string) error { return f.write(": " + text + "\n\n") }

func (f *feed) write(s string) error {
	_ = f.rc.SetWriteDeadline(f.a.o.Now().Add(writeTime))
	if _, err := f.w.Write([]byte(s)); err != nil {
		return err
	}
	return f.rc.Flush()
}
