package mailstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/mailstore"
)

// TestCheckWhileRunning: fsck beside a busy server finds nothing that is not so.
func TestCheckWhileRunning(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{
			Defaults: mailstore.AccountLimits{Retention: 2 * time.Second, Messages: 200}})
		ctx := context.Background()
		var ids []mailstore.AcctID
		for i := range 3 {
			ids = append(ids, e.account(t, fmt.Sprintf("u%d@x", i)))
			_, err := e.CreateMailbox(ctx, ids[i], "box", "")
			must(t, err)
		}
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for w := range 6 {
			writers.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(w), 3))
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					id := ids[rnd.IntN(len(ids))]
					e.busy(t, rnd, id, ids, fmt.Sprintf("temp%d-%d@x", w, n))
				}
			})
		}
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				e.clock.add(100 * time.Millisecond)
				e.jan.Pass(ctx)
			}
		})
		for begun := time.Now(); time.Since(begun) < 500*time.Millisecond; {
			_, err := fsck.Run(ctx, e.kv, func(f fsck.Fault) { t.Errorf("while running: %s", f) })
			must(t, err)
		}
		close(stop)
		writers.Wait()
		e.check(t)
	})
}

// busy does one thing at random. What others did meanwhile may make it fail.
func (e *env) busy(t tester, rnd *rand.Rand, id mailstore.AcctID, all []mailstore.AcctID, fresh string) {
	ctx := context.Background()
	uids := []mailstore.UID{mailstore.UID(rnd.IntN(100) + 1), mailstore.UID(rnd.IntN(100) + 1)}
	room := mailstore.Deposit{MakeRoom: true}
	var err error
	switch rnd.IntN(10) {
	case 0, 1, 2:
		_, err = e.tryDeposit(t, mail(rnd.IntN(50)), room, id)
	case 3:
		_, err = e.tryDeposit(t, make([]byte, 300_000), room, all...)
	case 4:
		_, err = e.SetFlags(ctx, id, 1, uids, mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Flags(rnd.IntN(31))})
	case 5:
		_, err = e.Copy(ctx, id, 1, uids, "box")
	case 6:
		_, err = e.Move(ctx, id, 1, uids, "box")
	case 7:
		_, _, err = e.Expunge(ctx, id, 1, uids, false)
	case 8:
		a, err2 := e.CreateAccount(ctx, mailstore.NewAccount{Address: fresh, Credential: []byte("c"), ExpireIdle: time.Hour})
		if err = err2; err == nil {
			_, _ = e.tryDeposit(t, mail(1), room, a.ID)
			err = e.DeleteAccount(ctx, a.ID)
		}
	case 9:
		name := fmt.Sprint("m", rnd.IntN(4))
		_, _ = e.CreateMailbox(ctx, id, name, "")
		_, _ = e.Copy(ctx, id, 1, uids, name)
		err = e.DeleteMailbox(ctx, id, name)
	}
	switch mailstore.KindOf(err) {
	case mailstore.NotExist, mailstore.Quota, mailstore.Exist:
	default:
		if err != nil {
			t.Errorf("busy: %v", err)
		}
	}
}
