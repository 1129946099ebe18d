package imapd_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/test/rawimap"
)

// FuzzSession sends anything in each state of a connection: nothing panics or
// hangs, all that is answered are responses, no sequence number is one that
// the client has not been told of, nothing leaks, and the server is still
// there for the next client.
func FuzzSession(f *testing.F) {
	for state := range byte(4) {
		for _, s := range []string{
			"a NOOP\r\n", "a LOGIN x y\r\n", "a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY[])\r\nc STORE 1 +FLAGS (\\Deleted)\r\nd EXPUNGE\r\n",
			"a APPEND INBOX {5+}\r\nhello\r\nb APPEND INBOX (\\Seen) {3}\r\nabc\r\n", "a IDLE\r\nDONE\r\n", "a IDLE\r\nx\r\n",
			"a SEARCH CHARSET UTF-8 OR TEXT {1+}\r\nx NOT BODY y\r\n", "a UID COPY 1:* Sent\r\nb UID MOVE 1 Trash\r\n",
			"a AUTHENTICATE PLAIN\r\nAGEAYg==\r\n", "a LIST (SUBSCRIBED) \"\" (%* x) RETURN (STATUS (MESSAGES))\r\n",
			"a CREATE x/y\r\nb RENAME x z\r\nc DELETE z/y\r\n", "a FETCH 1 (BODYSTRUCTURE ENVELOPE BINARY[1]<0.3> BODY[1.MIME])\r\n",
			"a SELECT INBOX (CONDSTORE)\r\nb FETCH 1:* (MODSEQ) (CHANGEDSINCE 1)\r\nc UID SEARCH RETURN (MIN) MODSEQ 1\r\n",
			"a STATUS INBOX (MESSAGES SIZE)\r\nb CLOSE\r\nc UNSELECT\r\nd LOGOUT\r\n", "a ENABLE QRESYNC IMAP4rev2 UTF8=ACCEPT\r\nb SELECT INBOX (QRESYNC (1 1 1:3 (1 1)))\r\nc UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)\r\n",
			"a ENABLE UIDONLY\r\nb SELECT INBOX\r\nc UID FETCH 1:* (FLAGS) (PARTIAL -1:-2)\r\nd UID STORE 1 +FLAGS (x)\r\n",
			"a UID SEARCH RETURN (SAVE PARTIAL 1:2 COUNT) ALL\r\nb FETCH $ (UID)\r\nc UID STORE $ +FLAGS (\\Deleted)\r\nd EXPUNGE\r\n",
			"a SORT RETURN (MIN ALL) (REVERSE SUBJECT DATE DISPLAYFROM) UTF-8 ALL\r\nb THREAD REFERENCES UTF-8 1:*\r\nc UID THREAD ORDEREDSUBJECT UTF-8 ALL\r\n",
			"a APPEND INBOX {3+}\r\nabc (\\Seen) {3+}\r\ndef\r\nb SELECT INBOX\r\nc REPLACE 1 INBOX {3+}\r\nghi\r\n",
			"a NOTIFY SET STATUS (selected (MessageNew (FLAGS) MessageExpunge)) (subtree (a b) (MailboxName))\r\nb CREATE a/b\r\n",
			"a GETQUOTAROOT INBOX\r\nb STATUS INBOX (DELETED-STORAGE)\r\nc UNAUTHENTICATE\r\n",
			"a AUTHENTICATE SCRAM-SHA-256 biwsbj1hLHI9Yg==\r\nYz1iaXdzLHI9YixwPWE=\r\n", "a COMPRESS DEFLATE\r\n\xca\x54\x01\x00",
			"a {9999999999}\r\n", "\x16\x03\x01", "GET / HTTP/1.1\r\n",
		} {
			f.Add(state, []byte(s))
		}
	}
	w := newWorld(f, options{limits: mailstore.AccountLimits{Bytes: 1 << 20, Messages: 50}, limit: 64 << 10,
		budget: 5 * time.Second})
	w.deliver("INBOX", "Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n", 0)
	const leakEvery = 1000
	inputs := 0
	f.Fuzz(func(t *testing.T, state byte, in []byte) {
		login := fmt.Sprintf("l LOGIN ann@d.example %q\r\n", password)
		prefix := []string{"", login, login + "s SELECT INBOX\r\n", login + "s EXAMINE INBOX\r\n"}[state%4]
		play(t, w, prefix, in)
		if inputs++; inputs%leakEvery == 0 {
			checkLeaks(t)
		}
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

// checkResponses checks that the output is made of responses, and that the
// numbers in them are those of messages that the client has been told of.
func checkResponses(t *testing.T, out, in []byte) {
	r := bufio.NewReader(bytes.NewReader(out))
	var n numbers
	for {
		l, err := r.Peek(min(len(out), len(deflating)+64))
		if i := bytes.Index(l, []byte(deflating)); i >= 0 && !bytes.Contains(l[:i], []byte("\n")) {
			_, _ = r.ReadString('\n')
			r = bufio.NewReader(flate.NewReader(r))
			continue
		}
		if len(l) == 0 {
			return
		}
		v, err := rawimap.Read(r)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return // it was cut off
		}
		if err == nil {
			err = n.take(v)
		}
		if err != nil {
			t.Fatalf("%v in the answer to %q:\n%q", err, in, out)
		}
	}
}

// deflating is the end of the last line that is not compressed.
const deflating = " OK DEFLATE active\r\n"

// numbers are what a client believes of sequence numbers.
type numbers struct {
	exists  int
	fewer   bool // EXISTS told of fewer: only a SELECT may
	selects bool // since the last tagged response
}

func (n *numbers) take(v rawimap.Value) error {
	if len(v.List) == 0 {
		return errors.New("an empty response")
	}
	if tag := v.List[0].Text; tag != "*" && tag != "+" {
		if n.fewer && !n.selects {
			return errors.New("EXISTS of fewer than before, without a SELECT")
		}
		n.fewer, n.selects = false, false
		return nil
	}
	if len(v.List) < 3 {
		return nil
	}
	if code := v.List[2].List; v.List[1].Word() == "OK" && len(code) > 1 && code[1].Word() == "UIDVALIDITY" {
		n.selects = true
	}
	if v.List[1].Word() == "VANISHED" && v.List[2].Kind == 'a' {
		n.exists -= ranges(v.List[2].Text)
		return nil
	}
	at, err := strconv.Atoi(v.List[1].Text)
	if err != nil {
		return nil
	}
	switch word := v.List[2].Word(); {
	case word == "EXISTS":
		n.fewer = n.fewer || at < n.exists
		n.exists = at
	case (word == "FETCH" || word == "EXPUNGE") && (at < 1 || at > n.exists):
		return fmt.Errorf("%d %s, but %d exist", at, word, n.exists)
	case word == "EXPUNGE":
		n.exists--
	}
	return nil
}

// ranges is how many numbers a set has.
func ranges(set string) (n int) {
	for part := range strings.SplitSeq(set, ",") {
		from, to, ranged := strings.Cut(part, ":")
		a, _ := strconv.Atoi(from)
		b, _ := strconv.Atoi(to)
		if n++; ranged {
			n += max(a, b) - min(a, b)
		}
	}
	return n
}

// Limit: goroutines and bytes of memory that the server of a fuzz run may come to.
const (
	fuzzGoroutines = 500
	fuzzMemory     = 1 << 30
)

// checkLeaks looks at the process after many inputs. On a machine that stalls, the
// connections of many are closed at one moment: those goroutines end by themselves.
func checkLeaks(t *testing.T) {
	end := time.Now().Add(10 * time.Second)
	for ; runtime.NumGoroutine() > fuzzGoroutines; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines", runtime.NumGoroutine())
		}
	}
	var m runtime.MemStats
	runtime.GC()
	if runtime.ReadMemStats(&m); m.HeapAlloc > fuzzMemory {
		t.Fatalf("%d bytes of memory", m.HeapAlloc)
	}
}
