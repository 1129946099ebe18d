package imapd_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// squeezed is a client's connection after COMPRESS.
type squeezed struct {
	io.Reader
	z *flate.Writer
}

func (c *client) compress() *squeezed {
	c.t.Helper()
	c.ok("COMPRESS DEFLATE")
	z, err := flate.NewWriter(c.conn, 6)
	if err != nil {
		c.t.Fatal(err)
	}
	s := &squeezed{flate.NewReader(c.conn), z}
	c.r = bufio.NewReader(s)
	c.write = func(text string) error {
		if _, err := io.WriteString(z, text); err != nil {
			return err
		}
		return z.Flush()
	}
	return s
}

// TestCompress: all goes through a compressed connection, IDLE and large
// messages both ways, with the server's compressor changing in between.
func TestCompress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	c := w.login()
	if l := c.run("COMPRESS GZIP"); !has(l, "NO [CANNOT]") {
		t.Error(l)
	}
	c.compress()
	if l := c.run("COMPRESS DEFLATE"); !has(l, "NO [COMPRESSIONACTIVE]") {
		t.Error(l)
	}
	if l := c.ok("CAPABILITY"); has(l, "COMPRESS") {
		t.Error(l)
	}
	text := "Subject: large\r\n\r\n" + strings.Repeat("The same line again and again.\r\n", 20_000)
	c.send(fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s\r\n", len(text), text))
	if l := c.until("a"); !has(l, "OK [APPENDUID") {
		t.Fatal(l)
	}
	c.ok("SELECT INBOX")
	for range 3 {
		c.send("b FETCH 1 BODY.PEEK[]\r\n")
		c.line()
		got := make([]byte, len(text))
		if _, err := io.ReadFull(c.r, got); err != nil || string(got) != text {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		c.until("b")
	}
	c.send("c IDLE\r\n")
	if l := c.line(); !strings.HasPrefix(l, "+") {
		t.Fatal(l)
	}
	w.deliver("INBOX", "Subject: x\r\n\r\nx\r\n", 0)
	if l := c.line(); l != "* 2 EXISTS" {
		t.Error(l)
	}
	c.send("DONE\r\n")
	c.until("c")
	c.ok("LOGOUT")
}

// TestCompressBomb: a little input that becomes a lot is under the limits of
// any input: the line is refused, and what goes on is cut off.
func TestCompressBomb(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	c := w.login()
	s := c.compress()
	zeros := strings.Repeat("0", 1<<20)
	c.send(zeros + "\r\n")
	if l := c.line(); l != "* BAD command line too long" {
		t.Error(l)
	}
	c.send("b SEARCH " + zeros + "\r\n") // a client waits for the answer to what it named
	if l := c.line(); l != "b BAD command line too long" {
		t.Error(l)
	}
	c.ok("NOOP")
	c.conn.SetDeadline(time.Now().Add(time.Minute))
	// Packed once: what follows a flush stands on its own if it begins so.
	var packed bytes.Buffer
	s.z.Reset(&packed)
	io.WriteString(s.z, zeros)
	s.z.Flush()
	go func() {
		for range 300 {
			if _, err := c.conn.Write(packed.Bytes()); err != nil {
				return
			}
		}
	}()
	if l := c.line(); !strings.HasPrefix(l, "* BYE [TOOBIG]") {
		t.Error(l)
	}
	c = w.login()
	c.compress()
	io.WriteString(c.conn, "this is not DEFLATE, and so the connection ends")
	if b, _ := io.ReadAll(c.conn); len(b) > 0 {
		t.Logf("%d bytes", len(b))
	}
}
