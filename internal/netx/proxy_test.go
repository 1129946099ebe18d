package netx_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/test/harness"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// header is a PROXY header of version 2 as HAProxy sends it.
func header(command byte, src, dst string, records ...byte) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	family := byte(0x11)
	if s.Addr().Is6() {
		family = 0x21
	}
	b := append([]byte(signature), command, family, 0, 0)
	b = append(append(b, s.Addr().AsSlice()...), d.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, s.Port())
	b = append(binary.BigEndian.AppendUint16(b, d.Port()), records...)
	binary.BigEndian.PutUint16(b[14:], uint16(len(b)-16))
	return b
}

func record(kind byte, value ...byte) []byte {
	return append([]byte{kind, byte(len(value) >> 8), byte(len(value))}, value...)
}

// summed is a header with a right checksum (specification §2.2.3).
func summed(src, dst string, records ...byte) []byte {
	b := header(0x21, src, dst, append(records, record(3, 0, 0, 0, 0)...)...)
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

const four, six = "192.0.2.7:4711", "[2001:db8::7]:4711"

func TestReadProxyHeader(t *testing.T) {
	t.Parallel()
	broken := summed(four, four)
	broken[20] ^= 1
	unix := append([]byte(signature), 0x21, 0x31, 0, 216)
	unix = append(unix, make([]byte, 216)...)
	for name, c := range map[string]struct {
		in   []byte
		want string // the source, "local", or ""
		err  error
	}{
		"IPv4":        {header(0x21, four, "10.0.0.1:25"), four, nil},
		"IPv6":        {header(0x21, six, "[::1]:25"), six, nil},
		"mapped":      {header(0x21, "[::ffff:192.0.2.7]:4711", "[::1]:25"), four, nil},
		"records":     {header(0x21, four, four, append(record(4), record(5, 1, 2, 3)...)...), four, nil},
		"checksum":    {summed(six, six, record(1, 'h', '2')...), six, nil},
		"local":       {header(0x20, four, four), "local", nil},
		"local alone": {append([]byte(signature), 0x20, 0, 0, 0), "local", nil},
		"wrong sum":   {broken, "", netx.ErrBadProxy},
		"version 1":   {[]byte("PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n"), "", netx.ErrProxyV1},
		"SMTP":        {[]byte("EHLO me.test\r\n"), "", netx.ErrNoProxy},
		"TLS":         {[]byte("\x16\x03\x01\x02\x00\x01\x00"), "", netx.ErrNoProxy},
		"nearly":      {[]byte("\r\n\r\n\x00\r\nQUIX\n\x21\x11\x00\x00"), "", netx.ErrNoProxy},
		"command 2":   {header(0x22, four, four), "", netx.ErrBadProxy},
		"version 3":   {header(0x31, four, four), "", netx.ErrBadProxy},
		"Unix socket": {unix, "", netx.ErrBadProxy},
		"unspecified": {append([]byte(signature), 0x21, 0, 0, 0), "", netx.ErrBadProxy},
		"UDP":         {append(append([]byte(signature), 0x21, 0x12, 0, 12), make([]byte, 12)...), "", netx.ErrBadProxy},
		"too short":   {append(append([]byte(signature), 0x21, 0x11, 0, 4), 1, 2, 3, 4), "", netx.ErrBadProxy},
		"cut record":  {header(0x21, four, four, 4, 0, 9, 1), "", netx.ErrBadProxy},
		"cut type":    {header(0x21, four, four, 4), "", netx.ErrBadProxy},
		"long":        {append([]byte(signature), 0x21, 0x11, 0xff, 0xff), "", netx.ErrBadProxy},
		"cut":         {header(0x21, four, four)[:20], "", io.ErrUnexpectedEOF},
		"empty":       {nil, "", io.EOF},
	} {
		r := bytes.NewReader(append(c.in[:len(c.in):len(c.in)], "tail"...))
		if name == "cut" || name == "empty" {
			r = bytes.NewReader(c.in)
		}
		h, err := netx.ReadProxyHeader(r)
		if !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s: error %v, want %v", name, err, c.err)
			continue
		}
		got := ""
		switch {
		case h.Local:
			got = "local"
		case h.Source.IsValid():
			got = h.Source.String()
		}
		if err == nil && got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if rest, _ := io.ReadAll(r); err == nil && string(rest) != "tail" {
			t.Errorf("%s: %q is left", name, rest)
		}
	}
}

func FuzzReadProxyHeader(f *testing.F) {
	f.Add(header(0x21, four, four))
	f.Add(summed(six, six, record(4)...))
	f.Add(header(0x20, four, four))
	f.Add([]byte("PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := netx.ReadProxyHeader(r)
		if err == nil && !h.Local && !h.Source.IsValid() {
			t.Error("a header without an address")
		}
		if used := len(b) - r.Len(); used > 16+netx.MaxProxyHeader {
			t.Errorf("%d bytes were read", used)
		}
	})
}

// behind serves a listener of Proxied that greets with the client's address.
func behind(t *testing.T, o netx.ProxyOptions, n netx.Options) (string, *harness.Log, func() error) {
	t.Helper()
	l, err := netx.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &harness.Log{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- netx.Serve(ctx, netx.Proxied(l, o), n, func(_ context.Context, c net.Conn) {
			if !netx.ViaProxy(c) {
				t.Error("a connection that no proxy sent")
			}
			io.WriteString(c, netx.ClientAddr(c).String()+"\n")
			io.Copy(c, c)
		})
	}()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return l.Addr().String(), log, stop
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func TestProxied(t *testing.T) {
	t.Parallel()
	addr, log, stop := behind(t, netx.ProxyOptions{From: loopback()}, netx.Options{Drain: 100 * time.Millisecond})
	// One that says nothing delays nobody.
	silent := dial(t, addr)
	for _, src := range []string{four, six} {
		c := dial(t, addr)
		c.Write(append(header(0x21, src, src), "hello\n"...))
		if got := readLine(c); got != src+"\n" {
			t.Errorf("from %s: %q", src, got)
		}
	}
	// The header in two pieces, and what follows it.
	c := dial(t, addr)
	h := header(0x21, four, four)
	c.Write(h[:7])
	time.Sleep(10 * time.Millisecond)
	c.Write(h[7:])
	if got := readLine(c); got != four+"\n" {
		t.Errorf("in pieces: %q", got)
	}
	io.WriteString(c, "ping\n")
	if got := readLine(c); got != "ping\n" {
		t.Errorf("after the header: %q", got)
	}
	local := dial(t, addr)
	local.Write(header(0x20, four, four))
	if got := readLine(local); got != local.LocalAddr().String()+"\n" {
		t.Errorf("LOCAL: %q", got)
	}
	old := dial(t, addr)
	io.WriteString(old, "PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n")
	if got := readLine(old); got != "" {
		t.Errorf("version 1 got %q", got)
	}
	for end := time.Now().Add(5 * time.Second); !strings.Contains(log.String(), "send-proxy-v2"); {
		if time.Now().After(end) {
			t.Fatalf("the log does not tell what to do: %s", log.String())
		}
		time.Sleep(time.Millisecond)
	}
	begin := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("the end took %v", d)
	}
	silent.SetReadDeadline(time.Now().Add(time.Second))
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a connection without header outlives its listener")
	}
}

func TestProxied_Strangers(t *testing.T) {
	t.Parallel()
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	addr, log, _ := behind(t, netx.ProxyOptions{From: elsewhere}, netx.Options{})
	c := dial(t, addr)
	c.Write(header(0x21, four, four))
	if got := readLine(c); got != "" {
		t.Errorf("a stranger got %q", got)
	}
	for range 20 {
		c := dial(t, addr)
		readLine(c)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "--proxy-from") {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func TestProxied_Timeout(t *testing.T) {
	t.Parallel()
	addr, _, _ := behind(t, netx.ProxyOptions{From: loopback(), Time: 20 * time.Millisecond}, netx.Options{})
	c := dial(t, addr)
	c.Write([]byte(signature)[:5])
	begin := time.Now()
	if got := readLine(c); got != "" || time.Since(begin) > 5*time.Second {
		t.Errorf("a slow header got %q after %v", got, time.Since(begin))
	}
	// Who sent its header in time is not cut off by that limit.
	c = dial(t, addr)
	c.Write(header(0x21, four, four))
	if got := readLine(c); got != four+"\n" {
		t.Fatalf("got %q", got)
	}
	time.Sleep(60 * time.Millisecond)
	io.WriteString(c, "still\n")
	if got := readLine(c); got != "still\n" {
		t.Errorf("later: %q", got)
	}
}

// TestProxied_MaxPerHost: limits count the client's address, not the proxy's; of IPv6 the /64.
func TestProxied_MaxPerHost(t *testing.T) {
	t.Parallel()
	addr, _, _ := behind(t, netx.ProxyOptions{From: loopback()}, netx.Options{MaxPerHost: 1, Refuse: refuse})
	for _, c := range []struct {
		src    string
		served bool
	}{
		{"[2001:db8:0:1::1]:1", true}, {"[2001:db8:0:1::2]:1", false}, {"[2001:db8:0:2::1]:1", true},
		{"192.0.2.1:1", true}, {"192.0.2.2:1", true}, {"192.0.2.1:2", false},
	} {
		conn := dial(t, addr)
		conn.Write(header(0x21, c.src, c.src))
		if got := readLine(conn); (got == c.src+"\n") != c.served {
			t.Errorf("%s: %q", c.src, got)
		}
	}
}

// handed is a listener that gives out connections that are put into it.
type handed struct {
	conns chan net.Conn
	ctx   context.Context
	end   context.CancelFunc
}

func newHanded() *handed {
	h := &handed{conns: make(chan net.Conn)}
	h.ctx, h.end = context.WithCancel(context.Background())
	return h
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error   { h.end(); return nil }
func (h *handed) Addr() net.Addr { return &net.TCPAddr{} }

// near is a connection from loopback.
type near struct{ net.Conn }

func (near) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// TestProxied_Silent: MaxProxyPending connections may owe their header, each for
// ProxyHeaderTime; one more is closed at once.
func TestProxied_Silent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := newHanded()
		l := netx.Proxied(in, netx.ProxyOptions{From: loopback()})
		accepted := make(chan error)
		go func() { _, err := l.Accept(); accepted <- err }()
		start := time.Now()
		ended := make(chan time.Duration, netx.MaxProxyPending+1)
		for range cap(ended) {
			ours, theirs := net.Pipe()
			in.conns <- near{theirs}
			synctest.Wait()
			go func() {
				_, _ = ours.Read(make([]byte, 1))
				ended <- time.Since(start)
			}()
		}
		for i := range cap(ended) {
			if d := <-ended; i == 0 && d != 0 || i > 0 && d != netx.ProxyHeaderTime {
				t.Fatalf("connection %d is closed after %v", i, d)
			}
		}
		l.Close()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestServe_DrainTime: who does not end by itself is waited for so long.
func TestServe_DrainTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := newHanded()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- netx.Serve(ctx, in, netx.Options{}, func(_ context.Context, c net.Conn) { c.Read(make([]byte, 1)) })
		}()
		_, theirs := net.Pipe()
		in.conns <- near{theirs}
		synctest.Wait()
		stop()
		start := time.Now()
		if err := <-done; err != nil || time.Since(start) != netx.DrainTime {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// TestReadProxyHeader_Long: a header is as long as it may be, and no longer.
func TestReadProxyHeader_Long(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{netx.MaxProxyHeader: nil, netx.MaxProxyHeader + 1: netx.ErrBadProxy} {
		b := header(0x21, four, four, record(4, make([]byte, n-12-3)...)...)
		if h, err := netx.ReadProxyHeader(bytes.NewReader(b)); !errors.Is(err, want) || err == nil && h.Source.String() != four {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
