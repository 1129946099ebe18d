package imapd_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/imap/imapd"
	"github.com/eidermail/eider/internal/mailstore/account"
)

// scramLogin speaks SCRAM as a client and returns the tagged response.
func (c *client) scramLogin(mechanism, user, pass string, cb *scram.ChannelBinding) string {
	c.t.Helper()
	cl, err := scram.SHA256.NewClient(user, pass, "")
	if err != nil {
		c.t.Fatal(err)
	}
	conv := cl.NewConversation()
	if cb != nil {
		conv = cl.NewConversationWithChannelBinding(*cb)
	}
	first, err := conv.Step("")
	if err != nil {
		c.t.Fatal(err)
	}
	c.tags++
	tag := fmt.Sprintf("s%d", c.tags)
	c.send(tag + " AUTHENTICATE " + mechanism + " " + base64.StdEncoding.EncodeToString([]byte(first)) + "\r\n")
	for {
		l := c.line()
		challenge, ok := strings.CutPrefix(l, "+ ")
		if !ok {
			if conv.Valid() != strings.HasPrefix(l, tag+" OK") {
				c.t.Errorf("%s, but the client is done: %v", l, conv.Done())
			}
			return strings.TrimPrefix(l, tag+" ")
		}
		b, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			c.t.Fatal(err)
		}
		answer, err := conv.Step(string(b))
		if err != nil {
			c.t.Fatal(err)
		}
		c.send(base64.StdEncoding.EncodeToString([]byte(answer)) + "\r\n")
	}
}

func TestScram(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	c := w.dial()
	if g := c.line(); !strings.Contains(g, "AUTH=SCRAM-SHA-256 ") || strings.Contains(g, "-PLUS") {
		t.Error(g)
	}
	for _, bad := range [][2]string{{"ann@d.example", "wrong"}, {"nobody@d.example", password}} {
		if l := c.scramLogin("SCRAM-SHA-256", bad[0], bad[1], nil); !strings.HasPrefix(l, "NO [AUTHENTICATIONFAILED]") {
			t.Error(bad, l)
		}
	}
	for _, bad := range []string{"SCRAM-SHA-256-PLUS biwsbj1hLHI9Yg==", "SCRAM-SHA-1", "SCRAM-SHA-256 bm9uc2Vuc2U=", "SCRAM-SHA-256 !"} {
		if l := c.run("AUTHENTICATE " + bad); strings.HasPrefix(l[len(l)-1], "OK") {
			t.Error(bad, l)
		}
	}
	if l := c.scramLogin("SCRAM-SHA-256", "ann@d.example", password, nil); !strings.HasPrefix(l, "OK") {
		t.Fatal(l)
	}
	c.ok("SELECT INBOX")
}

// TestScramChosen: a password that a person has set, and the guesses of others.
func TestScramChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	cred, err := w.auth.Seal(context.Background(), "my own password", account.Chosen)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetCredential(context.Background(), w.ann, cred); err != nil {
		t.Fatal(err)
	}
	login := func(pass string) string {
		c := w.dial()
		c.line()
		return c.scramLogin("SCRAM-SHA-256", "ann@d.example", pass, nil)
	}
	if l := login("my own password"); !strings.HasPrefix(l, "OK") {
		t.Fatal(l)
	}
	for i := 0; ; i++ {
		l := login("guess")
		if strings.Contains(l, "UNAVAILABLE") {
			break
		}
		if i > 100 {
			t.Fatal("guesses are not slowed down")
		}
	}
	if l := login("my own password"); !strings.Contains(l, "UNAVAILABLE") {
		t.Error("a guesser learns that a guess was right: ", l)
	}
}

// TestScramStrangersLookAlike: an account that is not there has a salt that stays.
func TestScramStrangersLookAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	ctx, peer := context.Background(), netip.MustParseAddr("192.0.2.1")
	a, err := w.auth.StartScram(ctx, peer, "nobody@d.example")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := w.auth.StartScram(ctx, peer, "nobody@d.example")
	other, _ := w.auth.StartScram(ctx, peer, "none@d.example")
	real, _ := w.auth.StartScram(ctx, peer, "ann@d.example")
	if !a.Verifier.Equal(b.Verifier) || string(a.Verifier.Salt) != string(b.Verifier.Salt) ||
		string(a.Verifier.Salt) == string(other.Verifier.Salt) {
		t.Error("salts of strangers")
	}
	if len(a.Verifier.Salt) != len(real.Verifier.Salt) || a.Verifier.Iterations != real.Verifier.Iterations {
		t.Error("a stranger can be told from an account")
	}
	if _, err := w.auth.EndScram(ctx, a, true); err == nil {
		t.Error("a stranger was let in")
	}
}

func TestScramPlus(t *testing.T) {
	t.Parallel()
	cert := certificate(t)
	w := newWorld(t, options{tls: cert, clear: true})
	dial := func(o *tls.Config) (*client, *tls.ConnectionState) {
		c := w.dial()
		c.line()
		c.ok("STARTTLS")
		o.InsecureSkipVerify = true
		tc := tls.Client(c.conn, o)
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		c.conn, c.r = tc, newReader(tc)
		state := tc.ConnectionState()
		return c, &state
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, state := dial(&tls.Config{MaxVersion: version})
		if l := c.ok("CAPABILITY"); !has(l, "AUTH=SCRAM-SHA-256-PLUS") {
			t.Error(l)
		}
		endPoint, err := scram.NewTLSServerEndpointBinding(state)
		if err != nil {
			t.Fatal(err)
		}
		exporter, err := scram.NewTLSExporterBinding(state)
		if err != nil {
			t.Fatal(err)
		}
		forged := exporter
		forged.Data = append([]byte(nil), forged.Data...)
		forged.Data[0] ^= 1
		if l := c.scramLogin("SCRAM-SHA-256-PLUS", "ann@d.example", password, &forged); !strings.HasPrefix(l, "NO") {
			t.Error("another channel:", l)
		}
		unique := scram.NewTLSUniqueBinding([]byte("x"))
		if l := c.scramLogin("SCRAM-SHA-256-PLUS", "ann@d.example", password, &unique); !strings.HasPrefix(l, "NO") {
			t.Error("tls-unique:", l)
		}
		if l := c.scramLogin("SCRAM-SHA-256", "ann@d.example", password, &exporter); !strings.HasPrefix(l, "NO") {
			t.Error("a binding without -PLUS:", l)
		}
		// "y": the client could bind, and was not told that we can: somebody is in between.
		if l := c.run("AUTHENTICATE SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString([]byte("y,,n=ann@d.example,r=abc"))); !has(l, "NO") {
			t.Error("downgrade:", l)
		}
		if l := c.scramLogin("SCRAM-SHA-256-PLUS", "ann@d.example", password, &exporter); !strings.HasPrefix(l, "OK") {
			t.Error("tls-exporter:", l)
		}
		c, state = dial(&tls.Config{MaxVersion: version})
		if endPoint, err = scram.NewTLSServerEndpointBinding(state); err != nil {
			t.Fatal(err)
		}
		if l := c.scramLogin("SCRAM-SHA-256-PLUS", "ann@d.example", password, &endPoint); !strings.HasPrefix(l, "OK") {
			t.Error("tls-server-end-point:", l)
		}
	}
}

// fakeTokens is a fake checker of tokens: one token is good.
type fakeTokens struct{ id auth.Identity }

func (f fakeTokens) Bearer(_ context.Context, _ netip.Addr, _, token string) (auth.Identity, error) {
	if token != "good" {
		return auth.Identity{}, auth.ErrBadCredentials
	}
	return f.id, nil
}

func TestBearer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	id, err := w.auth.Password(context.Background(), w.info.Remote, "ann@d.example", password)
	if err != nil {
		t.Fatal(err)
	}
	w.o.Bearer = fakeTokens{id}
	w.imap = imapd.New(w.o)
	w.listen()
	c := w.dial()
	if g := c.line(); !strings.Contains(g, "AUTH=OAUTHBEARER") {
		t.Error(g)
	}
	try := func(message string) {
		c.send("b AUTHENTICATE OAUTHBEARER " + base64.StdEncoding.EncodeToString([]byte(message)) + "\r\n")
	}
	try("n,a=ann@d.example,\x01auth=Bearer bad\x01\x01")
	l := c.line()
	if b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(l, "+ ")); !strings.Contains(string(b), "invalid_token") {
		t.Error(l)
	}
	c.send("AQ==\r\n")
	if l := c.line(); !strings.HasPrefix(l, "b NO [AUTHENTICATIONFAILED]") {
		t.Error(l)
	}
	for _, bad := range []string{"", "x", "n,,\x01auth=Bearer\x01\x01", "p=x,,\x01auth=Bearer good\x01\x01", "n,,\x01\x01", "n,,\x01auth=Basic good\x01\x01"} {
		try(bad)
		if l := c.line(); !strings.HasPrefix(l, "b BAD") {
			t.Error(bad, l)
		}
	}
	try("n,a=ann@d.example,\x01host=x\x01port=143\x01auth=Bearer good\x01\x01")
	if l := c.line(); !strings.HasPrefix(l, "b OK") {
		t.Error(l)
	}
	c.ok("SELECT INBOX")
}

// TestUnauthenticate: somebody else can go on, and sees nothing of the one before.
func TestUnauthenticate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.account("bob@d.example")
	w.deliver("INBOX", "Subject: for ann\r\n\r\nx\r\n", 0)
	c := w.login()
	c.ok("ENABLE QRESYNC IMAP4rev2")
	c.ok("SELECT INBOX")
	c.compress()
	c.ok("UNAUTHENTICATE")
	if l := c.run("NOOP"); len(l) != 1 {
		t.Error(l)
	}
	if l := c.run("FETCH 1 (UID)"); !has(l, "BAD") {
		t.Error(l)
	}
	c.ok(fmt.Sprintf("LOGIN bob@d.example %q", password))
	if l := c.ok("SELECT INBOX"); !has(l, "* 0 EXISTS") || !has(l, "RECENT") {
		t.Error(l)
	}
}
