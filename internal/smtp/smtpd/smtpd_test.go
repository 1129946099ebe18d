package smtpd_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	netsmtp "net/smtp"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/secret"
	"github.com/eidermail/eider/internal/smtp"
	"github.com/eidermail/eider/internal/smtp/smtpd"
	"github.com/eidermail/eider/internal/spool"
)

// fallible is a store that can be away or full.
type fallible struct {
	kv.Store
	err  atomic.Pointer[error]
	left atomic.Int32 // after so many refusals it is back
}

func (f *fallible) fail(err error, times int32) {
	f.left.Store(times)
	f.err.Store(&err)
}

func (f *fallible) trouble() error {
	if e := f.err.Load(); e != nil && f.left.Add(-1) >= 0 {
		return *e
	}
	return nil
}

func (f *fallible) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	if err := f.trouble(); err == kv.ErrUnavailable {
		return nil, err
	}
	return f.Store.GetMulti(ctx, keys...)
}

func (f *fallible) Update(ctx context.Context, g [][]byte, fn func(kv.Tx) error, o ...kv.Option) error {
	if err := f.trouble(); err != nil {
		return err
	}
	return f.Store.Update(ctx, g, fn, o...)
}

// world is a whole server but for its listeners.
type world struct {
	t     testing.TB
	kv    *fallible
	store *mailstore.Store
	auth  *auth.Auth
	spool *spool.Pool
	all   mailstore.AcctID // the catch-all
	ann   mailstore.AcctID
	rates policy.Strangers
}

const password = "correct horse battery"

func newWorld(t testing.TB, limits mailstore.AccountLimits) *world {
	t.Helper()
	w := &world{t: t, kv: &fallible{Store: memkv.New()}, spool: spool.New(spool.Options{Dir: t.TempDir()})}
	b := membus.New()
	t.Cleanup(func() { b.Close() })
	var err error
	w.store, err = mailstore.Open(t.Context(), mailstore.Options{KV: w.kv, Bus: b, Defaults: limits, MessageLimit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	rings, err := secret.Open(t.Context(), secret.Options{KV: w.kv})
	if err != nil {
		t.Fatal(err)
	}
	w.auth, err = auth.New(t.Context(), auth.Options{Store: w.store, Rings: rings, Domain: "d.example",
		Trusted: func(p netip.Addr) bool { return p.IsLoopback() }})
	if err != nil {
		t.Fatal(err)
	}
	w.ann = w.account("ann@d.example")
	return w
}

func (w *world) account(address string) mailstore.AcctID {
	w.t.Helper()
	cred, err := w.auth.Seal(w.t.Context(), password, account.Generated)
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := w.store.CreateAccount(w.t.Context(), mailstore.NewAccount{Address: address, Credential: cred})
	if err != nil {
		w.t.Fatal(err)
	}
	return a.ID
}

// server is one listener's server, in dev mode unless public.
func (w *world) server(mode smtp.Mode, public bool) *smtp.Server {
	p := policy.New(policy.Options{Public: public, Store: w.store, CatchAll: w.all, MessageLimit: 1 << 20,
		Strangers: w.rates, Limiter: membus.NewLimits(nil),
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	b := smtpd.New(smtpd.Options{Store: w.store, Auth: w.auth, Policy: p, Spool: w.spool, Hostname: "mx.d.example"})
	return smtp.New(smtp.Options{Mode: mode, Hostname: "mx.d.example", MaxSize: 1 << 20, NewSession: b.NewSession})
}

// addressed is a pipe with a client address.
type addressed struct {
	net.Conn
	peer string
}

func (a addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a.peer))
}

const (
	near = "127.0.0.1:4000"
	far  = "192.0.2.9:4000"
)

type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func connect(t testing.TB, s *smtp.Server, peer string) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		defer theirs.Close()
		s.ServeConn(ctx, addressed{theirs, peer})
	}()
	t.Cleanup(func() { ours.Close(); <-done; cancel() })
	return &client{t: t, nc: ours, r: bufio.NewReader(ours)}
}

func (c *client) reply() string {
	var last string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "EOF"
		}
		last = strings.TrimSuffix(line, "\r\n")
		if len(last) < 4 || last[3] != '-' {
			return last
		}
	}
}

func (c *client) play(script [][2]string) {
	c.t.Helper()
	for _, s := range script {
		if s[0] != "" {
			if _, err := io.WriteString(c.nc, s[0]); err != nil {
				c.t.Fatal(err)
			}
		}
		if got := c.reply(); !strings.HasPrefix(got, s[1]) {
			c.t.Fatalf("%.60q: got %q, want %q", s[0], got, s[1])
		}
	}
}

// inbox returns the entries and the bytes of an account's mail.
func (w *world) inbox(id mailstore.AcctID) ([]mailstore.Entry, []string) {
	w.t.Helper()
	ctx := context.Background()
	box, err := w.store.Mailbox(ctx, id, "INBOX")
	if err != nil {
		w.t.Fatal(err)
	}
	es, err := w.store.Entries(ctx, id, box.ID, mailstore.Rows{})
	if err != nil {
		w.t.Fatal(err)
	}
	var texts []string
	for _, e := range es {
		c, err := w.store.Content(ctx, id, e.Msg)
		if err != nil {
			w.t.Fatal(err)
		}
		b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		if err != nil {
			w.t.Fatal(err)
		}
		c.Close()
		texts = append(texts, string(b))
	}
	return es, texts
}

const (
	hello   = "EHLO me.test\r\n"
	asAnn   = "AUTH PLAIN AGFubkBkLmV4YW1wbGUAY29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n"
	asWrong = "AUTH PLAIN AGFubkBkLmV4YW1wbGUAd3Jvbmc=\r\n"     // ann, wrong
	asNone  = "AUTH PLAIN AG5vYm9keUBkLmV4YW1wbGUAd3Jvbmc=\r\n" // nobody, wrong
	body    = "Subject: x\r\n\r\nhello\r\n"
)

var accepted = regexp.MustCompile(`^250 Accepted \[STATUS=new MSGID=([A-Za-z0-9.-]{20,64})\]$`)

func TestSubmission(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{})
	c := connect(t, w.server(smtp.Submission, false), near)
	c.play([][2]string{{"", "220 mx.d.example"}, {hello, "250 AUTH PLAIN LOGIN"}, {asAnn, "235 "},
		{"MAIL FROM:<any@where.test> BODY=8BITMIME\r\n", "250 "}, {"RCPT TO:<one@far.test>\r\n", "250 "},
		{"RCPT TO:<two@far.test>\r\n", "250 "}, {"DATA\r\n", "354 "}})
	io.WriteString(c.nc, body+".\r\n")
	m := accepted.FindStringSubmatch(c.reply())
	if m == nil {
		t.Fatal("the reply is not the one that clients look for")
	}
	es, texts := w.inbox(w.ann)
	if len(es) != 1 || texts[0] != "Return-Path: <any@where.test>\r\n"+body {
		t.Fatalf("stored %q", texts)
	}
	if len(es[0].Keywords) != 1 || es[0].Keywords[0] != mailstore.DeliveryKeyword {
		t.Errorf("keywords %q", es[0].Keywords)
	}
	link, ok := w.auth.ParsePermalink(m[1])
	if !ok || link.Acct != w.ann || link.Msg != es[0].Msg {
		t.Errorf("MSGID opens %+v, %v", link, ok)
	}
	infos, err := w.store.Infos(t.Context(), w.ann, es[0].Msg)
	if err != nil {
		t.Fatal(err)
	}
	e := infos[0].Envelope
	if e.From != "any@where.test" || strings.Join(e.To, " ") != "one@far.test two@far.test" || e.ToCount != 2 ||
		e.Helo != "me.test" || e.Protocol != "ESMTPA" || e.Client != "127.0.0.1" || e.User != "ann@d.example" ||
		e.Body != "8BITMIME" || e.TLS != "" || e.Received.IsZero() {
		t.Errorf("envelope %+v", e)
	}
}

func TestSubmission_WhoMaySend(t *testing.T) {
	t.Parallel()
	mail := [2]string{"MAIL FROM:<a@b.test>\r\n", "250 "}
	for name, tt := range map[string]struct {
		public bool
		peer   string
		script [][2]string
	}{
		"near, as nobody":           {peer: near, script: [][2]string{mail}},
		"near, wrong password":      {peer: near, script: [][2]string{{asWrong, "535 Authentication failed"}, mail}},
		"near, unknown account":     {peer: near, script: [][2]string{{asNone, "235 "}, mail}},
		"far, as nobody":            {peer: far, script: [][2]string{{mail[0], "530 "}}},
		"far, password in clear":    {peer: far, script: [][2]string{{asAnn, "538 "}, {mail[0], "530 "}}},
		"public, as nobody":         {public: true, peer: near, script: [][2]string{{mail[0], "530 "}}},
		"public, password in clear": {public: true, peer: near, script: [][2]string{{asNone, "538 "}, {mail[0], "530 "}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, mailstore.AccountLimits{})
			c := connect(t, w.server(smtp.Submission, tt.public), tt.peer)
			c.play([][2]string{{"", "220 "}, {hello, "250 "}})
			c.play(tt.script)
		})
	}
}

// Without AUTH one copy goes to each account that is named, and one to the
// catch-all for the others, whose link is in the reply.
func TestSubmission_CatchAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{})
	w.all = w.account("catch-all@d.example")
	bob := w.account("bob@d.example")
	c := connect(t, w.server(smtp.Submission, false), near)
	c.play([][2]string{{"", "220 "}, {hello, "250 "}, {asNone, "235 "}, {"MAIL FROM:<>\r\n", "250 "},
		{"RCPT TO:<B.o.b+x@D.example>\r\n", "250 "}, {"RCPT TO:<x@far.test>\r\n", "250 "},
		{"RCPT TO:<y@far.test>\r\n", "250 "}, {"RCPT TO:<bob@d.example>\r\n", "250 "}, {"DATA\r\n", "354 "}})
	io.WriteString(c.nc, body+".\r\n")
	m := accepted.FindStringSubmatch(c.reply())
	if m == nil {
		t.Fatal("not accepted")
	}
	if link, _ := w.auth.ParsePermalink(m[1]); link.Acct != w.all {
		t.Error("the link is not the catch-all's")
	}
	for id, want := range map[mailstore.AcctID]int{w.all: 1, bob: 1, w.ann: 0} {
		if es, _ := w.inbox(id); len(es) != want {
			t.Errorf("account %d has %d messages, want %d", id, len(es), want)
		}
	}
	if _, texts := w.inbox(bob); !strings.HasPrefix(texts[0], "Return-Path: <>\r\n") {
		t.Errorf("stored %q", texts)
	}
}

func TestMX(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{})
	c := connect(t, w.server(smtp.MX, true), far)
	c.play([][2]string{{"", "220 "}, {"EHLO evil (name)\r\n", "250 ENHANCEDSTATUSCODES"},
		{"MAIL FROM:<s@far.test>\r\n", "250 "}, {"RCPT TO:<nobody@d.example>\r\n", "550 5.1.1"},
		{"RCPT TO:<ann@other.test>\r\n", "550 5.1.1"}, {"RCPT TO:<Ann+l@d.example>\r\n", "250 2.1.5"},
		{"DATA\r\n", "354 "}, {body + ".\r\n", "250 2.0.0 Accepted"}})
	es, texts := w.inbox(w.ann)
	if len(es) != 1 || len(es[0].Keywords) != 0 {
		t.Fatalf("%d messages, %+v", len(es), es)
	}
	want := regexp.MustCompile("^Return-Path: <s@far.test>\r\nReceived: from evil\\?\\?name\\? \\(\\[192.0.2.9\\]\\)\r\n" +
		"\tby mx.d.example \\(Eider\\) with ESMTP\r\n\tfor <Ann\\+l@d.example>;\r\n" +
		"\t\\w{3}, \\d+ \\w{3} \\d{4} \\d\\d:\\d\\d:\\d\\d [+-]\\d{4}\r\nSubject: x\r\n\r\nhello\r\n$")
	if !want.MatchString(texts[0]) {
		t.Errorf("stored %q", texts[0])
	}
}

func TestMX_Quota(t *testing.T) {
	t.Parallel()
	limits := mailstore.AccountLimits{Bytes: 2000}
	big := "X: " + strings.Repeat("x", 900) + "\r\n"
	send := func(c *client, rcpt, big, data string) {
		c.play([][2]string{{"MAIL FROM:<s@far.test>\r\n", "250 "}, {"RCPT TO:<ann@d.example>\r\n", rcpt}})
		if data != "" {
			c.play([][2]string{{"DATA\r\n", "354 "}, {big + ".\r\n", data}})
		}
		c.play([][2]string{{"RSET\r\n", "250 "}})
	}
	t.Run("public", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, limits)
		c := connect(t, w.server(smtp.MX, true), far)
		c.play([][2]string{{"", "220 "}, {hello, "250 "}})
		send(c, "250 ", big, "250 ")
		send(c, "250 ", big, "452 4.2.2")
		c.play([][2]string{{"MAIL FROM:<s@far.test> SIZE=1500\r\n", "250 "}, {"RCPT TO:<ann@d.example>\r\n", "452 4.2.2"}})
	})
	t.Run("dev", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, limits)
		c := connect(t, w.server(smtp.MX, false), near)
		c.play([][2]string{{"", "220 "}, {hello, "250 "}})
		for range 4 {
			send(c, "250 ", big, "250 ")
		}
		if es, _ := w.inbox(w.ann); len(es) != 1 || es[0].UID != 4 {
			t.Errorf("the newest is not what is left: %+v", es)
		}
		send(c, "250 ", strings.Repeat(big, 3), "552 5.2.2")
	})
}

func TestMX_ManyAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{})
	c := connect(t, w.server(smtp.MX, true), far)
	c.play([][2]string{{"", "220 "}, {hello, "250 "}, {"MAIL FROM:<s@far.test>\r\n", "250 "}})
	var ids []mailstore.AcctID
	for i := range policy.MaxAccounts {
		ids = append(ids, w.account(fmt.Sprintf("u%d@d.example", i)))
		c.play([][2]string{{fmt.Sprintf("RCPT TO:<u%d@d.example>\r\n", i), "250 "}})
	}
	c.play([][2]string{{"RCPT TO:<ann@d.example>\r\n", "452 4.5.3"}, {"RCPT TO:<u7+more@d.example>\r\n", "250 "},
		{"DATA\r\n", "354 "}, {body + ".\r\n", "250 2.0.0 Accepted"}})
	for _, id := range ids {
		if es, _ := w.inbox(id); len(es) != 1 {
			t.Fatalf("account %d has %d messages", id, len(es))
		}
	}
}

func TestLMTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{Bytes: 2000})
	bob := w.account("bob@d.example")
	fill := connect(t, w.server(smtp.MX, true), far)
	fill.play([][2]string{{"", "220 "}, {hello, "250 "}, {"MAIL FROM:<>\r\n", "250 "}, {"RCPT TO:<bob@d.example>\r\n", "250 "},
		{"DATA\r\n", "354 "}, {strings.Repeat("x", 1500) + "\r\n.\r\n", "250 "}})
	c := connect(t, w.server(smtp.LMTP, true), near)
	c.play([][2]string{{"", "220 "}, {"LHLO x\r\n", "250 "}, {"MAIL FROM:<s@far.test>\r\n", "250 "},
		{"RCPT TO:<bob@d.example>\r\n", "250 "}, {"RCPT TO:<x@d.example>\r\n", "550 5.1.1"},
		{"RCPT TO:<ann@d.example>\r\n", "250 "}, {"RCPT TO:<ann+2@d.example>\r\n", "250 "}, {"DATA\r\n", "354 "},
		{strings.Repeat("y", 600) + "\r\n.\r\n", "452 4.2.2"}, {"", "250 2.0.0"}, {"", "250 2.0.0"}})
	if es, _ := w.inbox(w.ann); len(es) != 1 {
		t.Errorf("ann has %d messages", len(es))
	}
	if es, _ := w.inbox(bob); len(es) != 1 {
		t.Errorf("bob has %d messages", len(es))
	}
}

// The store's trouble is waited for, and never the client's fault.
func TestStoreTrouble(t *testing.T) {
	t.Parallel()
	toData := [][2]string{{"", "220 "}, {hello, "250 "}, {asAnn, "235 "}, {"MAIL FROM:<a@b.test>\r\n", "250 "},
		{"RCPT TO:<c@d.test>\r\n", "250 "}, {"DATA\r\n", "354 "}}
	t.Run("away for a moment", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, mailstore.AccountLimits{})
		c := connect(t, w.server(smtp.Submission, false), near)
		c.play(toData)
		w.kv.fail(kv.ErrUnavailable, 5)
		c.play([][2]string{{body + ".\r\n", "250 Accepted"}})
		if es, _ := w.inbox(w.ann); len(es) != 1 {
			t.Errorf("%d messages", len(es))
		}
	})
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, mailstore.AccountLimits{})
		c := connect(t, w.server(smtp.Submission, false), near)
		c.play(toData)
		w.kv.fail(kv.ErrNoSpace, 1<<30)
		c.play([][2]string{{body + ".\r\n", "452 The server is out of space"}})
	})
	t.Run("outcome unknown", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, mailstore.AccountLimits{})
		c := connect(t, w.server(smtp.MX, false), near)
		c.play([][2]string{{"", "220 "}, {hello, "250 "}, {"MAIL FROM:<>\r\n", "250 "},
			{"RCPT TO:<ann@d.example>\r\n", "250 "}, {"DATA\r\n", "354 "}})
		w.kv.fail(kv.ErrUnknown, 1<<30)
		c.play([][2]string{{body + ".\r\n", "451 4.3.0"}})
	})
	t.Run("away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, mailstore.AccountLimits{})
			c := connect(t, w.server(smtp.Submission, false), near)
			c.play(toData)
			w.kv.fail(kv.ErrUnavailable, 1<<30)
			start := time.Now()
			c.play([][2]string{{body + ".\r\n", "451 "}})
			if d := time.Since(start); d < smtpd.DepositBudget || d > smtpd.DepositBudget+5*time.Second {
				t.Errorf("gave up after %v", d)
			}
			d := connect(t, w.server(smtp.Submission, false), near)
			d.play([][2]string{{"", "220 "}, {hello, "250 "}})
			start = time.Now()
			d.play([][2]string{{asAnn, "454 "}})
			if took := time.Since(start); took < smtpd.CommandBudget || took > smtpd.CommandBudget+5*time.Second {
				t.Errorf("a login gave up after %v", took)
			}
			d.play([][2]string{{asWrong, "454 "}})
		})
	})
}

// The clients of the standard library.
func TestNetSMTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.server(smtp.Submission, false).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	a := netsmtp.PlainAuth("", "ann@d.example", password, "127.0.0.1")
	long := "Subject: long\r\n\r\n" + strings.Repeat(".line\r\n", 40_000)
	if err := netsmtp.SendMail(l.Addr().String(), a, "me@x.test", []string{"you@x.test"}, []byte(long)); err != nil {
		t.Fatal(err)
	}
	if _, texts := w.inbox(w.ann); len(texts) != 1 || texts[0] != "Return-Path: <me@x.test>\r\n"+long {
		t.Errorf("%d messages, differing", len(texts))
	}
}

func BenchmarkSubmission(b *testing.B) {
	w := newWorld(b, mailstore.AccountLimits{})
	c := connect(b, w.server(smtp.Submission, false), near)
	c.play([][2]string{{"", "220 "}, {hello, "250 "}, {asAnn, "235 "}})
	msg := []byte("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n")
	data := bytes.Repeat([]byte("0123456789012345678901234567890123456789012345678901234567890123456789\r\n"), 115)
	data = append(data, ".\r\n"...)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		c.nc.Write(msg)
		c.reply()
		c.reply()
		c.reply()
		c.nc.Write(data)
		if r := c.reply(); !accepted.MatchString(r) {
			b.Fatal(r)
		}
	}
}
