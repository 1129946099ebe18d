package interop_test

import (
	"bytes"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/harness"
)

// pour appends n small messages to INBOX, many on the way at once.
func pour(t *testing.T, b *box, n int) {
	t.Helper()
	c, err := textproto.Dial("tcp", b.Server.IMAP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ok := func(tag string) {
		t.Helper()
		for {
			l, err := c.ReadLine()
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(l, tag+" ") {
				if !strings.HasPrefix(l, tag+" OK") {
					t.Fatal(l)
				}
				return
			}
		}
	}
	_ = c.PrintfLine("l LOGIN %s %s", b.User, b.Pass)
	ok("l")
	for at := 0; at < n; at += 250 {
		k := min(250, n-at)
		go func() {
			var all bytes.Buffer
			for i := range k {
				m := fmt.Sprintf("From: ada@example.test\r\nSubject: poured %d\r\nMessage-ID: <p%d@example.test>\r\n\r\nText of %d.\r\n", at+i, at+i, at+i)
				fmt.Fprintf(&all, "a APPEND INBOX {%d+}\r\n%s\r\n", len(m), m)
			}
			_, _ = c.W.Write(all.Bytes())
			_ = c.W.Flush()
		}()
		for range k {
			ok("a")
		}
	}
}

// TestMbsyncMany syncs 5,000 messages over COMPRESS, changes both sides, and
// syncs again until nothing is left to do.
func TestMbsyncMany(t *testing.T) {
	harness.Need(t, "mbsync")
	const n = 5000
	b := fill(t, 0)
	pour(t, b, n)
	dir := t.TempDir()
	host, port := split(t, b.Server.IMAP)
	rc := write(t, filepath.Join(dir, "rc"), fmt.Sprintf(mbsyncRC, host, port, b.User, b.Pass, dir))
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	out := harness.Run(t, 3*clientTime, "mbsync", "-Dn", "-c", rc, "c")
	if !strings.Contains(out, "COMPRESS DEFLATE") {
		t.Errorf("mbsync did not compress:\n%.3000s", out)
	}
	box := filepath.Join(dir, "mail/INBOX")
	files, _ := filepath.Glob(filepath.Join(box, "*", "*,U=*"))
	if len(files) != n {
		t.Fatalf("mbsync fetched %d messages, want %d", len(files), n)
	}
	for i, f := range files[:200] { // half are flagged, half are thrown away
		base, _, _ := strings.Cut(filepath.Base(f), ":2,")
		if err := os.Rename(f, filepath.Join(box, "cur", base+":2,"+[]string{"FS", "ST"}[i%2])); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		write(t, filepath.Join(box, "new", fmt.Sprintf("9%d.1.host", i)), fmt.Sprintf("Subject: from here %d\n\nx\n", i))
	}
	curl := func(request string) string {
		return harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, "imap://"+b.Server.IMAP+"/INBOX", "-X", request)
	}
	curl(`STORE 4001:4100 +FLAGS.SILENT (\Flagged)`)
	curl(`STORE 4201:4300 +FLAGS.SILENT (\Deleted)`)
	curl("EXPUNGE")
	harness.Run(t, clientTime, "mbsync", "-c", rc, "c")
	again := harness.Run(t, clientTime, "mbsync", "-V", "-c", rc, "c")
	if somethingToDo.MatchString(again) {
		t.Errorf("a third run found something to do:\n%s", again)
	}
	files, _ = filepath.Glob(filepath.Join(box, "*", "*,U=*"))
	want := n - 100 - 100 + 50
	if got := len(strings.Fields(curl("UID SEARCH ALL"))) - 2; got != want || len(files) != want {
		t.Errorf("the server has %d messages and the maildir %d, want %d", got, len(files), want)
	}
	if got := len(strings.Fields(curl("UID SEARCH FLAGGED"))) - 2; got != 200 {
		t.Errorf("%d are flagged, want 200", got)
	}
}

const mbsyncRC = `
FSync no

IMAPAccount e
Host %s
Port %s
User %s
Pass %s
SSLType None
AuthMechs PLAIN

IMAPStore far
Account e

MaildirStore near
Path %[5]s/mail/
Inbox %[5]s/mail/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns INBOX
Create Both
Expunge Both
SyncState *
`

// TestOfflineimap syncs both ways, and finds nothing to do the second time.
func TestOfflineimap(t *testing.T) {
	harness.Need(t, "offlineimap")
	b := fill(t, 5)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	host, port := split(t, b.Server.IMAP)
	rc := write(t, filepath.Join(dir, "rc"), fmt.Sprintf(`
[general]
accounts = e
metadata = %[5]s/meta
ui = basic
[Account e]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = %[5]s/mail
[Repository far]
type = IMAP
remotehost = %[1]s
remoteport = %[2]s
remoteuser = %[3]s
remotepass = %[4]s
ssl = no
starttls = no
`, host, port, b.User, b.Pass, dir))
	sync := func() string { return harness.Run(t, clientTime, "offlineimap", "-o", "-c", rc) }
	sync()
	files, _ := filepath.Glob(filepath.Join(dir, "mail/INBOX/*/*"))
	if len(files) != 5 {
		t.Fatalf("offlineimap fetched %d messages, want 5", len(files))
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.sameAs(t, "offlineimap", bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")))
	}
	base, _, _ := strings.Cut(filepath.Base(files[0]), ":2,")
	if err := os.Rename(files[0], filepath.Join(dir, "mail/INBOX/cur", base+":2,FS")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "mail/INBOX/new/1.1.host"), "Subject: from here\n\nx\n")
	sync()
	sync()
	got := harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, "imap://"+b.Server.IMAP+"/INBOX?ALL")
	if n := len(strings.Fields(got)) - 2; n != 5 {
		t.Errorf("the server has %d messages, want 5: %s", n, got)
	}
	got = harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, "imap://"+b.Server.IMAP+"/INBOX?FLAGGED")
	if n := len(strings.Fields(got)) - 2; n != 1 {
		t.Errorf("%d are flagged, want 1: %s", n, got)
	}
}

// TestGoIMAP: the client of the Go library, which speaks IMAP4rev2 where it is offered.
func TestGoIMAP(t *testing.T) {
	b := fill(t, 3)
	c, err := imapclient.DialInsecure(b.Server.IMAP, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	try := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(what, err)
		}
	}
	try("login", c.Login(b.User, b.Pass).Wait())
	caps, err := c.Capability().Wait()
	try("capability", err)
	if caps.Has(imap.CapIMAP4rev2) {
		_, err = c.Enable(imap.CapIMAP4rev2).Wait()
		try("enable", err)
	}
	sel, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	try("select", err)
	if sel.NumMessages != 3 || sel.HighestModSeq == 0 {
		t.Errorf("SELECT: %+v", sel)
	}
	msgs, err := c.Fetch(imap.SeqSetNum(1, 2, 3), &imap.FetchOptions{Envelope: true, UID: true, ModSeq: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	try("fetch", err)
	if len(msgs) != 3 {
		t.Fatalf("%d messages", len(msgs))
	}
	for _, m := range msgs {
		if !strings.HasPrefix(m.Envelope.Subject, "letter") || m.BodyStructure.MediaType() != "multipart/mixed" || m.ModSeq == 0 {
			t.Errorf("%+v", m)
		}
		b.sameAs(t, "go-imap", m.FindBodySection(&imap.FetchItemBodySection{Peek: true}))
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "letter 2"}}},
		&imap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	try("search", err)
	if found.Count != 1 {
		t.Errorf("SEARCH: %+v", found)
	}
	try("create", c.Create("Kept", nil).Wait())
	moved, err := c.Move(found.All, "Kept").Wait()
	try("move", err)
	if moved.UIDValidity == 0 {
		t.Errorf("MOVE: %+v", moved)
	}
	boxes, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}}).Collect()
	try("list", err)
	for _, m := range boxes {
		if m.Mailbox == "Kept" && (m.Status == nil || *m.Status.NumMessages != 1) {
			t.Errorf("LIST-STATUS: %+v", m)
		}
	}
	try("logout", c.Logout().Wait())
}
