package mailstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
)

var errBroken = errors.New("broken on purpose")

// world is an account with mail, for operations that fail.
type world struct {
	*env
	id, other mailstore.AcctID
	msgs      []mailstore.Deposited
}

// worldMail is how many messages the first account has, and one of them is large.
const worldMail = 6

func worldMessage(i int) []byte {
	body := mail(i)
	if i == 3 {
		body = append(body, bytes.Repeat([]byte("large "), 60_000)...)
	}
	return body
}

// worlds is what compresses in all of them: each of some thousands would make its
// own, and that would be most of the work.
//
//rules:allow var made once, and used as by one store
var worlds = codec.New()

func newWorld(t *testing.T) *world { return newWorldOn(t, memkv.New()) }

func newWorldOn(t *testing.T, engine kv.Store) *world {
	w := &world{env: newEnv(t, engine, mailstore.Options{Codec: worlds,
		Defaults: mailstore.AccountLimits{Retention: time.Hour, Messages: 12}})}
	w.id, w.other = w.account(t, "one@test"), w.account(t, "two@test")
	_, err := w.CreateMailbox(context.Background(), w.id, "box", "")
	must(t, err)
	for i := range worldMail {
		w.msgs = append(w.msgs, w.deposit(t, worldMessage(i), mailstore.Deposit{}, w.id)...)
	}
	_, err = w.Copy(context.Background(), w.id, 1, []mailstore.UID{2, 4}, "box")
	must(t, err)
	return w
}

// mutations are all operations that write.
var mutations = map[string]func(w *world, ctx context.Context) error{
	"create account": func(w *world, ctx context.Context) error {
		_, err := w.CreateAccount(ctx, mailstore.NewAccount{Address: "new@test", Credential: []byte("c"), ExpireIdle: time.Hour})
		return err
	},
	"delete account": func(w *world, ctx context.Context) error { return w.DeleteAccount(ctx, w.id) },
	"set credential": func(w *world, ctx context.Context) error { return w.SetCredential(ctx, w.id, []byte("d")) },
	"end links":      func(w *world, ctx context.Context) error { return w.EndLinks(ctx, w.id) },
	"mark used":      func(w *world, ctx context.Context) error { return w.MarkUsed(ctx, w.id) },
	"set limits": func(w *world, ctx context.Context) error {
		return w.SetLimits(ctx, w.id, mailstore.AccountLimits{Messages: 3})
	},
	"create mailbox": func(w *world, ctx context.Context) error {
		_, err := w.CreateMailbox(ctx, w.id, "a/b/c", "")
		return err
	},
	"rename":       func(w *world, ctx context.Context) error { return w.RenameMailbox(ctx, w.id, "box", "x/y") },
	"rename inbox": func(w *world, ctx context.Context) error { return w.RenameMailbox(ctx, w.id, "INBOX", "old") },
	"delete box":   func(w *world, ctx context.Context) error { return w.DeleteMailbox(ctx, w.id, "box") },
	"defaults":     func(w *world, ctx context.Context) error { return w.EnsureDefaults(ctx, w.id) },
	"subscribe":    func(w *world, ctx context.Context) error { return w.Subscribe(ctx, w.id, "box", true) },
	"not recent": func(w *world, ctx context.Context) error {
		_, err := w.MarkNotRecent(ctx, w.id, 1)
		return err
	},
	"deposit": func(w *world, ctx context.Context) error {
		return w.put(ctx, mail(100), mailstore.Deposit{}, w.id, w.other)
	},
	"deposit large": func(w *world, ctx context.Context) error {
		return w.put(ctx, make([]byte, 3<<20), mailstore.Deposit{}, w.id, w.other)
	},
	"deposit files": func(w *world, ctx context.Context) error {
		// One that is staged with others in one commit, one in pieces.
		if err := w.put(ctx, withFile(pattern(40_000), 76), mailstore.Deposit{}, w.id); err != nil {
			return err
		}
		return w.put(ctx, withFile(pattern(1_200_000), 64), mailstore.Deposit{}, w.id, w.other)
	},
	"append": func(w *world, ctx context.Context) error {
		var in []mailstore.Incoming
		for i := range 3 {
			m := w.pool.Message()
			defer m.Close()
			if _, err := m.Write(withFile(pattern(20_000+300_000*i), 76)); err != nil {
				return err
			}
			in = append(in, mailstore.Incoming{Message: m})
		}
		_, err := w.Append(ctx, w.id, in, &mailstore.Replaced{Mailbox: 1, UID: 1})
		return err
	},
	"deposit, room": func(w *world, ctx context.Context) error {
		if err := w.SetLimits(ctx, w.id, mailstore.AccountLimits{Messages: 2}); err != nil {
			return err
		}
		return w.put(ctx, mail(101), mailstore.Deposit{MakeRoom: true}, w.id)
	},
	"set flags": func(w *world, ctx context.Context) error {
		_, err := w.SetFlags(ctx, w.id, 1, []mailstore.UID{1, 2, 3}, mailstore.FlagChange{Flags: mailstore.Deleted})
		return err
	},
	"copy": func(w *world, ctx context.Context) error {
		_, err := w.Copy(ctx, w.id, 1, []mailstore.UID{1, 2, 3}, "box")
		return err
	},
	"move": func(w *world, ctx context.Context) error {
		_, err := w.Move(ctx, w.id, 1, []mailstore.UID{1, 2, 3, 4}, "box")
		return err
	},
	"group": groupMutation,
	"expunge": func(w *world, ctx context.Context) error {
		_, _, err := w.Expunge(ctx, w.id, 1, nil, false)
		return err
	},
	"expire": func(w *world, ctx context.Context) error {
		w.clock.add(2 * time.Hour)
		if r, _ := w.jan.Pass(ctx); r.Failed > 0 {
			return errBroken
		}
		return nil
	},
	"collect": func(w *world, ctx context.Context) error {
		if _, _, err := w.Expunge(ctx, w.id, 1, nil, false); err != nil {
			return err
		}
		if err := w.DeleteMailbox(ctx, w.id, "box"); err != nil {
			return err
		}
		w.clock.add(time.Minute)
		if r, _ := w.jan.Pass(ctx); r.Failed > 0 {
			return errBroken
		}
		return nil
	},
}

// pattern is a file that compression makes smaller, and not the same as another
// of another size.
func pattern(n int) []byte {
	b := make([]byte, 0, n+40)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%d of %d is %x\n", i, n, i*i*2654435761)
	}
	return b[:n]
}

func (w *world) put(ctx context.Context, b []byte, d mailstore.Deposit, ids ...mailstore.AcctID) error {
	m := w.pool.Message()
	defer m.Close()
	if _, err := m.Write(b); err != nil {
		return err
	}
	_, err := w.Deposit(ctx, ids, d, m)
	return err
}

// TestFailures fails the n-th call to the store, for every n, of every
// operation: before the call and after it. Whatever happens, the invariants
// hold, and a janitor and a second try make the world whole.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, f := range mutations {
		for _, when := range []faultkv.When{faultkv.Before, faultkv.After} {
			for _, ops := range []faultkv.Op{faultkv.Get, faultkv.Scan, faultkv.Writes} {
				t.Run(fmt.Sprintf("%s/%d/%d", name, when, ops), func(t *testing.T) {
					t.Parallel()
					struck := true
					for n := 1; struck; n++ {
						struck = failNth(t, f, faultkv.Fault{Ops: ops, Nth: n, When: when, Err: errBroken})
						if n > 60 {
							t.Fatal("the operation does not end")
						}
					}
				})
			}
		}
	}
}

func failNth(t *testing.T, f func(*world, context.Context) error, fault faultkv.Fault) bool {
	w := newWorld(t)
	ctx := context.Background()
	struck, remove := w.fault.Add(fault)
	err := f(w, ctx)
	hit := struck() > 0
	if !hit && err != nil {
		t.Fatalf("no fault, and yet: %v", err)
	}
	remove()
	w.check(t)
	w.clock.add(3 * time.Hour) // also the life of an upload
	w.collect(t)
	sum := w.check(t)
	if sum.Rows != 0 || sum.Bodies != 0 {
		t.Errorf("after everything expired there is left: %+v", sum)
	}
	if sum.Blobs != 0 || sum.Chunks != 0 || sum.Uploads != 0 || sum.Candidates != 0 {
		t.Errorf("blobs are left behind: %+v", sum)
	}
	return hit
}

// TestWaiting: a store that is away is waited for, then the kind is Transient.
func TestWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fault.Away(true)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	wantKind(t, w.put(ctx, mail(1), mailstore.Deposit{}, w.id), mailstore.Transient)
	_, err := w.Mailboxes(ctx, w.id)
	wantKind(t, err, mailstore.Transient)
	_, err = w.Lookup(ctx, "one@test")
	wantKind(t, err, mailstore.Transient)
	back := time.AfterFunc(30*time.Millisecond, func() { w.fault.Away(false) })
	defer back.Stop()
	must(t, w.put(context.Background(), mail(2), mailstore.Deposit{}, w.id))
	w.check(t)
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.fault.Full(true)
	wantKind(t, w.put(ctx, mail(1), mailstore.Deposit{}, w.id), mailstore.NoSpace)
	wantKind(t, w.put(ctx, make([]byte, 1<<20), mailstore.Deposit{}, w.id), mailstore.NoSpace)
	_, err := w.CreateAccount(ctx, mailstore.NewAccount{Address: "x@y", Credential: []byte("c")})
	wantKind(t, err, mailstore.NoSpace)
	_, err = w.Copy(ctx, w.id, 1, []mailstore.UID{1}, "box")
	wantKind(t, err, mailstore.NoSpace)
	for _, name := range []string{"set flags", "expunge", "delete box", "not recent", "expire", "delete account"} {
		if err := mutations[name](w, ctx); err != nil {
			t.Errorf("%s on a full disk: %v", name, err)
		}
	}
	w.check(t)
}

// TestUnknownCommit: a commit whose reply is lost is reported, counted, not repeated.
func TestUnknownCommit(t *testing.T) {
	t.Parallel()
	var unknown []string
	w := newWorld(t)
	e := newEnv(t, memkv.New(), mailstore.Options{Unknown: func(op string) { unknown = append(unknown, op) }})
	w.env = e
	id := e.account(t, "a@b")
	e.fault.LoseNth(1)
	wantKind(t, w.put(context.Background(), mail(1), mailstore.Deposit{}, id), mailstore.Transient)
	if len(unknown) != 1 || unknown[0] != "deposit" {
		t.Errorf("unknown commits reported: %q", unknown)
	}
	a, err := e.Account(context.Background(), id)
	must(t, err)
	if a.Messages != 1 {
		t.Errorf("%d messages after one commit of unknown outcome", a.Messages)
	}
	e.check(t)
}
