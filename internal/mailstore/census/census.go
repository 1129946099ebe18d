// Package census keeps the number of living accounts: in shards, each a row
// with a guard of its own, written in the commit that makes or ends an account.
// So it is exact on every engine, and no row is one that all must wait for.
package census

import (
	"context"
	"fmt"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Guard is the key of the shard that an account is counted in.
func Guard(acct uint64) []byte { return row.Count(row.CountShard(acct)) }

// Add counts an account, or with by -1 takes it out; its shard is the i-th guard.
func Add(tx kv.Tx, i int, acct uint64, by int64) error {
	n, err := row.DecodeCount(tx.Guard(i).Value)
	if err != nil {
		return err
	}
	tx.Put(Guard(acct), row.AppendCount(nil, n+by))
	return nil
}

// Keys are the keys of all shards.
func Keys() [][]byte {
	keys := make([][]byte, row.CountShards)
	for i := range keys {
		keys[i] = row.Count(byte(i))
	}
	return keys
}

// Count is the number of living accounts, in one round trip.
func Count(ctx context.Context, r kv.Reader) (sum int64, err error) {
	items, err := r.GetMulti(ctx, Keys()...)
	if err != nil {
		return 0, fmt.Errorf("census: %w", err)
	}
	for _, it := range items {
		n, err := row.DecodeCount(it.Value)
		if err != nil {
			return 0, fmt.Errorf("census: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// Live counts the living accounts by their heads, for each shard.
func Live(ctx context.Context, r kv.Reader) (live [row.CountShards]int64, err error) {
	for it, err := range r.Scan(ctx, kv.Prefix([]byte{row.TagHead})) {
		if err != nil {
			return live, err
		}
		k, ok := row.ParseKey(it.Key)
		h, err := row.DecodeHead(it.Value)
		if !ok || err != nil {
			continue // a fault that is found elsewhere
		}
		if h.State == row.Live {
			live[row.CountShard(k.Acct)]++
		}
	}
	return live, nil
}

// Take makes the shards of a store that was written before there were any.
// Nobody else writes it meanwhile: a store of one process, or a first start.
func Take(ctx context.Context, s kv.Store) error {
	live, err := Live(ctx, s)
	if err != nil {
		return fmt.Errorf("census: %w", err)
	}
	guards := append([][]byte{row.Format()}, Keys()...)
	return s.Update(ctx, guards, func(tx kv.Tx) error {
		inst, err := row.DecodeInstallation(tx.Guard(0).Value)
		if err != nil || inst.Counted {
			return err
		}
		inst.Counted = true
		tx.Put(guards[0], inst.Append(nil))
		for i, n := range live {
			tx.Put(guards[i+1], row.AppendCount(nil, n))
		}
		return nil
	}, kv.Reclaim())
}
