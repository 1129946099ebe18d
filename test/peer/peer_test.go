package peer_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/peer"
)

// TestPeers: each peer lets a new user in, and shows an empty INBOX.
func TestPeers(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *peer.IMAP{
		"dovecot maildir": func(t testing.TB) *peer.IMAP { return peer.Dovecot(t, "maildir", "100M") },
		"dovecot mdbox":   func(t testing.TB) *peer.IMAP { return peer.Dovecot(t, "mdbox", "100M") },
		"cyrus":           peer.Cyrus,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			c, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			var all strings.Builder
			fmt.Fprintf(c, "a %s\r\n", s.Login(s.NewUser()))
			for r := bufio.NewScanner(c); r.Scan(); {
				all.WriteString(r.Text() + "\n")
				if strings.HasPrefix(r.Text(), "a ") {
					fmt.Fprint(c, "b LIST \"\" *\r\nc SELECT INBOX\r\nd LOGOUT\r\n")
				}
			}
			for _, want := range []string{"a OK", "Drafts", "* 0 EXISTS", "c OK", "d OK"} {
				if !strings.Contains(all.String(), want) {
					t.Errorf("no %q in\n%s\nlog:\n%s", want, all.String(), s.Log())
				}
			}
		})
	}
}
