package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/netx"
)

// TestPortErrorNamesTheLikelyTool is about ports that tests cannot take.
func TestPortErrorNamesTheLikelyTool(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, addr string
		err        error
		want       []string
	}{
		{"smtp", "localhost:1025", netx.ErrTaken, []string{"Mailpit", "MailHog", "--smtp", "EIDER_SMTP", "off"}},
		{"http", "localhost:8025", netx.ErrTaken, []string{"Mailpit", "--http"}},
		{"imaps", ":993", netx.ErrTaken, []string{"Dovecot", "--imaps"}},
		{"mx", ":25", netx.ErrNotPermitted, []string{"CAP_NET_BIND_SERVICE", "--mx"}},
		{"pop3", "192.0.2.1:110", netx.ErrNotLocal, []string{"--pop3", "does not have the address"}},
		{"admin", "localhost:8026", netx.ErrTaken, []string{"another Eider", "--admin"}},
	} {
		text := portError(config.Listener{Name: c.name, Addr: config.Listen(c.addr)},
			&netx.ListenError{Addr: c.addr, Err: c.err}).Error()
		for _, w := range append(c.want, c.addr) {
			if !strings.Contains(text, w) {
				t.Errorf("%q does not name %q", text, w)
			}
		}
	}
}

// TestReadiness: a store that fails over means waiting; one that is away for
// half a minute means not ready.
func TestReadiness(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	f := faultkv.Wrap(memkv.New(), 1)
	h := newHealth(f, func() time.Time { return now })
	want := func(step string, ready bool) {
		t.Helper()
		if got, why := h.ready(t.Context()); got != ready {
			t.Errorf("%s: ready %v (%s)", step, got, why)
		}
	}
	want("before serving", false)
	h.set(true)
	want("serving", true)
	f.Away(true)
	for i := range 6 {
		now = now.Add(awayTime / 6)
		want(fmt.Sprintf("away %d", i), i < 5)
	}
	f.Away(false)
	want("an answer is believed for a moment", false)
	now = now.Add(healthAge)
	want("back", true)
	h.set(false)
	want("stopping", false)
}
