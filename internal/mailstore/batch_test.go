package mailstore_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
)

// incoming makes messages to store; the test's end closes them.
func (e *env) incoming(t *testing.T, box string, bodies ...[]byte) []mailstore.Incoming {
	t.Helper()
	var in []mailstore.Incoming
	for i, b := range bodies {
		m := e.pool.Message()
		t.Cleanup(func() { m.Close() })
		_, err := m.Write(b)
		must(t, err)
		in = append(in, mailstore.Incoming{Message: m, Deposit: mailstore.Deposit{Mailbox: box,
			Flags: mailstore.Seen, SaveDate: time.Unix(int64(1000+i), 0)}})
	}
	return in
}

// TestDepositMany: many messages keep their order and bytes, whatever their
// sizes, and one that is refused keeps no other from its place.
func TestDepositMany(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		ctx := context.Background()
		e := newEnv(t, open(t), mailstore.Options{MessageLimit: 1 << 20,
			Defaults: mailstore.AccountLimits{Messages: 200}})
		id := e.account(t, "a@b")
		var bodies [][]byte
		for i := range 190 {
			size := 10 + i*37
			if i%50 == 7 {
				size = 300_000 // staged
			}
			if i == 60 {
				size = 1<<20 + 1 // refused
			}
			bodies = append(bodies, bytes.Repeat(fmt.Appendf(nil, "%d ", i), size)[:size])
		}
		out := e.DepositMany(ctx, id, e.incoming(t, "", bodies...))
		uid := mailstore.UID(1)
		for i, o := range out {
			if i == 60 {
				if mailstore.KindOf(o.Err) != mailstore.TooLarge || o.UID != 0 {
					t.Errorf("message of 1 MiB and a byte: %+v", o)
				}
				continue
			}
			must(t, o.Err)
			if o.UID != uid {
				t.Errorf("message %d has UID %d, want %d", i, o.UID, uid)
			}
			uid++
			e.wantContent(t, id, o.Msg, bodies[i])
		}
		rows, err := e.Entries(ctx, id, out[0].Mailbox, mailstore.Rows{})
		must(t, err)
		if len(rows) != 189 || rows[3].SaveDate.Unix() != 1003 || rows[3].Flags != mailstore.Seen {
			t.Errorf("%d rows, the fourth is %+v", len(rows), rows[3])
		}
		// The account is full in the midst of a batch: what fits is taken.
		out = e.DepositMany(ctx, id, e.incoming(t, "", bodies[:20]...))
		for i, o := range out {
			if full := mailstore.KindOf(o.Err) == mailstore.Quota; full != (i >= 11) {
				t.Errorf("message %d of a full account: %v", i, o.Err)
			}
		}
		if out := e.DepositMany(ctx, id, e.incoming(t, "none", []byte("x"), []byte("y"))); mailstore.KindOf(
			out[1].Err) != mailstore.NotExist {
			t.Errorf("no such mailbox: %v", out[1].Err)
		}
		e.check(t)
	})
}

// TestCopyHasANewSaveDate: a message's save date is that of its mailbox (RFC 8514 §3).
func TestCopyHasANewSaveDate(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	id := e.account(t, "a@b")
	out := e.DepositMany(ctx, id, e.incoming(t, "", []byte("x")))
	must(t, out[0].Err)
	c, err := e.Copy(ctx, id, out[0].Mailbox, []mailstore.UID{1}, "INBOX")
	must(t, err)
	rows, err := e.EntriesByUID(ctx, id, c.Mailbox, c.Dest)
	must(t, err)
	if rows[0].SaveDate.Unix() != e.clock.now().Unix() {
		t.Errorf("the copy was saved at %v", rows[0].SaveDate)
	}
}

// TestDepositAgain: a second place of a message has its own flags and dates and
// shares the bytes.
func TestDepositAgain(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		ctx := context.Background()
		e := newEnv(t, open(t), mailstore.Options{Defaults: mailstore.AccountLimits{Messages: 2}})
		id := e.account(t, "a@b")
		_, err := e.CreateMailbox(ctx, id, "box", "")
		must(t, err)
		first := e.DepositMany(ctx, id, e.incoming(t, "", []byte("x")))[0]
		must(t, first.Err)
		d := mailstore.Deposit{Mailbox: "box", Flags: mailstore.Flagged, Keywords: []string{"k"},
			InternalDate: time.Unix(7, 0), SaveDate: time.Unix(8, 0)}
		again, err := e.DepositAgain(ctx, id, first.Msg, d)
		must(t, err)
		rows, err := e.EntriesByUID(ctx, id, again.Mailbox, []mailstore.UID{again.UID})
		must(t, err)
		r := rows[0]
		if r.Msg != first.Msg || r.Flags != mailstore.Flagged || len(r.Keywords) != 1 ||
			r.InternalDate.Unix() != 7 || r.SaveDate.Unix() != 8 {
			t.Errorf("the second place is %+v", r)
		}
		if _, err := e.DepositAgain(ctx, id, first.Msg, d); mailstore.KindOf(err) != mailstore.Quota {
			t.Errorf("in a full account: %v", err)
		}
		if _, err := e.DepositAgain(ctx, id, 99, d); mailstore.KindOf(err) != mailstore.NotExist {
			t.Errorf("of no message: %v", err)
		}
		e.check(t)
	})
}
