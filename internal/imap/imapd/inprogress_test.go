package imapd_test

import (
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/imap/imapd"
)

// TestInProgress: who waits is told how far it is, within what was asked for.
func TestInProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.o.ProgressEvery = time.Nanosecond
	w.imap = imapd.New(w.o)
	w.listen()
	for range 150 {
		w.deliver("INBOX", "Subject: x\r\n\r\nx\r\n", 0)
	}
	c := w.login()
	c.ok("SELECT INBOX")
	for _, cmd := range []string{"SEARCH BODY nothing", "SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"} {
		l := c.ok(cmd)
		if !strings.HasPrefix(l[0], `* OK [INPROGRESS ("t`) || !strings.Contains(l[0], " 150)]") {
			t.Error(cmd, l)
		}
	}
}
