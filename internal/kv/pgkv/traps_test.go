package pgkv_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/pgkv"
	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

// TestOtherWarnings: only a warning of COMMIT itself is about a commit. Servers
// give others, with each transaction when their ids run out.
func TestOtherWarnings(t *testing.T) {
	t.Parallel()
	uri := fresh(t)
	s := open(t, uri)
	schema := schemaOf(uri)
	for _, table := range []string{"kv", "kvtok0", "kvtok1"} {
		err := server.ExecIn("eider", fmt.Sprintf(`create or replace function %[1]s.warn() returns trigger language plpgsql as
			$$ begin raise warning 'the ids run out'; return new; end $$;
			create trigger warn before insert or update on %[1]s.%[2]s for each row execute function %[1]s.warn()`, schema, table))
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := add(t.Context(), s, "n"); err != nil {
			t.Error(err)
		}
	}
	if st := s.Stats(); st.Commits != 3 || st.Unknown != 0 {
		t.Errorf("%+v", st)
	}
}

// TestAbandonedCommits: commits that wait for their standby when their callers
// have long gone leave connections to those who read.
func TestAbandonedCommits(t *testing.T) {
	t.Parallel()
	own := postgres.Start(t, "fsync=off")
	s := open(t, own.URI())
	if err := add(t.Context(), s, "n"); err != nil {
		t.Fatal(err)
	}
	if err := own.Reconfigure("synchronous_standby_names=nobody"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // the checkpointer tells the others
	for round := range 5 {             // of six each: more than there are connections
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				if err := add(ctx, s, fmt.Sprint("m", round, i)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("without a standby: %v", err)
				}
			})
		}
		wg.Wait()
		cancel()
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		if _, err := s.GetMulti(ctx, []byte("n")); err != nil {
			t.Errorf("reading after %d rounds: %v", round+1, err)
		}
		if _, err := s.Ping(ctx); err != nil {
			t.Errorf("ping after %d rounds: %v", round+1, err)
		}
		cancel()
	}
	if err := own.Reconfigure("synchronous_standby_names="); err != nil {
		t.Fatal(err)
	}
	if err := add(t.Context(), s, "n"); err != nil {
		t.Errorf("when the standby is back: %v", err)
	}
}

// TestAlone: that commits wait for no standby any more is said once, and told to
// who asks, until they do again.
func TestAlone(t *testing.T) {
	t.Parallel()
	own := postgres.Start(t, "fsync=off")
	var said harness.Log
	// The second server is not there.
	s, err := pgkv.Open(t.Context(), pgkv.Options{URI: strings.Replace(own.URI(), "@", "@127.0.0.1:1,", 1),
		Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	is := func(want bool, warnings int) {
		t.Helper()
		until(t, fmt.Sprintf("alone is not %v: %s", want, said.String()), func() bool {
			h, err := s.Ping(t.Context())
			return err == nil && h.Alone == want
		})
		if n := strings.Count(said.String(), "no synchronous standby"); n != warnings {
			t.Errorf("%d warnings, want %d: %s", n, warnings, said.String())
		}
	}
	is(true, 1)
	if err := own.Reconfigure("synchronous_standby_names=nobody"); err != nil {
		t.Fatal(err)
	}
	is(false, 1)
	if err := own.Reconfigure("synchronous_standby_names="); err != nil {
		t.Fatal(err)
	}
	is(true, 2)
}

// TestFrozenWelcome: a server that freezes between its password and its first
// answer is left, and found when it answers.
func TestFrozenWelcome(t *testing.T) {
	t.Parallel()
	uri := fresh(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var connections atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go deafen(c, connections.Add(1) == 2) // the first is the watcher's
		}
	}()
	began := time.Now()
	s := open(t, strings.Replace(uri, address(server.Port), l.Addr().String(), 1))
	if err := add(t.Context(), s, "n"); err != nil {
		t.Error(err)
	}
	if connections.Load() < 3 || time.Since(began) > 25*time.Second {
		t.Errorf("%d connections, %v", connections.Load(), time.Since(began))
	}
}

// deafen passes a connection on to the server, which, if it is told to be deaf,
// hears nothing after the password.
func deafen(client net.Conn, deaf bool) {
	to, err := net.Dial("tcp", address(server.Port))
	if err != nil {
		client.Close()
		return
	}
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, to) // until one of them closes
	}()
	defer to.Close()
	size := make([]byte, 4)
	if _, err := io.ReadFull(client, size); err != nil {
		return
	}
	rest := int64(binary.BigEndian.Uint32(size)) - 4
	if _, err := to.Write(size); err != nil {
		return
	}
	if _, err := io.CopyN(to, client, rest); err != nil {
		return
	}
	for {
		kind, msg, err := read(client)
		if err != nil {
			return
		}
		if deaf && kind != 'p' { // p is a password
			_, _ = io.Copy(io.Discard, client)
			return
		}
		if _, err := to.Write(msg); err != nil {
			return
		}
	}
}
