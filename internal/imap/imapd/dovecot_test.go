//go:build linux

package imapd_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/test/corpus"
	"github.com/eidermail/eider/test/harness"
)

// TestDovecot gives the same mail to this server and to Debian's Dovecot, asks
// both the same, and shows where the answers differ. It is run by hand, with
// EIDER_DOVECOT set to how many messages of the everyday corpus to take.
func TestDovecot(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("EIDER_DOVECOT"))
	if n == 0 {
		return
	}
	harness.Need(t, "dovecot")
	w := newWorld(t, options{limits: mailstore.AccountLimits{Bytes: 1 << 40, Messages: 1 << 30}, limit: 1 << 30})
	ours := w.login()
	theirs := dovecot(t)
	for _, c := range []*client{ours, theirs} {
		c.conn.SetDeadline(time.Now().Add(10 * time.Minute))
	}
	msgs := append(corpus.Torture(t), corpus.Everyday(t)[:n]...)
	var names []string
	for _, m := range msgs {
		if len(m.Data) == 0 {
			continue
		}
		text := crlf(m.Data)
		// Dovecot takes no NUL and changes what follows one.
		if bytes.IndexByte(text, 0) >= 0 {
			continue
		}
		names = append(names, m.Name)
		for _, c := range []*client{ours, theirs} {
			c.send(fmt.Sprintf("x APPEND INBOX \"01-Jan-2026 00:00:00 +0000\" {%d+}\r\n%s\r\n", len(text), text))
			if l := c.until("x"); !strings.HasPrefix(l[len(l)-1], "OK") {
				t.Fatal(m.Name, l)
			}
		}
	}
	ours.ok("SELECT INBOX")
	theirs.ok("SELECT INBOX")
	d := &differ{t: t, ours: ours, theirs: theirs, names: names}
	for _, item := range strings.Split(os.Getenv("EIDER_DOVECOT_ITEMS"), ";") {
		if item != "" {
			d.fetch(item)
		}
	}
	if os.Getenv("EIDER_DOVECOT_ITEMS") == "" {
		for _, item := range []string{"RFC822.SIZE", "ENVELOPE", "BODY", "BODYSTRUCTURE", "BODY.PEEK[HEADER]",
			"BODY.PEEK[TEXT]", "BODY.PEEK[1]", "BODY.PEEK[2]", "BODY.PEEK[1.MIME]", "BODY.PEEK[1.1]", "BODY.PEEK[2.HEADER]",
			"BODY.PEEK[1.2]", "BODY.PEEK[HEADER.FIELDS (From To Subject Received)]", "BODY.PEEK[HEADER.FIELDS.NOT (Received)]",
			"BINARY.PEEK[1]", "BINARY.SIZE[2]"} {
			d.fetch(item)
		}
	}
	for _, key := range []string{"FROM a", "FROM enron", "SUBJECT re", "SUBJECT the", "TO linux", "CC @", "BCC x", "BODY the",
		"BODY viagra", "TEXT linux", "TEXT boundary", "BODY enron", "HEADER Received from", "HEADER X-Mailer outlook",
		"HEADER Message-ID <", "HEADER Reply-To \"\"", "SENTBEFORE 1-Jan-2003", "SENTON 20-Aug-2002", "SENTSINCE 1-Jan-2015", "LARGER 10000",
		"SMALLER 2000", "CHARSET UTF-8 TEXT {2+}\r\nü", "CHARSET UTF-8 BODY {2+}\r\né", "TEXT \"click here\"", "NOT SUBJECT re", "OR FROM john TO john"} {
		d.search(key)
	}
}

func crlf(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// dovecot starts a server of its own and logs in.
func dovecot(t *testing.T) *client {
	dir, err := os.MkdirTemp("", "eider-dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	const nobody = 65534
	os.Mkdir(filepath.Join(dir, "mail"), 0o755)
	os.Chown(filepath.Join(dir, "mail"), nobody, nobody)
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	conf := filepath.Join(dir, "dovecot.conf")
	os.WriteFile(conf, fmt.Appendf(nil, `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:%[1]s/mail/%%u
mail_fsync = never
userdb {
  driver = static
  args = uid=%[3]d gid=%[3]d home=%[1]s/mail/%%u
}
passdb {
  driver = static
  args = nopassword=y
}
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = %[2]d
  }
  inet_listener imaps {
    port = 0
  }
}
`, dir, port, nobody), 0o644)
	cmd := exec.Command("dovecot", "-F", "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	w := &world{t: t, addr: fmt.Sprintf("127.0.0.1:%d", port)}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", w.addr); err == nil {
			c.Close()
			break
		}
	}
	return w.login()
}

// TestDovecotSpeed times the same commands on both servers, warm, in turn. It
// is run by hand, with EIDER_DOVECOT_SPEED set to the size of the mailbox.
func TestDovecotSpeed(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("EIDER_DOVECOT_SPEED"))
	if n == 0 {
		return
	}
	harness.Need(t, "dovecot")
	db, err := pebblekv.Open(pebblekv.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, options{limits: mailstore.AccountLimits{Bytes: 1 << 40, Messages: 1 << 30}, limit: 1 << 30, engine: db})
	clients := []*client{w.login(), dovecot(t)}
	mail := corpus.Everyday(t)
	for _, c := range clients {
		c.conn.SetDeadline(time.Now().Add(20 * time.Minute))
		start := time.Now()
		for i := range n {
			text := crlf(mail[i%len(mail)].Data)
			if len(text) > 60000 {
				text = text[:60000]
			}
			c.send(fmt.Sprintf("x APPEND INBOX {%d+}\r\n%s\r\n", len(text), text))
			c.until("x")
		}
		t.Logf("APPEND %d: %v", n, time.Since(start))
		c.ok("SELECT INBOX")
	}
	for _, cmd := range []string{"SELECT INBOX", "FETCH 1:* (UID FLAGS)", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
		"FETCH 1:* ENVELOPE", "FETCH 1:* BODYSTRUCTURE", "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (From To Subject Date)])",
		"FETCH 1:1000 BODY.PEEK[]", "STORE 1:1000 +FLAGS (\\Flagged)", "STORE 1:1000 -FLAGS (\\Flagged)", "STORE 7 +FLAGS (\\Answered)",
		"STORE 7 -FLAGS (\\Answered)", "SEARCH UNSEEN", "SEARCH SUBJECT zebra", "SEARCH TEXT zebra", "UID SEARCH ALL", "NOOP",
		"COPY 1:1000 Work", "STATUS INBOX (MESSAGES UNSEEN)",
		"SORT (SUBJECT) UTF-8 ALL", "SORT (REVERSE DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"} {
		var best [2]time.Duration
		for round := range 4 {
			for i, c := range clients {
				if round == 0 && strings.HasPrefix(cmd, "COPY") {
					c.run("CREATE Work")
				}
				start := time.Now()
				c.send("f " + cmd + "\r\n")
				c.drain("f ")
				if d := time.Since(start); round > 0 && (best[i] == 0 || d < best[i]) {
					best[i] = d
				}
			}
		}
		t.Logf("%-60s ours %10v theirs %10v  %.2f of theirs' speed", cmd, best[0].Round(10*time.Microsecond),
			best[1].Round(10*time.Microsecond), float64(best[1])/float64(best[0]))
	}
}

// differ asks two servers the same.
type differ struct {
	t            *testing.T
	ours, theirs *client
	names        []string
}

var fetchStart = regexp.MustCompile(`^\* (\d+) FETCH `)

// fetch compares an item of all messages.
func (d *differ) fetch(item string) {
	a, b := d.values(d.ours, item), d.values(d.theirs, item)
	shown := 0
	n := 0
	for i := 1; i <= len(d.names); i++ {
		x, y := normal(item, a[i]), normal(item, b[i])
		if x == y {
			continue
		}
		n++
		if shown++; shown <= 15 || os.Getenv("EIDER_DOVECOT_ALL") != "" {
			x, y = around(x, y)
			d.t.Logf("%s of %s:\n  ours   %s\n  theirs %s", item, d.names[i-1], x, y)
		}
	}
	d.t.Logf("== %s: %d of %d differ", item, n, len(d.names))
}

// around cuts two texts to where they begin to differ.
func around(a, b string) (string, string) {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	from := max(0, i-60)
	cutTo := func(s string) string { return fmt.Sprintf("%q", s[min(from, len(s)):min(len(s), from+200)]) }
	return cutTo(a), cutTo(b)
}

func normal(item, s string) string {
	if strings.HasPrefix(item, "BODY") && !strings.Contains(item, "[") {
		s = strings.ToLower(s)
		// Dovecot says the default charset where the header says none.
		s = strings.NewReplacer(`("charset" "us-ascii")`, "nil", ` "charset" "us-ascii"`, "").Replace(s)
	}
	s = strings.NewReplacer(`"MISSING_DOMAIN"`, `""`, `"MISSING_MAILBOX"`, `""`).Replace(s)
	return s
}

// values is what a server answers for an item, by message.
func (d *differ) values(c *client, item string) map[int]string {
	out := map[int]string{}
	c.send("v FETCH 1:* (" + item + ")\r\n")
	for {
		l := c.response()
		if strings.HasPrefix(l, "v ") {
			if !strings.HasPrefix(l, "v OK") {
				d.t.Log(item, l)
			}
			return out
		}
		m := fetchStart.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		i, _ := strconv.Atoi(m[1])
		out[i] = strings.TrimPrefix(strings.TrimPrefix(l[len(m[0]):], "("), strings.ReplaceAll(strings.ToUpper(item), ".PEEK", "")+" ")
	}
}

// response reads a response with its literals, which come out as quoted strings.
func (c *client) response() string {
	var b strings.Builder
	for {
		l := c.line()
		i := strings.LastIndexByte(l, '{')
		if i < 0 || !strings.HasSuffix(l, "}") {
			b.WriteString(l)
			return b.String()
		}
		n, err := strconv.Atoi(l[i+1 : len(l)-1])
		if err != nil {
			b.WriteString(l)
			return b.String()
		}
		lit := make([]byte, n)
		if _, err := io.ReadFull(c.r, lit); err != nil {
			c.t.Fatal(err)
		}
		b.WriteString(strings.TrimSuffix(l[:i], "~"))
		q := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(lit))
		b.WriteString(`"` + q + `"`)
	}
}

// search compares a search.
func (d *differ) search(key string) {
	ask := func(c *client) []string {
		c.send("s SEARCH " + key + "\r\n")
		var nums []string
		for _, l := range c.until("s") {
			if rest, ok := strings.CutPrefix(l, "* SEARCH"); ok {
				nums = strings.Fields(rest)
			}
		}
		return nums
	}
	t0 := time.Now()
	a := ask(d.ours)
	t1 := time.Now()
	b := ask(d.theirs)
	t2 := time.Now()
	var only []string
	for i := 1; i <= len(d.names); i++ {
		s := strconv.Itoa(i)
		x, y := slices.Contains(a, s), slices.Contains(b, s)
		if x && !y {
			only = append(only, "+"+d.names[i-1])
		} else if y && !x {
			only = append(only, "-"+d.names[i-1])
		}
	}
	d.t.Logf("== SEARCH %q: ours %d (%v), theirs %d (%v), %d differ %.400q", key, len(a), t1.Sub(t0).Round(time.Millisecond),
		len(b), t2.Sub(t1).Round(time.Millisecond), len(only), strings.Join(only, " "))
}
