// Package kvtest holds what every engine of package kv must pass, and wrappers
// that prove how a store is used: Guarded fails writes outside the held
// guards, Rerun calls each function of Update twice. For tests only.
package kvtest

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
)

// Limit: time that one case of the suite may take.
const caseTimeout = 60 * time.Second

// env is one case's fresh store, on which several handles can stand.
type env struct {
	*testing.T
	ctx     context.Context
	handles []kv.Store
	s       kv.Store // the first handle
}

// Run runs the suite. open returns a fresh, empty store; the suite closes it.
func Run(t *testing.T, open func(t testing.TB) kv.Store) {
	t.Helper()
	RunHandles(t, func(t testing.TB, n int) []kv.Store {
		s := open(t)
		out := make([]kv.Store, n)
		for i := range out {
			out[i] = s
		}
		return out
	})
}

// testCase is one case of the suite.
type testCase struct {
	name string
	run  func(*env)
	// alone: it needs one caller only, little work, and none that is undone.
	alone bool
}

func cases() []testCase {
	return []testCase{
		{"Basics", testBasics, true},
		{"ScanBounds", testScanBounds, true},
		{"ScanPages", testScanPages, false},
		{"ScanLong", testScanLong, false},
		{"Model", testModel, false},
		{"Overlay", testOverlay, true},
		{"Expect", testExpect, false},
		{"Limits", testLimits, false},
		{"Aborts", testAborts, true},
		{"Contexts", testContexts, false},
		{"View", testView, false},
		{"DeletePrefix", testDeletePrefix, false},
		{"Linearizable", testLinearizable, false},
		{"Bank", testBank, false},
		{"WriteSkew", testWriteSkew, false},
		{"Hot", testHot, false},
		{"Closed", testClosed, true},
	}
}

// RunHandles runs the suite on stores that several handles stand on.
func RunHandles(t *testing.T, open func(t testing.TB, n int) []kv.Store) {
	for _, c := range cases() {
		c.start(t, 3, open)
	}
}

// RunAlone runs the small cases that need neither concurrency nor transactions
// that are undone: on a slow server that speaks an engine's protocol and has none.
func RunAlone(t *testing.T, open func(t testing.TB) kv.Store) {
	for _, c := range cases() {
		if c.alone {
			c.start(t, 1, func(t testing.TB, _ int) []kv.Store { return []kv.Store{open(t)} })
		}
	}
}

func (c testCase) start(t *testing.T, n int, open func(t testing.TB, n int) []kv.Store) {
	t.Run(c.name, func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(context.Background(), caseTimeout)
		defer cancel()
		handles := open(t, n)
		defer func() {
			for _, h := range handles {
				_ = h.Close() // one of several handles may be closed already
			}
		}()
		c.run(&env{T: t, ctx: ctx, handles: handles, s: handles[0]})
	})
}

// put commits keys and values, given in turn, under the first key as guard.
func (e *env) put(pairs ...string) {
	e.Helper()
	err := e.s.Update(e.ctx, [][]byte{[]byte(pairs[0])}, func(tx kv.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			tx.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		}
		return nil
	})
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) get(r kv.Reader, key string) kv.Item {
	e.Helper()
	items, err := r.GetMulti(e.ctx, []byte(key))
	if err != nil {
		e.Fatal(err)
	}
	if len(items) != 1 {
		e.Fatalf("GetMulti of one key: %d items", len(items))
	}
	if string(items[0].Key) != key {
		e.Fatalf("GetMulti(%q) has key %q", key, items[0].Key)
	}
	if (items[0].Rev == 0) != (items[0].Value == nil) {
		e.Fatalf("GetMulti(%q): revision %d with value %v", key, items[0].Rev, items[0].Value)
	}
	return items[0]
}

// keys scans r and returns the keys joined by blanks.
func (e *env) keys(rd kv.Reader, r kv.Range) string {
	e.Helper()
	out := ""
	for it, err := range rd.Scan(e.ctx, r) {
		if err != nil {
			e.Fatal(err)
		}
		if out += " "; r.KeysOnly != (it.Value == nil) {
			e.Fatalf("Scan(%+v): key %q with value %v", r, it.Key, it.Value)
		}
		out += string(it.Key)
	}
	if out == "" {
		return ""
	}
	return out[1:]
}

func number(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func encode(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func row(format string, args ...any) []byte { return fmt.Appendf(nil, format, args...) }
