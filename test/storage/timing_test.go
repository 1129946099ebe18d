package storage_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// timed is how often each kind of delivery is timed.
const timed = 15

// TestTimeOfDedup measures what a sender can learn from how long a delivery
// takes: of a file that another account has already, and of one that nobody
// has. docs/security.md has the figures. With --dedup account nothing is found
// that belongs to others.
func TestTimeOfDedup(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"all", "account"} {
		s := harness.Start(t, "--dedup", mode)
		a, b := s.NewAccount(t), s.NewAccount(t)
		const size = 300_000
		for i := range timed {
			submit(t, s, a, mail("mine", noise(uint64(1000+i), size)))
		}
		c := session(t, s, b)
		var hit, miss []time.Duration
		for i := range timed {
			hit = append(hit, c.deliver(t, mail("found", noise(uint64(1000+i), size))))
			miss = append(miss, c.deliver(t, mail("new", noise(uint64(5000+i), size))))
		}
		slices.Sort(hit)
		slices.Sort(miss)
		t.Logf("--dedup %s, files of %d bytes: until the 250 of one that another account has %v (%v to %v), of a new one %v (%v to %v)",
			mode, size, hit[timed/2], hit[timed/10], hit[timed*9/10], miss[timed/2], miss[timed/10], miss[timed*9/10])
		want := int64(2 * timed)
		if mode == "account" {
			want = 3 * timed
		}
		await(t, s, time.Minute, fmt.Sprintf("%d parts with --dedup %s", want, mode), func(u usage) bool { return u.Parts == want })
	}
}

// wire is an SMTP session with a login.
type wire struct {
	net.Conn
	r *bufio.Reader
}

func session(t *testing.T, s *harness.Server, a harness.Account) *wire {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.SMTP, 5*time.Second)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(5*time.Minute)))
	w := &wire{c, bufio.NewReader(c)}
	say(t, c, w.r, "", "220 ")
	say(t, c, w.r, "EHLO timing.test", "250 ")
	say(t, c, w.r, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+a.User+"\x00"+a.Pass)), "235 ")
	return w
}

// deliver sends a message and returns how long its last byte waits for the 250.
func (w *wire) deliver(t *testing.T, text []byte) time.Duration {
	t.Helper()
	say(t, w, w.r, "MAIL FROM:<s@example.test>", "250 ")
	say(t, w, w.r, "RCPT TO:<x@example.test>", "250 ")
	say(t, w, w.r, "DATA", "354 ")
	_, err := w.Write(text)
	must(t, err)
	start := time.Now()
	_, err = io.WriteString(w, ".\r\n")
	must(t, err)
	say(t, w, w.r, "", "250 ")
	return time.Since(start)
}
