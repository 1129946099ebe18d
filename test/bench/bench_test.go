package bench

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/corpus"
)

var (
	peers = flag.Bool("bench-peers", false, "run the long comparison with Mailpit and Dovecot")
	runs  = flag.Int("bench-runs", 5, "interleaved runs of each server")
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("EIDER_BENCH_LIMIT"); dir != "" {
		err := Limit(filepath.Join(dir, "db"), func(addr string) {
			tmp := filepath.Join(dir, "addr.tmp")
			_ = os.WriteFile(tmp, []byte(addr), 0o600)
			_ = os.Rename(tmp, filepath.Join(dir, "addr"))
		})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// figures are all runs of one server.
type figures struct {
	name     string
	msgs, mb []float64
	peakMB   float64
}

func (f *figures) median() (msgs, mb float64) { return median(f.msgs), median(f.mb) }

func median(v []float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[len(s)/2]
}

func spread(v []float64) string {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return fmt.Sprintf("%.0f–%.0f", s[0], s[len(s)-1])
}

// TestBenchDelivery prints messages and megabytes a second of each server,
// into one account and into 20: median of interleaved runs with the spread.
// Without -bench-peers it makes one short run of this server and the limit loop.
// EIDER_BENCH_BASE names another binary of eider: the two run by turns, and this
// one must keep 0.8 of the throughput of that one. (Storage's is a130620.)
func TestBenchDelivery(t *testing.T) {
	mail := Stuff(corpus.Everyday(t))
	type maker struct {
		name string
		make func(t testing.TB, n int) *Proc
	}
	servers := []maker{{"eider", Eider}, {"limit loop", BareLimit}}
	rounds, before := 1, os.Getenv("EIDER_BENCH_BASE")
	if *peers {
		rounds = *runs
		servers = append(servers, maker{"mailpit " + MailpitVersion, Mailpit},
			maker{"dovecot lmtp maildir", func(t testing.TB, n int) *Proc { return Dovecot(t, "maildir", n) }},
			maker{"dovecot lmtp mdbox", func(t testing.TB, n int) *Proc { return Dovecot(t, "mdbox", n) }})
	} else if before != "" {
		rounds = *runs
		servers = []maker{{"eider", Eider}, {"eider before", func(t testing.TB, n int) *Proc { return EiderAt(t, before, n) }}}
	} else {
		mail = mail[:500]
	}
	for _, accounts := range []int{1, 20} {
		figs := make([]*figures, len(servers))
		for i, s := range servers {
			figs[i] = &figures{name: s.name}
		}
		for round := range rounds {
			for i, s := range servers {
				t.Run(fmt.Sprintf("%d/%d/%s", accounts, round+1, s.name), func(t *testing.T) {
					p := s.make(t, accounts)
					r, err := Run(p.Target, mail)
					if err != nil {
						t.Fatal(err)
					}
					msgs, mb := r.Rate()
					figs[i].msgs, figs[i].mb = append(figs[i].msgs, msgs), append(figs[i].mb, mb)
					figs[i].peakMB = max(figs[i].peakMB, p.PeakMB())
				})
			}
		}
		report(t, accounts, figs)
		if before != "" && !*peers {
			now, _ := figs[0].median()
			was, _ := figs[1].median()
			if now < keptThroughput*was {
				t.Errorf("into %d accounts: %.2f of the throughput before, at least %.1f", accounts, now/was, keptThroughput)
			}
		}
	}
}

// keptThroughput is what a change may leave of delivery's throughput.
const keptThroughput = 0.8

func report(t *testing.T, accounts int, figs []*figures) {
	var b strings.Builder
	fmt.Fprintf(&b, "\neveryday corpus, %d connections, no TLS, into %d account(s)\n", Connections, accounts)
	fmt.Fprintf(&b, "%-24s %10s %14s %8s %14s %9s %18s\n",
		"server", "messages/s", "spread", "MB/s", "spread", "peak MB", "eider is … times")
	if len(figs[0].msgs) == 0 {
		t.Fatal("no run of this server finished")
	}
	own, _ := figs[0].median()
	for _, f := range figs {
		if len(f.msgs) == 0 {
			continue
		}
		m, mb := f.median()
		fmt.Fprintf(&b, "%-24s %10.0f %14s %8.1f %14s %9.0f %18.2f\n",
			f.name, m, spread(f.msgs), mb, spread(f.mb), f.peakMB, own/m)
	}
	t.Log(b.String())
}
