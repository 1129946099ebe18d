package imapd_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
)

// FuzzSession sends anything in each state of a connection: nothing panics or
// hangs, every line that is answered has the form of a response, and the
// server is still there for the next client.
func FuzzSession(f *testing.F) {
	for state := range byte(4) {
		for _, s := range []string{
			"a NOOP\r\n", "a LOGIN x y\r\n", "a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY[])\r\nc STORE 1 +FLAGS (\\Deleted)\r\nd EXPUNGE\r\n",
			"a APPEND INBOX {5+}\r\nhello\r\nb APPEND INBOX (\\Seen) {3}\r\nabc\r\n", "a IDLE\r\nDONE\r\n", "a IDLE\r\nx\r\n",
			"a SEARCH CHARSET UTF-8 OR TEXT {1+}\r\nx NOT BODY y\r\n", "a UID COPY 1:* Sent\r\nb UID MOVE 1 Trash\r\n",
			"a AUTHENTICATE PLAIN\r\nAGEAYg==\r\n", "a LIST (SUBSCRIBED) \"\" (%* x) RETURN (STATUS (MESSAGES))\r\n",
			"a CREATE x/y\r\nb RENAME x z\r\nc DELETE z/y\r\n", "a FETCH 1 (BODYSTRUCTURE ENVELOPE BINARY[1]<0.3> BODY[1.MIME])\r\n",
			"a SELECT INBOX (CONDSTORE)\r\nb FETCH 1:* (MODSEQ) (CHANGEDSINCE 1)\r\nc UID SEARCH RETURN (MIN) MODSEQ 1\r\n",
			"a STATUS INBOX (MESSAGES SIZE)\r\nb CLOSE\r\nc UNSELECT\r\nd LOGOUT\r\n", "a {9999999999}\r\n", "\x16\x03\x01", "GET / HTTP/1.1\r\n",
		} {
			f.Add(state, []byte(s))
		}
	}
	w := newWorld(f, options{limits: mailstore.AccountLimits{Bytes: 1 << 20, Messages: 50}, limit: 64 << 10,
		budget: 5 * time.Second})
	w.deliver("INBOX", "Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", 0)
	f.Fuzz(func(t *testing.T, state byte, in []byte) {
		login := fmt.Sprintf("l LOGIN ann@d.example %q\r\n", password)
		prefix := []string{"", login, login + "s SELECT INBOX\r\n", login + "s EXAMINE INBOX\r\n"}[state%4]
		play(t, w, prefix, in)
	})
}

func play(t *testing.T, w *world, prefix string, in []byte) {
	mine, theirs := net.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	mine.SetDeadline(time.Now().Add(20 * time.Second))
	var wg sync.WaitGroup
	wg.Go(func() { w.imap.ServeConn(ctx, theirs, w.info) })
	wg.Go(func() {
		io.WriteString(mine, prefix)
		mine.Write(in)
		// Whatever the server waits for, it ends with the input.
		mine.(interface{ SetWriteDeadline(time.Time) error }).SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(mine, "\r\nDONE\r\nz LOGOUT\r\n")
		time.AfterFunc(50*time.Millisecond, func() { mine.Close() })
	})
	var out bytes.Buffer
	io.Copy(&out, mine)
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatalf("hangs on %q", in)
	}
	checkResponses(t, out.Bytes(), in)
}

// checkResponses checks that the output is made of responses.
func checkResponses(t *testing.T, out, in []byte) {
	r := bufio.NewReader(bytes.NewReader(out))
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if !strings.HasSuffix(l, "\r\n") {
			t.Fatalf("a line without CR: %q after %q", l, in)
		}
		for strings.HasSuffix(l, "}\r\n") {
			var n int
			if _, err := fmt.Sscanf(l[strings.LastIndexByte(l, '{'):], "{%d}", &n); err != nil {
				break
			}
			if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
				return
			}
			if l, err = r.ReadString('\n'); err != nil {
				return
			}
		}
	}
}
