package message_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/message"
)

// fill repeats unit to n bytes.
func fill(unit string, n int) string { return strings.Repeat(unit, n/len(unit)+1)[:n] }

// count makes n bytes of numbered pieces.
func count(format string, n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

const multi = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"

// hostileShapes are inputs that were quadratic, or worse, somewhere.
var hostileShapes = []struct {
	name string
	make func(n int) string
	run  func(b []byte)
}{
	{"boundaries with shared prefixes", sharedPrefixes, parse},
	{"boundary lines that almost match", func(n int) string {
		return sharedPrefixes(min(n, 40<<10)) + fill("--"+strings.Repeat("a", 200)+"!\r\n", n)
	}, parse},
	{"nested multiparts with one boundary", func(n int) string {
		return fill("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", n)
	}, parse},
	{"parts of one multipart", func(n int) string { return multi + fill("\r\nx\r\n--b\r\n", n) }, parse},
	{"closing boundaries", func(n int) string { return multi + fill("\r\n--b--\r\n", n) }, parse},
	{"dashes", func(n int) string { return multi + "\r\n" + fill("--\n", n) }, parse},
	{"nested messages", func(n int) string { return fill("Content-Type: message/rfc822\r\n\r\n", n) }, parse},
	{"nested digests", func(n int) string {
		return fill("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n", n)
	}, parse},
	{"header flood", func(n int) string { return fill("X: y\r\nTo: a@b\r\nReferences: <a@b>\r\n", n) }, parse},
	{"folded header", func(n int) string { return "To: a" + fill("\r\n ,b@c", n) }, parse},
	{"one header line", func(n int) string { return "References: " + count("<%d@a>", n) }, parse},
	{"continuations", func(n int) string {
		one := "Content-Type: text/plain" + count(";\r\n name*%d*=a", 4<<10) + "\r\n\r\n--b\r\n"
		return multi + fill(one, n)
	}, parse},
	{"continuations backwards", func(n int) string {
		var b strings.Builder
		for i := 999; i >= 0; i-- {
			fmt.Fprintf(&b, "; n*%d=a", i)
		}
		return multi + fill("Content-Type: text/plain"+b.String()+"\r\n\r\n--b\r\n", n)
	}, parse},
	{"padding", func(n int) string {
		return "Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + fill("=", n)
	}, parse},
	{"base64 garbage", func(n int) string {
		return "Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + fill("A=\x00*\r\n", n)
	}, parse},
	{"quoted-printable garbage", func(n int) string {
		return "Content-Type: a/b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + fill("= \t=a=\r", n)
	}, parse},
	{"quoted-printable space", func(n int) string {
		return "Content-Type: a/b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + fill(" ", n)
	}, parse},
	{"HTML", func(n int) string {
		return multi + "Content-Type: text/html\r\n\r\n" + fill("<<!--cid:<style></scid:", n)
	}, parse},
	{"one line", func(n int) string { return "\r\n" + fill("x", n) }, parse},
	{"encoded words", func(n int) string { return fill("=?utf-8?q?=c3?= ", n) }, decodeHeader},
	{"encoded words without end", func(n int) string { return fill("=?utf-8?q?a", n) }, decodeHeader},
	{"encoded word starts", func(n int) string { return fill("=?", n) }, decodeHeader},
	{"encoded words in many charsets", func(n int) string {
		return fill("=?iso-8859-1?q?a?= =?x?b?AA?= =?koi8-r?b?AA?=", n)
	}, decodeHeader},
	{"address comments", func(n int) string { return fill("(", n) }, addresses},
	{"address comments closed", func(n int) string { return fill("(", n/2) + fill(")", n/2) }, addresses},
	{"address quotes", func(n int) string { return fill(`"\`, n) }, addresses},
	{"address brackets", func(n int) string { return fill(`<"<`, n) }, addresses},
	{"address routes", func(n int) string { return fill("<@a,", n) }, addresses},
	{"address words", func(n int) string { return fill("a @", n) }, addresses},
	{"address literals", func(n int) string { return fill("[", n) }, addresses},
	{"message ids", func(n int) string { return count("<%d@a>", n) }, ids},
	{"message id brackets", func(n int) string { return fill("<", n) }, ids},
	{"links", func(n int) string { return fill("a://(((", n) }, links},
	{"link signs", func(n int) string { return fill("://@www.", n) }, links},
	{"anchors", func(n int) string { return fill("<a href=x:y>", n) }, links},
	{"codes", func(n int) string { return fill("code 123456 ", n) }, links},
	{"subject", func(n int) string { return fill("re: [x] ", n/2) + fill("[y]", n/2) + fill("(fwd)", n/4) }, func(b []byte) {
		message.BaseSubject(string(b))
	}},
	{"header fields", func(n int) string { return fill("a: b\r\n c\r\n\t\r\n", n) }, func(b []byte) {
		for f := range message.HeaderFields(b) {
			_ = f.Is("to")
		}
	}},
	{"long field", func(n int) string { return "a: " + fill("b\r\n ", n) }, func(b []byte) {
		for f := range message.HeaderFields(b) {
			_ = f.Text()
		}
	}},
}

func sharedPrefixes(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		p := strings.Repeat("a", 20+i%200)
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n", p, p)
	}
	return b.String()
}

func parse(b []byte) {
	x := message.Parse(b)
	for range message.WalkParts(x.Root) {
		continue
	}
}
func decodeHeader(b []byte) { message.DecodeHeader(string(b)) }
func addresses(b []byte)    { message.ParseAddresses(string(b)) }
func ids(b []byte)          { message.MessageIDs(string(b)) }
func links(b []byte) {
	message.FindLinks(string(b))
	message.Links(string(b), string(b))
	message.HTMLText(string(b))
}

// TestLinear makes each hostile shape eight times as big, from 512 KB to 4 MB, or
// from 64 KB to 16 MB in doublings with EIDER_SOAK set. Each doubling may cost
// 2.5 times as much.
func TestLinear(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	from, to, step, limit := 512<<10, 4<<20, 8, 15.6
	if os.Getenv("EIDER_SOAK") != "" {
		from, to, step, limit = 64<<10, 16<<20, 2, 2.5
	}
	for _, s := range hostileShapes {
		small := []byte(s.make(from))
		before := cost(s.run, small)
		for n := from * step; n <= to; n *= step {
			big := []byte(s.make(n))
			took := cost(s.run, big)
			for try := 0; float64(took) > limit*float64(before) && took > 20*time.Millisecond; try++ {
				if try == 8 { // the machine is busy with other things at times
					t.Errorf("%s: %d KB took %v, a part of 1/%d %v", s.name, n>>10, took, step, before)
					break
				}
				before, took = min(before, cost(s.run, small)), min(took, cost(s.run, big))
			}
			small, before = big, took
		}
		t.Logf("%-40s %4d MB %v", s.name, to>>20, before)
	}
}

// cost is what one run takes; short ones are repeated, for clocks that tick slowly.
func cost(run func([]byte), b []byte) time.Duration {
	start := cpuTime()
	for i := 1; ; i++ {
		run(b)
		if took := cpuTime() - start; took >= 10*time.Millisecond || i == 16 {
			return took / time.Duration(i)
		}
	}
}

// TestSplits indexes each hostile shape cut at every point.
func TestSplits(t *testing.T) {
	t.Parallel()
	for _, s := range hostileShapes {
		b := []byte(s.make(600))
		want := fmt.Sprintf("%+v", dump(message.Parse(b)))
		for i := range b {
			x := message.NewIndexer(message.Limits{})
			_, _ = x.Write(b[:i])
			_, _ = x.Write(b[i:])
			if got := dump(x.Index()); got != want {
				t.Fatalf("%s cut at %d:\n got %s\nwant %s", s.name, i, got, want)
			}
		}
		x := message.NewIndexer(message.Limits{})
		_, _ = io.Copy(x, iotestOneByte(b))
		if got := dump(x.Index()); got != want {
			t.Fatalf("%s byte by byte:\n got %s\nwant %s", s.name, got, want)
		}
	}
}

func iotestOneByte(b []byte) io.Reader { return &oneByte{bytes.NewReader(b)} }

type oneByte struct{ r io.Reader }

func (o *oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }
