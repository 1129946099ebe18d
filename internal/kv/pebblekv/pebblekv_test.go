package pebblekv_test

import (
	"testing"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/pebblekv"
)

func open(t testing.TB, o pebblekv.Options) *pebblekv.Store {
	t.Helper()
	if o.ReserveBytes == 0 {
		o.ReserveBytes = -1
		o.ReserveFraction = -1
	}
	s, err := pebblekv.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, func(t testing.TB) kv.Store { return open(t, pebblekv.Options{Dir: t.TempDir()}) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
