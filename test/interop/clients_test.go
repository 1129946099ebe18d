package interop_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// somethingToDo is what mbsync tells of a sync that added, flagged or trashed.
var somethingToDo = regexp.MustCompile(`[+*#][1-9]`)

// TestMbsync syncs both ways, twice: the second run must find nothing to do.
func TestMbsync(t *testing.T) {
	harness.Need(t, "mbsync")
	b := fill(t, 5)
	dir := t.TempDir()
	host, port := split(t, b.Server.IMAP)
	rc := write(t, filepath.Join(dir, "mbsyncrc"), fmt.Sprintf(`
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
Path %s/mail/
Inbox %s/mail/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
CopyArrivalDate yes
SyncState *
`, host, port, b.User, b.Pass, dir, dir))
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	sync := func() string { return harness.Run(t, clientTime, "mbsync", "-V", "-c", rc, "c") }
	sync()
	cur := filepath.Join(dir, "mail/INBOX")
	files, _ := filepath.Glob(filepath.Join(cur, "*", "*,U=*"))
	if len(files) != 5 {
		t.Fatalf("mbsync fetched %d messages, want 5", len(files))
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// mbsync writes LF line ends to a maildir, and a header line of its own.
		raw = regexp.MustCompile(`(?m)^X-TUID: .*\n`).ReplaceAll(raw, nil)
		b.sameAs(t, "mbsync", bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")))
	}
	mbsyncBack(t, b, cur, files, sync)
}

// mbsyncBack changes the maildir and looks at the server: one read, one deleted, one new.
func mbsyncBack(t *testing.T, b *box, cur string, files []string, sync func() string) {
	base := func(f string) string { s, _, _ := strings.Cut(filepath.Base(f), ":2,"); return s }
	if err := os.Rename(files[0], filepath.Join(cur, "cur", base(files[0])+":2,FS")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(files[1], filepath.Join(cur, "cur", base(files[1])+":2,T")); err != nil {
		t.Fatal(err)
	}
	local := strings.ReplaceAll(string(letter("from the maildir")), "\r\n", "\n")
	write(t, filepath.Join(cur, "new", "1.1.host"), local)
	sync()
	if again := sync(); somethingToDo.MatchString(again) {
		t.Errorf("a third mbsync run found something to do:\n%s", again)
	}
	host, port := split(t, b.Server.IMAP)
	url := fmt.Sprintf("imap://%s:%s/INBOX", host, port)
	got := harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, url, "-X", "UID SEARCH ALL")
	if n := len(strings.Fields(got)) - 2; n != 5 {
		t.Errorf("after mbsync the server has %d messages, want 5: %s", n, got)
	}
	got = harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, url, "-X", "UID SEARCH FLAGGED SEEN")
	if n := len(strings.Fields(got)) - 2; n != 1 {
		t.Errorf("flags set by mbsync: %d messages, want 1: %s", n, got)
	}
}

// TestCurl speaks SMTP, IMAP and POP3.
func TestCurl(t *testing.T) {
	harness.Need(t, "curl")
	b := fill(t, 2)
	login := b.User + ":" + b.Pass
	m := letter("by curl")
	file := write(t, filepath.Join(t.TempDir(), "m.eml"), string(m))
	harness.Run(t, clientTime, "curl", "-sS", "--url", "smtp://"+b.Server.SMTP, "-u", login,
		"--mail-from", "ada@example.test", "--mail-rcpt", "bob@example.test", "-T", file)
	b.sent["by curl"] = m
	for i := 1; i <= 3; i++ {
		raw := harness.Run(t, clientTime, "curl", "-sS", "-u", login,
			fmt.Sprintf("imap://%s/INBOX;UID=%d", b.Server.IMAP, i))
		b.sameAs(t, "curl imap", []byte(raw))
		raw = harness.Run(t, clientTime, "curl", "-sS", "-u", login, fmt.Sprintf("pop3://%s/%d", b.Server.POP3, i))
		b.sameAs(t, "curl pop3", []byte(raw))
	}
	harness.Run(t, clientTime, "curl", "-sS", "-u", login, "imap://"+b.Server.IMAP+"/INBOX",
		"-X", `STORE 2 +FLAGS.SILENT (\Flagged)`)
	got := harness.Run(t, clientTime, "curl", "-sS", "-u", login, "imap://"+b.Server.IMAP+"/INBOX?FLAGGED")
	if strings.TrimSpace(got) != "* SEARCH 2" {
		t.Errorf("flag set by curl: %q", got)
	}
	harness.Run(t, clientTime, "curl", "-sS", "-u", login, "pop3://"+b.Server.POP3+"/1", "-X", "DELE", "-I")
	list := harness.Run(t, clientTime, "curl", "-sS", "-u", login, "pop3://"+b.Server.POP3+"/")
	if n := len(strings.Split(strings.TrimSpace(list), "\n")); n != 2 {
		t.Errorf("after DELE curl lists %d messages, want 2:\n%s", n, list)
	}
	if _, err := harness.TryRun(clientTime, "curl", "-sS", "-u", b.User+":no", "imap://"+b.Server.IMAP+"/"); err == nil {
		t.Error("curl logged in with a wrong password")
	}
}

// TestSwaks sends with each mechanism and without AUTH (dev mode's catch-all),
// over plain and TLS submission, to the MX and by LMTP.
func TestSwaks(t *testing.T) {
	harness.Need(t, "swaks")
	b := fill(t, 1)
	host, _ := split(t, b.Server.SMTP)
	run := func(addr string, more ...string) string {
		_, port := split(t, addr)
		args := append([]string{"--server", host, "--port", port, "--from", "ada@example.test",
			"--timeout", "20"}, more...)
		return harness.Run(t, clientTime, "swaks", args...)
	}
	accepted := "250 Accepted [STATUS=new MSGID="
	for _, mech := range []string{"PLAIN", "LOGIN"} {
		for _, way := range [][]string{{b.Server.SMTP}, {b.Server.SMTPS, "--tls-on-connect"}} {
			args := append([]string{"--to", "x@example.test", "--auth", mech, "--auth-user", b.User,
				"--auth-password", b.Pass}, way[1:]...)
			if out := run(way[0], args...); !strings.Contains(out, accepted) {
				t.Errorf("swaks %s %v:\n%s", mech, way, out)
			}
		}
	}
	if out := run(b.Server.SMTP, "--to", "anyone@example.test"); !strings.Contains(out, accepted) {
		t.Errorf("swaks without AUTH:\n%s", out)
	}
	if out := run(b.Server.MX, "--to", b.User); !strings.Contains(out, "250 2.") {
		t.Errorf("swaks to the MX:\n%s", out)
	}
	if out := run(b.Server.LMTP, "--to", b.User, "--protocol", "LMTP"); !strings.Contains(out, "250 2.") {
		t.Errorf("swaks by LMTP:\n%s", out)
	}
	_, port := split(t, b.Server.MX)
	out, err := harness.TryRun(clientTime, "swaks", "--server", host, "--port", port,
		"--to", "nobody@elsewhere.test", "--from", "a@example.test")
	if err == nil || !strings.Contains(out, "550 5.1.1") {
		t.Errorf("swaks to an unknown address at the MX:\n%s", out)
	}
}

// TestFetchmail collects by POP3 and by IMAP, deletes what it took, and finds
// nothing the second time.
func TestFetchmail(t *testing.T) {
	harness.Need(t, "fetchmail")
	for _, proto := range []string{"pop3", "imap"} {
		b := fill(t, 3)
		dir := t.TempDir()
		addr := b.Server.POP3
		if proto == "imap" {
			addr = b.Server.IMAP
		}
		host, port := split(t, addr)
		script := write(t, filepath.Join(dir, "mda"), "#!/bin/sh\nexec cat > \"$(mktemp -p "+dir+" msg.XXXXXX)\"\n")
		if err := os.Chmod(script, 0o700); err != nil {
			t.Fatal(err)
		}
		rc := write(t, filepath.Join(dir, "fetchmailrc"), fmt.Sprintf(
			"poll %s protocol %s port %s user \"%s\" password \"%s\" sslproto \"\" no keep fetchall no rewrite mda \"%s\"\n",
			host, proto, port, b.User, b.Pass, script))
		t.Setenv("FETCHMAILHOME", dir)
		harness.Run(t, clientTime, "fetchmail", "-f", rc, "--nosyslog", "-v", "--invisible")
		files, _ := filepath.Glob(filepath.Join(dir, "msg.*"))
		if len(files) != 3 {
			t.Errorf("fetchmail %s took %d messages, want 3", proto, len(files))
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			// fetchmail hands LF line ends to its delivery agent.
			b.sameAs(t, "fetchmail "+proto, []byte(strings.ReplaceAll(string(raw), "\n", "\r\n")))
		}
		out, err := harness.TryRun(clientTime, "fetchmail", "-f", rc, "--nosyslog")
		if err == nil || !strings.Contains(err.Error(), "exit status 1") { // 1: there was no mail
			t.Errorf("fetchmail %s again: %v\n%s", proto, err, out)
		}
	}
}

// TestMutt reads a mailbox without a terminal: opens, tags all, copies to an
// mbox, flags and deletes, and quits.
func TestMutt(t *testing.T) {
	harness.Need(t, "mutt")
	b := fill(t, 3)
	dir := t.TempDir()
	host, port := split(t, b.Server.IMAP)
	t.Setenv("HOME", dir)
	t.Setenv("TERM", "dumb")
	user := strings.ReplaceAll(b.User, "@", "%40")
	rc := write(t, filepath.Join(dir, "muttrc"), fmt.Sprintf(`
set imap_user="%s"
set imap_pass="%s"
set ssl_starttls=no
set ssl_force_tls=no
set header_cache="%s/cache"
set confirmappend=no
set confirmcreate=no
set copy=no
set delete=yes
set quit=yes
set wait_key=no
set mbox_type=mbox
set move=no
set imap_condstore=yes
set imap_qresync=yes
set imap_deflate=yes
set folder="imap://%s@%s:%s/"
`, b.User, b.Pass, dir, user, host, port))
	inbox := fmt.Sprintf("imap://%s@%s:%s/INBOX", user, host, port)
	keys := `push "<tag-pattern>.<enter><tag-prefix><copy-message>` + dir + `/copy<enter>` +
		`<first-entry><flag-message><first-entry><next-entry><delete-message><sync-mailbox><quit>"`
	run := func(keys string) {
		harness.Run(t, clientTime, "script", "-qec",
			fmt.Sprintf("mutt -d 3 -n -F %s -f '%s' -e '%s'", rc, inbox, keys), "/dev/null")
	}
	run(keys)
	raw, err := os.ReadFile(filepath.Join(dir, "copy"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count("\n"+string(raw), "\nFrom "); n != 3 {
		t.Errorf("mutt copied %d messages, want 3", n)
	}
	got := harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass,
		"imap://"+b.Server.IMAP+"/INBOX?FLAGGED")
	if strings.TrimSpace(got) != "* SEARCH 1" {
		t.Errorf("flagged by mutt: %q", got)
	}
	got = harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, "imap://"+b.Server.IMAP+"/INBOX?ALL")
	if strings.TrimSpace(got) != "* SEARCH 1 2" {
		t.Errorf("after mutt deleted one: %q", got)
	}
	// Its cache knows the mailbox now: the second time it asks for the changes alone.
	harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, "imap://"+b.Server.IMAP+"/INBOX",
		"-X", `STORE 1 +FLAGS.SILENT (\Deleted)`)
	harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, "imap://"+b.Server.IMAP+"/INBOX", "-X", "EXPUNGE")
	run(`push "<tag-pattern>.<enter><tag-prefix><copy-message>` + dir + `/again<enter><quit>"`)
	if raw, err = os.ReadFile(filepath.Join(dir, "again")); err != nil || strings.Count("\n"+string(raw), "\nFrom ") != 1 {
		t.Errorf("after another expunged one mutt shows: %v\n%s", err, raw)
	}
	log, err := os.ReadFile(filepath.Join(dir, ".muttdebug0"))
	for _, word := range []string{"COMPRESS DEFLATE", "VANISHED)", "VANISHED (EARLIER)"} {
		if err != nil || !strings.Contains(string(log), word) {
			t.Errorf("mutt's log has no %q: %v", word, err)
		}
	}
}
