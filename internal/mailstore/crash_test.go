package mailstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
)

// crashes are, of each operation, the moments in which the power is cut:
// so many of them, spread over its writes; 0 for all.
const crashes = 3

// removing are the operations after which not all mail is there.
var removing = map[string]bool{"delete account": true, "expire": true, "collect": true, "expunge": true, "delete box": true,
	"deposit, room": true, "set limits": true, "append": true}

func openCrashable(t tester, fs vfs.FS) kv.Store {
	t.Helper()
	s, err := pebblekv.Open(pebblekv.Options{Dir: "data", FS: fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// TestPowerCut cuts the power before the writes of every operation to the disk,
// with any part of what was not synced lost. The store is clean then, what was
// acknowledged is there, and what is left behind is collected. EIDER_SOAK=1 cuts
// before each write.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for name, f := range mutations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			most := int64(crashes)
			if os.Getenv("EIDER_SOAK") == "1" {
				most = 0
			}
			writes, _ := cutAt(t, f, -1)
			step := int64(1)
			if most > 0 {
				step = max(1, writes/most)
			}
			for at := int64(0); at < writes; at += step {
				_, crashed := cutAt(t, f, at)
				if crashed == nil {
					break // background work writes more or less
				}
				recovered(t, crashed, fmt.Sprintf("%s, write %d of %d", name, at, writes), removing[name])
			}
		})
	}
}

// cutAt does an operation and returns how many writes it made, and the disk as
// it is after a power cut before the at-th.
func cutAt(t *testing.T, f func(*world, context.Context) error, at int64) (writes int64, crashed *vfs.MemFS) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var counting atomic.Bool
	var n atomic.Int64
	rnd := rand.New(rand.NewPCG(uint64(at), 9))
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if counting.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1)-1 == at {
			crashed = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rnd})
		}
		return nil
	}))
	w := newWorldOn(t, openCrashable(t, fs))
	counting.Store(true)
	err := f(w, context.Background())
	counting.Store(false)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	must(t, w.kv.Close())
	return n.Load(), crashed
}

// recovered opens a store after a power cut and looks at everything.
func recovered(t *testing.T, disk vfs.FS, when string, gone bool) {
	t.Helper()
	e := newEnv(t, openCrashable(t, disk), mailstore.Options{Codec: worlds, Defaults: mailstore.AccountLimits{Retention: time.Hour}})
	defer e.kv.Close()
	e.check(t)
	if id, err := e.Lookup(context.Background(), "one@test"); !gone {
		must(t, err)
		for i := range worldMail {
			e.wantContent(t, id, mailstore.MsgID(i+1), worldMessage(i))
		}
	}
	e.clock.add(6 * time.Hour)
	e.collect(t)
	sum := e.check(t)
	if sum.Rows != 0 || sum.Bodies != 0 || sum.Blobs != 0 || sum.Chunks != 0 || sum.Uploads != 0 || sum.Candidates != 0 {
		t.Errorf("%s: left behind for ever: %+v", when, sum)
	}
	if t.Failed() {
		t.Fatal(when)
	}
}
