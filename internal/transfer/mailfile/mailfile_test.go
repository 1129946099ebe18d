package mailfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/transfer/archive"
	"github.com/eidermail/eider/internal/transfer/mailfile"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// letter is a message as a test sees it.
type letter struct {
	Box, Text, From string
	Flags, Keywords []string
	Date            int64
}

// read collects what is in a folder or file, and what was skipped.
func read(t *testing.T, src *mailfile.Source) (accounts []string, out []letter, skipped []string) {
	t.Helper()
	src.Spool = spool.New(spool.Options{})
	must(t, src.Detect())
	box := ""
	for it, err := range src.Items(context.Background()) {
		if s := new(archive.Skipped); errors.As(err, &s) {
			skipped = append(skipped, s.Error())
			continue
		}
		must(t, err)
		switch {
		case it.Account != nil:
			accounts = append(accounts, string(it.Account.Address))
		case it.Mailbox != nil:
			box = string(it.Mailbox.Name)
		case it.Message != nil:
			b, err := io.ReadAll(it.Body)
			must(t, err)
			m := it.Message
			if m.Size != int64(len(b)) {
				t.Errorf("%s: size %d, has %d bytes", m.Source, m.Size, len(b))
			}
			l := letter{Box: box, Text: string(b), Flags: m.Flags, Keywords: m.Keywords, Date: m.InternalDate.Unix()}
			if m.Envelope != nil {
				l.From = string(m.Envelope.From)
			}
			slices.Sort(l.Flags)
			out = append(out, l)
		}
	}
	return accounts, out, skipped
}

// write writes letters as one account.
func write(t *testing.T, dir string, f mailfile.Format, all bool, address string, letters []letter) int64 {
	t.Helper()
	s, err := mailfile.NewSink(dir, f, all, spool.New(spool.Options{}))
	must(t, err)
	must(t, s.Add(archive.Item{Account: &archive.Account{Address: archive.Text(address)}}))
	box, uid := "", uint32(0)
	for _, l := range letters {
		if l.Box != box {
			box, uid = l.Box, 0
			must(t, s.Add(archive.Item{Mailbox: &archive.Mailbox{Name: archive.Text(box), UIDValidity: 7}}))
		}
		uid++
		m := &archive.Message{UID: uid, Flags: l.Flags, Keywords: l.Keywords, Size: int64(len(l.Text)),
			InternalDate: time.Unix(l.Date, 0).UTC(), Envelope: &archive.Envelope{From: archive.Text(l.From)}}
		must(t, s.Add(archive.Item{Message: m, Body: strings.NewReader(l.Text)}))
	}
	must(t, s.Close())
	return s.Present
}

// names are mailbox names that must not become paths.
var names = []string{"INBOX", "a/../../etc/passwd", "..", ".hidden", "Wörk/日本 mail", "x%2Fy.z~2", "CON", "tab\tand\x1b[2J",
	"Same", "same", "nul\x00", strings.Repeat("long/", 100), "trailing.", "-rf", "a&b-c", "inbox2", `back\slash:*?"<>|`}

func letters() (out []letter) {
	texts := []string{"Subject: a\r\n\r\nFrom here\r\n>From there\r\n\r\nFrom x Thu Jan  1 00:00:00 1970\r\nend\r\n",
		"", "\r\n", "Status: RO\r\nX-Status: A\r\n\r\nbody\r\n\r\n\r\n", "mixed\nline\r\nends\r", "lone\r\r\n\r\n",
		"Subject: long\r\n\r\n" + strings.Repeat("x", 400_000) + "\r\n" + strings.Repeat(">", 200_000) + "From \r\n",
		"From the first line\r\n\r\nFrom \r\n"}
	for i, n := range names {
		for j, text := range texts {
			l := letter{Box: n, Text: text, Date: int64(1e9 - i*1000 + j), From: "a@b.test"}
			if (i+j)%2 == 0 {
				l.Flags, l.Keywords = []string{`\Answered`, `\Flagged`, `\Seen`}, []string{"$Forwarded"}
			}
			out = append(out, l)
		}
	}
	return out
}

// lost takes off a letter what its format cannot carry.
func lost(f mailfile.Format, list []letter) []letter {
	var out []letter
	for _, l := range list {
		switch f {
		case mailfile.Eml:
			l.Flags, l.Keywords, l.From = nil, nil, ""
		case mailfile.Maildir:
			l.From = ""
		case mailfile.Mbox:
			if !strings.HasSuffix(l.Text, "\n") {
				l.Text += "\n"
				if !strings.Contains(l.Text, "\r\n") {
					l.Text = strings.ReplaceAll(l.Text, "\n", "\r\n")
				}
			}
		}
		out = append(out, l)
	}
	return out
}

// TestRoundTrip: what each format carries comes back, from names that would be
// paths elsewhere, and nothing is written outside of the folder.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, f := range []mailfile.Format{mailfile.Mbox, mailfile.Maildir, mailfile.Eml} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			dir := filepath.Join(top, "out")
			list := letters()
			if n := write(t, dir, f, false, "", list); n != 0 {
				t.Errorf("%d messages were there already", n)
			}
			if n := write(t, dir, f, false, "", list); n != int64(len(list)) {
				t.Errorf("written again: %d of %d were there already", n, len(list))
			}
			if got, _ := os.ReadDir(top); len(got) != 1 {
				t.Errorf("beside the folder: %v", got)
			}
			_, got, skipped := read(t, &mailfile.Source{Path: dir, Format: mailfile.Auto, CRLF: f != mailfile.Eml})
			if len(skipped) > 0 {
				t.Errorf("skipped %q", skipped)
			}
			compare(t, lost(f, list), got)
		})
	}
}

// compare compares letters by mailbox; a name that is too long was cut.
func compare(t *testing.T, want, got []letter) {
	t.Helper()
	group := func(list []letter) map[string][]letter {
		m := map[string][]letter{}
		for _, l := range list {
			box := strings.TrimSuffix(l.Box, "/")
			if len(box) > 100 {
				box = "(long)"
			}
			l.Box = ""
			if len(l.Flags) == 0 {
				l.Flags, l.Keywords = nil, nil
			}
			m[box] = append(m[box], l)
		}
		return m
	}
	w, g := group(want), group(got)
	for name := range w {
		if d := cmp.Diff(w[name], g[name]); d != "" {
			t.Errorf("mailbox %q:\n%.2000s", name, d)
		}
	}
	for name := range g {
		if w[name] == nil {
			t.Errorf("mailbox %q came from nowhere", name)
		}
	}
}

// TestAccounts: with All, folders are accounts.
func TestAccounts(t *testing.T) {
	t.Parallel()
	for _, f := range []mailfile.Format{mailfile.Mbox, mailfile.Maildir, mailfile.Eml} {
		dir := t.TempDir()
		want := []string{"../../x@y.test", "a+b@c.test", "ü@日本.test"}
		for _, a := range want {
			write(t, dir, f, true, a, []letter{{Box: "INBOX", Text: "x\r\n"}, {Box: "b", Text: "y\r\n"}})
		}
		accounts, got, skipped := read(t, &mailfile.Source{Path: dir, Format: f, All: true})
		slices.Sort(accounts)
		if !slices.Equal(accounts, want) || len(got) != 6 || len(skipped) != 0 {
			t.Errorf("%s: accounts %q, %d messages, skipped %q", f, accounts, len(got), skipped)
		}
	}
}

// TestLinksAreNotFollowed: neither files nor folders.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret.eml")
	must(t, os.WriteFile(secret, []byte("From x Thu Jan  1 00:00:00 1970\n\nsecret\n"), 0o600))
	for _, f := range []mailfile.Format{mailfile.Mbox, mailfile.Maildir, mailfile.Eml} {
		dir := t.TempDir()
		write(t, dir, f, false, "", []letter{{Box: "INBOX", Text: "x\r\n"}})
		target := dir
		if f == mailfile.Maildir {
			target = filepath.Join(dir, "cur")
		}
		must(t, os.Symlink(secret, filepath.Join(target, "link.eml")))
		must(t, os.Symlink(filepath.Dir(secret), filepath.Join(dir, "dir")))
		must(t, os.Symlink(filepath.Dir(secret), filepath.Join(dir, ".sub")))
		_, got, skipped := read(t, &mailfile.Source{Path: dir, Format: f})
		if len(got) != 1 || len(skipped) == 0 || !strings.Contains(fmt.Sprint(skipped), "symbolic link") {
			t.Errorf("%s: %d messages, skipped %q", f, len(got), skipped)
		}
	}
}

// TestForeign: mail as other programs wrote it.
func TestForeign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	box := func(name, text string) {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o700))
		must(t, os.WriteFile(p, []byte(text), 0o600))
	}
	box("Inbox", "From a@b.test Thu Jan  1 00:00:07 1970\nSubject: 1\nStatus: RO\nX-Status: A\n\nFrom nowhere\n\nFrom here on\n\n"+
		"From 123@xxx Mon Jan 02 15:04:05 +0000 2006\nX-Mozilla-Status: 0005\nX-Keywords: one two\n\nsecond")
	box("Work.sbd/Sub", "From - Mon Jan  2 15:04:05 2006\r\nSubject: crlf\r\n\r\nline\r\n\r\nFrom - Mon Jan  2 15:04:05 2006\r\n\r\nx\r\n")
	box("notes.txt", "no mbox")
	box("pine", "From MAILER-DAEMON Mon Jan  2 15:04:05 2006\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\ntext\n\n"+
		"From x@y.test Mon Jan  2 15:04 2006\n\n>From quoted\n>>From twice\n")
	_, got, skipped := read(t, &mailfile.Source{Path: dir, Format: mailfile.Auto, CRLF: true})
	want := []letter{
		{Box: "INBOX", From: "a@b.test", Date: 7, Flags: []string{`\Answered`, `\Seen`},
			Text: "Subject: 1\r\nStatus: RO\r\nX-Status: A\r\n\r\nFrom nowhere\r\n\r\nFrom here on\r\n"},
		{Box: "INBOX", From: "123@xxx", Date: 1136214245, Flags: []string{`\Flagged`, `\Seen`}, Keywords: []string{"one", "two"},
			Text: "X-Mozilla-Status: 0005\r\nX-Keywords: one two\r\n\r\nsecond"},
		{Box: "pine", From: "x@y.test", Date: 1136214240, Text: "\r\nFrom quoted\r\n>From twice\r\n"},
		{Box: "Work/Sub", Date: 1136214245, Text: "Subject: crlf\r\n\r\nline\r\n"},
		{Box: "Work/Sub", Date: 1136214245, Text: "\r\nx\r\n"},
	}
	if d := cmp.Diff(want, got); d != "" || len(skipped) > 0 {
		t.Errorf("skipped %q\n%s", skipped, d)
	}
}

// TestLimits: a message that is too large is skipped, the others are read.
func TestLimits(t *testing.T) {
	t.Parallel()
	for _, f := range []mailfile.Format{mailfile.Mbox, mailfile.Maildir, mailfile.Eml} {
		dir := t.TempDir()
		write(t, dir, f, false, "", []letter{{Box: "INBOX", Text: "one\r\n"}, {Box: "INBOX", Text: strings.Repeat("x", 2000)},
			{Box: "INBOX", Text: "three\r\n"}})
		_, got, skipped := read(t, &mailfile.Source{Path: dir, Format: f, MessageLimit: 1000})
		if len(got) != 2 || len(skipped) != 1 {
			t.Errorf("%s: %d messages, skipped %q", f, len(got), skipped)
		}
	}
	empty := t.TempDir()
	s := &mailfile.Source{Path: empty, Format: mailfile.Auto}
	if err := s.Detect(); err == nil {
		t.Error("an empty folder is something")
	}
	if err := (&mailfile.Source{Path: filepath.Join(empty, "none")}).Detect(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
}

// TestModes: what is written is for its owner only.
func TestModes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, mailfile.Eml, false, "", []letter{{Box: "INBOX", Text: "one\r\n"}})
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		st, serr := os.Stat(p)
		if serr == nil && !d.IsDir() && st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", p, st.Mode())
		}
		return errors.Join(err, serr)
	})
	must(t, err)
}

func FuzzMbox(f *testing.F) {
	f.Add([]byte("From a Thu Jan  1 00:00:07 1970\nStatus: RO\n\n>From x\n\nFrom b Thu Jan  1 00:00:07 1970\nx"))
	f.Add(bytes.Repeat([]byte("From \n\n"), 100))
	pool := spool.New(spool.Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.mbox")
		must(t, os.WriteFile(path, b, 0o600))
		src := &mailfile.Source{Path: path, Format: mailfile.Mbox, Spool: pool, CRLF: true, MessageLimit: 1 << 16}
		n := int64(0)
		for it := range src.Items(context.Background()) {
			if it.Message != nil {
				got, err := io.Copy(io.Discard, it.Body)
				if err != nil || got != it.Message.Size {
					t.Fatalf("%d bytes of %d: %v", got, it.Message.Size, err)
				}
				n += got
			}
		}
		if n > 2*int64(len(b)) {
			t.Fatalf("%d bytes out of %d", n, len(b))
		}
	})
}

// TestLongFromLine: a line that begins a message is at most so long; a longer one
// is a line of the message before it.
func TestLongFromLine(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{mailfile.MaxFromLine - 1: 2, mailfile.MaxFromLine + 1: 1} {
		from, date := "From ", " Sat Jan  3 01:05:34 1996\n"
		line := from + strings.Repeat("a", n-len(from)-len(date)) + date
		path := filepath.Join(t.TempDir(), "mbox")
		must(t, os.WriteFile(path, []byte("From a"+date+"Subject: 1\n\none\n\n"+line+"Subject: 2\n\ntwo\n"), 0o600))
		_, got, skipped := read(t, &mailfile.Source{Path: path, Format: mailfile.Mbox, MessageLimit: 1 << 20})
		if len(got) != want || len(skipped) != 0 {
			t.Errorf("a line of %d bytes: %d messages, skipped %q", n, len(got), skipped)
		}
	}
}
