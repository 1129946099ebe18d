package api

import (
	"bytes"
	"testing"

	"github.com/eidermail/eider/internal/mailstore"
)

// TestEveryKindHasAReply holds the table exhaustive.
func TestEveryKindHasAReply(t *testing.T) {
	t.Parallel()
	for k := mailstore.Internal; k <= mailstore.Corrupt; k++ {
		if r, ok := replies[k]; !ok || r.status < 400 || r.text == "" {
			t.Errorf("%s: %+v", k, r)
		}
	}
	if len(replies) != int(mailstore.Corrupt)+1 {
		t.Errorf("%d replies", len(replies))
	}
}

func FuzzCursor(f *testing.F) {
	c := cursor{acct: 77, mailbox: 3, next: 9, epoch: 1 << 60, modseq: 1 << 40}
	f.Add(c.String(), []byte("Subject: x\r\n y\r\n\r\n"))
	f.Add(StartCursor(77), []byte(": x\n\n"))
	f.Add("", []byte("a:b\r\r\nc\x00: d"))
	f.Fuzz(func(t *testing.T, s string, header []byte) {
		if got, err := parseCursor(77, s); err == nil {
			if again, err := parseCursor(77, got.String()); err != nil || again != got {
				t.Fatalf("%q: %+v, %+v %v", s, got, again, err)
			}
		}
		for _, h := range fields(header) {
			if bytes.ContainsAny([]byte(h.Name+h.Value), "\r\n") {
				t.Fatalf("%q: %q", header, h)
			}
		}
	})
}

func TestCursorOfOthers(t *testing.T) {
	t.Parallel()
	c := cursor{acct: 77, mailbox: 3, next: 9}
	if len(c.String()) > maxCursor {
		t.Error("a cursor is longer than its limit")
	}
	big := cursor{acct: 1<<64 - 1, mailbox: 1<<32 - 1, next: 1<<32 - 1, epoch: 1<<64 - 1, modseq: 1<<64 - 1}
	if got, err := parseCursor(big.acct, big.String()); err != nil || got != big {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := parseCursor(78, c.String()); err != errCursorOther {
		t.Errorf("another account: %v", err)
	}
	if _, err := c.in(4); err != errCursorBox {
		t.Errorf("another mailbox: %v", err)
	}
	b := []byte(c.String())
	for i := range b {
		d := bytes.Clone(b)
		d[i] ^= 1
		if got, err := parseCursor(77, string(d)); err == nil && got != c {
			t.Errorf("changed at %d: %+v", i, got)
		}
	}
}
