package e2e_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// layer is what stands between an attack and the reader.
type layer int

// The layers that are tried. Each is tried with loading alone, and once more
// with a click on everything that can be clicked.
const (
	bare    layer = iota // nothing
	cleaned              // the sanitizer (for other texts: escaping; for files: their type) alone
	headed               // the headers alone
	whole                // all, in the product
	layers
)

// sink hears whatever gets through. Each vector has an address of its own at
// each layer, 127.(20 + 2 layer + click).group.number, so that even a
// connection without a request tells whose it was.
type sink struct {
	port int
	mu   sync.Mutex
	hits map[string][]*hit // by address without port
}

// hit is one request, or a connection that asked for nothing.
type hit struct {
	Method, Path, Dest, Referer, Origin, Cookie string
}

func (h hit) String() string {
	if h.Method == "" {
		return "a connection"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s as %s %s %s", h.Method, h.Path, h.Dest, h.Referer, h.Cookie))
}

// meant tells that a request is no more than a link opened in a new tab after a
// click: it says nothing of where it came from. With the tab come the icon of
// its site, and sockets that the browser opens ahead when a link is pressed.
func (h hit) meant() bool {
	if h.Path == "/favicon.ico" || h.Method == "" {
		return strings.HasPrefix(h.Referer, "http://127.2") || h.Referer == ""
	}
	return h.Method == "GET" && h.Dest == "document" && h.Referer == "" && h.Origin == "" && h.Cookie == ""
}

func openSink(t *testing.T) *sink {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0") // all of 127/8
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{port: l.Addr().(*net.TCPAddr).Port, hits: map[string][]*hit{}}
	var conns sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { s.serve(c) })
		}
	})
	return s
}

func (s *sink) serve(c net.Conn) {
	defer c.Close()
	at := c.LocalAddr().(*net.TCPAddr).IP
	if !at.IsLoopback() {
		return
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	h := s.note(at.String())
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	s.mu.Lock()
	*h = hit{r.Method, r.URL.Path, r.Header.Get("Sec-Fetch-Dest"), r.Referer(), r.Header.Get("Origin"),
		r.Header.Get("Cookie")}
	s.mu.Unlock()
	body := "/**/"
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: %s\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n%s", sinkType(r.URL.Path), len(body), body)
}

// sinkType makes each thing what its name says.
func sinkType(path string) string {
	for ext, typ := range map[string]string{".js": "text/javascript", ".css": "text/css", ".png": "image/png",
		".svg": "image/svg+xml", ".exe": "application/octet-stream"} {
		if strings.HasSuffix(path, ext) {
			return typ
		}
	}
	return "text/html"
}

// note counts a connection at once, whatever it will ask for.
func (s *sink) note(at string) *hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &hit{}
	s.hits[at] = append(s.hits[at], h)
	return h
}

// at is what came for an address.
func (s *sink) at(host string) (out []hit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hits[host] {
		out = append(out, *h)
	}
	return out
}
