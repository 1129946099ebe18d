package meter_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/meter"
)

// A server that stops answering leaves what it said last, and one line in the log.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		var m meter.Meter
		var mu sync.Mutex
		answer, wrong, asked := meter.Size{Used: 100, Spare: 30}, error(nil), 0
		say := func(size meter.Size, err error) {
			mu.Lock()
			defer mu.Unlock()
			answer, wrong = size, err
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		see := func(used, spare int64) {
			t.Helper()
			h := kv.Health{}
			if m.Fill(&h); h.UsedBytes != used || h.SpareBytes != spare {
				t.Errorf("%d bytes, %d of them spare; want %d, %d", h.UsedBytes, h.SpareBytes, used, spare)
			}
		}
		see(-1, 0)
		go func() {
			defer close(done)
			m.Watch(ctx, slog.New(slog.NewTextHandler(&said, nil)), func(context.Context) (meter.Size, error) {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return answer, wrong
			})
		}()
		pass := func(times int) {
			time.Sleep(time.Duration(times) * meter.Every)
			synctest.Wait()
		}
		synctest.Wait()
		see(100, 30)
		say(meter.Size{}, errors.New("away"))
		pass(3)
		see(100, 30)
		say(meter.Size{Used: 10, Spare: 70}, nil)
		pass(1)
		see(10, 10)
		stop()
		<-done
		if n := strings.Count(said.String(), "away"); n != 1 || asked != 5 {
			t.Errorf("logged %d times, asked %d times", n, asked)
		}
	})
}
