package imapd_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/mailstore/account"
	"github.com/eidermail/eider/internal/mailstore/watch"
)

// endings are the ways in which a login comes to hold no more, and what is said.
var endings = map[string]struct {
	end  func(*world) error
	code string
}{
	"new password": {(*world).newPassword, "NO [EXPIRED]"},
	"disabled": {func(w *world) error { return w.store.SetDisabled(context.Background(), w.ann, true) },
		"NO [CONTACTADMIN]"},
	"deleted": {func(w *world) error { return w.store.DeleteAccount(context.Background(), w.ann) }, "NO [EXPIRED]"},
}

func (w *world) newPassword() error {
	cred, err := w.auth.Seal(context.Background(), "another password", account.Generated)
	if err != nil {
		return err
	}
	return w.store.SetCredential(context.Background(), w.ann, cred)
}

// A session whose password was changed, or whose account is disabled or gone,
// opens, reads and stores nothing any more.
func TestStill(t *testing.T) {
	t.Parallel()
	commands := []string{"SELECT INBOX", "EXAMINE INBOX", "STATUS INBOX (MESSAGES)", "APPEND INBOX {1+}\r\nx", `LIST "" "*"`,
		`LSUB "" "*"`, "CREATE new", "DELETE Sent", "RENAME Sent Gone", "SUBSCRIBE x", `GETQUOTA ""`}
	for name, way := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.deliver("INBOX", "Subject: x\r\n\r\ny\r\n", 0)
			idle, sel := w.login(), w.login()
			var each []*client
			for range commands {
				each = append(each, w.login())
			}
			sel.ok("SELECT INBOX")
			if err := way.end(w); err != nil {
				t.Fatal(err)
			}
			for i, cmd := range commands {
				if l := each[i].run(cmd); !strings.HasPrefix(l[len(l)-1], way.code) || len(l) > 1 {
					t.Errorf("%s: %q", cmd, l)
				}
			}
			for _, cmd := range commands { // and goes on so
				if l := idle.run(cmd); !strings.HasPrefix(l[len(l)-1], way.code) {
					t.Errorf("then %s: %q", cmd, l)
				}
			}
			if l := sel.run("SELECT Sent"); !strings.HasPrefix(l[len(l)-1], way.code) {
				t.Errorf("SELECT after SELECT: %q", l)
			}
		})
	}
}

// Where a mailbox is selected such a session is told goodbye when something is
// heard of the account, or it was asked for so long.
func TestStill_Selected(t *testing.T) {
	t.Parallel()
	for name, way := range endings {
		for _, cmd := range []string{"NOOP", "FETCH 1 BODY.PEEK[]", "SEARCH TEXT y", "STORE 1 +FLAGS (\\Flagged)", "MOVE 1 Sent",
			"EXPUNGE", "COPY 1 Sent", "IDLE", "CLOSE"} {
			t.Run(name+" "+cmd, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, options{piped: true})
					d := w.deliver("INBOX", "Subject: x\r\n\r\ny\r\n", 0)
					c := w.login()
					c.ok("SELECT INBOX")
					c.conn.SetDeadline(time.Now().Add(5 * watch.PollEvery))
					if cmd == "IDLE" {
						c.send("i IDLE\r\n")
						c.line()
					}
					if err := way.end(w); err != nil {
						t.Fatal(err)
					}
					time.Sleep(watch.PollEvery + time.Second)
					if cmd != "IDLE" {
						c.send("a " + cmd + "\r\n")
					}
					if said := c.eof(); !strings.HasPrefix(said, "* BYE ") || strings.Contains(said, "FETCH") {
						t.Errorf("said %q", said)
					}
					if name == "deleted" {
						return
					}
					es, err := w.store.Mailbox(context.Background(), w.ann, "INBOX")
					if err != nil || es.Exists != 1 || uint64(es.HighestModSeq) != uint64(d.ModSeq) {
						t.Errorf("the mailbox is another: %+v %v", es, err)
					}
				})
			})
		}
	}
}
