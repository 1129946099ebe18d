package imapd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
)

// BenchmarkFetch times commands on a mailbox of 10,000 messages on the disk engine.
func BenchmarkFetch(b *testing.B) {
	db, err := pebblekv.Open(pebblekv.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	w := newWorld(b, options{limits: mailstore.AccountLimits{Messages: 1 << 30, Bytes: 1 << 40}, engine: db})
	c := w.login()
	c.conn.SetDeadline(time.Now().Add(time.Hour))
	const n = 10_000
	body := strings.Repeat("This is a line of text that is like any other line of text.\r\n", 60)
	var batch strings.Builder
	for i := range n {
		msg := fmt.Sprintf("From: \"Somebody\" <s%d@x.example>\r\nTo: ann@d.example\r\nSubject: message %d\r\n"+
			"Date: Mon, 2 Feb 2026 10:00:00 +0000\r\nMessage-ID: <%d@x.example>\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: text/plain; charset=utf-8\r\n\r\n%s", i, i, i, body)
		fmt.Fprintf(&batch, "x APPEND INBOX {%d+}\r\n%s\r\n", len(msg), msg)
		if i%100 == 99 {
			go c.send(batch.String())
			for range 100 {
				c.until("x")
			}
			batch.Reset()
		}
	}
	c.ok("SELECT INBOX")
	for _, cmd := range []string{"FETCH 1:* (UID FLAGS)", "FETCH 1:* ENVELOPE", "FETCH 1:* BODYSTRUCTURE",
		"FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)]", "FETCH 1:1000 BODY.PEEK[]", "SEARCH UNSEEN",
		"SEARCH SUBJECT zebra", "SEARCH TEXT zebra", "SELECT INBOX"} { // those above rate.PerSecond would measure that
		b.Run(strings.ReplaceAll(cmd, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.send("f " + cmd + "\r\n")
				c.drain("f ")
			}
		})
	}
}
