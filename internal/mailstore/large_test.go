package mailstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/recipe"
)

// shared is a message of n attachments that are kept as parts of their own.
func shared(n int) []byte {
	var b bytes.Buffer
	b.WriteString("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n")
	raw := make([]byte, 57*160)
	for range n {
		_, _ = rand.Read(raw)
		b.WriteString("--x\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for i := 0; i < len(raw); i += 57 {
			b.WriteString(base64.StdEncoding.EncodeToString(raw[i:i+57]) + "\r\n")
		}
	}
	b.WriteString("--x--\r\n")
	return b.Bytes()
}

// indexed is a message of n parts, whose index has so many times 400 bytes.
func indexed(n int) []byte {
	part := "--x\r\nContent-Type: a/b; name=" + strings.Repeat("n", 400) + "\r\n\r\nx\r\n"
	return []byte("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" +
		strings.Repeat(part, n) + "--x--\r\n")
}

func (e *env) uids(t tester, id mailstore.AcctID, box mailstore.MailboxID) []mailstore.UID {
	t.Helper()
	rows, err := e.Entries(context.Background(), id, box, mailstore.Rows{})
	must(t, err)
	out := make([]mailstore.UID, len(rows))
	for i := range rows {
		out[i] = rows[i].UID
	}
	return out
}

// TestGroupOnce: a step is done once, also where the one behind it does not go
// with it into a commit.
func TestGroupOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	appended := func(e *env, box string, size int, room bool) mailstore.Step {
		return mailstore.Step{Append: &mailstore.AppendStep{In: []mailstore.Incoming{{
			Message: e.spool(t, []byte("Subject: a\r\n\r\n"+strings.Repeat("y", size))),
			Deposit: mailstore.Deposit{Mailbox: box, MakeRoom: room}}}}}
	}
	t.Run("copy of large indexes", func(t *testing.T) {
		e := newEnv(t, memkv.New(), mailstore.Options{})
		id := e.account(t, "a@b")
		for range 130 {
			e.deposit(t, indexed(100), mailstore.Deposit{}, id)
		}
		_, err := e.CreateMailbox(ctx, id, "box", "")
		must(t, err)
		steps := []mailstore.Step{appended(e, "INBOX", 10, false),
			{Copy: &mailstore.CopyStep{Mailbox: 1, UIDs: e.uids(t, id, 1), To: "box"}}}
		e.Group(ctx, id, steps)
		box, err := e.Mailbox(ctx, id, "box")
		must(t, err)
		if n := len(e.uids(t, id, 1)); n != 131 || box.Exists != 130 || steps[0].Err != nil || steps[1].Err != nil {
			t.Errorf("%d in INBOX, want 131; %d in box, want 130 (%v, %v)", n, box.Exists, steps[0].Err, steps[1].Err)
		}
		e.check(t)
	})
	t.Run("room for the second", func(t *testing.T) {
		e := newEnv(t, memkv.New(), mailstore.Options{Defaults: mailstore.AccountLimits{Bytes: 100 << 10}})
		id := e.account(t, "a@b")
		for range 250 {
			e.deposit(t, []byte("Subject: a\r\n\r\n"+strings.Repeat("x", 380)), mailstore.Deposit{}, id)
		}
		_, err := e.CreateMailbox(ctx, id, "Sent", "")
		must(t, err)
		steps := []mailstore.Step{appended(e, "Sent", 100, true), appended(e, "Sent", 60<<10, true)}
		e.Group(ctx, id, steps)
		sent, err := e.Mailbox(ctx, id, "Sent")
		must(t, err)
		if sent.Exists != 2 || steps[0].Err != nil || steps[1].Err != nil {
			t.Errorf("%d in Sent, want 2 (%v, %v)", sent.Exists, steps[0].Err, steps[1].Err)
		}
		e.check(t)
	})
}

// TestMuchToRemove: what one commit cannot hold goes in several: messages of many
// parts, and such whose large index is written again for their other copies.
func TestMuchToRemove(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const n = 200
	parts := shared(24)
	fresh := func(t *testing.T, mail []byte, box string) (*env, mailstore.AcctID) {
		e := newEnv(t, memkv.New(), mailstore.Options{Codec: worlds,
			Defaults: mailstore.AccountLimits{Bytes: 400 << 20, Retention: time.Hour}})
		id := e.account(t, "a@b")
		_, err := e.CreateMailbox(ctx, id, "box", "")
		must(t, err)
		for range n {
			e.deposit(t, mail, mailstore.Deposit{Mailbox: box}, id)
		}
		return e, id
	}
	empty := func(t *testing.T, e *env, id mailstore.AcctID) {
		t.Helper()
		a, err := e.Account(ctx, id)
		must(t, err)
		if a.Messages != 0 || a.Bytes != 0 {
			t.Errorf("%d messages of %d bytes are left", a.Messages, a.Bytes)
		}
		e.check(t)
	}
	t.Run("expunge", func(t *testing.T) {
		t.Parallel()
		e, id := fresh(t, parts, "")
		gone, _, err := e.Expunge(ctx, id, 1, nil, false)
		if err != nil || len(gone) != n {
			t.Errorf("%d removed: %v", len(gone), err)
		}
		empty(t, e, id)
	})
	t.Run("expiry", func(t *testing.T) {
		t.Parallel()
		e, id := fresh(t, parts, "")
		e.clock.add(2 * time.Hour)
		if r, _ := e.jan.Pass(ctx); r.Messages != n || r.Failed != 0 {
			t.Errorf("%+v", r)
		}
		empty(t, e, id)
	})
	t.Run("deleted mailbox", func(t *testing.T) {
		t.Parallel()
		e, id := fresh(t, parts, "box")
		must(t, e.DeleteMailbox(ctx, id, "box"))
		if r, _ := e.jan.Pass(ctx); r.Failed != 0 {
			t.Errorf("%+v", r)
		}
		empty(t, e, id)
	})
	for _, count := range []int{24, recipe.MaxBlobs} {
		t.Run(fmt.Sprintf("room of %d parts each", count), func(t *testing.T) {
			t.Parallel()
			e, id := fresh(t, shared(count), "")
			must(t, e.SetLimits(ctx, id, mailstore.AccountLimits{Messages: 5}))
			e.deposit(t, []byte("Subject: new\r\n\r\n"), mailstore.Deposit{MakeRoom: true}, id)
			if got := len(e.uids(t, id, 1)); got != 5 {
				t.Errorf("%d messages, want 5", got)
			}
			e.check(t)
		})
	}
	t.Run("copies", func(t *testing.T) {
		t.Parallel()
		e, id := fresh(t, indexed(900), "") // some 370 KB of index each
		done, err := e.Copy(ctx, id, 1, e.uids(t, id, 1), "box")
		if err != nil || len(done.Dest) != n {
			t.Fatalf("%d copied: %v", len(done.Dest), err)
		}
		gone, _, err := e.Expunge(ctx, id, 1, nil, false)
		if err != nil || len(gone) != n {
			t.Errorf("%d removed: %v", len(gone), err)
		}
		if got := len(e.uids(t, id, done.Mailbox)); got != n {
			t.Errorf("%d copies are left, want %d", got, n)
		}
		e.check(t)
	})
}

// TestDepositMany_Unknown: what may have been stored is not stored once more.
func TestDepositMany_Unknown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEnv(t, memkv.New(), mailstore.Options{Codec: worlds})
	id := e.account(t, "a@b")
	var in []mailstore.Incoming
	for i := range 20 {
		in = append(in, mailstore.Incoming{Message: e.spool(t, fmt.Appendf(nil, "Subject: %d\r\n\r\nx\r\n", i))})
	}
	e.fault.LoseNth(0)
	for i, r := range e.DepositMany(ctx, id, in) {
		if !errors.Is(r.Err, kv.ErrUnknown) {
			t.Errorf("message %d: %v", i, r.Err)
		}
	}
	if n := len(e.uids(t, id, 1)); n != len(in) {
		t.Errorf("%d messages, %d were sent", n, len(in))
	}
}

// TestRoomBesideADeletedMailbox: messages that are about to go with their mailbox
// are passed once, and not looked at for ever.
func TestRoomBesideADeletedMailbox(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEnv(t, memkv.New(), mailstore.Options{Codec: worlds, Defaults: mailstore.AccountLimits{Messages: 3000}})
	id := e.account(t, "a@b")
	_, err := e.CreateMailbox(ctx, id, "box", "")
	must(t, err)
	for range 26 {
		var in []mailstore.Incoming
		for i := range 100 {
			in = append(in, mailstore.Incoming{Deposit: mailstore.Deposit{Mailbox: "box"},
				Message: e.spool(t, fmt.Appendf(nil, "Subject: %d\r\n\r\nx\r\n", i))})
		}
		for _, r := range e.DepositMany(ctx, id, in) {
			must(t, r.Err)
		}
	}
	live := e.deposit(t, []byte("Subject: live\r\n\r\n"), mailstore.Deposit{}, id)
	must(t, e.DeleteMailbox(ctx, id, "box")) // 1,000 go at once, 1,600 later
	a, err := e.Account(ctx, id)
	must(t, err)
	must(t, e.SetLimits(ctx, id, mailstore.AccountLimits{Messages: a.Messages}))
	before := e.fault.Calls(faultkv.Update)
	e.deposit(t, []byte("Subject: new\r\n\r\n"), mailstore.Deposit{MakeRoom: true}, id)
	if n := e.fault.Calls(faultkv.Update) - before; n > 10 {
		t.Errorf("%d commits for one message", n)
	}
	if got := e.uids(t, id, 1); len(got) != 1 || got[0] == live[0].UID {
		t.Errorf("INBOX has %v; the live message was the oldest that could go", got)
	}
	e.check(t)
}
