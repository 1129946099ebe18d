package smtpd_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/smtp"
)

func (w *world) disable(id mailstore.AcctID) {
	w.t.Helper()
	if err := w.store.SetDisabled(w.t.Context(), id, true); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) has(id mailstore.AcctID, want int) {
	w.t.Helper()
	if es, _ := w.inbox(id); len(es) != want {
		w.t.Errorf("account %d has %d messages, want %d", id, len(es), want)
	}
}

// toAnn and toBob begin a transaction with both.
var (
	toAnn = [2]string{"RCPT TO:<ann@d.example>\r\n", "250 "}
	toBob = [2]string{"RCPT TO:<bob@d.example>\r\n", "250 "}
	from  = [2]string{"MAIL FROM:<s@far.test>\r\n", "250 "}
	data  = [2]string{"DATA\r\n", "354 "}
)

// A disabled account is refused as a recipient, and keeps nobody else's mail
// back; disabled after RCPT it costs the others a second try, or at LMTP nothing.
func TestDisabledRecipient(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, mode smtp.Mode, public bool) (*world, mailstore.AcctID, *client) {
		w := newWorld(t, mailstore.AccountLimits{})
		bob := w.account("bob@d.example")
		c := connect(t, w.server(mode, public), near)
		greet := hello
		if mode == smtp.LMTP {
			greet = "LHLO x\r\n"
		}
		c.play([][2]string{{"", "220 "}, {greet, "250 "}, from})
		return w, bob, c
	}
	for name, mode := range map[string]smtp.Mode{"MX": smtp.MX, "LMTP": smtp.LMTP, "submission": smtp.Submission} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, bob, c := begin(t, mode, mode != smtp.Submission)
			w.disable(bob)
			refusal := "550 5.2.1"
			if mode == smtp.Submission {
				refusal = "550 This account is disabled"
			}
			c.play([][2]string{toAnn, {toBob[0], refusal}, data, {body + ".\r\n", "250 "}, {"NOOP\r\n", "250 "}})
			w.has(w.ann, 1)
			w.has(bob, 0)
		})
	}
	t.Run("MX, since RCPT", func(t *testing.T) {
		t.Parallel()
		w, bob, c := begin(t, smtp.MX, true)
		c.play([][2]string{toAnn, toBob})
		w.disable(bob)
		c.play([][2]string{data, {body + ".\r\n", "451 4.3.0"}, from, {toBob[0], "550 5.2.1"}})
		w.has(w.ann, 0)
	})
	t.Run("LMTP, since RCPT", func(t *testing.T) {
		t.Parallel()
		w, bob, c := begin(t, smtp.LMTP, true)
		c.play([][2]string{toAnn, toBob})
		w.disable(bob)
		c.play([][2]string{data, {body + ".\r\n", "250 2.0.0"}, {"", "550 5.2.1"}})
		w.has(w.ann, 1)
	})
}

// Recipients that are named and not written to cost an account nothing of what
// it may get, however the transaction ends; messages do, once each.
func TestInboundRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{})
	w.rates = policy.Strangers{Inbound: bus.Rate{Limit: 3, Per: time.Hour}}
	s := w.server(smtp.MX, true)
	c := connect(t, s, far)
	c.play([][2]string{{"", "220 "}, {hello, "250 "}})
	for range 5 {
		c.play([][2]string{from, toAnn, toAnn, {"RCPT TO:<ann+x@d.example>\r\n", "250 "}, toAnn, {"RSET\r\n", "250 "}})
		c.play([][2]string{from, toAnn, {"BDAT 1\r\nx", "250 "}, {"RSET\r\n", "250 "}})
		gone := connect(t, s, far)
		gone.play([][2]string{{"", "220 "}, {hello, "250 "}, from, toAnn, {"QUIT\r\n", "221 "}, {"", "EOF"}})
	}
	for range 3 {
		c.play([][2]string{from, toAnn, toAnn, data, {body + ".\r\n", "250 "}})
	}
	c.play([][2]string{from, {toAnn[0], "450 4.7.1"}})
}

// What is more than an account may ever hold is refused for good: senders give
// it back at once, and do not try for days.
func TestOverQuota(t *testing.T) {
	t.Parallel()
	big := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 30) + ".\r\n"
	for name, mode := range map[string]smtp.Mode{"MX": smtp.MX, "LMTP": smtp.LMTP} {
		for _, public := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " public ", public), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, mailstore.AccountLimits{Bytes: 2000})
				c := connect(t, w.server(mode, public), near)
				greet := hello
				if mode == smtp.LMTP {
					greet = "LHLO x\r\n"
				}
				c.play([][2]string{{"", "220 "}, {greet, "250 "}, {"MAIL FROM:<s@far.test> SIZE=3000\r\n", "250 "},
					{toAnn[0], "552 5.2.2"}, {"RSET\r\n", "250 "}, from, toAnn, data, {big, "552 5.2.2"}})
			})
		}
	}
	t.Run("submission", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, mailstore.AccountLimits{Bytes: 2000})
		c := connect(t, w.server(smtp.Submission, false), near)
		c.play([][2]string{{"", "220 "}, {hello, "250 "}, {asAnn, "235 "}, from, toBob, data, {big, "552 "}})
	})
}

// Without SIZE an account that may have no room for the message is written to by
// itself, be it the first or not; with SIZE they go together if both have room.
func TestTightAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{Bytes: 4 << 20})
	bob := w.account("bob@d.example")
	w.account("cid@d.example")
	if err := w.store.SetLimits(t.Context(), bob, mailstore.AccountLimits{Bytes: 2000}); err != nil {
		t.Fatal(err)
	}
	toCid := [2]string{"RCPT TO:<cid@d.example>\r\n", "250 "}
	apart := func(to [2]string) [2]string { return [2]string{to[0], "452 4.5.3"} }
	big := strings.Repeat("x", 2500) + "\r\n.\r\n"
	c := connect(t, w.server(smtp.MX, true), far)
	c.play([][2]string{{"", "220 "}, {hello, "250 "},
		from, toAnn, apart(toBob), toCid, toAnn, data, {big, "250 "},
		from, toBob, apart(toAnn), toBob, data, {big, "552 5.2.2"},
		from, toBob, data, {body + ".\r\n", "250 "},
		{"MAIL FROM:<s@far.test> SIZE=200\r\n", "250 "}, toAnn, toBob, data, {body + ".\r\n", "250 "},
	})
	w.has(w.ann, 2)
	w.has(bob, 2)
	// What is prepended counts: it would be too much for both only after DATA.
	es, _ := w.inbox(bob)
	left := 2000 - es[0].Size - es[1].Size
	c.play([][2]string{{fmt.Sprintf("MAIL FROM:<s@far.test> SIZE=%d\r\n", left), "250 "}, toAnn, {toBob[0], "452 4.2.2"},
		data, {body + ".\r\n", "250 "}})
	w.has(w.ann, 3)
}

// A new password, or a disabled account, ends the sessions that are logged in.
func TestStaleSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mailstore.AccountLimits{})
	begin := func() *client {
		c := connect(t, w.server(smtp.Submission, false), near)
		c.play([][2]string{{"", "220 "}, {hello, "250 "}, {asAnn, "235 "}, from, toBob, data, {body + ".\r\n", "250 "}})
		return c
	}
	disabled := begin()
	w.disable(w.ann)
	disabled.play([][2]string{{from[0], "421 This account is disabled"}, {"", "EOF"}})
	if err := w.store.SetDisabled(t.Context(), w.ann, false); err != nil {
		t.Fatal(err)
	}
	old := begin()
	cred, err := w.auth.Seal(t.Context(), "another password", account.Chosen)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetCredential(t.Context(), w.ann, cred); err != nil {
		t.Fatal(err)
	}
	io.WriteString(old.nc, from[0])
	old.play([][2]string{{"", "421 This login holds no more"}, {"", "EOF"}})
	w.has(w.ann, 2)
}
