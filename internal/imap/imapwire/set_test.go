package imapwire_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// numbers draws a set and its model.
func numbers(t *rapid.T, name string) (imapwire.Set, map[uint32]bool) {
	model := map[uint32]bool{}
	for _, n := range rapid.SliceOfN(rapid.Uint32Range(1, 40), 0, 30).Draw(t, name) {
		model[n] = true
	}
	return imapwire.SetOf(slices.Sorted(maps.Keys(model))...), model
}

func check(t *rapid.T, what string, s imapwire.Set, model map[uint32]bool) {
	want := slices.Sorted(maps.Keys(model))
	if got := slices.Collect(s.All()); !slices.Equal(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	if s.Len() != len(want) || s.Empty() != (len(want) == 0) {
		t.Fatalf("%s: length %d", what, s.Len())
	}
	for i := 1; i < len(s); i++ {
		if s[i].Start <= s[i-1].Stop+1 {
			t.Fatalf("%s: runs touch: %v", what, s)
		}
	}
	for n := uint32(0); n < 45; n++ {
		if s.Contains(n) != model[n] {
			t.Fatalf("%s: contains %d", what, n)
		}
	}
}

// TestSetModel compares sets with maps.
func TestSetModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, am := numbers(t, "a")
		b, bm := numbers(t, "b")
		or, and, not := map[uint32]bool{}, map[uint32]bool{}, map[uint32]bool{}
		for n := range am {
			or[n] = true
			if bm[n] {
				and[n] = true
			} else {
				not[n] = true
			}
		}
		for n := range bm {
			or[n] = true
		}
		check(t, "a", a, am)
		check(t, "union", a.Union(b), or)
		check(t, "intersection", a.Intersect(b), and)
		check(t, "difference", a.Subtract(b), not)
		check(t, "a is as it was", a, am)
		check(t, "b is as it was", b, bm)
	})
}

func TestSetEdges(t *testing.T) {
	t.Parallel()
	const top = 1<<32 - 1
	all := imapwire.Set{{Start: 1, Stop: top}}
	if got := all.Subtract(imapwire.SetOf(1, top)).String(); got != "2:4294967294" {
		t.Error(got)
	}
	if got := imapwire.SetOf(top, top-1).Union(imapwire.SetOf(1)).String(); got != "1,4294967294:4294967295" {
		t.Error(got)
	}
	if got := imapwire.SetOf(5, 3, 4, 3).String(); got != "3:5" {
		t.Error(got)
	}
	n := 0
	for range imapwire.SetOf(top).All() {
		n++
	}
	if n != 1 || imapwire.Set(nil).Max() != 0 || imapwire.Set(nil).Min() != 0 {
		t.Error("ends of a set")
	}
}

func TestSeqSetResolve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		largest uint32
		want    string
	}{
		{"1", 9, "1"}, {"*", 9, "9"}, {"*", 0, ""}, {"1:*", 0, "1"}, {"5:*", 3, "3:5"}, {"*:5", 9, "5:9"},
		{"3:1,2:5,9", 9, "1:5,9"}, {"2,1,3", 9, "1:3"}, {"*:*", 7, "7"}, {"4294967295:*", 7, "7:4294967295"},
	} {
		var q imapwire.SeqSet
		d := decoder(c.text)
		if !d.ExpectSeqSet(&q) {
			t.Fatal(c.text, d.Err())
		}
		if got := q.Resolve(c.largest).String(); got != c.want && !(c.largest == 0 && c.want == "1" && got == "1") {
			t.Errorf("%s of %d: %q, want %q", c.text, c.largest, got, c.want)
		}
	}
}
