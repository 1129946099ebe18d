package backup_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/eidermail/eider/internal/backup"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
)

// TestFailingRestore fails every write of a restore, before and after it is
// done: it never says that all is well, and never goes on over what is there.
func TestFailingRestore(t *testing.T) {
	t.Parallel()
	w, _ := fill(t)
	data := w.backup(t)
	broken := errors.New("broken on purpose")
	for _, when := range []faultkv.When{faultkv.Before, faultkv.After} {
		writes := 0
		for n := 1; ; n++ {
			s := faultkv.Wrap(memkv.New(), 1)
			struck, remove := s.Add(faultkv.Fault{Ops: faultkv.Writes, Nth: n, When: when, Err: broken})
			_, err := backup.Restore(context.Background(), s, bytes.NewReader(data), w.now)
			if struck() == 0 {
				if err != nil {
					t.Errorf("no fault, and yet: %v", err)
				}
				open(t, s, w.now).clean(t)
				break
			}
			writes++
			if !errors.Is(err, broken) {
				t.Errorf("write %d failed: %v", n, err)
			}
			remove()
			_, err = backup.Restore(context.Background(), s, bytes.NewReader(data), w.now)
			if empty := n == 1 && when == faultkv.Before; empty != (err == nil) || err != nil && !errors.Is(err, backup.ErrNotEmpty) {
				t.Errorf("after write %d failed, the next restore: %v", n, err)
			}
		}
		if writes == 0 {
			t.Error("no write failed: the test tests nothing")
		}
	}
}
