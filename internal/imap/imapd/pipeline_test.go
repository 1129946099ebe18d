package imapd_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
)

// counted counts commits.
type counted struct {
	kv.Store
	n atomic.Int64
}

func (c *counted) Update(ctx context.Context, g [][]byte, fn func(kv.Tx) error, o ...kv.Option) error {
	c.n.Add(1)
	return c.Store.Update(ctx, g, fn, o...)
}

// filled is a world with n messages in INBOX, and a client that has it selected.
func filled(t *testing.T, o options, n int) (*world, *client) {
	w := newWorld(t, o)
	for i := range n {
		w.deliver("INBOX", fmt.Sprintf("From: sam@x.example\r\nSubject: %d\r\n\r\nHello %d.\r\n", i, i), 0)
	}
	c := w.login()
	c.ok("CREATE Work")
	c.ok("SELECT INBOX")
	return w, c
}

// drawPiped is a random command, some of them wrong, as it goes over the wire.
func drawPiped(r *rand.Rand) string {
	n := func() int { return 1 + r.IntN(9) }
	flag := []string{`\Seen`, `\Deleted`, "word", `\Answered`}[r.IntN(4)]
	box := []string{"INBOX", "Work", "inbox", "nowhere"}[r.IntN(4)]
	uid := []string{"", "UID "}[r.IntN(2)]
	switch r.IntN(12) {
	default:
		way := []string{"+", "-", ""}[r.IntN(3)] + "FLAGS" + []string{"", ".SILENT"}[r.IntN(2)]
		since := ""
		if r.IntN(4) == 0 {
			since = fmt.Sprintf("(UNCHANGEDSINCE %d) ", 10+r.IntN(60))
		}
		return fmt.Sprintf("%sSTORE %d:%d %s%s (%s)", uid, n(), n(), since, way, flag)
	case 4, 5:
		return fmt.Sprintf("%sCOPY %d,%d %s", uid, n(), n(), box)
	case 6, 7, 8:
		text := fmt.Sprintf("Subject: piped\r\n\r\n%s\r\n", strings.Repeat("x", r.IntN(9000)))
		return fmt.Sprintf("APPEND %s (%s) {%d+}\r\n%s", box, flag, len(text), text)
	case 9:
		return []string{"STORE", "NOOP", "COPY 1", "BOGUS", "STORE 1 FLAGS", "APPEND Work {3}"}[r.IntN(6)]
	case 10:
		return fmt.Sprintf("%sFETCH %d:* (UID FLAGS MODSEQ)", uid, n())
	case 11:
		return []string{"UID EXPUNGE 3", "STATUS Work (MESSAGES UIDNEXT)", "SEARCH ALL", "STORE * +FLAGS (star)"}[r.IntN(4)]
	}
}

// TestPipelined sends the same random commands one by one to one server and all
// at once to another: every byte of the answers is the same.
func TestPipelined(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			var cmds []string
			for i := range 40 {
				cmd := drawPiped(r)
				if strings.HasSuffix(cmd, "{3}") {
					cmd = "APPEND Work {3+}\r\nabc"
				}
				cmds = append(cmds, fmt.Sprintf("p%d %s\r\n", i, cmd))
			}
			var want, got strings.Builder
			_, slow := filled(t, options{}, 9)
			if seed%2 == 1 {
				slow.ok("ENABLE CONDSTORE")
			}
			for i, cmd := range cmds {
				slow.send(cmd)
				want.WriteString(strings.Join(slow.until(fmt.Sprintf("p%d", i)), "\n") + "\n")
			}
			_, fast := filled(t, options{}, 9)
			if seed%2 == 1 {
				fast.ok("ENABLE CONDSTORE")
			}
			if seed%4 > 1 {
				fast.compress()
			}
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				fast.send(strings.Join(cmds, ""))
			}()
			for i := range cmds {
				got.WriteString(strings.Join(fast.until(fmt.Sprintf("p%d", i)), "\n") + "\n")
			}
			<-sent
			if got.String() != want.String() {
				t.Error(firstDifference(want.String(), got.String()))
			}
		})
	}
}

// TestPipelineIsOneCommit: what has arrived together is committed together,
// what the client has to wait for is not waited for.
func TestPipelineIsOneCommit(t *testing.T) {
	t.Parallel()
	db := &counted{Store: memkv.New()}
	_, c := filled(t, options{engine: db}, 9)
	var b strings.Builder
	const n = 60
	for i := range n {
		text := fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("line\r\n", 300))
		fmt.Fprintf(&b, "a%d APPEND Work {%d+}\r\n%s\r\nb%d UID COPY 1 Work\r\nc%d UID STORE 2 +FLAGS (k%d)\r\n", i, len(text), text, i, i, i)
	}
	before := db.n.Load()
	go c.send(b.String())
	for i := range n {
		for _, tag := range []string{"a", "b", "c"} {
			if lines := c.until(fmt.Sprintf("%s%d", tag, i)); !strings.HasPrefix(lines[len(lines)-1], "OK") {
				t.Fatalf("%s%d: %q", tag, i, lines)
			}
		}
	}
	// Two groups at best; on a busy machine the client is slower than the server.
	if commits := db.n.Load() - before; commits > 3*n/2 {
		t.Errorf("%d commits for %d commands", commits, 3*n)
	}
	// Half a command behind a whole one, and a literal that must be asked for.
	c.send("d1 STORE 1 +FLAGS (half)\r\nd2 NO")
	c.until("d1")
	c.send("OP\r\n")
	c.until("d2")
	c.send("e1 STORE 1 -FLAGS (half)\r\ne2 APPEND Work {3}\r\n")
	c.until("e1")
	if l := c.line(); !strings.HasPrefix(l, "+") {
		t.Fatalf("%q, not a continuation request", l)
	}
	c.send("abc\r\n")
	c.until("e2")
}

// TestPipelineNumbers: a sequence number is what it was when the client wrote
// it, whatever is told meanwhile; a message that comes in between is told
// before the response of who put it there.
func TestPipelineNumbers(t *testing.T) {
	t.Parallel()
	w, c := filled(t, options{}, 5)
	other := w.login()
	other.ok("SELECT INBOX")
	other.ok(`STORE 2 +FLAGS.SILENT (\Deleted)`)
	other.ok("EXPUNGE")
	c.send("a COPY 1 Work\r\nb STORE 4 +FLAGS (fourth)\r\nc APPEND INBOX {3+}\r\nabc\r\nd COPY 3 Work\r\n")
	var all []string
	for _, tag := range []string{"a", "b", "c", "d"} {
		all = append(all, c.until(tag)...)
	}
	exists := -1
	for i, l := range all {
		switch {
		case strings.HasSuffix(l, "EXISTS"):
			exists = i
		case strings.Contains(l, "APPENDUID") && exists < 0:
			t.Errorf("the APPEND was answered before the message was told:\n%s", strings.Join(all, "\n"))
		}
	}
	found := other.ok("UID SEARCH KEYWORD fourth")
	if len(found) == 0 || found[0] != "* SEARCH 4" {
		t.Errorf("the fourth message is %q", found)
	}
}

// TestPipelineCutOff: a client that goes away in the middle of a command has
// given the commands before it.
func TestPipelineCutOff(t *testing.T) {
	t.Parallel()
	w, c := filled(t, options{}, 3)
	c.send("a STORE 1 +FLAGS (one)\r\nb STORE 2 +FLAGS (two)\r\nc APPEND Work {300+}\r\nabc")
	c.conn.Close()
	d := w.login()
	d.ok("SELECT INBOX")
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if found := d.ok("UID SEARCH OR KEYWORD one KEYWORD two"); found[0] == "* SEARCH 1 2" {
			break
		} else if time.Now().After(end) {
			t.Fatalf("flags are on %q", found)
		}
	}
}

// TestPipelineTrouble: when the store fails under a group each command is told
// so by itself, and the connection goes on.
func TestPipelineTrouble(t *testing.T) {
	t.Parallel()
	w, c := filled(t, options{budget: 200 * time.Millisecond}, 3)
	for _, trouble := range []error{kv.ErrUnavailable, kv.ErrUnknown, kv.ErrNoSpace, kv.ErrCorrupt, io.ErrUnexpectedEOF} {
		w.kv.fail(trouble)
		c.send("a STORE 1 +FLAGS (one)\r\nb COPY 2 Work\r\nc APPEND Work {3+}\r\nabc\r\nd STORE 3 +FLAGS (three)\r\n")
		for _, tag := range []string{"a", "b", "c", "d"} {
			lines := c.until(tag)
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "NO [") {
				t.Errorf("%v: %s was answered %q", trouble, tag, last)
			}
		}
		w.kv.fail(nil)
		c.ok("NOOP")
	}
	if got := c.ok("STATUS Work (MESSAGES)"); got[0] != "* STATUS Work (MESSAGES 0)" {
		t.Errorf("%q", got)
	}
	c.send("a STORE 1 +FLAGS (one)\r\nb COPY 2 Work\r\n")
	for _, tag := range []string{"a", "b"} {
		if lines := c.until(tag); !strings.HasPrefix(lines[len(lines)-1], "OK") {
			t.Errorf("%q", lines)
		}
	}
}
