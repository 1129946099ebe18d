package transfer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/harness"
)

// TestHostileInput: what a stranger put into a folder or an archive stays where
// it is told, reaches no other file, and says nothing to the terminal.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, quota...)
	top := t.TempDir()
	secret := filepath.Join(top, "secret")
	must(t, os.WriteFile(secret, []byte("the secret\n"), 0o600))
	src := filepath.Join(top, "src")
	must(t, os.MkdirAll(filepath.Join(src, "\x1b[2Jevil\a"), 0o700))
	must(t, os.Symlink(secret, filepath.Join(src, "link.eml")))
	must(t, os.Symlink(top, filepath.Join(src, "up")))
	must(t, os.Symlink(secret, filepath.Join(src, "\x1b]0;title\a.eml")))
	must(t, os.WriteFile(filepath.Join(src, "\x1b[2Jevil\a", "1.eml"), []byte("Subject: one\r\n\r\nx\r\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(src, "2.eml"), bytes.Repeat([]byte("long line "), 200_000), 0o600))
	must(t, os.WriteFile(filepath.Join(src, "big.eml"), make([]byte, 70<<20), 0o600))

	c := eider(t, s.Dir, "import", "--account", "me@x.test", src)
	if c.code != 1 || !strings.HasPrefix(lastLine(c.err), "2 messages") {
		t.Errorf("exit code %d\n%s", c.code, c.err)
	}
	if strings.ContainsAny(c.err+c.out, "\x1b\a") || strings.Count(c.err, "symbolic link") != 2 {
		t.Errorf("on the terminal: %q", c.err)
	}

	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(h tar.Header, text string) {
		h.Size = int64(len(text))
		must(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, text)
		must(t, err)
	}
	file := byte(tar.TypeReg)
	put(tar.Header{Typeflag: file, Name: "eider/archive.json"}, `{"format":"eider","version":1,"accounts":1}`)
	put(tar.Header{Typeflag: file, Name: "../../../tmp/zip-slip.json"}, `{`)
	put(tar.Header{Typeflag: tar.TypeSymlink, Name: "eider/0001/account.json", Linkname: secret}, "")
	put(tar.Header{Typeflag: file, Name: "eider/0001/account.json"}, `{"address":"\u001b[31m@x.test"}`)
	put(tar.Header{Typeflag: file, Name: "eider/0001/0001/mailbox.json"}, `{"name":"../../\u001b[2J/../x"}`)
	put(tar.Header{Typeflag: file, Name: "eider/0001/0001/1.json"}, `{"size":3,"keywords":["\u001b[2J"],"flags":["\\Seen"]}`)
	put(tar.Header{Typeflag: file, Name: "eider/0001/0001/1.eml"}, "abc")
	put(tar.Header{Typeflag: file, Name: "eider/end.json"}, `{}`)
	must(t, w.Close())
	slip := filepath.Join(top, "slip.tar")
	must(t, os.WriteFile(slip, b.Bytes(), 0o600))
	c = eider(t, s.Dir, "import", "--account", "me@x.test", slip)
	if !strings.HasPrefix(lastLine(c.err), "1 messages") || strings.ContainsAny(c.err+c.out, "\x1b\a") {
		t.Errorf("exit code %d: %q", c.code, c.err)
	}
	out := filepath.Join(top, "out")
	for _, format := range []string{"mbox", "maildir", "eml"} {
		ok(t, s.Dir, "export", "--all", "--format", format, filepath.Join(out, format))
	}
	if list, _ := os.ReadDir(top); len(list) != 4 {
		t.Errorf("beside what was named: %v", list)
	}
	if strings.Contains(fmt.Sprint(byIMAP(t, copyOf(t, s, "me@x.test"))), "secret") {
		t.Error("the secret is in the mail")
	}
	s.Fsck(t)

	for name, args := range map[string][]string{
		"no account": {"import", src}, "two answers": {"import", "--account", "a@b", "--all", src},
		"not there": {"import", "--account", "a@b.test", filepath.Join(top, "none")}, "no such account": {"export", "--account", "a@b.test", slip + "2"},
		"there already": {"export", "--all", slip}, "bad address": {"import", "--account", "not an address", filepath.Join(src, "2.eml")},
		"cut": {"import", "--account", "me@x.test", cutFile(t, slip)}, "no mail": {"import", "--account", "me@x.test", secret},
	} {
		if c := eider(t, s.Dir, args...); c.code == 0 || c.err == "" || strings.Contains(c.err, "panic") {
			t.Errorf("%s: exit code %d, %q", name, c.code, c.err)
		}
	}
}

func cutFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	cut := filepath.Join(t.TempDir(), "cut.tar")
	must(t, os.WriteFile(cut, b[:3000], 0o600))
	return cut
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// copyOf is a login to a copy of an account whose password is not known.
func copyOf(t *testing.T, s *harness.Server, address string) *imapclient.Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "one.tar")
	ok(t, s.Dir, "export", "--account", address, file)
	other := harness.Start(t, quota...)
	made := ok(t, other.Dir, "import", "--account", "copy@x.test", file)
	pass := strings.Split(made.out, `"`)[7]
	return imapLogin(t, other, "copy@x.test", pass)
}

// TestFlippedBits: a bit that flips anywhere in the stored data gives the exact
// bytes or an error, over every protocol and in every command; never others.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, quota...)
	a := s.NewAccount(t)
	w := login(t, s, a)
	texts, soak := map[string]bool{}, os.Getenv("EIDER_SOAK") != ""
	for i := range 30 {
		size := 30_000
		// At each read of a bad block Pebble sums it once for every bit of its
		// first 40 KiB: seconds of CPU for the 256 KiB of a large message.
		if soak && i%10 == 9 {
			size = 700_000
		}
		text := []byte(fmt.Sprintf("Subject: kept %d\r\n\r\n%s", i, noise(uint64(i), size)))
		must(t, w.send("s@example.test", "x@example.test", text))
		texts[prepended+string(text)] = true
	}
	s.Stop(t)
	tables, err := filepath.Glob(filepath.Join(s.Dir, "store", "*.sst"))
	must(t, err)
	blobs, err := filepath.Glob(filepath.Join(s.Dir, "store", "*.blob"))
	must(t, err)
	tables = append(tables, blobs...)
	if len(tables) == 0 {
		t.Fatal("no tables")
	}
	flips, refused, damaged, same := 3, 0, 0, 0
	if soak {
		flips = 200
	}
	for n := range flips {
		dir := t.TempDir()
		must(t, os.CopyFS(filepath.Join(dir, "store"), os.DirFS(filepath.Join(s.Dir, "store"))))
		path := filepath.Join(dir, "store", filepath.Base(tables[n%len(tables)]))
		data, err := os.ReadFile(path)
		must(t, err)
		data[(2*n+1)*len(data)/(2*flips)] ^= 1 << (n % 8)
		must(t, os.WriteFile(path, data, 0o600))
		r, alive := tryStart(t, dir)
		if !alive {
			refused++
			continue
		}
		bad := everyWay(t, r, a, texts)
		if bad > 0 {
			damaged++
		} else {
			same++
		}
		file := filepath.Join(t.TempDir(), "x.tar")
		c := eider(t, dir, "export", "--account", a.User, file)
		if c.code == 0 {
			checkArchive(t, file, texts)
		}
		r.Stop(t)
	}
	t.Logf("%d bits flipped: %d refused at the start, %d told to clients, %d hit nothing", flips, refused, damaged, same)
	if damaged == 0 {
		t.Error("no flip hit mail: the test tests nothing")
	}
}

// noise is text that no compression makes much smaller, so that most of what is
// stored is text.
func noise(seed uint64, size int) string {
	random := rand.New(rand.NewPCG(seed, 7))
	var b strings.Builder
	for b.Len() < size {
		for range 9 {
			fmt.Fprintf(&b, "%08x", random.Uint32())
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// tryStart starts a server that may refuse.
func tryStart(t *testing.T, dir string) (*harness.Server, bool) {
	t.Helper()
	if c := eider(t, dir, "export", "--account", "nobody@x.test", filepath.Join(dir, "none")); strings.Contains(c.err, "damaged") {
		return nil, false
	}
	return harness.StartIn(t, dir, quota...), true
}

// everyWay reads all mail by IMAP, POP3, the API and the web, and counts refusals.
func everyWay(t *testing.T, s *harness.Server, a harness.Account, texts map[string]bool) (refused int) {
	t.Helper()
	check := func(way string, got []byte) {
		if !texts[string(got)] {
			t.Errorf("%s gives other bytes: %d of them", way, len(got))
		}
	}
	c, err := imapclient.DialInsecure(s.IMAP, nil)
	must(t, err)
	defer c.Close()
	if c.Login(a.User, a.Pass).Wait() != nil {
		return 1
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		return 1
	}
	section := &imap.FetchItemBodySection{Peek: true}
	for seq := range uint32(len(texts)) {
		list, err := c.Fetch(imap.SeqSetNum(seq+1), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		if err != nil || len(list) == 0 || list[0].FindBodySection(section) == nil {
			refused++
			if _, err := c.Select("INBOX", nil).Wait(); err != nil {
				break // the connection is gone, as it must be in the midst of a literal
			}
			continue
		}
		check("IMAP", list[0].FindBodySection(section))
	}
	refused += byPOP3(t, s, a, len(texts), check)
	return refused + byAPI(t, s, a, check)
}

func byPOP3(t *testing.T, s *harness.Server, a harness.Account, n int, check func(string, []byte)) (refused int) {
	t.Helper()
	p := dial(t, s.POP3)
	defer p.Close()
	if p.say("+OK", "") != nil || p.say("+OK", "USER "+a.User+"\r\n") != nil || p.say("+OK", "PASS "+a.Pass+"\r\n") != nil {
		return 1
	}
	for i := range n {
		if p.say("+OK", fmt.Sprintf("RETR %d\r\n", i+1)) != nil {
			refused++
			continue
		}
		var got bytes.Buffer
		for {
			line, err := p.r.ReadString('\n')
			if err != nil {
				return refused + 1
			}
			if line == ".\r\n" {
				break
			}
			got.WriteString(strings.TrimPrefix(line, "."))
		}
		check("POP3", got.Bytes())
	}
	return refused
}

func byAPI(t *testing.T, s *harness.Server, a harness.Account, check func(string, []byte)) (refused int) {
	t.Helper()
	get := func(path string) ([]byte, error) {
		req, err := http.NewRequest("GET", "http://"+s.HTTP+path, nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+a.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
		return b, err
	}
	list, err := get("/v1/messages?limit=100")
	if err != nil {
		return 1
	}
	for _, part := range strings.Split(string(list), `"id":"`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if b, err := get("/v1/messages/" + id + "/raw"); err != nil {
			refused++
		} else {
			check("API", b)
		}
		_, url, _ := strings.Cut(part, `"url":"http://`+s.HTTP)
		url, _, _ = strings.Cut(url, `"`)
		if b, err := get(url + "/message.eml"); err != nil {
			refused++
		} else {
			check("web .eml", b)
		}
	}
	return refused
}

// checkArchive checks that an archive has only exact bytes.
func checkArchive(t *testing.T, path string, texts map[string]bool) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			return
		}
		if data, err := io.ReadAll(r); err == nil && strings.HasSuffix(h.Name, ".eml") && !texts[string(data)] {
			t.Errorf("the archive has other bytes in %s", h.Name)
		}
	}
}
