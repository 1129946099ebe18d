package storage_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

const (
	readers = 50
	// memoryPerReader is what a client that reads a large file slowly may cost.
	memoryPerReader = 2 << 20
)

// rss is the memory of a process, in bytes.
func rss(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			must(t, err)
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestSlowReaders: many clients at once that have asked for a message with a
// file of 1 MB, and take it slowly, by IMAP, by POP3 and by HTTP, cost less than
// 2 MB each; and what each gets in the end is the message.
func TestSlowReaders(t *testing.T) {
	s := harness.Start(t)
	a := s.NewAccount(t)
	text := mail("large", noise(9, 1<<20))
	submit(t, s, a, text)
	var fetchers []harness.Account // one POP3 session at a time has an account's mail
	for range readers + 1 {
		f := s.NewAccount(t)
		submit(t, s, f, text)
		fetchers = append(fetchers, f)
	}
	whole := prepended + string(text)
	for way, ask := range map[string]func() (*net.TCPConn, *bufio.Reader){
		"IMAP": func() (*net.TCPConn, *bufio.Reader) {
			c, r := slow(t, s.IMAP, "* OK")
			say(t, c, r, "a LOGIN \""+a.User+"\" \""+a.Pass+"\"", "a OK")
			say(t, c, r, "b EXAMINE INBOX", "b OK")
			say(t, c, r, "c UID FETCH 1 (BODY.PEEK[])", "* 1 FETCH")
			return c, r
		},
		"POP3": func() (*net.TCPConn, *bufio.Reader) {
			f := fetchers[0]
			fetchers = fetchers[1:]
			c, r := slow(t, s.POP3, "+OK")
			say(t, c, r, "USER "+f.User, "+OK")
			say(t, c, r, "PASS "+f.Pass, "+OK")
			say(t, c, r, "RETR 1", "+OK")
			return c, r
		},
		"HTTP": func() (*net.TCPConn, *bufio.Reader) {
			c, r := slow(t, s.HTTP, "")
			say(t, c, r, "GET /v1/messages/1/raw HTTP/1.1\r\nHost: "+s.HTTP+"\r\nAuthorization: Bearer "+a.Token+"\r\n",
				"HTTP/1.1 200")
			return c, r
		},
	} {
		c, r := ask() // one first, for what any reader needs
		read(t, way, c, r, whole)
		before := rss(t, s.PID)
		conns, ins := make([]*net.TCPConn, readers), make([]*bufio.Reader, readers)
		for i := range readers {
			conns[i], ins[i] = ask()
		}
		time.Sleep(300 * time.Millisecond) // they fill what stands between
		peak := rss(t, s.PID)
		for i := range readers {
			read(t, way, conns[i], ins[i], whole)
			peak = max(peak, rss(t, s.PID))
		}
		per := (peak - before) / readers
		t.Logf("%s: %d readers of a message of %d bytes cost %d KiB each", way, readers, len(whole), per>>10)
		if per > memoryPerReader {
			t.Errorf("%s: a reader costs %d bytes, at most %d", way, per, memoryPerReader)
		}
	}
}

// slow connects with a small window, so that the server cannot send all at once.
func slow(t *testing.T, addr, greeting string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	must(t, err)
	t.Cleanup(func() { nc.Close() })
	c := nc.(*net.TCPConn)
	must(t, c.SetReadBuffer(32<<10))
	must(t, c.SetDeadline(time.Now().Add(2*time.Minute)))
	r := bufio.NewReaderSize(c, 512)
	if greeting != "" {
		say(t, c, r, "", greeting)
	}
	return c, r
}

// say sends a line and reads to the one that begins with want.
func say(t *testing.T, c net.Conn, r *bufio.Reader, line, want string) {
	t.Helper()
	if line != "" {
		_, err := io.WriteString(c, line+"\r\n")
		must(t, err)
	}
	for {
		got, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %.20q: %v", line, err)
		}
		if strings.HasPrefix(got, want) {
			return
		}
	}
}

// read reads to the end of the message, which must be whole.
func read(t *testing.T, way string, c *net.TCPConn, r *bufio.Reader, whole string) {
	t.Helper()
	must(t, c.SetReadBuffer(1<<20)) // fast from here
	if way == "HTTP" {
		say(t, c, r, "", "\r\n") // the end of the header
	}
	b := make([]byte, len(whole))
	_, err := io.ReadFull(r, b)
	must(t, err)
	if string(b) != whole {
		t.Errorf("%s: the message came back changed", way)
	}
	c.Close()
}
