package imapd_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	eider "github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore"
)

// certificate makes a certificate for a test.
func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func has(lines []string, part string) bool {
	for _, l := range lines {
		if strings.Contains(l, part) {
			return true
		}
	}
	return false
}

func TestStartTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{tls: certificate(t), clear: true})
	c := w.dial()
	if g := c.line(); !strings.Contains(g, "STARTTLS") || !strings.Contains(g, "LOGINDISABLED") || strings.Contains(g, "AUTH=") {
		t.Error(g)
	}
	for _, cmd := range []string{`LOGIN ann@d.example "` + password + `"`, "AUTHENTICATE PLAIN"} {
		if l := c.run(cmd); !has(l, "NO [PRIVACYREQUIRED]") {
			t.Error(cmd, l)
		}
	}
	c.ok("STARTTLS")
	tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	c.conn, c.r = tc, nil
	c.r = newReader(tc)
	if l := c.ok("CAPABILITY"); has(l, "STARTTLS") || has(l, "LOGINDISABLED") || !has(l, "AUTH=PLAIN") {
		t.Error(l)
	}
	if l := c.run("STARTTLS"); !has(l, "BAD") {
		t.Error(l)
	}
	c.ok(fmt.Sprintf("LOGIN ann@d.example %q", password))
}

// TestStartTLSInjection: what was sent in clear behind STARTTLS is never run.
func TestStartTLSInjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{tls: certificate(t)})
	c := w.dial()
	c.line()
	c.send("a STARTTLS\r\nb LOGIN ann@d.example \"" + password + "\"\r\n")
	if rest := c.eof(); !strings.HasPrefix(rest, "a BAD") || strings.Contains(rest, "b ") {
		t.Errorf("%q", rest)
	}
}

// TestForeignProtocols are closed before anything is done for them.
func TestForeignProtocols(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	login := "x LOGIN ann@d.example \"" + password + "\"\r\n"
	for _, in := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + login, "POST /a HTTP/1.0\r\n\r\n" + login,
		"Host: localhost\r\n" + login, "\x16\x03\x01\x02\x00\x01\n",
	} {
		c := w.dial()
		c.line()
		c.send(in)
		b, _ := io.ReadAll(c.r)
		if strings.Contains(string(b), "x OK") || strings.Contains(string(b), "x NO") {
			t.Errorf("%q is answered with %q", in, b)
		}
	}
}

// TestGarbage: binary in each state is answered, and the server lives.
func TestGarbage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	for name, prefix := range map[string][]string{
		"not authenticated": nil,
		"authenticated":     {fmt.Sprintf("LOGIN ann@d.example %q", password)},
		"selected":          {fmt.Sprintf("LOGIN ann@d.example %q", password), "SELECT INBOX"},
	} {
		for _, garbage := range []string{
			"\x00\x01\x02\xff\xfe\r\n", "a \x00\r\n", "a LOGIN \xff\xff \x00\r\n", "\r\n", " \r\n", "a  NOOP\r\n",
			"a FETCH \x00\r\n", "a " + strings.Repeat("\x80", 5000) + "\r\n", strings.Repeat("x", 200_000) + "\r\n",
			"a SELECT " + strings.Repeat("y", 100_000) + "\r\n", "a ID (" + strings.Repeat("\"a\" NIL ", 8000) + ")\r\n",
		} {
			c := w.dial()
			c.line()
			for _, p := range prefix {
				c.ok(p)
			}
			c.send(garbage)
			c.ok("NOOP")
			if t.Failed() {
				t.Fatalf("%s: %.40q", name, garbage)
			}
		}
	}
}

func TestTooManyBadCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	c := w.dial()
	c.line()
	c.send(strings.Repeat("a NONSENSE\r\n", 100))
	if rest := c.eof(); strings.Count(rest, "a BAD") != eider.MaxBadCommands || !strings.HasSuffix(rest, "* BYE too many bad commands\r\n") {
		t.Errorf("%q", rest)
	}
}

func TestTooManyFailedLogins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	c := w.dial()
	c.line()
	c.send(strings.Repeat("a LOGIN ann@d.example wrong\r\n", 20))
	if rest := c.eof(); strings.Count(rest, "a NO") != eider.MaxLoginFailures ||
		!strings.HasSuffix(rest, "* BYE too many failed logins\r\n") {
		t.Errorf("%q", rest)
	}
}

// TestStoreAway: a store that is away is UNAVAILABLE, never a wrong password, and comes back.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{budget: 20 * time.Millisecond})
	c := w.login()
	c.ok("SELECT INBOX")
	w.deliver("INBOX", "Subject: x\r\n\r\ny\r\n", 0)
	for range 1000 { // on a busy machine the budget is soon spent
		if has(c.ok("NOOP"), "EXISTS") {
			break
		}
	}
	d := w.dial()
	d.line()
	w.kv.fail(kv.ErrUnavailable)
	if l := d.run(`LOGIN bob@d.example "x"`); !has(l, "NO [UNAVAILABLE]") {
		t.Error(l)
	}
	for _, cmd := range []string{"STATUS INBOX (MESSAGES)", "STORE 1 +FLAGS (\\Seen)", "FETCH 1 BODY.PEEK[]", "SELECT Sent",
		"COPY 1 Sent", "CREATE x", "APPEND INBOX {3+}\r\nx\r\n"} {
		if l := c.run(cmd); !has(l, "NO [UNAVAILABLE]") && !has(l, "BAD select") {
			t.Error(cmd, l)
		}
	}
	w.kv.fail(nil)
	c.ok("SELECT INBOX")
	c.ok("STORE 1 +FLAGS (\\Seen)")
}

func TestQuota(t *testing.T) {
	t.Parallel()
	msg := "Subject: x\r\n\r\n" + strings.Repeat("y", 1000) + "\r\n"
	for _, public := range []bool{false, true} {
		w := newWorld(t, options{public: public, limits: mailstore.AccountLimits{Bytes: 2500}})
		c := w.login()
		for range 2 {
			c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(msg), msg))
		}
		l := c.run(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(msg), msg))
		if public != has(l, "NO [OVERQUOTA]") {
			t.Errorf("public %v: %q", public, l)
		}
		c.ok("SELECT INBOX")
		if l := c.run("COPY 1 Sent"); !has(l, "NO [OVERQUOTA]") {
			t.Errorf("public %v: %q", public, l)
		}
	}
}

// TestBytesAreExact: whatever was appended comes back, whole and in pieces.
func TestBytesAreExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{limit: 64 << 20})
	c := w.login()
	big := make([]byte, 5<<20)
	rand.Read(big)
	for i, msg := range [][]byte{
		[]byte("x"), []byte("Subject: \x00\r\n\r\n\x00\x00\n\r\r\n"), []byte("\n"), []byte("a: b\n\nno\rend"),
		append([]byte("Subject: big\r\n\r\n"), big...),
	} {
		c.send(fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s\r\n", len(msg), msg))
		if l := c.until("a"); !strings.HasPrefix(l[len(l)-1], "OK") {
			t.Fatal(l)
		}
		c.ok("SELECT INBOX")
		get := func(item string) []byte {
			c.send(fmt.Sprintf("f FETCH %d %s\r\n", i+1, item))
			head := c.line()
			var n int
			if at := strings.LastIndexByte(head, '{'); at >= 0 {
				fmt.Sscanf(head[at:], "{%d}", &n)
			}
			b := make([]byte, n)
			io.ReadFull(c.r, b)
			c.until("f")
			return b
		}
		if sha256.Sum256(get("BODY.PEEK[]")) != sha256.Sum256(msg) {
			t.Errorf("message %d differs", i)
		}
		var pieces []byte
		for off := 0; off < len(msg); off += 1 << 20 {
			pieces = append(pieces, get(fmt.Sprintf("BODY.PEEK[]<%d.%d>", off, 1<<20))...)
		}
		if !bytes.Equal(pieces, msg) {
			t.Errorf("message %d differs in pieces", i)
		}
		if !bytes.Equal(append(get("RFC822.HEADER"), get("BODY.PEEK[TEXT]")...), msg) {
			t.Errorf("message %d: header and text are not the message", i)
		}
	}
}

// countingConn counts the server's writes.
type countingConn struct {
	net.Conn
	writes *atomic.Int32
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestPipelining: a thousand commands that have arrived are answered in order, with few writes.
func TestPipelining(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.deliver("INBOX", "Subject: x\r\n\r\ny\r\n", 0)
	mine, theirs := socketPair(t)
	var writes atomic.Int32
	var wg sync.WaitGroup
	wg.Go(func() { w.imap.ServeConn(t.Context(), countingConn{theirs, &writes}, w.info) })
	c := &client{t: t, conn: mine, r: newReader(mine)}
	c.line()
	c.ok(fmt.Sprintf("LOGIN ann@d.example %q", password))
	c.ok("SELECT INBOX")
	writes.Store(0)
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "p%d UID FETCH 1 (FLAGS)\r\n", i)
	}
	go io.WriteString(mine, b.String()+"p LOGOUT\r\n")
	for i := range 1000 {
		if l := c.until(fmt.Sprintf("p%d", i)); len(l) != 2 || !strings.HasPrefix(l[1], "OK") {
			t.Fatal(i, l)
		}
	}
	wg.Wait()
	if n := writes.Load(); n > 50 {
		t.Errorf("%d writes", n)
	}
}

func socketPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestStop: a client is told when the server stops, idling or not.
func TestStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	for _, idle := range []bool{false, true} {
		mine, theirs := socketPair(t)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.imap.ServeConn(ctx, theirs, w.info) })
		c := &client{t: t, conn: mine, r: newReader(mine)}
		c.line()
		c.ok(fmt.Sprintf("LOGIN ann@d.example %q", password))
		c.ok("SELECT INBOX")
		if idle {
			c.send("i IDLE\r\n")
			c.line()
		}
		cancel()
		if rest := c.eof(); !strings.HasPrefix(rest, "* BYE [UNAVAILABLE]") {
			t.Errorf("idle %v: %q", idle, rest)
		}
		wg.Wait()
	}
}

// TestSilence: a client that says nothing is cut off, before and after login, and in IDLE.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := eider.New(eider.Options{NewSession: func(eider.ConnInfo, eider.Progress) eider.Session { return quiet{} }})
		for _, c := range []struct {
			say   []string
			after time.Duration
		}{
			{nil, eider.LoginTime},
			{[]string{"a LOGIN x y\r\n"}, eider.AutoLogout},
			{[]string{"a LOGIN x y\r\n", "b IDLE\r\n"}, eider.AutoLogout},
			{[]string{"a LOGIN x y\r\n", "b APPEND INBOX {100+}\r\nabc"}, eider.LiteralTime},
			{[]string{"a LOGIN x "}, eider.LoginTime},
		} {
			mine, theirs := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.ServeConn(t.Context(), theirs, eider.ConnInfo{Trusted: true})
			}()
			var got bytes.Buffer
			read := make(chan struct{})
			go func() { defer close(read); io.Copy(&got, mine) }()
			for _, l := range c.say {
				io.WriteString(mine, l)
				synctest.Wait()
			}
			start := time.Now()
			<-done
			<-read
			if d := time.Since(start); d != c.after || !strings.Contains(got.String(), "* BYE you were silent") {
				t.Errorf("%q: after %v: %q", c.say, d, got.String())
			}
			mine.Close()
		}
	})
}

// quiet is a Session in which nothing happens.
type quiet struct{ eider.Session }

func (quiet) Close()                                           {}
func (quiet) Login(context.Context, string, string) error      { return nil }
func (quiet) CheckAppend(context.Context, string, int64) error { return nil }
func (quiet) Receive(_ context.Context, r io.Reader) (eider.Draft, error) {
	_, err := io.Copy(io.Discard, r)
	return nil, err
}

// TestImapclient is an independent client's view.
func TestImapclient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	events := make(chan uint32, 10)
	c, err := imapclient.New(mustDial(t, w.addr), &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(m *imapclient.UnilateralDataMailbox) {
			if m.NumMessages != nil {
				events <- *m.NumMessages
			}
		},
	}}), error(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Login("ann@d.example", password).Wait())
	must(c.Create("Größe/ä", nil).Wait())
	boxes, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}}).Collect()
	must(err)
	if len(boxes) != 7 || boxes[5].Mailbox != "Größe" && boxes[1].Mailbox != "Größe" && !hasMailbox(boxes, "Größe/ä") {
		t.Error(boxes)
	}
	msg := "From: a@x.example\r\nSubject: one\r\n\r\nbody\r\n"
	a := c.Append("INBOX", int64(len(msg)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	io.WriteString(a, msg)
	must(a.Close())
	data, err := a.Wait()
	must(err)
	if data.UID != 1 {
		t.Error(data)
	}
	sel, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	must(err)
	if sel.NumMessages != 1 || sel.UIDNext != 2 || sel.HighestModSeq == 0 {
		t.Errorf("%+v", sel)
	}
	got, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{UID: true, Flags: true, Envelope: true, InternalDate: true,
		RFC822Size: true, ModSeq: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	must(err)
	if len(got) != 1 || got[0].Envelope.Subject != "one" || string(got[0].BodySection[0].Bytes) != msg || got[0].ModSeq == 0 {
		t.Errorf("%+v", got)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "ONE"}}},
		&imap.SearchOptions{ReturnCount: true, ReturnAll: true}).Wait()
	must(err)
	if found.Count != 1 || found.AllUIDs()[0] != 1 {
		t.Errorf("%+v", found)
	}
	must(c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"$x"}}, nil).Close())
	cp, err := c.Copy(imap.UIDSetNum(1), "Sent").Wait()
	must(err)
	if cp.DestUIDs.String() != "1" {
		t.Errorf("%+v", cp)
	}
	idle, err := c.Idle()
	must(err)
	w.deliver("INBOX", msg, 0)
	if n := <-events; n != 2 {
		t.Errorf("idle: %d", n)
	}
	must(idle.Close())
	must(idle.Wait())
	mv, err := c.Move(imap.SeqSetNum(1, 2), "Trash").Wait()
	must(err)
	if mv.DestUIDs.String() != "1:2" {
		t.Errorf("%+v", mv)
	}
	must(c.Unselect().Wait())
	must(c.Logout().Wait())
}

func hasMailbox(boxes []*imap.ListData, name string) bool {
	for _, b := range boxes {
		if b.Mailbox == name && b.Status != nil {
			return true
		}
	}
	return false
}

func mustDial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
