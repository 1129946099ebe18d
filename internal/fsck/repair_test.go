package fsck_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/repair"
	"github.com/eidermail/eider/internal/spool"
)

// mail is all messages of the world's account, by their bytes; a message in two
// mailboxes counts twice.
func (w *world) mail(t *testing.T) (out []string) {
	t.Helper()
	ctx := context.Background()
	s, err := mailstore.Open(ctx, mailstore.Options{KV: w.kv, Now: func() time.Time { return w.now }})
	must(t, err)
	boxes, err := s.Mailboxes(ctx, mailstore.AcctID(w.id))
	must(t, err)
	for _, b := range boxes {
		rows, err := s.Entries(ctx, mailstore.AcctID(w.id), b.ID, mailstore.Rows{})
		must(t, err)
		for _, r := range rows {
			c, err := s.Content(ctx, mailstore.AcctID(w.id), r.Msg)
			must(t, err)
			data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
			must(t, err)
			out = append(out, string(data))
		}
	}
	slices.Sort(out)
	return out
}

// mend repairs the world and returns what was lost.
func (w *world) mend(t *testing.T) (repair.Result, []string) {
	t.Helper()
	var lost []string
	kept := map[string]bool{}
	res, err := repair.Run(context.Background(), repair.Options{KV: w.kv, Now: func() time.Time { return w.now },
		Fault: func(f fsck.Fault, what string) {
			if what == "" {
				t.Errorf("%s: no repair is named", f)
			}
		},
		Lost: func(s string) { lost = append(lost, s) },
		Keep: func(k, _ []byte) error { kept[string(k)] = true; return nil },
	})
	must(t, err)
	if res.Lost != len(lost) {
		t.Errorf("%d losses counted, %d told", res.Lost, len(lost))
	}
	return res, lost
}

// unmendable are corruptions that a repair must leave alone.
var unmendable = map[string]bool{"format newer": true, "unknown tag": true}

// costs are the corruptions after which a message cannot be whole.
var costs = map[string]bool{"body gone": true, "body bit": true, "body short": true, "chunk gone": true,
	"last chunk gone": true, "chunk bit": true, "chunk of no frame": true, "dictionary lost": true, "skeleton bit": true,
	"skeleton cut": true, "recipe bit": true, "recipe sum": true, "recipe of another blob": true, "body kind": true}

// TestEachCorruptionIsMended: afterwards the store is clean, every message whose
// bytes were whole can be read, and what was lost is told.
func TestEachCorruptionIsMended(t *testing.T) {
	t.Parallel()
	base := newWorld(t)
	before := base.mail(t)
	for _, c := range corruptions {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := base.clone(t)
			c.do(t, w)
			res, lost := w.mend(t)
			if unmendable[c.name] {
				if res.Left == 0 {
					t.Error("it was mended, which nobody may do")
				}
				return
			}
			if _, faults := w.run(t); len(faults) > 0 || res.Left > 0 {
				t.Fatalf("%d left, of %d:\n%s", res.Left, res.Faults, strings.Join(faults, "\n"))
			}
			if costs[c.name] && len(lost) == 0 {
				t.Error("a message was lost and not told")
			}
			after := w.mail(t)
			seen := map[string]int{}
			for _, m := range after {
				seen[m]++
			}
			missing := 0
			for _, m := range slices.Compact(slices.Clone(before)) {
				if seen[m] == 0 {
					missing++
				}
			}
			if costs[c.name] != (missing == 1) && missing > 0 {
				t.Errorf("%d messages are missing; told was %q", missing, lost)
			}
			w.usable(t)
		})
	}
}

// usable tells whether mail still comes into the account and goes out of it.
func (w *world) usable(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	s, err := mailstore.Open(ctx, mailstore.Options{KV: w.kv, Now: func() time.Time { return w.now }})
	must(t, err)
	m := spool.New(spool.Options{}).Message()
	defer m.Close()
	_, _ = io.WriteString(m, "new mail")
	all, err := s.Deposit(ctx, []mailstore.AcctID{mailstore.AcctID(w.id)}, mailstore.Deposit{}, m)
	must(t, err)
	d := all[0]
	_, _, err = s.Expunge(ctx, mailstore.AcctID(w.id), d.Mailbox, []mailstore.UID{d.UID}, false)
	must(t, err)
	must(t, s.EnsureDefaults(ctx, mailstore.AcctID(w.id)))
	if _, faults := w.run(t); len(faults) > 0 {
		t.Errorf("after new mail:\n%s", strings.Join(faults, "\n"))
	}
}

// TestManyCorruptionsAtOnce: whatever is broken together, a repair ends with a
// clean store.
func TestManyCorruptionsAtOnce(t *testing.T) {
	t.Parallel()
	base := newWorld(t)
	var keys [][]byte
	for it, err := range base.kv.Scan(context.Background(), kv.Range{}) {
		must(t, err)
		if k, _ := row.ParseKey(it.Key); it.Key[0] != row.TagFormat && k.Acct != base.dead && k.Mbox != base.gone {
			keys = append(keys, it.Key)
		}
	}
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := base.clone(t)
			random := rand.New(rand.NewPCG(seed, 1))
			for range 1 + 2*seed {
				k := keys[random.IntN(len(keys))]
				items, err := w.kv.GetMulti(context.Background(), k)
				must(t, err)
				v := bytes.Clone(items[0].Value)
				switch {
				case len(v) == 0 || random.IntN(3) == 0:
					w.set(t, k, nil)
				case random.IntN(2) == 0:
					w.set(t, k, v[:random.IntN(len(v))])
				default:
					v[random.IntN(len(v))] ^= 1 << random.IntN(8)
					w.set(t, k, v)
				}
			}
			res, lost := w.mend(t)
			if _, faults := w.run(t); len(faults) > 0 {
				t.Errorf("%d left, lost %q:\n%s", res.Left, lost, strings.Join(faults, "\n"))
			}
		})
	}
}

// breaking is a store that breaks again whenever it was mended, and counts how
// often it is walked.
type breaking struct {
	kv.Store
	again func()
	walks int
}

func (b *breaking) Update(ctx context.Context, g [][]byte, fn func(kv.Tx) error, o ...kv.Option) error {
	err := b.Store.Update(ctx, g, fn, o...)
	b.again()
	return err
}

func (b *breaking) Scan(ctx context.Context, r kv.Range) iter.Seq2[kv.Item, error] {
	if bytes.Equal(r.Start, []byte{row.TagHead}) {
		b.walks++
	}
	return b.Store.Scan(ctx, r)
}

// TestMostRounds: a store that does not stay mended is given up after MaxRounds
// walks, and what is left is told.
func TestMostRounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inner, n := w.kv, 0
	b := &breaking{Store: inner, again: func() {
		n++
		w.head(t, func(h *row.HeadRow) { h.Messages += int64(n) })
	}}
	_, err := fsck.Run(t.Context(), b, func(fsck.Fault) {})
	must(t, err)
	each := b.walks // scans of one walk
	b.walks = 0
	b.again()
	res, err := repair.Run(t.Context(), repair.Options{KV: b, Now: func() time.Time { return w.now }})
	if err != nil || res.Left == 0 || b.walks != repair.MaxRounds*each {
		t.Errorf("%d scans, %d each walk, %+v: %v", b.walks, each, res, err)
	}
}
