// Package imapbench_test measures IMAP beside Debian's Dovecot: the same
// mailbox, the same commands, in turn in one run.
package imapbench_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/corpus"
	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/peer"
)

var (
	peers    = flag.Bool("bench-peers", false, "run the long comparison with Dovecot on maildir and mdbox")
	messages = flag.Int("bench-messages", 10_000, "messages in the mailbox of the long comparison")
	rounds   = flag.Int("bench-rounds", 5, "rounds of the long comparison")
)

func TestMain(m *testing.M) {
	if spec := os.Getenv("EIDER_BENCH_IDLERS"); spec != "" {
		os.Exit(idlers(spec))
	}
	flag.Parse()
	os.Exit(m.Run())
}

// server is one of those that are compared.
type server struct {
	name string
	addr string
	cmd  string // logs in
	pid  int
	c    *client
}

func eider(t testing.TB, flags ...string) *server {
	h := harness.Start(t, append([]string{"--account-quota", "100GB", "--account-messages", "10000000"}, flags...)...)
	a := h.NewAccount(t)
	return &server{name: "eider", addr: h.IMAP, cmd: fmt.Sprintf("LOGIN %q %q", a.User, a.Pass), pid: h.Process().Pid}
}

func dovecot(t testing.TB, format string) *server {
	p := peer.Dovecot(t, format, "100G")
	return &server{name: p.Name, addr: p.Addr, cmd: p.Login("bench"), pid: p.PID}
}

// measure is a thing that is timed on each server.
type measure struct {
	name string
	// run does it once; odd is true in every other round, for what must differ from the time before.
	run func(s *server, odd bool) error
	// value, if set, is used in place of the time run takes, in seconds.
	value func(s *server) (float64, error)
}

func command(cmd string) measure {
	return measure{name: cmd, run: func(s *server, _ bool) error { _, err := s.c.run(cmd); return err }}
}

// measures are what the comparison is made of.
func measures() []measure {
	return []measure{
		command("SELECT INBOX"),
		command("FETCH 1:* (UID FLAGS)"),
		command("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)"),
		command("FETCH 1:* ENVELOPE"),
		command("FETCH 1:* BODYSTRUCTURE"),
		command("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)])"),
		command("FETCH 1:1000 BODY.PEEK[]"),
		{name: "STORE 1:1000 ±FLAGS", run: func(s *server, odd bool) error {
			_, err := s.c.run("STORE 1:1000 " + map[bool]string{true: "+", false: "-"}[odd] + `FLAGS (\Flagged)`)
			return err
		}},
		{name: "STORE 7 ±FLAGS, 200 times", run: storeOne},
		command("SEARCH UNSEEN"),
		command("SEARCH SUBJECT zebra"),
		command("SEARCH TEXT zebra"),
		command("SORT (SUBJECT) UTF-8 ALL"),
		command("SORT (REVERSE DATE) UTF-8 ALL"),
		command("THREAD REFERENCES UTF-8 ALL"),
		{name: "APPEND 200, pipelined", run: appendMany},
		command("COPY 1:1000 Work"),
		command("STATUS Sent (MESSAGES UNSEEN)"),
		{name: "IDLE push", value: idlePush},
		{name: "login and logout", value: loginTime},
		{name: "50 mixed clients, a command", value: mixed},
	}
}

func storeOne(s *server, _ bool) error {
	for i := range 200 {
		if _, err := s.c.run("STORE 7 " + []string{"+", "-"}[i%2] + `FLAGS.SILENT (\Answered)`); err != nil {
			return err
		}
	}
	return nil
}

// small is what APPEND appends.
var small = "From: a@example.test\r\nTo: b@example.test\r\nSubject: small\r\nMessage-ID: <small@example.test>\r\n\r\n" +
	strings.Repeat("A line of text that is as long as lines are.\r\n", 80)

func appendMany(s *server, _ bool) error {
	one := fmt.Sprintf("a APPEND Sent {%d+}\r\n%s\r\n", len(small), small)
	go s.c.nc.Write([]byte(strings.Repeat(one, 200)))
	for range 200 {
		if _, err := s.c.until("a "); err != nil {
			return err
		}
	}
	return nil
}

// TestBenchIMAP compares. Without -bench-peers it is a short run that shows
// that every measure works.
func TestBenchIMAP(t *testing.T) {
	n, turns := 1000, 1
	if *peers {
		n, turns = *messages, *rounds
	}
	mail := corpus.Everyday(t)
	servers := []*server{eider(t), dovecot(t, "mdbox")}
	if *peers {
		servers = append(servers, dovecot(t, "maildir"))
	}
	for _, s := range servers {
		fill(t, s, mail, n)
	}
	list := measures()
	best := make([][]float64, len(list)) // by measure and server, the median of its rounds
	for i, m := range list {
		all := make([][]float64, len(servers))
		for turn := range turns + 1 {
			for j, s := range servers {
				v, err := m.once(s, turn%2 == 1)
				if err != nil {
					t.Fatalf("%s on %s: %v", m.name, s.name, err)
				}
				if turn > 0 { // the first warms up
					all[j] = append(all[j], v)
				}
			}
		}
		for j := range servers {
			slices.Sort(all[j])
			best[i] = append(best[i], all[j][len(all[j])/2])
		}
	}
	report(t, servers, list, best)
}

func (m *measure) once(s *server, odd bool) (float64, error) {
	if m.value != nil {
		return m.value(s)
	}
	start := time.Now()
	err := m.run(s, odd)
	return time.Since(start).Seconds(), err
}

// report prints the table, and in the long form fails for what is too slow.
func report(t *testing.T, servers []*server, list []measure, best [][]float64) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-66s", "medians, ms; × is how many times faster this server is")
	for _, s := range servers {
		fmt.Fprintf(&b, " %18s", s.name)
	}
	b.WriteString("\n")
	logs := make([]float64, len(servers))
	var slow, lost []string
	for i, m := range list {
		fmt.Fprintf(&b, "%-66s %18.2f", m.name, best[i][0]*1e3)
		for j := 1; j < len(servers); j++ {
			ratio := best[i][j] / best[i][0]
			logs[j] += math.Log(ratio)
			fmt.Fprintf(&b, " %10.2f %5.2f×", best[i][j]*1e3, ratio)
			if ratio < 0.8 {
				slow = append(slow, fmt.Sprintf("%s: %.2f of the speed of %s", m.name, ratio, servers[j].name))
			}
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%-66s %18s", "geometric mean", "")
	for j := 1; j < len(servers); j++ {
		mean := math.Exp(logs[j] / float64(len(list)))
		fmt.Fprintf(&b, " %10s %5.2f×", "", mean)
		if mean < 1 {
			lost = append(lost, fmt.Sprintf("geometric mean: %.2f of the speed of %s", mean, servers[j].name))
		}
	}
	if *peers {
		for _, s := range slow {
			fmt.Fprintf(&b, "\nbelow the goal: %s", s)
		}
	}
	t.Log(b.String())
	if *peers {
		for _, l := range lost {
			t.Error(l)
		}
	}
}

// fill puts n messages of everyday mail into INBOX and opens it.
func fill(t testing.TB, s *server, mail []corpus.Message, n int) {
	t.Helper()
	var err error
	if s.c, err = s.login(); err != nil {
		t.Fatal(s.name, err)
	}
	for _, m := range []string{"Work", "Sent"} {
		_, _ = s.c.run("CREATE " + m) // some are there
	}
	const batch = 50
	for at := 0; at < n; at += batch {
		var b strings.Builder
		k := min(batch, n-at)
		for i := range k {
			text := corpus.CRLF(mail[(at+i)%len(mail)].Data)
			// NUL is what Dovecot does not take; the largest messages would be most of what is read.
			text = text[:min(len(text), 60_000)]
			text = []byte(strings.ReplaceAll(string(text), "\x00", " "))
			b.WriteString("f APPEND INBOX {" + strconv.Itoa(len(text)) + "+}\r\n")
			b.Write(text)
			b.WriteString("\r\n")
		}
		go s.c.nc.Write([]byte(b.String()))
		_ = s.c.nc.SetDeadline(time.Now().Add(commandTime))
		for range k {
			if _, err := s.c.until("f "); err != nil {
				t.Fatal(s.name, err)
			}
		}
	}
	if _, err := s.c.run("SELECT INBOX"); err != nil {
		t.Fatal(s.name, err)
	}
}
