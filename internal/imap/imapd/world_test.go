package imapd_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapd"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/spool"
)

const password = "correct horse battery"

// fallible is a store that can be away.
type fallible struct {
	kv.Store
	err atomic.Pointer[error]
	// hangs says that it does not answer at all.
	hangs atomic.Bool
}

func (f *fallible) trouble(ctx context.Context) error {
	if f.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if e := f.err.Load(); e != nil {
		return *e
	}
	return nil
}

func (f *fallible) fail(err error) {
	if err == nil {
		f.err.Store(nil)
		return
	}
	f.err.Store(&err)
}

func (f *fallible) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if err := f.trouble(ctx); err != nil {
		return nil, err
	}
	return f.Store.GetMulti(ctx, keys...)
}

func (f *fallible) Update(ctx context.Context, g [][]byte, fn func(kv.Tx) error, o ...kv.Option) error {
	if err := f.trouble(ctx); err != nil {
		return err
	}
	return f.Store.Update(ctx, g, fn, o...)
}

// world is a mail store with an IMAP server.
type world struct {
	t     testing.TB
	kv    *fallible
	store *mailstore.Store
	auth  *auth.Auth
	spool *spool.Pool
	now   atomic.Int64
	ann   mailstore.AcctID
	o     imapd.Options
	imap  *imap.Server
	addr  string
	info  imap.ConnInfo
}

// options change a world before it starts.
type options struct {
	limits mailstore.AccountLimits
	public bool
	clear  bool // not trusted: no login without TLS
	tls    *tls.Config
	limit  int64
	budget time.Duration
	engine kv.Store // memory if nil
	piped  bool     // no port is listened on: for a bubble of fake time
}

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	if o.limit == 0 {
		o.limit = 1 << 20
	}
	if o.engine == nil {
		o.engine = memkv.New()
	}
	w := &world{t: t, kv: &fallible{Store: o.engine}, spool: spool.New(spool.Options{Dir: t.TempDir()})}
	w.now.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Unix())
	now := func() time.Time { return time.Unix(w.now.Load(), 0).UTC() }
	b := membus.New()
	t.Cleanup(func() { b.Close() })
	ctx := context.Background()
	var err error
	w.store, err = mailstore.Open(ctx, mailstore.Options{KV: w.kv, Bus: b, Defaults: o.limits, MessageLimit: o.limit,
		Now: now})
	if err != nil {
		t.Fatal(err)
	}
	rings, err := secret.Open(ctx, secret.Options{KV: w.kv})
	if err != nil {
		t.Fatal(err)
	}
	w.auth, err = auth.New(ctx, auth.Options{Store: w.store, Rings: rings, Domain: "d.example"})
	if err != nil {
		t.Fatal(err)
	}
	w.ann = w.account("ann@d.example")
	p := policy.New(policy.Options{Public: o.public, Store: w.store, MessageLimit: o.limit})
	w.o = imapd.Options{Store: w.store, Auth: w.auth, Policy: p, Spool: w.spool, Now: now, Version: "1.0",
		TLS: o.tls, StartTLS: o.tls != nil, CommandBudget: o.budget, AppendBudget: o.budget}
	w.imap = imapd.New(w.o)
	w.info = imap.ConnInfo{Remote: netip.MustParseAddr("127.0.0.1"), Trusted: !o.clear}
	if !o.piped {
		w.listen()
	}
	return w
}

func (w *world) account(address string) mailstore.AcctID {
	w.t.Helper()
	cred, err := w.auth.Seal(context.Background(), password, account.Generated)
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.store.CreateAccount(context.Background(), mailstore.NewAccount{Address: address, Credential: cred})
	if err != nil {
		w.t.Fatal(err)
	}
	return a.ID
}

// listen serves on a port of its own until the test ends.
func (w *world) listen() {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.imap.ServeConn(ctx, c, w.info) })
		}
	})
	w.t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
}

// deliver puts a message into ann's mailbox.
func (w *world) deliver(mailbox, text string, flags mailstore.Flags) mailstore.Deposited {
	w.t.Helper()
	m := w.spool.Message()
	defer m.Close()
	io.WriteString(m, text)
	d, err := w.store.Deposit(context.Background(), []mailstore.AcctID{w.ann},
		mailstore.Deposit{Mailbox: mailbox, Flags: flags}, m)
	if err != nil {
		w.t.Fatal(err)
	}
	return d[0]
}

// node is another server over the same store that hears of nothing that this
// one does: there is no bus between them.
func (w *world) node() *world {
	w.t.Helper()
	n := &world{t: w.t, kv: w.kv, spool: w.spool, auth: w.auth, ann: w.ann, o: w.o, info: w.info}
	var err error
	n.store, err = mailstore.Open(context.Background(), mailstore.Options{KV: w.kv, Now: w.o.Now, MessageLimit: 1 << 20})
	if err != nil {
		w.t.Fatal(err)
	}
	n.o.Store = n.store
	n.imap = imapd.New(n.o)
	n.listen()
	return n
}

// client is a connection that a test speaks on by itself.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	tags int
	// write sends, if it is not straight to conn.
	write func(string) error
}

func (w *world) dial() *client {
	w.t.Helper()
	if w.addr == "" {
		return w.pipe()
	}
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{t: w.t, conn: c, r: bufio.NewReader(c)}
}

// pipe is dial without a network.
func (w *world) pipe() *client {
	mine, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.imap.ServeConn(context.Background(), theirs, w.info)
	}()
	w.t.Cleanup(func() { mine.Close(); <-done })
	return &client{t: w.t, conn: mine, r: bufio.NewReader(mine)}
}

// login dials and logs in as ann.
func (w *world) login() *client {
	w.t.Helper()
	c := w.dial()
	c.line()
	c.ok(fmt.Sprintf("LOGIN ann@d.example %q", password))
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if c.write != nil {
		if err := c.write(s); err != nil {
			c.t.Fatal(err)
		}
		return
	}
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v (have %q)", err, s)
	}
	return strings.TrimSuffix(s, "\r\n")
}

// run sends a command and returns all lines up to the tagged one.
func (c *client) run(cmd string) []string {
	c.t.Helper()
	c.tags++
	tag := fmt.Sprintf("t%d", c.tags)
	c.send(tag + " " + cmd + "\r\n")
	return c.until(tag)
}

func (c *client) until(tag string) []string {
	c.t.Helper()
	var lines []string
	for {
		l := c.line()
		if rest, ok := strings.CutPrefix(l, tag+" "); ok {
			return append(lines, rest)
		}
		lines = append(lines, l)
	}
}

// ok runs a command that must succeed, and returns its untagged lines.
func (c *client) ok(cmd string) []string {
	c.t.Helper()
	lines := c.run(cmd)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "OK") {
		c.t.Fatalf("%s: %s", cmd, last)
	}
	return lines[:len(lines)-1]
}

// eof waits for the server to close, and returns what it said before.
func (c *client) eof() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReader(c) }

// drain reads a response without keeping it.
func (c *client) drain(tag string) {
	for {
		l, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			c.t.Fatal(err)
		}
		if bytes.HasPrefix(l, []byte(tag)) {
			return
		}
		if i := bytes.LastIndexByte(l, '{'); i >= 0 && bytes.HasSuffix(l, []byte("}\r\n")) {
			if n, err := strconv.Atoi(string(l[i+1 : len(l)-3])); err == nil {
				c.r.Discard(n)
			}
		}
	}
}
