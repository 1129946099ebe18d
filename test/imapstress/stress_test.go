// Package imapstress_test lets many sessions on three servers over one store
// do everything at random to one account, each with a model of what it was
// told. At checkpoints all models, a fresh session and fsck must agree.
package imapstress_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/server"
	"github.com/eidermail/eider/test/rawimap"
)

const (
	nodes    = 3
	sessions = 16
	steps    = 40 // commands of each session between two checkpoints
	shortRun = time.Minute
	longRun  = 10 * time.Minute
)

// until is when a run ends that takes so long in `make test`; with EIDER_SOAK=1 it takes ten minutes.
func until(short time.Duration) time.Time {
	if os.Getenv("EIDER_SOAK") != "" {
		return time.Now().Add(longRun)
	}
	return time.Now().Add(short)
}

// TestConsistency runs for ten minutes with EIDER_SOAK=1.
func TestConsistency(t *testing.T) {
	w := newWorld(t)
	all := w.open(t)
	end := until(shortRun) // from here: to start may take long
	rounds := 0
	for ; time.Now().Before(end) && !t.Failed(); rounds++ {
		<-w.round(t, all, rounds, steps)
		w.checkpoint(t, all, rounds)
	}
	t.Logf("%d rounds, %d commands of %d sessions on %d nodes", rounds, rounds*sessions*steps, sessions, nodes)
}

// open opens all sessions.
func (w *world) open(t *testing.T) []*session {
	t.Helper()
	all := make([]*session, sessions)
	for i := range all {
		all[i] = &session{w: w, n: i, addr: w.addrs[i%len(w.addrs)], rnd: rand.New(rand.NewPCG(uint64(i), 7)), kind: kind(i / nodes % 3)}
		if err := all[i].open(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// round lets all sessions go their steps; what is returned is closed when all have.
func (w *world) round(t *testing.T, all []*session, round, steps int) <-chan struct{} {
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() {
			for range steps {
				if err := s.step(); err != nil {
					t.Errorf("session %d of round %d: %v", s.n, round, err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	return done
}

// world is three servers over one store. The first two hear each other's
// hints; the third hears none, so it learns by looking alone.
type world struct {
	kv    kv.Store
	addrs []string // where sessions connect
	login string
	kills bool // servers are killed: a connection may be lost
}

func newWorld(t *testing.T) *world {
	w := &world{kv: memkv.New()}
	shared := membus.New()
	t.Cleanup(func() { shared.Close() })
	for i := range nodes {
		bus := shared
		if i == nodes-1 {
			bus = membus.New()
			t.Cleanup(func() { bus.Close() })
		}
		f := map[string]string{"store": "memory", "data": t.TempDir(), "account-messages": "1000000"}
		for _, l := range []string{"http", "https", "smtp", "smtps", "mx", "lmtp", "imap", "imaps", "pop3", "pop3s", "admin"} {
			f[l] = "localhost:0"
		}
		cfg, err := config.Load(config.Sources{Env: func(string) (string, bool) { return "", false }, Flags: f})
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.New(t.Context(), server.Options{Config: cfg, KV: w.kv, Bus: bus, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		t.Cleanup(func() { stop(); <-done })
		w.addrs = append(w.addrs, s.Addrs()["imap"])
		if i == 0 {
			w.login = account(t, s.Addrs()["http"])
		}
	}
	return w
}

func account(t *testing.T, http8025 string) string {
	t.Helper()
	var a struct{ User, Pass string }
	for range 100 {
		resp, err := http.Post("http://"+http8025+"/user", "application/json", strings.NewReader(`{"requestor":"test","version":"1"}`))
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if err := json.Unmarshal(b, &a); err != nil || a.User == "" {
			t.Fatalf("POST /user: %s", b)
		}
		return fmt.Sprintf("LOGIN %q %q", a.User, a.Pass)
	}
	t.Fatal("the server does not answer")
	return ""
}

// checkpoint: nobody writes now, and all must know the same.
func (w *world) checkpoint(t *testing.T, all []*session, round int) {
	fresh := &session{w: w, n: -1, addr: w.addrs[round%len(w.addrs)]}
	if err := fresh.open(); err != nil {
		t.Error("a fresh session:", err)
		return
	}
	defer fresh.c.Close()
	if err := fresh.run("FETCH 1:* (UID FLAGS)"); err != nil {
		t.Error("a fresh session:", err)
		return
	}
	for _, s := range all {
		if err := s.settle(); err != nil {
			t.Errorf("session %d at checkpoint %d: %v", s.n, round, err)
			continue
		}
		if d := s.m.differs(fresh.m); d != "" {
			t.Errorf("session %d (kind %d) at checkpoint %d %s\nits last commands:\n%s", s.n, s.kind, round, d, strings.Join(s.last, "\n"))
		}
		if w.kills {
			if err := s.own.audit(fresh); err != nil {
				t.Errorf("session %d at checkpoint %d: %v", s.n, round, err)
			}
		}
	}
	_, err := fsck.Run(t.Context(), w.kv, func(f fsck.Fault) { t.Errorf("fsck at checkpoint %d: %+v", round, f) })
	if err != nil {
		t.Error("fsck:", err)
	}
}

// settle brings the model up to date. A client without CONDSTORE is told flags
// by number alone, and one that is told of a message has not its UID: it asks.
func (s *session) settle() error {
	err := s.run("NOOP")
	if s.mayLose(err) {
		if err = s.back(); err == nil {
			err = s.run("NOOP")
		}
	}
	if err == nil {
		err = s.run("UID FETCH 1:* (UID)")
	}
	return err
}

// kind is what a session has enabled.
type kind int

const (
	plain kind = iota
	condstore
	qresync
)

// session is one client.
type session struct {
	w    *world
	n    int
	addr string
	rnd  *rand.Rand
	kind kind
	c    *rawimap.Conn
	m    *model
	own  own
	lost int // connections
	tags int
	last []string // commands, for who has to find out
}

// open connects, enables and selects, knowing nothing.
func (s *session) open() error {
	if err := s.connect(); err != nil {
		return err
	}
	s.m = &model{flags: map[uint32]string{}}
	return s.run("SELECT INBOX")
}

func (s *session) connect() error {
	var err error
	dial := rawimap.Dial
	if s.w.kills { // passwords come over TLS through a proxy
		dial = rawimap.DialTLS
	}
	if s.c, err = dial(s.addr); err != nil {
		return err
	}
	if _, err = s.c.Response(); err != nil {
		return err
	}
	s.m = &model{flags: map[uint32]string{}}
	if err := s.run(s.w.login); err != nil {
		return err
	}
	switch s.kind {
	case condstore:
		return s.run("ENABLE CONDSTORE")
	case qresync:
		return s.run("ENABLE QRESYNC")
	}
	return nil
}

// sleep ends the connection as a laptop's lid does, and resumes by QRESYNC:
// what is told must bring the old model to the truth.
func (s *session) sleep() error {
	old := s.m
	s.c.Close()
	if err := s.connect(); err != nil {
		s.m = old
		return err
	}
	return s.reselect(old)
}

// reselect selects INBOX with what an old model knows, which is nothing for a
// client without QRESYNC.
func (s *session) reselect(old *model) error {
	s.m = &model{flags: map[uint32]string{}}
	if s.kind != qresync || old.valid == "" {
		return s.run("SELECT INBOX")
	}
	s.m.flags, s.m.uids = old.flags, old.uids
	err := s.resume(fmt.Sprintf("SELECT INBOX (QRESYNC (%s %d))", old.valid, old.modseq), old.uids)
	if err != nil {
		s.m = old // it may try again
	}
	return err
}
