package mailstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/test/genmail"
)

// withFile is a mail with a file in lines of a width.
func withFile(file []byte, width int) []byte {
	var b bytes.Buffer
	b.WriteString("Subject: a file\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for enc := base64.StdEncoding.EncodeToString(file); enc != ""; {
		n := min(width, len(enc))
		b.WriteString(enc[:n] + "\r\n")
		enc = enc[n:]
	}
	return b.Bytes()
}

func (e *env) content(t tester, id mailstore.AcctID, msg mailstore.MsgID) []byte {
	t.Helper()
	c, err := e.Content(context.Background(), id, msg)
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	defer c.Close()
	b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	return b
}

// TestPartsAreShared: the same file is there once, whatever the width of its
// lines and whoever has it; with DedupAccount once for each account, and once
// for the copies of one delivery.
func TestPartsAreShared(t *testing.T) {
	t.Parallel()
	file := make([]byte, 100_000)
	for i := range file {
		file[i] = byte(rand.Uint32())
	}
	for _, apart := range []bool{false, true} {
		e := newEnv(t, memkv.New(), mailstore.Options{DedupAccount: apart})
		a, b := e.account(t, "a@b"), e.account(t, "c@d")
		type sent struct {
			acct mailstore.AcctID
			msg  mailstore.MsgID
			mail []byte
		}
		var all []sent
		put := func(mail []byte, ids ...mailstore.AcctID) {
			for _, d := range e.deposit(t, mail, mailstore.Deposit{}, ids...) {
				all = append(all, sent{d.Acct, d.Msg, mail})
			}
		}
		for _, width := range []int{60, 64, 72, 76} {
			put(withFile(file, width), a)
			put(withFile(file, width), b)
		}
		want := 1
		if apart {
			want = 2
		}
		if sum := e.check(t); sum.Blobs != want || sum.Links != 8 {
			t.Errorf("apart %v: %d blobs, %d links, want %d and 8", apart, sum.Blobs, sum.Links, want)
		}
		put(withFile(file, 76), a, b)
		if apart {
			want++
		}
		if sum := e.check(t); sum.Blobs != want || sum.Links != 10 {
			t.Errorf("apart %v: with a delivery to both %d blobs, want %d", apart, sum.Blobs, want)
		}
		for _, s := range all {
			if !bytes.Equal(e.content(t, s.acct, s.msg), s.mail) {
				t.Errorf("apart %v: message %d comes back changed", apart, s.msg)
			}
		}
	}
}

// TestGeneratedMailComesBack: whatever is generated, of any shape, comes back
// byte for byte, also when what others needed has been collected, and the store
// is clean. EIDER_SOAK=1 does it with 100,000 messages.
func TestGeneratedMailComesBack(t *testing.T) {
	t.Parallel()
	var engine kv.Store = memkv.New()
	n := 250 // test/roundtrip sends 2,000 of the same over the protocols
	if os.Getenv("EIDER_SOAK") == "1" {
		n = 100_000
		s, err := pebblekv.Open(pebblekv.Options{Dir: t.TempDir(), BallastBytes: -1})
		must(t, err)
		engine = s
	}
	e := newEnv(t, engine, mailstore.Options{})
	id := e.account(t, "a@b")
	g := genmail.New(7)
	sums := map[mailstore.MsgID][32]byte{}
	var gone []mailstore.UID
	for i := range n + n/8 {
		m := g.Odd()
		if i%3 == 0 {
			m = g.Message()
		}
		d := e.deposit(t, m, mailstore.Deposit{}, id)[0]
		if i%9 == 4 {
			gone = append(gone, d.UID)
		} else {
			sums[d.Msg] = sha256.Sum256(m)
		}
	}
	compare := func(when string) {
		for msg, sum := range sums {
			if sha256.Sum256(e.content(t, id, msg)) != sum {
				t.Fatalf("%s: message %d comes back changed", when, msg)
			}
		}
	}
	compare("as it came")
	must(t, e.SetFlagsAll(id, gone))
	_, _, err := e.Expunge(context.Background(), id, 1, gone, true)
	must(t, err)
	before := e.check(t)
	for range 3 {
		e.clock.add(blobGrace + time.Minute)
		e.collect(t)
	}
	after := e.check(t)
	if before.Blobs <= after.Blobs {
		t.Errorf("%d shared parts before and %d after collection: nothing was collected", before.Blobs, after.Blobs)
	}
	compare("after collection")
	t.Logf("%d messages, equal before and after collection of %d others; shared parts %d, then %d", len(sums), len(gone),
		before.Blobs, after.Blobs)
}

// SetFlagsAll marks messages of INBOX as deleted.
func (e *env) SetFlagsAll(id mailstore.AcctID, uids []mailstore.UID) error {
	for group := range slices.Chunk(uids, 500) {
		_, err := e.SetFlags(context.Background(), id, 1, group, mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Deleted})
		if err != nil {
			return err
		}
	}
	return nil
}
