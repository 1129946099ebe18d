// Package transfer_test takes mail out of one server and into another, by the
// commands a person would use, and compares what both give to their clients.
package transfer_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/test/corpus"
	"github.com/eidermail/eider/test/harness"
)

// Limit: how long one command may take.
const commandWithin = 3 * time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// command is what a command gave.
type command struct {
	out, err string
	code     int
}

// eider runs a command on a data directory.
func eider(t testing.TB, dir string, args ...string) command {
	t.Helper()
	return begin(t, dir, nil, args...).end(t)
}

// running is a command under way.
type running struct {
	*exec.Cmd
	out, err bytes.Buffer
}

// begin starts a command on a data directory.
func begin(t testing.TB, dir string, in io.Reader, args ...string) *running {
	t.Helper()
	c := &running{Cmd: exec.Command(harness.Binary(t), append(args[:1:1], append([]string{"--data", dir}, args[1:]...)...)...)}
	// For commands that open the store themselves.
	c.Env = append(os.Environ(), "EIDER_ACCOUNT_QUOTA=10GB", "EIDER_ACCOUNT_MESSAGES=1000000", "EIDER_RETENTION=never")
	c.Stdin, c.Stdout, c.Stderr, c.WaitDelay = in, &c.out, &c.err, time.Second
	must(t, c.Start())
	return c
}

// end waits for a command.
func (c *running) end(t testing.TB) command {
	t.Helper()
	timer := time.AfterFunc(commandWithin, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	err := c.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command{c.out.String(), c.err.String(), c.ProcessState.ExitCode()}
}

// ok is eider for a command that must succeed.
func ok(t testing.TB, dir string, args ...string) command {
	t.Helper()
	c := eider(t, dir, args...)
	if c.code != 0 {
		t.Fatalf("eider %q: exit code %d\n%s%s", args, c.code, c.out, c.err)
	}
	return c
}

// sender is one SMTP connection.
type sender struct {
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *sender {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(commandWithin))
	return &sender{c, bufio.NewReader(c)}
}

// login opens a connection for an account; "" sends without AUTH.
func login(t testing.TB, s *harness.Server, a harness.Account) *sender {
	t.Helper()
	w := dial(t, s.SMTP)
	must(t, w.say("220", ""))
	must(t, w.say("250", "EHLO transfer.test\r\n"))
	if a.User != "" {
		plain := base64.StdEncoding.EncodeToString([]byte("\x00" + a.User + "\x00" + a.Pass))
		must(t, w.say("235", "AUTH PLAIN "+plain+"\r\n"))
	}
	return w
}

func (w *sender) say(want, what string) error {
	if _, err := io.WriteString(w, what); err != nil {
		return err
	}
	return w.hear(want)
}

func (w *sender) hear(want string) error {
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("got %q, want %s", line, want)
		}
		if len(line) < 4 || line[3] != '-' {
			return nil
		}
	}
}

// send sends a message as it is (BDAT), all commands at once.
func (w *sender) send(from, to string, data []byte) error {
	go fmt.Fprintf(w, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%s", from, to, len(data), data)
	for _, want := range []string{"250", "250", "250 Accepted"} {
		if err := w.hear(want); err != nil {
			return err
		}
	}
	return nil
}

func imapLogin(t testing.TB, s *harness.Server, user, pass string) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialInsecure(s.IMAP, nil)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.Login(user, pass).Wait())
	return c
}

// seen is a message as an IMAP client sees it.
type seen struct {
	Flags    []string
	Internal int64
	Sum      [32]byte
}

// byIMAP reads all mailboxes of an account.
func byIMAP(t testing.TB, c *imapclient.Client) map[string][]seen {
	t.Helper()
	out := map[string][]seen{}
	boxes, err := c.List("", "*", nil).Collect()
	must(t, err)
	section := &imap.FetchItemBodySection{Peek: true}
	for _, b := range boxes {
		st, err := c.Select(b.Mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
		must(t, err)
		out[b.Mailbox] = []seen{}
		if st.NumMessages == 0 {
			continue
		}
		cmd := c.Fetch(imap.SeqSet{imap.SeqRange{Start: 1}}, &imap.FetchOptions{Flags: true, InternalDate: true,
			BodySection: []*imap.FetchItemBodySection{section}})
		for m := cmd.Next(); m != nil; m = cmd.Next() {
			buf, err := m.Collect()
			must(t, err)
			x := seen{Internal: buf.InternalDate.Unix(), Sum: sha256.Sum256(buf.FindBodySection(section))}
			for _, f := range buf.Flags {
				if f != "\\Recent" {
					x.Flags = append(x.Flags, string(f))
				}
			}
			slices.Sort(x.Flags)
			out[b.Mailbox] = append(out[b.Mailbox], x)
		}
		must(t, cmd.Close())
	}
	return out
}

// numbers are those of the one store.
var numbers = regexp.MustCompile(`"uid":\d+,|,"msg":\d+`)

var account = regexp.MustCompile(`eider/\d+/`)

// sorted puts accounts in the order of their addresses.
func sorted(accounts [][]string) []string {
	slices.SortFunc(accounts, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return slices.Concat(accounts...)
}

// told is an archive as any program can read it: a line for each message.
func told(t testing.TB, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	var out [][]string // by account
	line := ""
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return sorted(out)
		}
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		name := filepath.Base(h.Name)
		switch {
		case strings.HasSuffix(name, ".eml"):
			entry := fmt.Sprintf("%s %x %s", line, sha256.Sum256(data), h.Linkname)
			out[len(out)-1] = append(out[len(out)-1], account.ReplaceAllString(entry, "eider/"))
		case name == "account.json", name == "mailbox.json":
			var m map[string]any
			must(t, json.Unmarshal(data, &m))
			delete(m, "uidValidity") // numbers of the one store
			delete(m, "uidNext")
			delete(m, "created")
			b, err := json.Marshal(m)
			must(t, err)
			if name == "account.json" {
				out = append(out, nil)
			}
			out[len(out)-1] = append(out[len(out)-1], string(b))
		case name != "archive.json":
			line = numbers.ReplaceAllString(strings.TrimSpace(string(data)), "")
		}
	}
}

// quota lets the corpora in.
var quota = []string{"--account-quota", "10GB", "--account-messages", "1000000", "--retention", "never"}

// filled is a server with both corpora in two accounts, with folders, flags,
// keywords and copies.
func filled(t testing.TB) (*harness.Server, []harness.Account) {
	t.Helper()
	s := harness.Start(t, quota...)
	accounts := []harness.Account{s.NewAccount(t), s.NewAccount(t)}
	for i, list := range [][]corpus.Message{corpus.Everyday(t), corpus.Torture(t)} {
		w := login(t, s, accounts[i])
		for n, m := range list {
			if err := w.send(fmt.Sprintf("sender%d@example.test", n), "someone@example.test", m.Data); err != nil {
				t.Fatalf("%s: %v", m.Name, err)
			}
		}
		sortInto(t, imapLogin(t, s, accounts[i].User, accounts[i].Pass))
	}
	must(t, login(t, s, harness.Account{}).send("", "nobody@example.test", []byte("Subject: for the catch-all\r\n\r\nx\r\n")))
	return s, accounts
}

// sortInto does to a mailbox what people do.
func sortInto(t testing.TB, c *imapclient.Client) {
	t.Helper()
	for _, name := range []string{"Work", "Work/Käse & Wein", "../../etc"} {
		must(t, c.Create(name, nil).Wait())
	}
	must(t, c.Subscribe("Work").Wait())
	st, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	third := st.NumMessages / 3
	seq := func(from, to uint32) imap.SeqSet { return imap.SeqSet{imap.SeqRange{Start: from, Stop: to}} }
	store := func(set imap.SeqSet, flags ...imap.Flag) {
		must(t, c.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: flags}, nil).Close())
	}
	store(seq(1, third), imap.FlagSeen, "$Forwarded")
	store(seq(third/2, third), imap.FlagFlagged, imap.FlagAnswered, "Invoice")
	store(seq(2, 9), imap.FlagDeleted, imap.FlagDraft)
	_, err = c.Copy(seq(5, 40), "Work").Wait()
	must(t, err)
	_, err = c.Move(seq(third, third+100), "Work/Käse & Wein").Wait()
	must(t, err)
}

// TestStoreWide: an export of everything, imported into a fresh store, is equal
// in bytes, flags, keywords, dates, folders and envelope, and so are the ways
// that formats of other programs go, as far as these carry.
func TestStoreWide(t *testing.T) {
	t.Parallel()
	a, accounts := filled(t)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.tar"), filepath.Join(dir, "second.tar")
	start := time.Now()
	ok(t, a.Dir, "export", "--all", first)
	t.Logf("export of everything: %v", time.Since(start))
	b := harness.Start(t, quota...)
	start = time.Now()
	made := ok(t, b.Dir, "import", "--all", first)
	t.Logf("import of everything: %v: %s", time.Since(start), made.err)
	ok(t, b.Dir, "export", "--all", second)
	want, got := told(t, first), told(t, second)
	if len(want) < 2800 {
		t.Errorf("the archive has %d lines", len(want))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the second archive differs:\n%.3000s", d)
	}
	passwords := map[string]string{}
	for line := range strings.Lines(made.out) {
		var m struct{ User, Pass string }
		must(t, json.Unmarshal([]byte(line), &m))
		passwords[m.User] = m.Pass
	}
	for _, x := range accounts {
		before := byIMAP(t, imapLogin(t, a, x.User, x.Pass))
		after := byIMAP(t, imapLogin(t, b, x.User, passwords[x.User]))
		if d := cmp.Diff(before, after); d != "" {
			t.Errorf("%s differs over IMAP:\n%.2000s", x.User, d)
		}
	}
	again := ok(t, b.Dir, "import", "--all", first)
	if !strings.HasPrefix(again.err, "0 messages") {
		t.Errorf("imported again: %s", again.err)
	}
	b.Fsck(t)
	otherFormats(t, a, accounts[0])
}

// otherFormats takes one account out and in by the formats of other programs.
func otherFormats(t *testing.T, a *harness.Server, x harness.Account) {
	before := byIMAP(t, imapLogin(t, a, x.User, x.Pass))
	for _, format := range []string{"mbox", "maildir", "eml"} {
		dir := filepath.Join(t.TempDir(), "out")
		ok(t, a.Dir, "export", "--account", x.User, "--format", format, dir)
		empty := t.TempDir() // and with no server running
		made := ok(t, empty, "import", "--account", "new@x.test", dir)
		var m struct{ User, Pass string }
		must(t, json.Unmarshal([]byte(made.out), &m))
		s := harness.StartIn(t, empty, quota...)
		after := byIMAP(t, imapLogin(t, s, m.User, m.Pass))
		same, flags, dates, all := 0, 0, 0, 0
		for name, list := range before {
			if len(after[name]) != len(list) {
				t.Errorf("%s: mailbox %q has %d messages, had %d", format, name, len(after[name]), len(list))
				continue
			}
			for i := range list {
				all++
				if list[i].Sum == after[name][i].Sum {
					same++
				}
				if slices.Equal(list[i].Flags, after[name][i].Flags) {
					flags++
				}
				if list[i].Internal == after[name][i].Internal {
					dates++
				}
			}
		}
		t.Logf("%s: of %d messages %d have the same bytes, %d the same flags, %d the same dates", format, all, same, flags, dates)
		if dates != all || format != "eml" && flags != all || format == "eml" && same != all {
			t.Errorf("%s carries less than it says", format)
		}
		s.Stop(t)
	}
}
