package kvtest

import (
	"bytes"
	"errors"
	"slices"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/internal/kv"
)

// model is what a store must look like.
type model map[string]string

func (m model) clone() model {
	c := make(model, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// scan is the model's answer to a Scan, keys only.
func (m model) scan(r kv.Range) []string {
	var keys []string
	for k := range m {
		if k >= string(r.Start) && (r.End == nil || k < string(r.End)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if r.Reverse {
		slices.Reverse(keys)
	}
	if r.Limit > 0 && len(keys) > r.Limit {
		keys = keys[:r.Limit]
	}
	return keys
}

func genKey() *rapid.Generator[[]byte] {
	return rapid.SliceOfN(rapid.SampledFrom([]byte{0x00, 0x01, 'a', 0xfe, 0xff}), 0, 4)
}

func genValue() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		n := rapid.SampledFrom([]int{0, 0, 1, 7, 300, 5000}).Draw(t, "size")
		return bytes.Repeat([]byte{byte(rapid.IntRange(0, 255).Draw(t, "fill"))}, n)
	})
}

func genRange() *rapid.Generator[kv.Range] {
	return rapid.Custom(func(t *rapid.T) kv.Range {
		if rapid.Bool().Draw(t, "prefix") {
			r := kv.Prefix(genKey().Draw(t, "prefix"))
			r.Reverse = rapid.Bool().Draw(t, "reverse")
			return r
		}
		r := kv.Range{
			Start:    genKey().Draw(t, "start"),
			Limit:    rapid.IntRange(0, 5).Draw(t, "limit"),
			Reverse:  rapid.Bool().Draw(t, "reverse"),
			KeysOnly: rapid.Bool().Draw(t, "keysonly"),
		}
		if rapid.Bool().Draw(t, "bounded") {
			r.End = genKey().Draw(t, "end")
		}
		return r
	})
}

// run is one run of the model test.
type run struct {
	*env
	t *rapid.T
}

// check compares one read with the model.
func (e run) check(r kv.Reader, m model, where string) {
	switch rapid.SampledFrom([]string{"get", "scan", "prefixes"}).Draw(e.t, "read") {
	case "get":
		keys := rapid.SliceOfN(genKey(), 1, 5).Draw(e.t, "keys")
		items, err := r.GetMulti(e.ctx, keys...)
		if err != nil {
			e.t.Fatal(err)
		}
		for i, it := range items {
			want, ok := m[string(keys[i])]
			if !bytes.Equal(it.Key, keys[i]) || (it.Rev != 0) != ok || (it.Value != nil) != ok ||
				string(it.Value) != want {
				e.t.Fatalf("%s: GetMulti(%q): %q rev %d, want %q %v", where, keys[i], it.Value, it.Rev, want, ok)
			}
		}
	case "scan":
		e.compare(r, m, genRange().Draw(e.t, "range"), where)
	case "prefixes":
		e.compare(r, m, kv.Range{}, where)
		e.compare(r, m, kv.Range{Reverse: true}, where)
	}
}

func (e run) compare(r kv.Reader, m model, rng kv.Range, where string) {
	want := m.scan(rng)
	i := 0
	for it, err := range r.Scan(e.ctx, rng) {
		if err != nil {
			e.t.Fatal(err)
		}
		if i >= len(want) || string(it.Key) != want[i] || it.Rev == 0 {
			e.t.Fatalf("%s: Scan(%+v): item %d is %q rev %d, want %q", where, rng, i, it.Key, it.Rev, want)
		}
		if !rng.KeysOnly && string(it.Value) != m[want[i]] || rng.KeysOnly && it.Value != nil {
			e.t.Fatalf("%s: Scan(%+v): %q has another value", where, rng, it.Key)
		}
		i++
	}
	if i != len(want) {
		e.t.Fatalf("%s: Scan(%+v): %d items, want %d", where, rng, i, len(want))
	}
}

// update runs one Update against the store and the model.
func (e run) update(m model) model {
	after := m.clone()
	guard := genKey().Draw(e.t, "guard")
	steps := rapid.IntRange(0, 8).Draw(e.t, "steps")
	abort := rapid.IntRange(0, 9).Draw(e.t, "abort") == 0
	wrong := rapid.IntRange(0, 9).Draw(e.t, "wrong") == 0
	errAbort := errors.New("abort")
	err := e.s.Update(e.ctx, [][]byte{guard}, func(tx kv.Tx) error {
		after = m.clone() // a function can run again
		if want, ok := m[string(guard)]; (tx.Guard(0).Rev != 0) != ok || string(tx.Guard(0).Value) != want {
			e.t.Fatalf("guard %q is %+v, want %q", guard, tx.Guard(0), want)
		}
		for range steps {
			k := genKey().Draw(e.t, "key")
			switch rapid.SampledFrom([]string{"put", "put", "delete", "expect", "read"}).Draw(e.t, "step") {
			case "put":
				v := genValue().Draw(e.t, "value")
				tx.Put(k, v)
				after[string(k)] = string(v)
			case "delete":
				tx.Delete(k)
				delete(after, string(k))
			case "expect":
				items, err := e.s.GetMulti(e.ctx, k)
				if err != nil {
					return err
				}
				tx.Expect(k, items[0].Rev)
			case "read":
				e.check(tx, after, "in the Tx")
			}
		}
		if wrong {
			tx.Expect([]byte("no such key"), 1)
		}
		if abort {
			return errAbort
		}
		return nil
	}, kv.Attempts(1))
	switch {
	case abort && err != errAbort, !abort && wrong && !errors.Is(err, kv.ErrConflict), !abort && !wrong && err != nil:
		e.t.Fatalf("Update (abort %v, wrong expectation %v): %v", abort, wrong, err)
	case err != nil:
		return m
	}
	return after
}

// testModel compares a store with a map, over random histories.
func testModel(e *env) {
	rapid.Check(e.T, func(t *rapid.T) {
		r := run{env: e, t: t}
		if err := e.s.DeletePrefix(e.ctx, nil); err != nil {
			t.Fatal(err)
		}
		m := model{}
		for range rapid.IntRange(1, 8).Draw(t, "updates") {
			m = r.update(m)
			r.check(e.s, m, "committed")
			if rapid.IntRange(0, 5).Draw(t, "deleteprefix") == 0 {
				p := genKey().Draw(t, "prefix")
				if err := e.s.DeletePrefix(e.ctx, p); err != nil {
					t.Fatal(err)
				}
				for k := range m {
					if bytes.HasPrefix([]byte(k), p) {
						delete(m, k)
					}
				}
			}
		}
		r.compare(e.s, m, kv.Range{}, "at the end")
	})
}
