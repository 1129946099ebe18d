package pgkv_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// event is what the proxy sees pass: "apply" and "resolve" are requests that
// carry kv_apply1 or kv_resolve1 and the COMMIT behind it, "applied" and
// "resolved" the answers to those COMMITs.
type event string

// proxy stands before a server and can cut a connection at an event, so that
// neither it nor what follows arrives.
type proxy struct {
	port int
	to   string
	mu   sync.Mutex
	cut  func(event) bool
}

// newProxy cuts where cut says so; it is called by one goroutine at a time.
func newProxy(t testing.TB, to string, cut func(event) bool) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{port: l.Addr().(*net.TCPAddr).Port, to: to, cut: cut}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

// pair is one connection through the proxy.
type pair struct {
	p          *proxy
	client     net.Conn
	server     net.Conn
	statements map[string]string // prepared, by name
	mu         sync.Mutex
	doing      event // what the next COMMIT belongs to
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	q := &pair{p: p, client: client, server: server, statements: map[string]string{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer server.Close()
		q.requests()
	}()
	q.answers()
	client.Close()
	server.Close()
	<-ended
}

func (q *pair) wants(e event) bool {
	q.p.mu.Lock()
	defer q.p.mu.Unlock()
	return q.p.cut(e)
}

// requests passes messages of the client on until a cut.
func (q *pair) requests() {
	size := make([]byte, 4) // the first message has no type
	if _, err := io.ReadFull(q.client, size); err != nil {
		return
	}
	first := make([]byte, binary.BigEndian.Uint32(size)-4)
	if _, err := io.ReadFull(q.client, first); err != nil {
		return
	}
	if _, err := q.server.Write(append(size, first...)); err != nil {
		return
	}
	for {
		kind, msg, err := read(q.client)
		if err != nil {
			return
		}
		switch f := bytes.SplitN(msg[5:], []byte{0}, 3); kind {
		case 'P':
			q.statements[string(f[0])] = string(f[1])
		case 'B':
			e := event("")
			if sql := q.statements[string(f[1])]; strings.Contains(sql, "kv_apply1") {
				e = "apply"
			} else if strings.Contains(sql, "kv_resolve1") {
				e = "resolve"
			}
			if e != "" && q.wants(e) {
				return
			}
			if e != "" {
				q.mu.Lock()
				q.doing = e
				q.mu.Unlock()
			}
		}
		if _, err := q.server.Write(msg); err != nil {
			return
		}
	}
}

// answers passes messages of the server on until a cut.
func (q *pair) answers() {
	for {
		kind, msg, err := read(q.server)
		if err != nil {
			return
		}
		if kind == 'C' && string(msg[5:]) == "COMMIT\x00" {
			q.mu.Lock()
			e := map[event]event{"apply": "applied", "resolve": "resolved"}[q.doing]
			q.doing = ""
			q.mu.Unlock()
			if e != "" && q.wants(e) {
				return
			}
		}
		if _, err := q.client.Write(msg); err != nil {
			return
		}
	}
}

// read reads one message: type, length, body.
func read(c net.Conn) (kind byte, msg []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		return 0, nil, err
	}
	msg = append(head, make([]byte, binary.BigEndian.Uint32(head[1:])-4)...)
	_, err = io.ReadFull(c, msg[5:])
	return head[0], msg, err
}
