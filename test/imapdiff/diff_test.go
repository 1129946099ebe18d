// Package imapdiff_test plays the same IMAP conversations to this server and
// to Debian's Dovecot (and Cyrus, for what Dovecot lacks) and compares what
// they answer. Where they differ, an entry of differences.go says why, and
// docs/imap-differences.md shows it to people.
package imapdiff_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/peer"
)

// server is one of those that are compared.
type server struct {
	name    string
	addr    string
	newUser func() (login string)
	caps    []string
}

// trio are the servers of one run.
type trio struct{ ours, dovecot, cyrus server }

func start(t *testing.T) *trio {
	t.Helper()
	h := harness.Start(t, "--store", "memory")
	d, c := peer.Dovecot(t, "sdbox", "100M"), peer.Cyrus(t)
	out := &trio{
		ours: server{name: "eider", addr: h.IMAP, newUser: func() string {
			a := h.NewAccount(t)
			return fmt.Sprintf("LOGIN %q %q", a.User, a.Pass)
		}},
		dovecot: server{name: "dovecot", addr: d.Addr, newUser: func() string { return d.Login(d.NewUser()) }},
		cyrus:   server{name: "cyrus", addr: c.Addr, newUser: func() string { return c.Login(c.NewUser()) }},
	}
	for _, s := range []*server{&out.ours, &out.dovecot, &out.cyrus} {
		s.caps = capabilities(t, *s)
	}
	return out
}

// capabilities asks a server what it can do.
func capabilities(t *testing.T, s server) []string {
	t.Helper()
	p := &player{t: t, s: s, login: s.newUser(), conns: map[string]*conn{}, vars: map[string]string{}}
	defer p.close()
	c := p.connect("1", true)
	if c == nil {
		t.Fatal(s.name, p.err)
	}
	c.Send("c CAPABILITY\r\n")
	for {
		r, err := c.Response()
		if err != nil {
			t.Fatal(s.name, err)
		}
		if r.List[1].Word() == "CAPABILITY" {
			var out []string
			for _, v := range r.List[2:] {
				out = append(out, v.Word())
			}
			return out
		}
	}
}

// has tells whether a server can do all that a script needs. A word that
// begins with "-" is one that it must not have.
func (s *server) has(needs []string) bool {
	for _, n := range needs {
		name, not := strings.CutPrefix(n, "-")
		if slices.Contains(s.caps, name) == not {
			return false
		}
	}
	return true
}

// TestScripts plays every script to this server and to the peer that can do it.
func TestScripts(t *testing.T) {
	servers := start(t)
	all := scripts(t)
	l := newLedger()
	var mu sync.Mutex
	var waiting []string
	t.Run("all", func(t *testing.T) {
		for _, s := range all {
			if only := os.Getenv("EIDER_SCRIPT"); only != "" && !strings.Contains(s.name, only) {
				continue
			}
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				them := servers.dovecot
				if !them.has(s.needs) {
					them = servers.cyrus
				}
				switch {
				case !them.has(s.needs):
					t.Fatalf("no peer has all of %v", s.needs)
				case !servers.ours.has(s.needs):
					mu.Lock()
					defer mu.Unlock()
					waiting = append(waiting, s.name)
					return
				}
				compare(t, l, servers.ours, them, s)
			})
		}
	})
	if len(waiting) > 0 {
		t.Logf("%d scripts need what is not advertised: %s", len(waiting), strings.Join(waiting, " "))
	}
	t.Logf("%d scripts", len(all))
	if os.Getenv("EIDER_SCRIPT") == "" && !t.Failed() {
		l.unused(t, false)
	}
}

// compare plays one script to two servers and reports what no entry explains.
func compare(t testing.TB, l *ledger, ours, theirs server, s script) {
	t.Helper()
	var a, b []step
	var errA, errB error
	var wg sync.WaitGroup
	wg.Go(func() { a, errA = play(t, ours, s) })
	wg.Go(func() { b, errB = play(t, theirs, s) })
	wg.Wait()
	if errA != nil || errB != nil {
		t.Errorf("%s: %v %v", s.name, errA, errB)
	}
	for i := range min(len(a), len(b)) {
		where := place{peer: theirs.name, script: s.name, line: a[i].line}
		onlyOurs, onlyTheirs := l.explain(where, a[i].got, b[i].got)
		if len(onlyOurs)+len(onlyTheirs) > 0 {
			t.Errorf("%s\n%s", conversation(a[:i+1]), report(where, onlyOurs, onlyTheirs))
		}
	}
}

func conversation(steps []step) string {
	var b strings.Builder
	for _, s := range steps[max(0, len(steps)-4):] {
		b.WriteString("\n  C: " + s.line)
	}
	return b.String()
}

func report(w place, ours, theirs []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  eider and %s differ:\n", w.peer)
	for _, l := range ours {
		fmt.Fprintf(&b, "    eider   %.600s\n", l)
	}
	for _, l := range theirs {
		fmt.Fprintf(&b, "    %-7s %.600s\n", w.peer, l)
	}
	return b.String()
}
