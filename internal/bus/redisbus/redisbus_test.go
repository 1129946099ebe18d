package redisbus_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/bustest"
	"github.com/eidermail/eider/internal/bus/redisbus"
	"github.com/eidermail/eider/test/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a bus on a real Redis.
func open(t testing.TB, spec string) *redisbus.Bus {
	t.Helper()
	o, err := redisbus.ParseSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := redisbus.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBus(t *testing.T) {
	t.Parallel()
	r := harness.StartRedis(t, 1)
	var n atomic.Int32
	fresh := func() string { return fmt.Sprintf("%s?prefix=t%d", r.URL(), n.Add(1)) }
	t.Run("Alone", func(t *testing.T) {
		bustest.Run(t, func(t testing.TB) bus.Bus { return open(t, fresh()) })
	})
	t.Run("Shared", func(t *testing.T) {
		bustest.RunShared(t, func(t testing.TB) (a, b bus.Bus) {
			spec := fresh()
			return open(t, spec), open(t, spec)
		})
	})
	t.Run("Refused", func(t *testing.T) {
		for _, spec := range []string{
			strings.Replace(r.URL(), harness.RedisPassword, "wrong-secret", 1),
			strings.Replace(r.URL(), ":"+harness.RedisPassword+"@", "", 1),
			r.URL() + "/9999",
		} {
			o, err := redisbus.ParseSpec(spec)
			if err != nil {
				t.Fatal(err)
			}
			b, err := redisbus.Open(t.Context(), o)
			if err == nil {
				b.Close()
				t.Errorf("%s was let in", spec)
			} else if strings.Contains(err.Error(), "wrong-secret") {
				t.Errorf("shows the password: %v", err)
			}
		}
	})
}

// pair is two processes on one cluster, one publishing without a pause.
type pair struct {
	a, b *redisbus.Bus
	log  *harness.Log
	sent atomic.Uint64
	got  atomic.Uint64
	sync atomic.Uint32 // resyncs seen
	gap  atomic.Int64  // longest time without a hint
	slow atomic.Int64  // longest Publish
	stop func()
}

func newPair(t *testing.T, spec string) *pair {
	t.Helper()
	p := &pair{log: &harness.Log{}}
	o, err := redisbus.ParseSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.NewTextHandler(p.log, nil))
	if p.a, err = redisbus.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if p.b, err = redisbus.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	hints, cancel := p.b.Subscribe(1)
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		last := time.Now()
		for h := range hints {
			if h.Resync {
				p.sync.Add(1)
			}
			if h.Modseq > p.got.Load() {
				p.got.Store(h.Modseq)
				p.gap.Store(max(p.gap.Load(), int64(time.Since(last))))
				last = time.Now()
			}
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
			begin := time.Now()
			p.a.Publish(t.Context(), bus.Hint{Topic: 1, Modseq: p.sent.Add(1)})
			p.slow.Store(max(p.slow.Load(), int64(time.Since(begin))))
		}
	})
	p.stop = sync.OnceFunc(func() {
		close(end)
		cancel()
		wg.Wait()
		p.a.Close()
		p.b.Close()
	})
	t.Cleanup(p.stop)
	p.flows(t, "at first", 10*time.Second)
	return p
}

// flows waits until a hint that is sent from now on arrives.
func (p *pair) flows(t *testing.T, when string, within time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	for want := p.sent.Load() + 1; p.got.Load() < want || p.a.Err() != nil || p.b.Err() != nil; time.Sleep(time.Millisecond) {
		if time.Since(begin) > within {
			t.Fatalf("%s: no hint within %v; got %d of %d; %v; %v", when, within, p.got.Load(), want, p.a.Err(), p.b.Err())
		}
	}
	return time.Since(begin)
}

// TestFailover: the primary of three is killed, then frozen; hints come again
// by themselves, and readers are told to look.
func TestFailover(t *testing.T) {
	t.Parallel()
	r := harness.StartRedis(t, 3)
	p := newPair(t, r.URL())
	for _, fault := range []struct {
		name string
		do   func(port int)
		undo func(port int)
	}{
		{"killed", r.Kill, func(port int) { r.Start(t, port) }},
		{"frozen", func(port int) { r.Signal(t, port, syscall.SIGSTOP) },
			func(port int) { r.Signal(t, port, syscall.SIGCONT) }},
	} {
		primary, resyncs := r.Primary(), p.sync.Load()
		p.gap.Store(0)
		fault.do(primary)
		for end := time.Now().Add(10 * time.Second); p.a.Err() == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: nobody noticed", fault.name)
			}
		}
		took := p.flows(t, fault.name, 20*time.Second)
		for end := time.Now().Add(5 * time.Second); p.sync.Load() == resyncs; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: readers were not told to read again", fault.name)
			}
		}
		if now := r.Primary(); now == primary {
			t.Errorf("%s: port %d is still the primary", fault.name, now)
		}
		t.Logf("primary %s: hints again after %v, longest gap %v, longest Publish %v", fault.name,
			took.Round(time.Millisecond), time.Duration(p.gap.Load()).Round(time.Millisecond), time.Duration(p.slow.Load()))
		fault.undo(primary)
		p.flows(t, fault.name+" and back", 20*time.Second)
		r.Settle(t)
	}
	if d := time.Duration(p.slow.Load()); d > redisbus.CallTime/2 { // it never waits for Redis
		t.Errorf("a Publish took %v", d)
	}
}

// TestAllGone: without any Redis the process works alone, and says so once.
func TestAllGone(t *testing.T) {
	t.Parallel()
	r := harness.StartRedis(t, 1)
	p := newPair(t, r.URL())
	r.Kill(r.Ports[0])
	for end := time.Now().Add(10 * time.Second); p.a.Err() == nil || p.b.Err() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody noticed")
		}
	}
	near, cancel := p.a.Subscribe(9)
	defer cancel()
	begin := time.Now()
	for i := range redisbus.MaxWaiting + 1000 {
		p.a.Publish(t.Context(), bus.Hint{Topic: bus.Topic(i + 100), Modseq: 1})
	}
	p.a.Publish(t.Context(), bus.Hint{Topic: 9, Modseq: 1})
	if h := <-near; h.Modseq != 1 || time.Since(begin) > 5*time.Second {
		t.Errorf("%+v after %v", h, time.Since(begin))
	}
	// A process starts without it, too.
	late := open(t, r.URL())
	if late.Err() == nil {
		t.Error("a bus without Redis is well")
	}
	waiting, leave := late.Subscribe(7)
	defer leave()
	resyncs := p.sync.Load()
	r.Start(t, r.Ports[0])
	p.flows(t, "back", 20*time.Second)
	for end := time.Now().Add(5 * time.Second); p.sync.Load() == resyncs || late.Err() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("readers were not told to read again, or %v", late.Err())
		}
	}
	select { // what others said before it could hear them is in the store
	case h := <-waiting:
		if !h.Resync {
			t.Errorf("the late process is told %+v", h)
		}
	case <-time.After(5 * time.Second):
		t.Error("a reader of the late process is not told to read again")
	}
	late.Close()
	p.stop()
	text := p.log.String()
	// Once each, and once more only if it seemed to come back in between.
	if n := strings.Count(text, "redis is away"); n < 2 || strings.Count(text, "redis is back") != n {
		t.Errorf("two processes told it %d times: %s", n, text)
	}
	if strings.Contains(text, harness.RedisPassword) {
		t.Error("the password is in the log")
	}
}

func TestParseSpec(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"redis://h":                        "[h:6379]  0 false",
		"redis://:p@h:1/3":                 "[h:1]  3 false",
		"redis://u:a%40b@[::1]:1":          "[[::1]:1]  0 false",
		"rediss://h":                       "[h:6379]  0 true",
		"redis+sentinel://a,b:2/mail":      "[a:26379 b:2] mail 0 false",
		"rediss+sentinel://u:p@a/mail/4":   "[a:26379] mail 4 true",
		"redis+sentinel://a/mail?prefix=x": "[a:26379] mail 0 false",
	} {
		o, err := redisbus.ParseSpec(spec)
		if got := fmt.Sprintf("%v %s %d %v", o.Addrs, o.Master, o.DB, o.TLS != nil); err != nil || got != want {
			t.Errorf("%s: %s, %v", spec, got, err)
		}
	}
	for spec, want := range map[string]string{
		"redis:h": "redis://", "http://h": "redis://", "redis+cluster://h": "redis+sentinel://", "redis://": "HOST:PORT",
		"redis+sentinel://a,b": "master", "redis://a,b": "sentinels", "redis://h/x": "database", "redis://h:x": "HOST:PORT",
		"redis://:secret%@h": "%25", "redis://:secret?secret@h": "%3F", "redis://h?colour=1": "colour", "redis://h?ca=x": "rediss", "rediss://h?ca=/none": "/none",
		"rediss://h?cert=/none": "cert and key", "redis://:secret@h:0:0": "HOST:PORT",
	} {
		_, err := redisbus.ParseSpec(spec)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", spec, err)
		}
	}
	o, err := redisbus.ParseSpec("redis://u:a%40b@h?prefix=x")
	if err != nil || o.User != "u" || o.Password != "a@b" || o.Prefix != "x" {
		t.Errorf("%+v %v", o, err)
	}
}
