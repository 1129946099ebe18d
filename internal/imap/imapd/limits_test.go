package imapd_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapd"
)

// TestMaxHeader: a field within MaxHeader is found, one that begins behind it is not.
func TestMaxHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{limit: 4 << 20})
	line := "X-Fill: " + strings.Repeat("f", 990) + "\r\n"
	fill := strings.Repeat(line, imap.MaxHeader/len(line))
	early := "X-Mark: here\r\n"
	w.deliver("INBOX", early+fill+"\r\nbody\r\n", 0)
	w.deliver("INBOX", fill+line+early+"\r\nbody\r\n", 0)
	c := w.login()
	c.ok("SELECT INBOX")
	for seq, want := range []bool{true, false} {
		got := strings.Join(c.ok(fmt.Sprintf("FETCH %d BODY.PEEK[HEADER.FIELDS (X-Mark)]", seq+1)), "\n")
		if strings.Contains(got, "X-Mark: here") != want {
			t.Errorf("message %d: %q", seq+1, got)
		}
	}
}

// TestMaxKnownKeywords: a mailbox may have more keywords than a session is told of in FLAGS.
func TestMaxKnownKeywords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	c := w.login()
	const each = 50
	for i := 0; i < imap.MaxKnownKeywords+each; i += each {
		var words []string
		for j := range each {
			words = append(words, fmt.Sprint("word", i+j))
		}
		c.ok("APPEND INBOX (" + strings.Join(words, " ") + ") {14+}\r\nSubject: x\r\n\r\n")
	}
	told := 0
	for _, l := range c.ok("SELECT INBOX") {
		if strings.HasPrefix(l, "* FLAGS") {
			told = strings.Count(l, "word")
		}
	}
	if told != imap.MaxKnownKeywords {
		t.Errorf("%d keywords are told", told)
	}
	got := strings.Join(c.ok(fmt.Sprintf("SEARCH KEYWORD word%d", imap.MaxKnownKeywords+1)), "\n")
	if !strings.Contains(got, "* SEARCH 21") {
		t.Errorf("one that was not told is not found: %q", got)
	}
}

// TestMaxSearchHeader: SEARCH finds a text that ends with maxSearchHeader bytes
// of a header, and none that goes on behind them.
func TestMaxSearchHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{limit: 4 << 20})
	mark := "X-Mark: here\r\n"
	line := "X-Fill: " + strings.Repeat("f", 990) + "\r\n"
	room := imapd.MaxSearchHeader - len(mark)
	fill := strings.Repeat(line, room/len(line)-1)
	last := "X-Fill: " + strings.Repeat("f", room-len(fill)-len("X-Fill: \r\n")) + "\r\n"
	w.deliver("INBOX", fill+last+mark+line+"\r\nbody\r\n", 0)
	w.deliver("INBOX", fill+"f"+strings.ReplaceAll(last, "\r\n", "ffff\r\n")+mark+line+"\r\nbody\r\n", 0)
	c := w.login()
	c.ok("SELECT INBOX")
	for _, key := range []string{"HEADER X-Mark here", "TEXT here"} {
		if got := c.ok("SEARCH " + key); len(got) != 1 || got[0] != "* SEARCH 1" {
			t.Errorf("%s: %q", key, got)
		}
	}
}

// TestBudgets: a store that does not answer is waited for as long as
// CommandBudget, and AppendBudget where messages are stored; then the client is
// told, and goes on when the store is there again.
func TestBudgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, options{piped: true})
		c := w.login()
		for cmd, want := range map[string]time.Duration{
			"STATUS Sent (MESSAGES)":    imapd.CommandBudget,
			"SELECT INBOX":              imapd.CommandBudget,
			"APPEND Sent {3+}\r\nx\r\n": imapd.AppendBudget,
		} {
			w.kv.hangs.Store(true)
			start := time.Now()
			l := c.run(cmd)
			d := time.Since(start)
			w.kv.hangs.Store(false)
			if d != want || !has(l, "NO [UNAVAILABLE]") {
				t.Errorf("%s: after %v: %q", cmd, d, l)
			}
			c.ok("NOOP")
		}
	})
}
