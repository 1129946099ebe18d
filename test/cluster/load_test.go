package cluster_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/cluster/rig"
)

const (
	senders  = 20
	readers  = 6
	poppers  = 2
	makers   = 2
	accounts = 5
)

// box is an account with what was sent to it.
type box struct {
	User, Pass, Token string
}

// sent is one message on its way.
type sent struct {
	phase  int
	unsure bool // an answer was missing once, and it was sent again
}

// load is everybody who uses the cluster.
type load struct {
	t     testing.TB
	c     *rig.Cluster
	boxes [accounts]box
	pause time.Duration // between two messages of a sender
	stop  chan struct{}
	all   sync.WaitGroup
	phase atomic.Int64

	meters  [protocols]meter
	dropped atomic.Int64 // IDLE sessions in this phase

	mu    sync.Mutex
	acked [accounts]map[string]sent
	made  []box

	watchers []*watcher
}

func startLoad(t *testing.T, c *rig.Cluster, pause time.Duration) *load {
	t.Helper()
	l := &load{t: t, c: c, stop: make(chan struct{}), pause: pause}
	for i := range l.boxes {
		b, err := l.newBox(0)
		if err != nil {
			t.Fatal(err)
		}
		l.boxes[i], l.acked[i] = b, map[string]sent{}
	}
	for p := range l.meters {
		l.meters[p].reset()
	}
	for _, m := range c.Machines {
		l.watch(m, 0, m.Dial)    // the node itself
		l.watch(m, 1, m.Through) // whichever node HAProxy chooses
	}
	for n := range senders {
		l.all.Go(func() { l.send(n) })
	}
	for n := range readers {
		l.all.Go(func() { l.read(n) })
	}
	for n := range poppers {
		l.all.Go(func() { l.pop(n) })
	}
	for n := range makers {
		l.all.Go(func() { l.register(n) })
	}
	return l
}

// watch listens to an account by way of dial.
func (l *load) watch(m *rig.Machine, account int, dial func(context.Context, string) (net.Conn, error)) {
	w := &watcher{l: l, m: m, account: account, dial: dial, web: web(l.c, dial), uids: map[uint32]string{},
		events: map[string]bool{}}
	l.watchers = append(l.watchers, w)
	l.all.Go(w.idle)
	l.all.Go(w.stream)
}

func (l *load) over() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// rest waits, and tells whether the load goes on.
func (l *load) rest(d time.Duration) bool {
	select {
	case <-l.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// Limit: how long a reader or maker waits for an answer. A connection through a
// machine that was cut off ends in no other way.
const patience = 35 * time.Second

// dial tries the doors of the machines' HAProxies from the n-th on, as a client
// tries the addresses of a name. One that refuses costs nothing but the next try.
func (l *load) dial(n int, door string) (net.Conn, error) {
	var err error
	for i := range rig.Nodes {
		var c net.Conn
		c, err = net.DialTimeout("tcp", l.c.Machines[(n+i)%rig.Nodes].Front(door), 2*time.Second)
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(75 * time.Second)) // a new connection takes it
			return c, nil
		}
	}
	return nil, err
}

// session is one SMTP connection.
type session struct {
	c    net.Conn
	t    *textproto.Conn
	from string
}

// ways to send mail, by HAProxy's doors: with TLS, with STARTTLS, and as a server
// that brings it from outside, without a password.
func ways() [3]string { return [...]string{"smtps", "smtp", "mx"} }

// session opens one at the n-th machine's HAProxy.
func (l *load) session(n int, way string, b box) (*session, error) {
	began := time.Now()
	c, err := l.dial(n, way)
	if err != nil {
		return nil, err
	}
	return greet(c, l.c.TLS(), way, b, func() { l.meters[pSMTP].greeted(began) })
}

// greet logs in on a new connection. It calls greeted when the server has spoken.
func greet(c net.Conn, cfg *tls.Config, way string, b box, greeted func()) (*session, error) {
	_ = c.SetDeadline(time.Now().Add(75 * time.Second)) // a new connection takes it
	s := &session{c: c, from: b.User}
	if way == "smtps" {
		s.c = tls.Client(c, cfg)
	}
	if err := s.hello(cfg, way, b, greeted); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// hello does what stands before the first message.
func (s *session) hello(cfg *tls.Config, way string, b box, greeted func()) error {
	s.t = textproto.NewConn(s.c)
	if _, _, err := s.t.ReadResponse(220); err != nil {
		return err
	}
	greeted()
	if _, err := s.cmd(250, "EHLO load.test"); err != nil {
		return err
	}
	switch way {
	case "mx":
		s.from = "somebody@elsewhere.test"
		return nil
	case "smtp":
		if _, err := s.cmd(220, "STARTTLS"); err != nil {
			return err
		}
		s.c = tls.Client(s.c, cfg)
		s.t = textproto.NewConn(s.c)
		if _, err := s.cmd(250, "EHLO load.test"); err != nil {
			return err
		}
	}
	_, err := s.cmd(235, "AUTH PLAIN %s", plainAuth(b))
	return err
}

func (s *session) cmd(want int, format string, args ...any) (string, error) {
	_ = s.c.SetDeadline(time.Now().Add(75 * time.Second)) // an open connection takes it
	if err := s.t.PrintfLine(format, args...); err != nil {
		return "", err
	}
	_, text, err := s.t.ReadResponse(want)
	return text, err
}

// attempt sends one message. begun tells whether MAIL was accepted, unsure
// whether the server may have the message although err is not nil.
func (s *session) attempt(b box, id string) (begun, unsure bool, err error) {
	if _, err = s.cmd(250, "MAIL FROM:<%s>", s.from); err != nil {
		return false, false, err
	}
	if _, err = s.cmd(250, "RCPT TO:<%s>", b.User); err != nil {
		return true, false, err
	}
	if _, err = s.cmd(354, "DATA"); err != nil {
		return true, false, err
	}
	body := "Subject: " + id + "\r\nFrom: " + b.User + "\r\nTo: " + b.User + "\r\n\r\n" +
		strings.Repeat("A line of text.\r\n", 100)
	_, err = s.cmd(250, "%s.", body)
	return true, err != nil, err
}

// send is one sender: it keeps a connection for some messages, and sends each
// until it is acknowledged.
func (l *load) send(n int) {
	account := n % accounts
	b := l.boxes[account]
	var s *session
	for i := 0; l.rest(l.pause/2 + rand.N(l.pause)); i++ {
		id := fmt.Sprintf("m-%d-%d", n, i)
		mark := sent{phase: int(l.phase.Load())}
		for try := n; ; try++ {
			var err error
			if s == nil {
				s, err = l.session(try, ways()[n%len(ways())], b)
			}
			begun, unsure := false, false
			if err == nil {
				begun, unsure, err = s.attempt(b, id)
			}
			if err == nil {
				break
			}
			if s != nil {
				s.c.Close()
				s = nil
			}
			mark.unsure = mark.unsure || unsure
			if begun {
				l.meters[pSMTP].fail(err)
			} else {
				l.meters[pSMTP].lost(err)
			}
			if !l.rest(50 * time.Millisecond) {
				return
			}
		}
		l.meters[pSMTP].ok()
		l.mu.Lock()
		l.acked[account][id] = mark
		l.mu.Unlock()
		if i%20 == 19 {
			s.c.Close()
			s = nil
		}
	}
	if s != nil {
		s.c.Close()
	}
}

// read is one reader: log in, look at the newest message, log out.
func (l *load) read(n int) {
	for i := n; l.rest(150 * time.Millisecond); i++ {
		if err := l.look(i); err != nil {
			l.meters[pIMAP].fail(err)
			continue
		}
		l.meters[pIMAP].ok()
	}
}

func (l *load) look(n int) error {
	c, err := l.openIMAP(n, [...]string{"imaps", "imap"}[n/rig.Nodes%2], l.boxes[n%accounts])
	if err != nil {
		return err
	}
	defer c.Close()
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		return err
	}
	if box.NumMessages > 0 {
		if _, err := fetchSubjects(c, box.NumMessages); err != nil {
			return err
		}
	}
	return c.Logout().Wait()
}

// openIMAP logs in through the n-th machine's HAProxy.
func (l *load) openIMAP(n int, door string, b box) (*imapclient.Client, error) {
	began := time.Now()
	conn, err := l.dial(n, door)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patience)) // a new connection takes it
	var c *imapclient.Client
	if door == "imap" {
		c, err = imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: l.c.TLS()})
	} else {
		c = imapclient.New(tls.Client(conn, l.c.TLS()), nil)
		err = c.WaitGreeting()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	l.meters[pIMAP].greeted(began)
	if err := c.Login(b.User, b.Pass).Wait(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// pop is one reader by POP3, of an account of its own that stays empty.
func (l *load) pop(n int) {
	b, err := l.newBox(n)
	if err != nil {
		l.t.Error(err)
		return
	}
	for i := n; l.rest(300 * time.Millisecond); i++ {
		if err := l.count(i, b); err != nil {
			l.meters[pPOP3].fail(err)
			continue
		}
		l.meters[pPOP3].ok()
	}
}

// count asks an account by POP3 how much it holds.
func (l *load) count(n int, b box) error {
	began, door := time.Now(), [...]string{"pop3s", "pop3"}[n/rig.Nodes%2]
	conn, err := l.dial(n, door)
	if err != nil {
		return err
	}
	defer func() { conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience)) // a new connection takes it
	if door == "pop3s" {
		conn = tls.Client(conn, l.c.TLS())
	}
	t := textproto.NewConn(conn)
	ask := func(format string, args ...any) error {
		if format != "" {
			if err := t.PrintfLine(format, args...); err != nil {
				return err
			}
		}
		line, err := t.ReadLine()
		if err == nil && !strings.HasPrefix(line, "+OK") {
			err = errors.New(line)
		}
		return err
	}
	if err := ask(""); err != nil {
		return err
	}
	l.meters[pPOP3].greeted(began)
	if door == "pop3" {
		if err := ask("STLS"); err != nil {
			return err
		}
		conn = tls.Client(conn, l.c.TLS())
		t = textproto.NewConn(conn)
	}
	for _, line := range []string{"USER " + b.User, "PASS " + b.Pass, "STAT", "QUIT"} {
		if err := ask("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// register is one that makes accounts.
func (l *load) register(n int) {
	for i := n; l.rest(600 * time.Millisecond); i++ {
		b, err := l.newBox(i)
		if err != nil {
			l.meters[pHTTP].fail(err)
			continue
		}
		l.meters[pHTTP].ok()
		l.mu.Lock()
		l.made = append(l.made, b)
		l.mu.Unlock()
	}
}

// newBox makes an account through the n-th machine's HAProxy.
func (l *load) newBox(n int) (box, error) {
	began := time.Now()
	client := web(l.c, func(context.Context, string) (net.Conn, error) { return l.dial(n, "https") })
	client.Timeout = patience
	connected := func(_ tls.ConnectionState, err error) {
		if err == nil {
			l.meters[pHTTP].greeted(began)
		}
	}
	trace := &httptrace.ClientTrace{TLSHandshakeDone: connected}
	return register(httptrace.WithClientTrace(context.Background(), trace), client)
}

// web is a client of the pages and the API behind dial.
func web(c *rig.Cluster, dial func(ctx context.Context, door string) (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: c.TLS(),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "https") }}}
}

// register makes an account.
func register(ctx context.Context, client *http.Client) (b box, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+rig.Host+"/user",
		strings.NewReader(`{"requestor":"load"}`))
	if err != nil {
		return b, err
	}
	req.Header.Set("Content-Type", "application/json")
	r, err := client.Do(req)
	if err != nil {
		return b, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return b, err
	}
	var answer struct {
		box
		Status, Error string
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return b, fmt.Errorf("%s: %s", r.Status, text)
	}
	if answer.Status != "success" {
		return b, fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return answer.box, nil
}

// stream reads events as lines until it ends.
func events(ctx context.Context, client *http.Client, token, after string, each func(event, id, data string)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+rig.Host+"/v1/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	r, err := client.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("events: %s", r.Status)
	}
	var event, id, data string
	sc := bufio.NewScanner(r.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		name, value, _ := strings.Cut(sc.Text(), ": ")
		switch name {
		case "event":
			event = value
		case "id":
			id = value
		case "data":
			data = value
		case "":
			each(event, id, data)
			event, id, data = "", "", ""
		}
	}
	return sc.Err()
}
