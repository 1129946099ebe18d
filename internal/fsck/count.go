package fsck

import (
	"fmt"

	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// countTries is how often the accounts are counted while others make some.
const countTries = 3

// counts checks that each shard of the number of accounts is what the heads
// add up to. Heads are under guards of their own, so a shard that changed while
// it was added up is added up again.
func (r *run) counts() error {
	for range countTries {
		before, err := r.kv.GetMulti(r.ctx, census.Keys()...)
		if err != nil {
			return err
		}
		live, err := census.Live(r.ctx, r.kv)
		if err != nil {
			return err
		}
		after, err := r.kv.GetMulti(r.ctx, census.Keys()...)
		if err != nil {
			return err
		}
		var wrong []Fault
		changed := false
		for i := range before {
			if before[i].Rev != after[i].Rev {
				changed = true
				continue
			}
			n, err := row.DecodeCount(before[i].Value)
			if err != nil {
				wrong = append(wrong, Fault{row.Count(byte(i)), err.Error()})
			} else if n != live[i] {
				wrong = append(wrong, Fault{row.Count(byte(i)), fmt.Sprintf("%d accounts, there are %d", n, live[i])})
			}
		}
		if len(wrong) == 0 || !changed {
			for _, f := range wrong {
				r.fault(f.Key, "%s", f.Text)
			}
			return nil
		}
	}
	return nil
}
