package view

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// decoder reads from a text.
func decoder(s string) *imapwire.Decoder {
	d := imapwire.NewDecoder(imapwire.NewReader(strings.NewReader(s + "\r\n")))
	d.Continue = func() error { return nil }
	return d
}

// set reads "1:3,7".
func set(t testing.TB, s string) imapwire.Set {
	t.Helper()
	if s == "" {
		return nil
	}
	q := parseSeq(t, s)
	return q.Resolve(0)
}

func parseSeq(t testing.TB, s string) imapwire.SeqSet {
	t.Helper()
	var q imapwire.SeqSet
	d := decoder(s)
	if err := d.Next(); err != nil || !d.ExpectSeqSet(&q) {
		t.Fatalf("%q is no set: %v", s, d.Err())
	}
	return q
}

func TestTrackerNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		uids, seqs, want string
		ok               bool
	}{
		{"", "*", "", true},
		{"", "1:*", "", true},
		{"", "1", "", false},
		{"", "2:*", "", false},
		{"1:5", "1:*", "1:5", true},
		{"1:5", "*", "5", true},
		{"1:5", "*:1", "1:5", true},
		{"1:5", "5:*", "5", true},
		{"1:5", "6:*", "", false},
		{"1:5", "6", "", false},
		{"3,5,9:11,20", "1:2", "3,5", true},
		{"3,5,9:11,20", "3", "9", true},
		{"3,5,9:11,20", "4:5", "10:11", true},
		{"3,5,9:11,20", "2,4,6", "5,10,20", true},
		{"3,5,9:11,20", "6,1:2", "3,5,20", true},
		{"3,5,9:11,20", "2:4", "5,9:10", true},
		{"4294967295", "1", "4294967295", true},
	} {
		var v Tracker
		v.Reset(set(t, c.uids), 0, 0)
		got, ok := v.BySeq(parseSeq(t, c.seqs))
		if ok != c.ok || got.String() != c.want {
			t.Errorf("%q in %q: %q %v, want %q %v", c.seqs, c.uids, got, ok, c.want, c.ok)
		}
		if !ok {
			continue
		}
		if back := v.Seqs(got); back.Len() != got.Len() {
			t.Errorf("%q in %q: back %q", c.seqs, c.uids, back)
		}
	}
}

func TestTrackerUIDs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ uids, ask, want string }{
		{"", "1:*", ""},
		{"2:4", "1:*", "2:4"},
		{"2:4", "*", "4"},
		{"2:4", "9:*", "4"}, // RFC 9051 §9: "*" is 4, so this is 4:9
		{"2:4", "9", ""},
		{"2:4,8", "3:8", "3:4,8"},
	} {
		var v Tracker
		v.Reset(set(t, c.uids), 0, 0)
		if got := v.ByUID(parseSeq(t, c.ask)); got.String() != c.want {
			t.Errorf("%q in %q: %q, want %q", c.ask, c.uids, got, c.want)
		}
	}
}

func TestTrackerUpdates(t *testing.T) {
	t.Parallel()
	change := func(uid uint32, modseq uint64) Change { return Change{UID: uid, ModSeq: modseq} }
	type step struct {
		u       Update
		tell    [2]uint32 // uid and MODSEQ told before
		changed []uint32
		grown   bool
		notOK   bool
		expunge bool   // a command that allows expunges ends
		seqs    string // that it tells
		uids    string // the view afterwards
		recent  string
	}
	for name, steps := range map[string][]step{
		"new messages": {
			{u: Update{Changed: []Change{change(4, 9), change(5, 10)}}, grown: true, uids: "1:5", recent: "3:5"},
			{u: Update{Changed: []Change{change(9, 11)}}, grown: true, uids: "1:5,9", recent: "3:5,9"},
		},
		"flags": {
			{u: Update{Changed: []Change{change(2, 9)}}, changed: []uint32{2}, uids: "1:3", recent: "3"},
			{u: Update{Changed: []Change{change(2, 9)}}, tell: [2]uint32{2, 9}, uids: "1:3", recent: "3"},
			{u: Update{Changed: []Change{change(2, 11)}}, tell: [2]uint32{2, 10}, changed: []uint32{2}, uids: "1:3", recent: "3"},
		},
		"expunges wait": {
			{u: Update{Vanished: set(t, "1,3")}, uids: "1:3", recent: "3"},
			{u: Update{Changed: []Change{change(4, 9)}}, grown: true, uids: "1:4", recent: "3:4"},
			{expunge: true, seqs: "1,3", uids: "2,4", recent: "4"},
			{expunge: true, seqs: "", uids: "2,4", recent: "4"},
			{u: Update{Vanished: set(t, "1,3,7")}, expunge: true, seqs: "", uids: "2,4", recent: "4"},
		},
		"flags of an expunged message are not told": {
			{u: Update{Vanished: set(t, "2")}, expunge: true, seqs: "2", uids: "1,3", recent: "3"},
			{u: Update{Changed: []Change{change(2, 9)}}, uids: "1,3", recent: "3"},
		},
		"resync": {
			{u: Update{Resync: true, Present: set(t, "2:3,8"), Changed: []Change{change(2, 9), change(8, 10)}},
				changed: []uint32{2}, grown: true, expunge: true, seqs: "1", uids: "2:3,8", recent: "3,8"},
		},
		"resync with a message that cannot be": {
			{u: Update{Vanished: set(t, "1")}, expunge: true, seqs: "1", uids: "2:3", recent: "3"},
			{u: Update{Resync: true, Present: set(t, "1:3")}, notOK: true, uids: "2:3", recent: "3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var v Tracker
			v.Reset(set(t, "1:3"), 4, 3)
			for i, s := range steps {
				if s.tell[0] != 0 {
					v.Tell(s.tell[0], uint64(s.tell[1]))
				}
				changed, grown, ok := v.Apply(&s.u)
				var uids []uint32
				for _, c := range changed {
					uids = append(uids, c.UID)
				}
				if !reflect.DeepEqual(uids, s.changed) || grown != s.grown || ok == s.notOK {
					t.Errorf("step %d: changed %v grown %v ok %v", i, uids, grown, ok)
				}
				if s.expunge {
					if _, got := v.TakeExpunged(); got.String() != s.seqs {
						t.Errorf("step %d: expunged %q, want %q", i, got, s.seqs)
					}
				}
				if v.uids.String() != s.uids || v.recent.String() != s.recent {
					t.Errorf("step %d: view %q recent %q", i, v.uids, v.recent)
				}
			}
		})
	}
}

// TestTrackerModel compares with a plain list of UIDs.
func TestTrackerModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var v Tracker
		var list, pending []uint32
		next, modseq := uint32(1), uint64(1)
		v.Reset(nil, next, next)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				var u Update
				for range rapid.IntRange(1, 4).Draw(t, "n") {
					next += rapid.Uint32Range(0, 2).Draw(t, "gap")
					modseq++
					u.Changed = append(u.Changed, Change{UID: next, ModSeq: modseq})
					list = append(list, next)
					next++
				}
				if _, grown, ok := v.Apply(&u); !grown || !ok {
					t.Fatal(grown, ok)
				}
			},
			"vanish": func(t *rapid.T) {
				if len(list) == 0 {
					return
				}
				n := rapid.SampledFrom(list).Draw(t, "uid")
				pending = append(pending, n)
				v.Apply(&Update{Vanished: imapwire.SetOf(n)})
			},
			"expunge": func(t *rapid.T) {
				_, gone := v.TakeExpunged()
				seqs := gone.Numbers()
				for i := len(seqs) - 1; i >= 0; i-- {
					n := seqs[i] - 1
					if !slices.Contains(pending, list[n]) {
						t.Fatalf("expunged %d", list[n])
					}
					list = slices.Delete(list, int(n), int(n)+1)
				}
				pending = nil
			},
			"": func(t *rapid.T) {
				if int(v.count) != len(list) {
					t.Fatalf("count %d, want %d", v.count, len(list))
				}
				for i, uid := range list {
					n := uint32(i + 1)
					back, ok := v.BySeq(imapwire.SeqSet{{Start: n, Stop: n}})
					if v.Seq(uid) != n || !ok || back.Len() != 1 || back.Min() != uid {
						t.Fatalf("%d is %d, %d is %v", uid, v.Seq(uid), n, back)
					}
				}
			},
		})
	})
}
