package crowd

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Due is an account with a deadline that has come.
type Due struct {
	At   uint32
	Acct uint64
}

// Ender ends accounts that nobody used.
type Ender struct {
	KV     kv.Store
	Now    func() time.Time
	Unused time.Duration // how long an account lives that nobody uses
	// Rows are all rows of an account that nobody used, but for its head, names
	// and deadline.
	Rows func(acct uint64) [][]byte
}

// End ends those of due that were never used and whose time has come, many in
// one commit. What is left is for who takes accounts apart step by step.
func (e *Ender) End(ctx context.Context, due []Due) (ended int, left []Due, err error) {
	// Neighbours share the shard of the count: few of its guards are held at once.
	slices.SortStableFunc(due, func(a, b Due) int { return cmp.Compare(row.CountShard(a.Acct), row.CountShard(b.Acct)) })
	for group := range slices.Chunk(due, MaxGroup) {
		gone, err := e.group(ctx, group)
		if err != nil {
			return ended, nil, err
		}
		for _, d := range group {
			if gone[d] {
				ended++
			} else {
				left = append(left, d)
			}
		}
	}
	return ended, left, nil
}

// group is End of one commit.
func (e *Ender) group(ctx context.Context, due []Due) (gone map[Due]bool, err error) {
	end := &ending{Ender: e, now: uint32(e.Now().Unix())}
	if err := end.find(ctx, due); err != nil || len(end.all) == 0 {
		return nil, err
	}
	if err := e.KV.Update(ctx, end.guards, end.write, kv.Reclaim(), kv.Background()); err != nil {
		return nil, err
	}
	gone = make(map[Due]bool, len(end.all))
	for _, c := range end.all {
		gone[c.Due] = c.gone
	}
	return gone, nil
}

// ending is one commit.
type ending struct {
	*Ender
	now    uint32
	all    []candidate
	guards [][]byte
	shards []byte // of the count, whose guards come last
}

// candidate is an account that looked unused, with its names and the place of
// its guards: the head, and after it the names.
type candidate struct {
	Due
	names []string
	guard int
	gone  bool
}

// find reads the heads, and names the guards of those that can be ended here.
func (e *ending) find(ctx context.Context, due []Due) error {
	keys := make([][]byte, len(due))
	for i, d := range due {
		keys[i] = row.Head(d.Acct)
	}
	heads, err := e.KV.GetMulti(ctx, keys...)
	if err != nil {
		return err
	}
	for i, it := range heads {
		h, ok := e.ripe(it, due[i])
		if !ok {
			continue
		}
		e.all = append(e.all, candidate{Due: due[i], names: h.Names, guard: len(e.guards)})
		e.guards = append(e.guards, keys[i])
		for _, n := range h.Names {
			e.guards = append(e.guards, row.Name(n))
		}
		if shard := row.CountShard(due[i].Acct); !slices.Contains(e.shards, shard) {
			e.shards = append(e.shards, shard)
		}
	}
	for _, shard := range e.shards {
		e.guards = append(e.guards, row.Count(shard))
	}
	return nil
}

// ripe tells whether nobody ever used an account, and its time has come. Who
// writes into an account raises its MODSEQ, who only logs in or subscribes
// leaves the day.
func (e *ending) ripe(it kv.Item, d Due) (row.HeadRow, bool) {
	if it.Rev == 0 {
		return row.HeadRow{}, false
	}
	h, err := row.DecodeHead(it.Value)
	return h, err == nil && h.State == row.Live && h.ModSeq == 1 && h.LastUsed == 0 &&
		h.Deadline == d.At && h.Ends(e.Unused) <= e.now
}

// write writes the commit.
func (e *ending) write(tx kv.Tx) error {
	by := make([]int64, len(e.shards))
	for i := range e.all {
		c := &e.all[i]
		h, ok := e.ripe(tx.Guard(c.guard), c.Due)
		if c.gone = ok && slices.Equal(h.Names, c.names); !c.gone {
			continue
		}
		for n, name := range c.names {
			if acct, err := row.DecodeAcct(tx.Guard(c.guard + 1 + n).Value); err == nil && acct == c.Acct {
				tx.Delete(row.Name(name))
			}
		}
		for _, key := range e.Rows(c.Acct) {
			tx.Delete(key)
		}
		tx.Delete(row.Deadline(c.At, c.Acct, 0, 0))
		tx.Delete(row.Head(c.Acct))
		by[slices.Index(e.shards, row.CountShard(c.Acct))]--
	}
	for i, shard := range e.shards {
		if by[i] == 0 {
			continue
		}
		acct := row.AcctOf(shard, 0)
		if err := census.Add(tx, len(e.guards)-len(e.shards)+i, acct, by[i]); err != nil {
			return err
		}
	}
	return nil
}
