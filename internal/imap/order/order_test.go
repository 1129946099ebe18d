package order

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// told writes threads as THREAD does.
func told(ts []*Thread) string {
	var b []byte
	for _, t := range ts {
		b = t.Append(b, func(b []byte, uid uint32) []byte { return strconv.AppendUint(b, uint64(uid), 10) })
	}
	return string(b)
}

func TestSort(t *testing.T) {
	t.Parallel()
	ms := []Message{
		{UID: 1, Size: 3, Subject: Key("b"), From: Key("ann")}, {UID: 2, Size: 1, Subject: Key("B"), From: Key("bob")},
		{UID: 3, Size: 3, Subject: Key("a"), From: Key("ann")}, {UID: 4, Size: 2, Subject: Key("Ä"), From: ""},
	}
	for _, c := range []struct {
		by   []imapwire.SortKey
		want string
	}{
		{[]imapwire.SortKey{{Op: imapwire.SortSize}}, "2 4 1 3"},
		{[]imapwire.SortKey{{Op: imapwire.SortSize, Reverse: true}}, "1 3 4 2"},
		{[]imapwire.SortKey{{Op: imapwire.SortSubject}}, "3 4 1 2"},
		{[]imapwire.SortKey{{Op: imapwire.SortSubject}, {Op: imapwire.SortSize}}, "3 4 2 1"},
		{[]imapwire.SortKey{{Op: imapwire.SortFrom}, {Op: imapwire.SortSubject, Reverse: true}}, "4 1 3 2"},
		{[]imapwire.SortKey{{Op: imapwire.SortArrival}}, "1 2 3 4"},
	} {
		got := append([]Message(nil), ms...)
		Sort(got, c.by)
		var uids []string
		for i := range got {
			uids = append(uids, fmt.Sprint(got[i].UID))
		}
		if s := strings.Join(uids, " "); s != c.want {
			t.Errorf("%v: %s, want %s", c.by, s, c.want)
		}
	}
}

// randomMessages have much in common.
func randomMessages(r *rand.Rand, n int) []Message {
	text := func() string { return strings.Repeat("RE", r.IntN(6)) + "\x00A\xff\xffB"[r.IntN(4):][:r.IntN(3)] }
	ms := make([]Message, n)
	for i := range ms {
		ms[i] = Message{UID: uint32(i + 1), Arrival: r.Int64N(9) - 4, Sent: r.Int64() - r.Int64(), Size: r.Int64N(3),
			From: text(), To: text(), Cc: text(), ShownFrom: text(), ShownTo: text(), Subject: text()}
	}
	return ms
}

// TestSort_Random: the order is that of a stable sort by all criteria in turn.
func TestSort_Random(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		ms := randomMessages(r, r.IntN(60))
		var by []imapwire.SortKey
		for range 1 + r.IntN(3) {
			by = append(by, imapwire.SortKey{Op: imapwire.SortOp(r.IntN(int(imapwire.SortTo) + 1)), Reverse: r.IntN(2) == 0})
		}
		want := slices.Clone(ms)
		for _, k := range slices.Backward(by) {
			slices.SortStableFunc(want, func(a, b Message) int {
				if k.Reverse {
					return compare(&b, &a, k.Op)
				}
				return compare(&a, &b, k.Op)
			})
		}
		Sort(ms, by)
		for i := range ms {
			if ms[i].UID != want[i].UID {
				t.Fatalf("by %v: %v at %d, want %v", by, ms[i], i, want[i])
			}
		}
	}
}

// BenchmarkSort sorts 10,000 messages by a text.
func BenchmarkSort(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]Message, 10_000)
	for i := range all {
		all[i] = Message{UID: uint32(i + 1), Subject: "INVOICE " + strconv.Itoa(r.IntN(3000))}
	}
	ms := make([]Message, len(all))
	for b.Loop() {
		copy(ms, all)
		Sort(ms, []imapwire.SortKey{{Op: imapwire.SortSubject}})
	}
}

// refs makes a message that refers to others.
func refs(uid uint32, id, references, subject string) Message {
	base, reply := strings.CutPrefix(subject, "Re: ")
	return Message{UID: uid, Sent: int64(uid), ID: id, References: strings.Fields(references), Subject: base, Reply: reply}
}

func TestThreads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ms   []Message
		want string
	}{
		"none":  {nil, ""},
		"alone": {[]Message{refs(1, "a", "", "x"), refs(2, "b", "", "y")}, "(1)(2)"},
		"a chain and a branch": {[]Message{refs(1, "a", "", "x"), refs(2, "b", "a", "Re: x"), refs(3, "c", "a b", "Re: x"),
			refs(4, "d", "a", "Re: x")}, "(1 (2 3)(4))"},
		"a missing parent of two":       {[]Message{refs(1, "b", "a", "x"), refs(2, "c", "a", "x")}, "((1)(2))"},
		"a missing parent of one":       {[]Message{refs(1, "b", "a", "x")}, "(1)"},
		"a missing message in between":  {[]Message{refs(1, "a", "", "x"), refs(2, "c", "a b", "x"), refs(3, "d", "a b", "x")}, "(1 (2)(3))"},
		"a reply before its parent":     {[]Message{refs(1, "b", "a", "Re: x"), refs(2, "a", "", "x")}, "(2 1)"},
		"the same id twice":             {[]Message{refs(1, "a", "", "x"), refs(2, "a", "", "y"), refs(3, "b", "a", "z")}, "(1 3)(2)"},
		"no ids":                        {[]Message{refs(1, "", "", "x"), refs(2, "", "", "y")}, "(1)(2)"},
		"itself":                        {[]Message{refs(1, "a", "a", "x")}, "(1)"},
		"a ring":                        {[]Message{refs(1, "a", "b", "x"), refs(2, "b", "a", "y")}, "(2 1)"},
		"the same subject":              {[]Message{refs(1, "a", "", "x"), refs(2, "b", "", "x")}, "((1)(2))"},
		"a reply by subject":            {[]Message{refs(1, "a", "", "x"), refs(2, "b", "", "Re: x")}, "(1 2)"},
		"an earlier reply by subject":   {[]Message{refs(1, "a", "", "Re: x"), refs(2, "b", "", "x")}, "(2 1)"},
		"two replies by subject":        {[]Message{refs(1, "a", "", "Re: x"), refs(2, "b", "", "Re: x")}, "((1)(2))"},
		"missing parents, one subject":  {[]Message{refs(1, "b", "a", "x"), refs(2, "c", "a", "x"), refs(3, "e", "d", "x"), refs(4, "f", "d", "x")}, "((1)(2)(3)(4))"},
		"what it says itself is better": {[]Message{refs(1, "c", "a b", "x"), refs(2, "b", "d", "y"), refs(3, "a", "", "z"), refs(4, "d", "", "w")}, "(3)(4 2 1)"},
	} {
		if got := told(ByReferences(c.ms)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := told(BySubject([]Message{refs(1, "", "", "x"), refs(2, "", "", "y"), refs(3, "", "", "Re: x"), refs(4, "", "", "x")})); got != "(1 (3)(4))(2)" {
		t.Error(got)
	}
}

// TestThreadsKeepAll: whatever messages refer to, each is in the threads once.
func TestThreadsKeepAll(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		n := rnd.IntN(40) + 1
		ms := make([]Message, n)
		for i := range ms {
			var r []string
			for range rnd.IntN(4) {
				r = append(r, fmt.Sprint(rnd.IntN(n)))
			}
			ms[i] = refs(uint32(i+1), fmt.Sprint(rnd.IntN(n)), strings.Join(r, " "), []string{"", "x", "Re: x", "y"}[rnd.IntN(4)])
			ms[i].Sent = int64(rnd.IntN(5))
		}
		for _, ts := range [][]*Thread{ByReferences(ms), BySubject(ms)} {
			seen := map[uint32]int{}
			var walk func([]*Thread)
			walk = func(ts []*Thread) {
				for _, x := range ts {
					seen[x.UID]++
					walk(x.Children)
				}
			}
			walk(ts)
			delete(seen, 0)
			for i := range ms {
				if seen[ms[i].UID] != 1 {
					t.Fatalf("message %d is there %d times: %v", ms[i].UID, seen[ms[i].UID], ms)
				}
			}
		}
	}
}

// TestThreadsAreQuick: shapes that make careless code quadratic.
func TestThreadsAreQuick(t *testing.T) {
	t.Parallel()
	const n = 20_000
	up, down, star := make([]Message, n), make([]Message, n), make([]Message, n)
	for i := range n {
		up[i] = refs(uint32(i+1), fmt.Sprint(i), fmt.Sprint(i-1), "")
		down[i] = refs(uint32(i+1), fmt.Sprint(i), fmt.Sprint(i+1), "")
		star[i] = refs(uint32(i+1), fmt.Sprint(i), "top", "x")
	}
	for name, ms := range map[string][]Message{"up": up, "down": down, "star": star} {
		begun := time.Now()
		told(ByReferences(ms))
		if d := time.Since(begun); d > 10*time.Second {
			t.Errorf("%s: %v", name, d)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"é", "e\u0301"}, {"abc_", "ABC_"}} {
		if Key(c[0]) != Key(c[1]) {
			t.Errorf("%q, %q", Key(c[0]), Key(c[1]))
		}
	}
	if Key("_") < Key("z") {
		t.Error("upper case is what compares")
	}
}

func BenchmarkReferences(b *testing.B) {
	const n = 10_000
	ms := make([]Message, n)
	for i := range n {
		ms[i] = refs(uint32(i+1), fmt.Sprint(i), fmt.Sprint(i/7, " ", i-i%5), "Re: "+fmt.Sprint(i/20))
	}
	for b.Loop() {
		ByReferences(ms)
	}
}

// TestMaxDepth: a chain of replies is one thread up to MaxDepth; what is deeper is another.
func TestMaxDepth(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{MaxDepth + 1: 1, MaxDepth + 2: 2} {
		ms := make([]Message, n)
		for i := range ms {
			ms[i] = refs(uint32(i+1), fmt.Sprint("m", i), fmt.Sprint("m", i-1), fmt.Sprint("s", i))
		}
		ms[0].References = nil
		if got := len(ByReferences(ms)); got != want {
			t.Errorf("%d messages in a chain are %d threads, want %d", n, got, want)
		}
	}
}
