package mailstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/body"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// TestBounds: what the account and its mailboxes have at most, and what one
// call takes at most.
func TestBounds(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	for i := range 20 {
		must(t, e.Subscribe(ctx, id, fmt.Sprint("m", i), true))
	}
	err := e.kv.Update(ctx, [][]byte{row.Head(uint64(id))}, func(tx kv.Tx) error {
		for i := range mailstore.MaxSubscriptions - 1 { // INBOX is one; each call would read all that are there
			name := fmt.Sprint("m", i)
			tx.Put(row.Subscription(uint64(id), name), row.AppendSubscription(nil, name))
		}
		return nil
	})
	must(t, err)
	names, err := e.Subscriptions(ctx, id)
	must(t, err)
	if len(names) != mailstore.MaxSubscriptions {
		t.Fatalf("%d subscriptions", len(names))
	}
	wantKind(t, e.Subscribe(ctx, id, "one more", true), mailstore.Limit)
	must(t, e.Subscribe(ctx, id, "m1", false))
	must(t, e.Subscribe(ctx, id, "one more", true))

	long := strings.Repeat("x", mailstore.MaxAccountText+1)
	_, err = e.CreateAccount(ctx, mailstore.NewAccount{Address: "c@d", Label: long})
	wantKind(t, err, mailstore.Invalid)
	_, err = e.CreateAccount(ctx, mailstore.NewAccount{Address: "c@d", Name: long})
	wantKind(t, err, mailstore.Invalid)

	body := []byte("Subject: s\r\n\r\nx\r\n")
	_, err = e.tryDeposit(t, body, mailstore.Deposit{Prepend: make([]byte, mailstore.MaxPrepend+1)}, id)
	wantKind(t, err, mailstore.Invalid)
	_, err = e.tryDeposit(t, body, mailstore.Deposit{Prepend: []byte("X: y\r\n")}, id)
	must(t, err)
	for i, r := range e.DepositMany(ctx, id, make([]mailstore.Incoming, mailstore.MaxBatch+1)) {
		if mailstore.KindOf(r.Err) != mailstore.Limit {
			t.Fatalf("message %d of a batch too large: %v", i, r.Err)
		}
	}
	e.check(t)
}

// TestBounds_Copies: so many rows may name a message, then a copy is refused.
func TestBounds_Copies(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	e.deposit(t, []byte("Subject: s\r\n\r\nx\r\n"), mailstore.Deposit{}, id)
	box, err := e.Mailbox(ctx, id, "INBOX")
	must(t, err)
	uids := []mailstore.UID{1}
	for len(uids) < mailstore.MaxPlaces { // all rows name the one message
		_, err := e.Copy(ctx, id, box.ID, uids, "INBOX")
		must(t, err)
		es, err := e.Entries(ctx, id, box.ID, mailstore.Rows{})
		must(t, err)
		uids = uids[:0]
		for _, x := range es {
			uids = append(uids, x.UID)
		}
	}
	if len(uids) != mailstore.MaxPlaces {
		t.Fatalf("%d rows", len(uids))
	}
	_, err = e.Copy(ctx, id, box.ID, uids[:1], "INBOX")
	wantKind(t, err, mailstore.Limit)
	e.check(t)
}

// TestBounds_Rows: what is larger than a row may be lies beside it, the message
// and its index come back all the same; of copies for many each has less room.
func TestBounds_Rows(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ids := make([]mailstore.AcctID, mailstore.MaxTxAccounts)
	for i := range ids {
		ids[i] = e.account(t, fmt.Sprintf("a%d@b", i))
	}
	many := func(n int, part string) []byte { // parts too small to be shared ones
		return []byte("Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n"+part+"\r\n", n) + "--x--\r\n")
	}
	const noise = 7000 // bytes of a part that does not get smaller
	zeros, named := strings.Repeat("0", 7000), "Content-Type: a/b; name="+strings.Repeat("n", 400)
	parted := func(n int) []byte {
		return bytes.ReplaceAll(many(n, "x"), []byte("\r\n\r\nx"), []byte("\r\n"+named+"\r\n\r\nx"))
	}
	several := mailstore.MaxIndexAll / (150 << 10)
	for _, c := range []struct {
		name        string
		mail        []byte
		accounts    int
		body, index bool // they are in the rows
	}{
		{"MaxSkeleton", many(body.MaxSkeleton/len(zeros)-1, zeros), 1, true, true},
		{"MaxSkeleton, more", many(body.MaxSkeleton/len(zeros)+1, zeros), 1, false, true},
		{"MaxRow", diverse(body.MaxRow/noise-1, noise), 1, true, true},
		{"MaxRow, more", diverse(body.MaxRow/noise+1, noise), 1, false, true},
		{"MaxInlineAll", diverse(mailstore.MaxInlineAll/mailstore.MaxTxAccounts/noise-1, noise), len(ids), true, true},
		{"MaxInlineAll, more", diverse(mailstore.MaxInlineAll/mailstore.MaxTxAccounts/noise+1, noise), len(ids), false, true},
		{"MaxIndexAll", parted(400), 1, true, true},
		{"MaxIndexAll, more", parted(400), several, true, false},
		{"MaxIndex", parted(5000), 1, false, true},
	} {
		for _, d := range e.deposit(t, c.mail, mailstore.Deposit{}, ids[:c.accounts]...) {
			items, err := e.kv.GetMulti(t.Context(), row.Body(uint64(d.Acct), uint64(d.Msg)), row.Info(uint64(d.Acct), uint64(d.Msg)))
			must(t, err)
			b, err := row.DecodeBody(items[0].Value)
			must(t, err)
			x, err := row.DecodeInfo(items[1].Value)
			must(t, err)
			if (b.SkeletonBlob == 0) != c.body || x.NoIndex == c.index || len(x.Index) > mailstore.MaxIndex {
				t.Fatalf("%s: %d bytes: body in its row %v, of %d bytes; index %v, of %d bytes", c.name, len(c.mail),
					b.SkeletonBlob == 0, b.Raw, !x.NoIndex, len(x.Index))
			}
			infos, err := e.Infos(t.Context(), d.Acct, d.Msg)
			must(t, err)
			if infos[0].Index.Root == nil {
				t.Errorf("%s: no index", c.name)
			}
			e.wantContent(t, d.Acct, d.Msg, c.mail)
		}
	}
}

// diverse is a message of n parts of noise, each different.
func diverse(n, size int) []byte {
	b := []byte("Content-Type: multipart/mixed; boundary=x\r\n\r\n")
	for range n {
		part := make([]byte, size)
		_, _ = rand.Read(part)
		b = append(append(append(b, "--x\r\nContent-Transfer-Encoding: binary\r\n\r\n"...), part...), "\r\n"...)
	}
	return append(b, "--x--\r\n"...)
}
