package pgkv_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/test/postgres"
)

// TestOlderTimeline: the primary freezes mid-run, its synchronous standby takes
// over, and dies. The first one comes back and still says that it is the primary:
// it does not have what was accepted since, and is refused until the second one
// is there again. Nothing is lost in between.
func TestOlderTimeline(t *testing.T) {
	t.Parallel()
	first := postgres.Start(t, "fsync=off", "shared_buffers=64MB")
	second := first.Standby(t)
	if err := first.Reconfigure("synchronous_standby_names=*"); err != nil {
		t.Fatal(err)
	}
	both := address(first.Port) + "," + address(second.Port)
	uri := inSchema(strings.Replace(first.URI(), address(first.Port), both, 1))
	l := startLoad(t, 12, open(t, uri), open(t, uri))
	l.waitFor(t, 200)
	first.Signal(syscall.SIGSTOP)
	if err := second.Exec("select pg_promote()"); err != nil {
		t.Fatal(err)
	}
	l.waitFor(t, 200)
	// Each handle keeps for itself which timeline was the last: one that is still
	// with the frozen server has nothing to refuse yet.
	for _, h := range l.handles {
		until(t, "a handle does not find the new primary", func() bool { return h.Stats().Primary == address(second.Port) })
	}
	second.Kill()
	first.Signal(syscall.SIGCONT)
	if err := first.Exec("select 1 / (not pg_is_in_recovery())::int"); err != nil {
		t.Fatalf("the first one does not say that it is the primary: %v", err)
	}
	for _, s := range l.handles {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		_, getErr := s.GetMulti(ctx, []byte("n"))
		for what, err := range map[string]error{"Update": add(ctx, s, "n"), "GetMulti": getErr} {
			if !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s on an older timeline: %v", what, err)
			}
		}
		if getErr == nil || !strings.Contains(getErr.Error(), "is refused: timeline 2") {
			t.Errorf("GetMulti does not say why: %v", getErr)
		}
		if p := s.Stats().Primary; p != "" {
			t.Errorf("%s is taken for the primary", p)
		}
		cancel()
	}
	if err := second.Launch(); err != nil {
		t.Fatal(err)
	}
	l.waitFor(t, 200)
	l.end(t)
}
