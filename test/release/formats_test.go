package release_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

// contents is what an account's user sees: by mailbox and UID, flags and the
// hash of the bytes.
type contents map[string]map[uint32]string

// sample is an account in a store of some format.
type sample struct {
	User, Pass string
	Holds      contents
}

func formatDir(t *testing.T, n int) string {
	return file(t, fmt.Sprintf("test/release/testdata/format-%d", n))
}

// TestFormats opens a store of every format that was released: on Pebble, from a
// backup, and on PostgreSQL. What stands in it is there, unchanged, and it takes
// new mail. EIDER_MAKE_FORMAT=1 writes the data of the present format, once, with
// its first release.
func TestFormats(t *testing.T) {
	now := formatDir(t, row.FormatVersion)
	if os.Getenv("EIDER_MAKE_FORMAT") != "" {
		makeFormat(t, now)
	}
	if _, err := os.Stat(now); err != nil {
		t.Errorf("no data of the present format: %v; EIDER_MAKE_FORMAT=1 writes it", err)
	}
	for n := 1; n <= row.FormatVersion; n++ {
		dir := formatDir(t, n)
		var want struct{ Pebble, PostgreSQL []sample }
		b, err := os.ReadFile(filepath.Join(dir, "accounts.json"))
		if err == nil {
			err = json.Unmarshal(b, &want)
		}
		if err != nil || len(want.Pebble) == 0 || len(want.PostgreSQL) == 0 {
			t.Fatalf("format %d: %v", n, err)
		}
		t.Run(fmt.Sprintf("Pebble%d", n), func(t *testing.T) {
			data := t.TempDir()
			harness.Run(t, toolTime, "tar", "-xzf", filepath.Join(dir, "pebble.tar.gz"), "-C", data)
			opened(t, harness.StartIn(t, data, "--retention", "0"), want.Pebble)
		})
		t.Run(fmt.Sprintf("Backup%d", n), func(t *testing.T) {
			data := t.TempDir()
			harness.Run(t, toolTime, harness.Binary(t), "restore", "--data", data, filepath.Join(dir, "backup"))
			opened(t, harness.StartIn(t, data, "--retention", "0"), want.Pebble)
		})
		t.Run(fmt.Sprintf("PostgreSQL%d", n), func(t *testing.T) {
			db := postgres.Start(t, "fsync=off")
			sql := filepath.Join(t.TempDir(), "dump.sql")
			if err := os.WriteFile(sql, unzip(t, filepath.Join(dir, "postgres.sql.gz")), 0o600); err != nil {
				t.Fatal(err)
			}
			harness.Run(t, toolTime, pgTool(t, "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-f", sql, db.URI())
			opened(t, harness.Start(t, "--retention", "0", "--store", db.URI()), want.PostgreSQL)
		})
	}
}

// opened compares what is there, adds to it, and looks at the whole.
func opened(t *testing.T, s *harness.Server, want []sample) {
	t.Helper()
	for _, a := range want {
		if got := look(t, s, a.User, a.Pass); !maps.EqualFunc(got, a.Holds, maps.Equal) {
			t.Errorf("%s holds %v, wanted %v", a.User, got, a.Holds)
		}
		deliver(t, s, a.User, "Subject: new\r\n\r\nnew\r\n")
		if got := look(t, s, a.User, a.Pass); len(got["INBOX"]) != len(a.Holds["INBOX"])+1 {
			t.Errorf("%s: after one more message INBOX holds %d", a.User, len(got["INBOX"]))
		}
	}
	s.Fsck(t)
}

func deliver(t *testing.T, s *harness.Server, to, text string) {
	t.Helper()
	if err := smtp.SendMail(s.SMTP, nil, "from@format.test", []string{to}, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func login(t *testing.T, s *harness.Server, user, pass string) *imapclient.Client {
	t.Helper()
	conn, err := net.Dial("tcp", s.IMAP)
	if err != nil {
		t.Fatal(err)
	}
	c := imapclient.New(conn, nil)
	t.Cleanup(func() { c.Close() })
	if err := c.Login(user, pass).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// look reads all that an account holds.
func look(t *testing.T, s *harness.Server, user, pass string) contents {
	t.Helper()
	c := login(t, s, user, pass)
	boxes, err := c.List("", "*", nil).Collect()
	if err != nil {
		t.Fatal(err)
	}
	out := contents{}
	for _, b := range boxes {
		out[b.Mailbox] = map[uint32]string{}
		status, err := c.Select(b.Mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
		if err != nil {
			t.Fatal(err)
		}
		if status.NumMessages == 0 {
			continue
		}
		all := imap.SeqSet{}
		all.AddRange(1, 0)
		body := &imap.FetchItemBodySection{Peek: true}
		found, err := c.Fetch(all, &imap.FetchOptions{UID: true, Flags: true,
			BodySection: []*imap.FetchItemBodySection{body}}).Collect()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			var flags []string
			for _, f := range m.Flags {
				if !strings.EqualFold(string(f), `\Recent`) {
					flags = append(flags, string(f))
				}
			}
			slices.Sort(flags)
			sum := sha256.Sum256(m.FindBodySection(body))
			out[b.Mailbox][uint32(m.UID)] = strings.Join(flags, " ") + " " + hex.EncodeToString(sum[:])
		}
	}
	return out
}

func unzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pgTool(t *testing.T, name string) string {
	t.Helper()
	bin, err := postgres.Bin()
	if err != nil {
		harness.Missing(t, "%v", err)
	}
	return filepath.Join(bin, name)
}

// makeFormat writes the data of the present format. What is there already is of a
// release, and stays.
func makeFormat(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data, db := t.TempDir(), postgres.Start(t, "fsync=off")
	s := harness.StartIn(t, data, "--retention", "0")
	p := harness.Start(t, "--retention", "0", "--store", db.URI())
	b, err := json.MarshalIndent(map[string][]sample{"Pebble": {fill(t, s), fill(t, s)},
		"PostgreSQL": {fill(t, p), fill(t, p)}}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "accounts.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	p.Stop(t)
	harness.Run(t, toolTime, harness.Binary(t), "backup", "--data", data, filepath.Join(dir, "backup"))
	harness.Run(t, toolTime, "tar", "-czf", filepath.Join(dir, "pebble.tar.gz"), "-C", data, "store")
	dump, err := exec.Command(pgTool(t, "pg_dump"), "--no-owner", db.URI()).Output()
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(dump); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "postgres.sql.gz"), z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fill makes an account that has used what a store knows.
func fill(t *testing.T, s *harness.Server) sample {
	t.Helper()
	a := s.NewAccount(t)
	noise := make([]byte, 80<<10) // more than stands in a row
	for i := range noise {
		noise[i] = byte(' ' + rand.IntN(90))
		if i%76 == 75 {
			noise[i] = '\n'
		}
	}
	big := "Subject: big\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n" +
		"--b\r\nContent-Disposition: attachment; filename=noise.txt\r\n\r\n" +
		strings.ReplaceAll(string(noise), "\n", "\r\n") + "\r\n--b--\r\n"
	for i, text := range []string{"Subject: plain\r\n\r\nhello\r\n", big, "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\r\nzwei\r\n",
		"Subject: goes\r\n\r\nx\r\n", "Subject: stays\r\n\r\ny\r\n"} {
		deliver(t, s, a.User, fmt.Sprintf("Message-ID: <%d@format.test>\r\n", i)+text)
	}
	c := login(t, s, a.User, a.Pass)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Create("Kept/Räume", nil).Wait())
	_, err := c.Select("INBOX", nil).Wait()
	must(err)
	flag := func(n uint32, flags ...imap.Flag) {
		t.Helper()
		must(c.Store(imap.SeqSetNum(n), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: flags}, nil).Close())
	}
	flag(1, imap.FlagSeen, imap.FlagAnswered)
	flag(3, imap.FlagFlagged, "$Label1")
	flag(4, imap.FlagDeleted)
	_, err = c.Copy(imap.SeqSetNum(2, 3), "Kept/Räume").Wait()
	must(err)
	must(c.Expunge().Close())
	return sample{a.User, a.Pass, look(t, s, a.User, a.Pass)}
}
