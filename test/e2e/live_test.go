package e2e_test

import (
	"net"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// TestLive: eight tabs, a burst, and a server that is stopped and killed.
func TestLive(t *testing.T) {
	parts(t)
	// After a restart browsers and clients look for the same ports.
	s := harness.Start(t, "--http", free(t), "--smtp", free(t))
	run(t, s, script{name: "live.mjs", asked: func(what string) string {
		if what == "kill" {
			s.Kill(t)
		} else {
			s.Stop(t)
		}
		s.Restart(t)
		return "done"
	}})
}

// free is a loopback address that nobody listens on now.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
