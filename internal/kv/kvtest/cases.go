package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/eidermail/eider/internal/kv"
)

func testBasics(e *env) {
	if it := e.get(e.s, "a"); it.Rev != 0 {
		e.Fatalf("a fresh store has key a: %+v", it)
	}
	e.put("a", "1", "b", "")
	a, b := e.get(e.s, "a"), e.get(e.s, "b")
	if string(a.Value) != "1" || a.Rev == 0 {
		e.Fatalf("a is %+v", a)
	}
	if b.Rev == 0 || b.Value == nil || len(b.Value) != 0 {
		e.Fatalf("an empty value is not an absent one: %+v", b)
	}
	e.put("a", "1")
	if again := e.get(e.s, "a"); again.Rev == a.Rev {
		e.Fatal("a new version of a has the old revision")
	}
	if still := e.get(e.s, "b"); still.Rev != b.Rev {
		e.Fatal("b has a new revision without a new version")
	}
	items, err := e.s.GetMulti(e.ctx, []byte("b"), []byte("x"), []byte("a"), []byte("a"))
	if err != nil {
		e.Fatal(err)
	}
	got := fmt.Sprintf("%s=%s %s=%d %s=%s %s=%s", items[0].Key, items[0].Value, items[1].Key, items[1].Rev,
		items[2].Key, items[2].Value, items[3].Key, items[3].Value)
	if got != "b= x=0 a=1 a=1" {
		e.Fatalf("GetMulti does not keep the order: %s", got)
	}
	if items, err := e.s.GetMulti(e.ctx); err != nil || len(items) != 0 {
		e.Fatalf("GetMulti of nothing: %v %v", items, err)
	}
	err = e.s.Update(e.ctx, [][]byte{[]byte("a")}, func(tx kv.Tx) error {
		if string(tx.Guard(0).Value) != "1" || string(tx.Guard(0).Key) != "a" {
			e.Errorf("guard is %+v", tx.Guard(0))
		}
		tx.Delete([]byte("a"))
		tx.Delete([]byte("never there"))
		tx.Put([]byte("c"), nil)
		return nil
	})
	if err != nil {
		e.Fatal(err)
	}
	if got := e.keys(e.s, kv.Range{}); got != "b c" {
		e.Fatalf("keys after delete: %q", got)
	}
	h, err := e.s.Ping(e.ctx)
	if err != nil || h.Epoch == 0 || h.Time.IsZero() {
		e.Fatalf("Ping: %+v %v", h, err)
	}
}

func testScanBounds(e *env) {
	e.put("", "empty", "\x00", "", "\x00\x00", "", "a", "", "a\x00", "", "a\xff", "", "a\xff\xff", "", "b", "",
		"\xff", "", "\xff\xff", "")
	all := " \x00 \x00\x00 a a\x00 a\xff a\xff\xff b \xff \xff\xff"
	for _, c := range []struct {
		r    kv.Range
		want string
	}{
		{kv.Range{}, all[1:]},
		{kv.Range{KeysOnly: true}, all[1:]},
		{kv.Prefix([]byte("a")), "a a\x00 a\xff a\xff\xff"},
		{kv.Prefix([]byte("a\xff")), "a\xff a\xff\xff"},
		{kv.Prefix([]byte("\xff")), "\xff \xff\xff"},
		{kv.Prefix([]byte("\xff\xff")), "\xff\xff"},
		{kv.Prefix([]byte("\x00")), "\x00 \x00\x00"},
		{kv.Prefix([]byte("c")), ""},
		{kv.Range{Start: []byte("a"), End: []byte("a")}, ""},
		{kv.Range{Start: []byte("b"), End: []byte("a")}, ""},
		{kv.Range{End: []byte{}}, ""},
		{kv.Range{Start: []byte("a\x00"), End: []byte("b")}, "a\x00 a\xff a\xff\xff"},
		{kv.Range{Start: []byte("a"), Limit: 2}, "a a\x00"},
		{kv.Range{Start: []byte("a"), Limit: 100, Reverse: true}, "\xff\xff \xff b a\xff\xff a\xff a\x00 a"},
		{kv.Range{Limit: 1, Reverse: true}, "\xff\xff"},
		{kv.Range{Start: []byte("\xff\xff\x00")}, ""},
		{kv.Range{End: []byte("b"), Limit: 2, Reverse: true, KeysOnly: true}, "a\xff\xff a\xff"},
		{kv.Range{Start: []byte("b"), End: []byte("a"), Reverse: true}, ""},
		{kv.Range{End: []byte{}, Reverse: true}, ""},
	} {
		got := e.keys(e.s, c.r)
		if strings.HasPrefix(got, " ") { // the empty key comes first in a full scan
			got = got[1:]
		}
		if got != c.want {
			e.Errorf("Scan(%+v) = %q, want %q", c.r, got, c.want)
		}
	}
	if it := e.get(e.s, ""); string(it.Value) != "empty" {
		e.Errorf("the empty key: %+v", it)
	}
}

// testScanPages scans what needs several pages, both ways, with limits at their edges.
func testScanPages(e *env) {
	const n, size = 50, 100 << 10
	for i := 0; i < n; i += 10 {
		err := e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
			for j := i; j < i+10; j++ {
				tx.Put(row("r%03d", j), bytes.Repeat([]byte{byte(j)}, size))
			}
			return nil
		})
		if err != nil {
			e.Fatal(err)
		}
	}
	perPage := kv.PageBytes / size
	for _, limit := range []int{0, 1, perPage - 1, perPage, perPage + 1, perPage + 2, 2 * perPage, n - 1, n, n + 1} {
		for _, reverse := range []bool{false, true} {
			want := n
			if limit > 0 {
				want = min(n, limit)
			}
			i := 0
			for it, err := range e.s.Scan(e.ctx, kv.Range{Start: []byte("r"), Limit: limit, Reverse: reverse}) {
				if err != nil {
					e.Fatal(err)
				}
				at := i
				if reverse {
					at = n - 1 - i
				}
				if string(it.Key) != string(row("r%03d", at)) || len(it.Value) != size || it.Value[size-1] != byte(at) {
					e.Fatalf("limit %d reverse %v: item %d is %q", limit, reverse, i, it.Key)
				}
				i++
			}
			if i != want {
				e.Errorf("limit %d reverse %v: %d items, want %d", limit, reverse, i, want)
			}
		}
	}
}

// testOverlay: a Tx sees its own writes, in GetMulti and in Scan.
func testOverlay(e *env) {
	e.put("a", "1", "c", "3", "e", "5", "g", "7")
	errDone := errors.New("done")
	err := e.s.Update(e.ctx, [][]byte{[]byte("a")}, func(tx kv.Tx) error {
		tx.Put([]byte("b"), []byte("2"))
		tx.Put([]byte("e"), []byte("five"))
		tx.Put([]byte("e"), []byte("V"))
		tx.Delete([]byte("c"))
		tx.Put([]byte("h"), nil)
		tx.Put([]byte("x"), nil)
		tx.Delete([]byte("x"))
		if it := e.get(tx, "e"); string(it.Value) != "V" {
			e.Errorf("own write of e: %+v", it)
		}
		if it := e.get(tx, "c"); it.Rev != 0 {
			e.Errorf("own delete of c: %+v", it)
		}
		items, err := tx.GetMulti(e.ctx, []byte("g"), []byte("b"), []byte("zz"), []byte("h"))
		if err != nil || string(items[0].Value)+string(items[1].Value) != "72" ||
			items[2].Rev != 0 || items[3].Rev == 0 {
			e.Errorf("mixed GetMulti: %+v %v", items, err)
		}
		for _, c := range []struct {
			r    kv.Range
			want string
		}{
			{kv.Range{}, "a b e g h"},
			{kv.Range{KeysOnly: true}, "a b e g h"},
			{kv.Range{Reverse: true}, "h g e b a"},
			{kv.Range{Limit: 1}, "a"},
			{kv.Range{Limit: 2}, "a b"},
			{kv.Range{Limit: 3}, "a b e"},
			{kv.Range{Limit: 4, Reverse: true}, "h g e b"},
			{kv.Range{Start: []byte("b"), End: []byte("e")}, "b"},
			{kv.Range{Start: []byte("b"), End: []byte("e"), Reverse: true}, "b"},
			{kv.Range{Start: []byte("c"), Limit: 1}, "e"},
			{kv.Range{End: []byte("e"), Limit: 1, Reverse: true}, "b"},
			{kv.Range{Start: []byte("h")}, "h"},
			{kv.Range{Start: []byte("x")}, ""},
		} {
			if got := e.keys(tx, c.r); got != c.want {
				e.Errorf("Scan(%+v) in the Tx = %q, want %q", c.r, got, c.want)
			}
		}
		if got := e.keys(e.s, kv.Range{}); got != "a c e g" {
			e.Errorf("others see what is not committed: %q", got)
		}
		// Deleting while scanning, as an expiry does.
		for it, err := range tx.Scan(e.ctx, kv.Range{}) {
			if err != nil {
				return err
			}
			tx.Delete(it.Key)
		}
		if got := e.keys(tx, kv.Range{}); got != "" {
			e.Errorf("all deleted, but %q is left", got)
		}
		return errDone
	})
	if err != errDone {
		e.Fatalf("Update returned %v", err)
	}
	if got := e.keys(e.s, kv.Range{}); got != "a c e g" {
		e.Errorf("an aborted Update wrote: %q", got)
	}
}

func testExpect(e *env) {
	e.put("x", "1", "y", "1")
	x, y := e.get(e.s, "x"), e.get(e.s, "y")
	try := func(set func(tx kv.Tx)) error {
		return e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
			set(tx)
			tx.Put([]byte("g"), []byte("done"))
			return nil
		}, kv.Attempts(2))
	}
	wrong := map[string]func(kv.Tx){
		"present, not absent": func(tx kv.Tx) { tx.Expect([]byte("x"), 0) },
		"absent, not present": func(tx kv.Tx) { tx.Expect([]byte("z"), x.Rev) },
		"one of two":          func(tx kv.Tx) { tx.Expect([]byte("x"), x.Rev); tx.Expect([]byte("z"), 77) },
		"before own write":    func(tx kv.Tx) { tx.Put([]byte("x"), nil); tx.Expect([]byte("x"), 0) },
	}
	for name, set := range wrong {
		if err := try(set); !errors.Is(err, kv.ErrConflict) {
			e.Errorf("%s: Update returned %v", name, err)
		}
		if e.get(e.s, "g").Rev != 0 {
			e.Fatalf("%s: written all the same", name)
		}
	}
	err := try(func(tx kv.Tx) {
		tx.Expect([]byte("x"), x.Rev)
		tx.Expect([]byte("y"), y.Rev)
		tx.Expect([]byte("z"), 0)
		tx.Put([]byte("z"), []byte("new"))
	})
	if err != nil {
		e.Fatalf("right expectations: %v", err)
	}
	if string(e.get(e.s, "z").Value) != "new" {
		e.Error("z was not created")
	}
	// A retry reads again, and so gets through.
	runs := 0
	err = e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
		now := e.get(tx, "x")
		if runs++; runs == 1 {
			e.put("x", "moved")
		}
		tx.Expect([]byte("x"), now.Rev)
		tx.Put([]byte("seen"), now.Value)
		return nil
	})
	if err != nil || runs < 2 || string(e.get(e.s, "seen").Value) != "moved" {
		e.Errorf("retry: %v after %d runs, saw %q", err, runs, e.get(e.s, "seen").Value)
	}
	// Without writes an expectation still decides.
	err = e.s.Update(e.ctx, nil, func(tx kv.Tx) error { tx.Expect([]byte("x"), x.Rev); return nil }, kv.Attempts(1))
	if !errors.Is(err, kv.ErrConflict) {
		e.Errorf("expectation without writes: %v", err)
	}
}

func testLimits(e *env) {
	l := e.s.Limits()
	if l != kv.DefaultLimits() {
		e.Errorf("limits are %+v", l)
	}
	write := func(fn func(tx kv.Tx)) error {
		return e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error { fn(tx); return nil })
	}
	big := make([]byte, l.MaxValue)
	longest := string(bytes.Repeat([]byte{0xff}, l.MaxKey))
	count := func(n int) func(kv.Tx) {
		return func(tx kv.Tx) {
			for i := range n {
				tx.Put(row("n%06d", i), nil)
			}
		}
	}
	total := func(last int) func(kv.Tx) {
		return func(tx kv.Tx) {
			for i := range l.MaxTxBytes/l.MaxValue - 1 {
				tx.Put(row("%d", i), big[:l.MaxValue-1])
			}
			tx.Put([]byte("z"), big[:l.MaxValue-1])
			tx.Delete(big[:last])
		}
	}
	full := l.MaxTxBytes - l.MaxTxBytes/l.MaxValue*l.MaxValue // with keys of one byte: exactly full
	for name, c := range map[string]struct {
		fn func(kv.Tx)
		ok bool
	}{
		"longest key":   {func(tx kv.Tx) { tx.Put([]byte(longest), nil) }, true},
		"key too long":  {func(tx kv.Tx) { tx.Put([]byte(longest+"x"), nil) }, false},
		"long delete":   {func(tx kv.Tx) { tx.Delete([]byte(longest + "x")) }, false},
		"largest value": {func(tx kv.Tx) { tx.Put([]byte("v"), big) }, true},
		"value too big": {func(tx kv.Tx) { tx.Put([]byte("v"), append(big[:l.MaxValue:l.MaxValue], 0)) }, false},
		"most keys":     {count(l.MaxTxKeys), true},
		"too many keys": {count(l.MaxTxKeys + 1), false},
		"most bytes":    {total(full), true},
		"too big":       {total(full + 1), false},
	} {
		err := write(c.fn)
		if c.ok && err != nil {
			e.Errorf("%s: %v", name, err)
		}
		if !c.ok && !errors.Is(err, kv.ErrTooLarge) {
			e.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
	if it := e.get(e.s, longest); it.Rev == 0 {
		e.Error("the longest key is not there")
	}
	if it := e.get(e.s, longest+"x"); it.Rev != 0 {
		e.Error("a key that is too long is there")
	}
	if it := e.get(e.s, "v"); len(it.Value) != l.MaxValue {
		e.Errorf("the largest value has %d bytes", len(it.Value))
	}
}

// testAborts: errors of fn come back unchanged, and leave the guards free.
func testAborts(e *env) {
	mine := fmt.Errorf("mine: %w", kv.ErrConflict) // looks like a conflict, is not one
	runs := 0
	err := e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
		runs++
		tx.Put([]byte("g"), nil)
		return mine
	})
	if err != mine || runs != 1 {
		e.Errorf("Update returned %v after %d runs", err, runs)
	}
	func() {
		defer func() { _ = recover() }() // a decorator may make it an error
		err := e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(kv.Tx) error { panic("boom") })
		if err == nil {
			e.Error("a panic is no success")
		}
	}()
	e.put("g", "free")
	guards := [][]byte{[]byte("g"), []byte("a"), []byte("g"), []byte("none")}
	err = e.s.Update(e.ctx, guards, func(tx kv.Tx) error {
		for i, k := range guards {
			if !bytes.Equal(tx.Guard(i).Key, k) {
				e.Errorf("guard %d is %q", i, tx.Guard(i).Key)
			}
		}
		if string(tx.Guard(0).Value) != "free" || string(tx.Guard(2).Value) != "free" || tx.Guard(3).Rev != 0 {
			e.Error("guards have other values")
		}
		return nil
	})
	if err != nil {
		e.Error(err)
	}
}

func testContexts(e *env) {
	gone, cancel := context.WithCancel(e.ctx)
	cancel()
	nop := func(tx kv.Tx) error { tx.Put([]byte("g"), nil); return nil }
	if err := e.s.Update(gone, [][]byte{[]byte("g")}, nop); !errors.Is(err, context.Canceled) {
		e.Errorf("Update: %v", err)
	}
	if _, err := e.s.GetMulti(gone, []byte("g")); !errors.Is(err, context.Canceled) {
		e.Errorf("GetMulti: %v", err)
	}
	for _, err := range e.s.Scan(gone, kv.Range{}) {
		if !errors.Is(err, context.Canceled) {
			e.Errorf("Scan: %v", err)
		}
	}
	if it := e.get(e.s, "g"); it.Rev != 0 {
		e.Error("written with a context that had ended")
	}
	// While one holds the guard, another gives up waiting for it.
	entered, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		first := true
		done <- e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
			if first {
				first = false
				close(entered)
				<-release
			}
			tx.Put([]byte("g"), []byte("first"))
			return nil
		})
	}()
	<-entered
	waiting, cancel := context.WithCancel(e.ctx)
	second := make(chan error, 1)
	go func() {
		second <- e.s.Update(waiting, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
			tx.Put([]byte("second"), tx.Guard(0).Value)
			return nil
		})
	}()
	cancel()
	err := <-second
	close(release)
	if err := <-done; err != nil {
		e.Error(err)
	}
	// An engine without locks may have committed the second before the first.
	if err == nil != (e.get(e.s, "second").Rev != 0) {
		e.Errorf("the second returned %v, but its row says otherwise", err)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		e.Errorf("the second: %v", err)
	}
}

func testClosed(e *env) {
	e.put("a", "1")
	for _, h := range e.handles {
		if err := h.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
			e.Fatal(err)
		}
	}
	check := func(what string, err error) {
		if !errors.Is(err, kv.ErrClosed) {
			e.Errorf("%s on a closed store: %v", what, err)
		}
	}
	_, err := e.s.GetMulti(e.ctx, []byte("a"))
	check("GetMulti", err)
	for _, err := range e.s.Scan(e.ctx, kv.Range{}) {
		check("Scan", err)
	}
	check("Update", e.s.Update(e.ctx, [][]byte{[]byte("a")}, func(kv.Tx) error { return nil }))
	check("Update of two", e.s.Update(e.ctx, [][]byte{[]byte("a"), []byte("b")}, func(kv.Tx) error { return nil }))
	check("View", e.s.View(e.ctx, nil, func(kv.Reader, []kv.Item) error { return nil }))
	check("DeletePrefix", e.s.DeletePrefix(e.ctx, []byte("a")))
	_, err = e.s.Ping(e.ctx)
	check("Ping", err)
	check("Close", e.s.Close())
}

func testDeletePrefix(e *env) {
	for _, n := range []int{3, 500} {
		err := e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
			for i := range n {
				tx.Put(row("p/%04d", i), []byte("v"))
			}
			tx.Put([]byte("o"), nil)
			tx.Put([]byte("p"), nil)
			tx.Put([]byte("p0"), nil)
			tx.Put([]byte("\xff\xff\x01"), nil)
			return nil
		})
		if err != nil {
			e.Fatal(err)
		}
		if err := e.s.DeletePrefix(e.ctx, []byte("p/")); err != nil {
			e.Fatal(err)
		}
		if got := e.keys(e.s, kv.Range{}); got != "o p p0 \xff\xff\x01" {
			e.Errorf("after DeletePrefix of %d: %q", n, got)
		}
		if err := e.s.DeletePrefix(e.ctx, []byte("p/")); err != nil {
			e.Errorf("once more: %v", err)
		}
		if err := e.s.DeletePrefix(e.ctx, []byte("\xff\xff")); err != nil {
			e.Error(err)
		}
		if err := e.s.DeletePrefix(e.ctx, nil); err != nil {
			e.Error(err)
		}
		if got := e.keys(e.s, kv.Range{}); got != "" {
			e.Errorf("after DeletePrefix of everything: %q", got)
		}
	}
}
