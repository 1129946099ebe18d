package auth_test

import (
	"testing"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
)

func BenchmarkPermalink(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_ = w.auth.Permalink(7, 1, mailstore.MsgID(i))
	}
}

func BenchmarkParsePermalink(b *testing.B) {
	w := newWorld(b)
	p := w.auth.Permalink(7, 1, 1)
	b.ReportAllocs()
	for b.Loop() {
		w.auth.ParsePermalink(p)
	}
}

func BenchmarkPassword(b *testing.B) {
	w := newWorld(b)
	w.account("g@d.example", "generated-password", account.Generated)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.login(far, "g@d.example", "generated-password"); err != nil {
			b.Fatal(err)
		}
	}
}
