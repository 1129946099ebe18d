package cluster_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eidermail/eider/test/cluster/rig"
	"github.com/eidermail/eider/test/corpus"
)

// percentile of sorted times.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p))]
}

// BenchmarkCluster measures the cluster with everything on this one machine:
// messages acknowledged durable on a synchronous standby, beside the bare limit
// of the same database; then pushes to other nodes, processor time and memory
// at 30 messages a second.
func BenchmarkCluster(t *testing.B) {
	c := start(t, rig.Options{Limited: true})
	mail := stuffed(t)
	limit := bareLimit(t, c, mail)
	rate := throughput(t, c, mail)
	t.Logf("%.0f messages/s of %.0f bare inserts/s: %.2f", rate, limit, rate/limit)
	t.ReportMetric(rate, "messages/s")
	pushes(t, c)
}

// stuffed are the everyday messages as DATA wants them.
func stuffed(t testing.TB) [][]byte {
	t.Helper()
	var out [][]byte
	for _, m := range corpus.Everyday(t) {
		var b []byte
		for line := range slices.Values(splitLines(corpus.CRLF(m.Data))) {
			if len(line) > 0 && line[0] == '.' {
				b = append(b, '.')
			}
			b = append(b, line...)
		}
		out = append(out, b)
	}
	return out
}

func splitLines(b []byte) (out [][]byte) {
	for len(b) > 0 {
		n := slices.Index(b, '\n') + 1
		if n == 0 {
			return append(out, append(slices.Clone(b), "\r\n"...))
		}
		out, b = append(out, b[:n]), b[n:]
	}
	return out
}

const (
	benchSenders  = 48
	benchAccounts = 48
	benchTime     = 15 * time.Second
)

// together runs do in benchSenders goroutines for a while and returns how often
// a second it succeeded, and how long it took, sorted.
func together(t testing.TB, do func(n, i int) error) (float64, []time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	began := time.Now()
	for n := range benchSenders {
		wg.Go(func() {
			for i := 0; time.Since(began) < benchTime; i++ {
				at := time.Now()
				if err := do(n, i); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(at))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	rate := float64(len(took)) / time.Since(began).Seconds()
	slices.Sort(took)
	return rate, took
}

// bareLimit is what the database alone does: the same bytes as single rows, each
// its own commit on the synchronous standby, from as many connections.
func bareLimit(t testing.TB, c *rig.Cluster, mail [][]byte) float64 {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), c.Primary().SuperURI()+"&pool_max_conns=48")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "create table bare (id bigserial primary key, v bytea)"); err != nil {
		t.Fatal(err)
	}
	rate, took := together(t, func(n, i int) error {
		_, err := pool.Exec(context.Background(), "insert into bare (v) values ($1)", mail[(n*41+i)%len(mail)])
		return err
	})
	t.Logf("bare limit: %.0f inserts/s, p50 %v, p99 %v", rate, percentile(took, 0.5), percentile(took, 0.99))
	if _, err := pool.Exec(t.Context(), "drop table bare"); err != nil {
		t.Fatal(err)
	}
	return rate
}

// throughput sends the everyday mail over all nodes as fast as it goes.
func throughput(t testing.TB, c *rig.Cluster, mail [][]byte) float64 {
	t.Helper()
	l := &load{t: t, c: c}
	var sessions [benchSenders]*session
	var boxes [benchAccounts]box
	for n := range boxes {
		b, err := l.newBox(n)
		if err != nil {
			t.Fatal(err)
		}
		boxes[n] = b
		if sessions[n], err = l.session(n, "smtps", b); err != nil {
			t.Fatal(err)
		}
		defer sessions[n].c.Close()
	}
	var bytes atomic.Int64
	rate, took := together(t, func(n, i int) error {
		data := mail[(n*41+i)%len(mail)]
		bytes.Add(int64(len(data)))
		return sessions[n].deliver(boxes[n], data)
	})
	p99 := percentile(took, 0.99)
	t.Logf("eider: %.0f messages/s (%.1f MB/s) durable on a synchronous standby, p50 %v, p99 %v, longest %v",
		rate, float64(bytes.Load())/1e6/benchTime.Seconds(), percentile(took, 0.5), p99, took[len(took)-1])
	if rate < 300 || p99 > time.Second {
		t.Errorf("expected: at least 300 messages/s and p99 under 1 s")
	}
	return rate
}

func (s *session) deliver(b box, data []byte) error {
	for _, step := range []struct {
		want int
		line string
	}{{250, "MAIL FROM:<" + b.User + ">"}, {250, "RCPT TO:<" + b.User + ">"}, {354, "DATA"}} {
		if _, err := s.cmd(step.want, "%s", step.line); err != nil {
			return err
		}
	}
	if _, err := s.t.W.Write(data); err != nil {
		return err
	}
	_, err := s.cmd(250, ".")
	return err
}

// arrivals are the moments at which a session was told of n messages.
type arrivals struct {
	mu sync.Mutex
	at map[int]time.Time
}

// listen idles on a node and notes when EXISTS says what.
func listen(t testing.TB, cluster *rig.Cluster, m *rig.Machine, b box) *arrivals {
	t.Helper()
	a := &arrivals{at: map[int]time.Time{}}
	conn, err := m.Dial(t.Context(), "imaps")
	if err != nil {
		t.Fatal(err)
	}
	c := imapclient.New(tls.Client(conn, cluster.TLS()), &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				a.mu.Lock()
				a.at[int(*data.NumMessages)] = time.Now()
				a.mu.Unlock()
			}
		}}})
	t.Cleanup(func() { c.Close() })
	if err := c.Login(b.User, b.Pass).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Idle(); err != nil {
		t.Fatal(err)
	}
	return a
}

// of is when the n-th message was known.
func (a *arrivals) of(n, last int) (first time.Time) {
	for ; n <= last; n++ {
		if at, ok := a.at[n]; ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// pushes sends 30 messages a second, 10 to each node, and measures how long
// after the 250 the sessions on the other nodes are told.
func pushes(t testing.TB, c *rig.Cluster) {
	t.Helper()
	const each, every = 200, 100 * time.Millisecond
	var lag []time.Duration
	var mu sync.Mutex
	var wg sync.WaitGroup
	before := usage(c)
	began := time.Now()
	for n, m := range c.Machines {
		b, err := register(t.Context(), web(c, m.Dial))
		if err != nil {
			t.Fatal(err)
		}
		ears := []*arrivals{listen(t, c, c.Machines[(n+1)%rig.Nodes], b), listen(t, c, c.Machines[(n+2)%rig.Nodes], b)}
		s, err := openSMTP(c, m, b)
		if err != nil {
			t.Fatal(err)
		}
		defer s.c.Close()
		wg.Go(func() {
			var acked [each + 1]time.Time
			tick := time.NewTicker(every)
			defer tick.Stop()
			for i := 1; i <= each; i++ {
				<-tick.C
				if _, _, err := s.attempt(b, fmt.Sprint("push ", i)); err != nil {
					t.Error(err)
					return
				}
				acked[i] = time.Now()
			}
			time.Sleep(2 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			for _, a := range ears {
				a.mu.Lock()
				for i := 1; i <= each; i++ {
					at := a.of(i, each)
					if at.IsZero() {
						t.Errorf("message %d of account %d was not told", i, n)
						continue
					}
					lag = append(lag, max(0, at.Sub(acked[i])))
				}
				a.mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(lag)
	t.Logf("at 30 messages/s, IDLE on another node after the 250: p50 %v, p99 %v, longest %v",
		percentile(lag, 0.5), percentile(lag, 0.99), lag[len(lag)-1])
	if p := percentile(lag, 0.99); p > 100*time.Millisecond {
		t.Errorf("expected: p99 under 100 ms")
	}
	resources(t, c, before, time.Since(began))
}

// usage is what each part has used so far.
func usage(c *rig.Cluster) map[string]rig.Usage {
	out := map[string]rig.Usage{}
	for _, m := range c.Machines {
		for _, part := range rig.Parts {
			out[fmt.Sprint(m.N, part)] = m.Proc(part).Usage()
		}
	}
	return out
}

// resources prints what each machine took since before.
func resources(t testing.TB, c *rig.Cluster, before map[string]rig.Usage, took time.Duration) {
	t.Helper()
	for _, m := range c.Machines {
		text, total, cpu := "", int64(0), 0.0
		for _, part := range rig.Parts {
			u := m.Proc(part).Usage()
			percent := 100 * (u.CPU - before[fmt.Sprint(m.N, part)].CPU).Seconds() / took.Seconds()
			text += fmt.Sprintf("  %s %d MB %.1f %%", part, u.Bytes>>20, percent)
			total += u.Bytes
			cpu += percent
			if part == "eider" && percent > 10 {
				t.Errorf("machine %d: eider took %.1f %% of a core, expected under 10 %%", m.N, percent)
			}
		}
		t.Logf("machine %d: %d MB, %.1f %% of a core:%s", m.N, total>>20, cpu, text)
		if total > 1200<<20 {
			t.Errorf("machine %d takes %d MB, expected under 1.2 GB", m.N, total>>20)
		}
	}
	memory(t, c)
}

// memory checks that each eider kept to what a node has.
func memory(t testing.TB, c *rig.Cluster) {
	t.Helper()
	for _, m := range c.Machines {
		how := "by cgroup"
		if !m.MemoryLimited() {
			how = "only measured: no cgroup can be made here"
		}
		t.Logf("node %d: at most %d MB resident, limit %d MB (%s)", m.N, m.Peak()>>20, rig.NodeMemory>>20, how)
		if m.Peak() > rig.NodeMemory {
			t.Errorf("node %d took %d MB", m.N, m.Peak()>>20)
		}
	}
}
