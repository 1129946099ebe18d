package imapstress_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/pgkv"
	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

const (
	shortKills = 30 * time.Second
	killSteps  = 20 // commands of each session between two checkpoints
	// A server is killed every so often while the sessions are at work; for the
	// first time soon, for a round may be over in less than a second.
	firstKill = 200 * time.Millisecond
	killEvery = time.Second
	downFor   = 200 * time.Millisecond
	// Limit: time in which a session whose server was killed is at another one.
	backWithin = 30 * time.Second
)

// TestConsistencyWhileNodesAreKilled is TestConsistency with three real servers
// over one PostgreSQL behind HAProxy, of which one after the other is killed
// with -9 and started again.
func TestConsistencyWhileNodesAreKilled(t *testing.T) {
	harness.Need(t, "haproxy")
	w, f := newFront(t)
	all := w.open(t)
	end := until(shortKills)
	rnd := rand.New(rand.NewPCG(1, 7))
	rounds, kills := 0, 0
	for ; time.Now().Before(end) && !t.Failed(); rounds++ {
		kills += killWhile(t, f, rnd, w.round(t, all, rounds, killSteps))
		f.AwaitAll(t)
		w.checkpoint(t, all, rounds)
	}
	lost, visits := 0, 0
	for _, s := range all {
		lost += s.lost
		visits += s.own.seq
	}
	t.Logf("%d rounds, %d commands, %d kills, %d connections lost, %d own letters", rounds, rounds*sessions*killSteps, kills, lost, visits)
	if kills == 0 || lost == 0 || visits == 0 {
		t.Error("that was no test")
	}
}

func newFront(t *testing.T) (*world, *harness.Front) {
	pg := postgres.Start(t, "fsync=off") // it lives on
	redis := harness.StartRedis(t, 1)
	f := harness.StartFront(t, func(n int) []string {
		args := []string{"--store", pg.URI(), "--account-messages", "1000000"}
		if n < nodes-1 { // the last one hears no hints
			args = append(args, "--bus", redis.URL())
		}
		return args
	})
	store, err := pgkv.Open(t.Context(), pgkv.Options{URI: pg.URI()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &world{kv: store, addrs: []string{f.Addr("imaps")}, login: account(t, f.Addr("http")), kills: true}, f
}

// killWhile kills and restarts servers until the round is done.
func killWhile(t *testing.T, f *harness.Front, rnd *rand.Rand, done <-chan struct{}) (kills int) {
	for wait := time.Duration(rnd.Int64N(int64(firstKill))); ; wait = killEvery {
		select {
		case <-done:
			return kills
		case <-time.After(wait):
		}
		n := f.Nodes[rnd.IntN(len(f.Nodes))]
		n.Kill(t)
		kills++
		time.Sleep(downFor)
		n.Restart(t)
	}
}

// mayLose tells that an error is the end of a connection, where servers are killed.
func (s *session) mayLose(err error) bool {
	return s.w.kills && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE))
}

// back connects again after the connection was lost, with what it knew.
func (s *session) back() error {
	s.lost++
	old := s.m
	for end := time.Now().Add(backWithin); ; time.Sleep(50 * time.Millisecond) {
		if s.c != nil {
			s.c.Close()
		}
		err := s.connect()
		if err == nil {
			err = s.reselect(old)
		}
		if err == nil || !s.mayLose(err) || time.Now().After(end) {
			return err
		}
		s.m = old
	}
}
