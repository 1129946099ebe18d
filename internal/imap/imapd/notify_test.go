package imapd_test

import (
	"regexp"
	"slices"
	"testing"
	"time"
)

// wants reads the lines that are pushed, in any order.
func (c *client) wants(lines ...string) {
	c.t.Helper()
	for len(lines) > 0 {
		l := regexp.MustCompile(`UIDVALIDITY \d+`).ReplaceAllString(c.line(), "UIDVALIDITY v")
		i := slices.Index(lines, l)
		if i < 0 {
			c.t.Fatalf("%q is pushed, not one of %q", l, lines)
		}
		lines = slices.Delete(lines, i, i+1)
	}
}

// quiet checks that nothing is pushed.
func (c *client) quiet() {
	c.t.Helper()
	if l := c.ok("NOOP"); len(l) > 0 {
		c.t.Errorf("%q is pushed", l)
	}
}

// TestNotify: what others do is pushed without a command, only what was asked
// for, and commands go on in between.
func TestNotify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.deliver("INBOX", "Subject: one\r\n\r\nx\r\n", 0)
	c, other := w.login(), w.login()
	other.ok("SELECT INBOX")
	c.ok("NOTIFY SET (personal (MessageNew MessageExpunge MailboxName SubscriptionChange)) (mailboxes Sent (MessageNew MessageExpunge FlagChange))")
	other.ok("COPY 1 Drafts")
	c.wants("* STATUS Drafts (MESSAGES 1 UIDNEXT 2 UIDVALIDITY v UNSEEN 1)")
	other.ok("COPY 1 Sent")
	c.wants("* STATUS Sent (MESSAGES 1 UIDNEXT 2 UIDVALIDITY v UNSEEN 1)")
	other.ok("CREATE new")
	c.wants(`* LIST () "/" new`)
	other.ok("RENAME new newer")
	c.wants(`* LIST () "/" newer ("OLDNAME" (new))`)
	other.ok("SUBSCRIBE newer")
	c.wants(`* LIST (\Subscribed) "/" newer`)
	other.ok("DELETE newer")
	c.wants(`* LIST (\NonExistent \Subscribed) "/" newer`)
	other.ok("UNSUBSCRIBE newer")
	c.wants(`* LIST (\NonExistent) "/" newer`)
	other.ok(`STORE 1 +FLAGS (\Seen)`) // in INBOX flags are not asked for
	other.ok("SELECT Sent")
	other.ok(`STORE 1 +FLAGS (\Seen \Deleted)`)
	c.wants("* STATUS Sent (MESSAGES 1 UIDNEXT 2 UIDVALIDITY v UNSEEN 0)")
	other.ok("EXPUNGE")
	c.wants("* STATUS Sent (MESSAGES 0 UIDNEXT 2 UIDVALIDITY v UNSEEN 0)")
	c.ok("NOTIFY NONE")
	other.ok("CREATE again")
	time.Sleep(20 * time.Millisecond)
	c.quiet()
}

// TestNotifySelected: new messages come with what was asked for, expunges at
// once, or with selected-delayed when a command allows them.
func TestNotifySelected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.deliver("INBOX", "Subject: one\r\n\r\nx\r\n", 0)
	c, late, other := w.login(), w.login(), w.login()
	for _, x := range []*client{c, late, other} {
		x.ok("SELECT INBOX")
	}
	c.ok("NOTIFY SET (selected (MessageNew (FLAGS RFC822.SIZE) MessageExpunge FlagChange))")
	late.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge))")
	w.deliver("INBOX", "Subject: two\r\n\r\nx\r\n", 0)
	c.wants("* 2 EXISTS", "* 2 RECENT", `* 2 FETCH (UID 2 FLAGS (\Recent) RFC822.SIZE 19)`)
	late.wants("* 2 EXISTS", "* 1 RECENT")
	other.ok(`STORE 1 +FLAGS (\Deleted)`)
	c.wants(`* 1 FETCH (FLAGS (\Deleted \Recent))`)
	other.ok("EXPUNGE")
	c.wants("* 1 EXPUNGE")
	time.Sleep(20 * time.Millisecond)
	late.send("x FETCH 2 (UID)\r\n")
	if l := late.line(); l != "* 2 FETCH (UID 2)" {
		t.Error(l)
	}
	late.until("x")
	if l := late.ok("NOOP"); !has(l, "* 1 EXPUNGE") {
		t.Error(l)
	}
	c.ok("UNSELECT")
	w.deliver("INBOX", "Subject: three\r\n\r\nx\r\n", 0)
	time.Sleep(20 * time.Millisecond)
	c.quiet()
	c.send("y LOGOUT\r\n")
	c.until("y")
}
