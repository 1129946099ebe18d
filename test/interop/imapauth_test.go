package interop_test

import (
	"encoding/base64"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// TestGsasl logs in by each mechanism with an implementation of SASL that is
// nobody's mail program, and is refused with a wrong password.
func TestGsasl(t *testing.T) {
	harness.Need(t, "gsasl")
	b := fill(t, 0)
	login := func(mech, pass string) (string, error) {
		return harness.TryRun(clientTime, "sh", "-c", `exec gsasl --imap --connect="$1" --no-starttls --mechanism="$2" -a "$3" -p "$4" </dev/null`,
			"sh", b.Server.IMAP, mech, b.User, pass)
	}
	for _, mech := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"} {
		out, err := login(mech, b.Pass)
		if err != nil || !strings.Contains(out, "Client authentication finished (server trusted)") {
			t.Errorf("%s: %v\n%s", mech, err, out)
		}
		if out, err := login(mech, "wrong"); err == nil || !strings.Contains(out, "[AUTHENTICATIONFAILED]") {
			t.Errorf("%s with a wrong password: %v\n%s", mech, err, out)
		}
	}
}

// TestGsaslPlus binds SCRAM to the TLS connection, as GNU SASL does it over
// GnuTLS, and says so in its first message.
func TestGsaslPlus(t *testing.T) {
	harness.Need(t, "gsasl")
	b := fill(t, 0, "--starttls", "on")
	login := func(pass string, more ...string) (string, error) {
		args := append([]string{"-c", `exec gsasl "$@" </dev/null`, "sh", "--imap", "--connect=" + b.Server.IMAP, "--starttls",
			"--x509-ca-file=" + b.Raw["ca"].(string), "--verbose", "-a", b.User, "-p", pass}, more...)
		return harness.TryRun(clientTime, "sh", args...)
	}
	first := base64.StdEncoding.EncodeToString([]byte("p=tls-exporter,,n=" + b.User + ",")) // it ends in the nonce
	first = first[:len(first)-4]
	for _, how := range []string{"", "--mechanism=SCRAM-SHA-256-PLUS"} { // by itself it takes the strongest
		out, err := login(b.Pass, strings.Fields(how)...)
		if err != nil || !strings.Contains(out, "Client authentication finished (server trusted)") ||
			!strings.Contains(out, "AUTHENTICATE SCRAM-SHA-256-PLUS") || !strings.Contains(out, "\n"+first) {
			t.Errorf("SCRAM-SHA-256-PLUS %s: %v\n%s", how, err, out)
		}
	}
	if out, err := login("wrong", "--mechanism=SCRAM-SHA-256-PLUS"); err == nil || !strings.Contains(out, "[AUTHENTICATIONFAILED]") {
		t.Errorf("with a wrong password: %v\n%s", err, out)
	}
	if out, err := login(b.Pass, "--mechanism=SCRAM-SHA-256", "--no-cb"); err != nil {
		t.Errorf("without a binding: %v\n%s", err, out)
	}
}

// TestImtest is Cyrus's client, over TLS too, where it binds SCRAM to the
// channel when the library that it stands on can.
func TestImtest(t *testing.T) {
	imtest := "/usr/lib/cyrus/bin/imtest"
	if _, err := exec.LookPath(imtest); err != nil {
		harness.Missing(t, "%s; 'make test-setup' installs it", imtest)
	}
	b := fill(t, 0)
	for _, c := range []struct{ addr, mech, tls string }{
		{b.Server.IMAP, "PLAIN", ""}, {b.Server.IMAP, "SCRAM-SHA-256", ""},
		{b.Server.IMAPS, "PLAIN", "-s"}, {b.Server.IMAPS, "SCRAM-SHA-256", "-s"},
	} {
		host, port := split(t, c.addr)
		args := []string{"-c", `printf '. LOGOUT\r\n' | "$@"`, "sh", imtest, "-m", c.mech, "-a", b.User, "-u", b.User, "-w", b.Pass, "-p", port}
		if c.tls != "" {
			args = append(args, c.tls)
		}
		out, err := harness.TryRun(clientTime, "sh", append(args, host)...)
		if !strings.Contains(out, "Authenticated.") {
			t.Errorf("%s %s: %v\n%s", c.mech, c.tls, err, out)
		}
	}
}

// TestImapfilter moves and marks by rules.
func TestImapfilter(t *testing.T) {
	harness.Need(t, "imapfilter")
	b := fill(t, 4)
	host, port := split(t, b.Server.IMAP)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	rules := write(t, filepath.Join(dir, "rules.lua"), `
options.timeout = 20
options.create = true
a = IMAP { server = "`+host+`", port = `+port+`, username = "`+b.User+`", password = "`+b.Pass+`" }
all = a.INBOX:select_all()
assert(#all == 4, "messages")
two = a.INBOX:contain_subject("letter 2")
assert(#two == 1, "search")
two:move_messages(a["Filed"])
rest = a.INBOX:is_unseen() * a.INBOX:contain_from("ada")
assert(#rest == 3, "unseen")
a.INBOX:contain_subject("letter 3"):mark_flagged()
a.INBOX:contain_subject("letter 1"):delete_messages()
filed = a["Filed"]:contain_body("Grüße")
assert(#filed == 1, "body")
mbs = a:list_all()
print("imapfilter ok")
`)
	out := harness.Run(t, clientTime, "imapfilter", "-c", rules)
	if !strings.Contains(out, "imapfilter ok") {
		t.Errorf("imapfilter:\n%s", out)
	}
	for url, want := range map[string]string{"INBOX?FLAGGED": "* SEARCH 1", "INBOX?ALL": "* SEARCH 1 2", "Filed?ALL": "* SEARCH 1"} {
		got := harness.Run(t, clientTime, "curl", "-sS", "-u", b.User+":"+b.Pass, "imap://"+b.Server.IMAP+"/"+url)
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

// TestAerc lists and opens mail in a terminal of its own.
func TestAerc(t *testing.T) {
	harness.Need(t, "aerc", "tmux")
	b := fill(t, 3)
	dir := t.TempDir()
	user := strings.ReplaceAll(b.User, "@", "%40")
	conf := filepath.Join(dir, "aerc")
	harness.Run(t, clientTime, "mkdir", "-p", conf)
	write(t, filepath.Join(conf, "accounts.conf"), "[e]\nsource = imap+insecure://"+user+":"+b.Pass+"@"+b.Server.IMAP+
		"\ndefault = INBOX\nfrom = A <a@example.test>\n")
	socket := filepath.Join(dir, "tmux")
	tmux := func(args ...string) string {
		return harness.Run(t, clientTime, "tmux", append([]string{"-S", socket}, args...)...)
	}
	tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "30", "env", "XDG_CONFIG_HOME="+dir, "HOME="+dir, "TERM=screen", "aerc")
	t.Cleanup(func() { _, _ = harness.TryRun(clientTime, "tmux", "-S", socket, "kill-server") })
	screen := func(want string) {
		t.Helper()
		out, err := harness.TryRun(clientTime, "sh", "-c",
			`for i in $(seq 150); do s=$(tmux -S "$1" capture-pane -p); printf '%s' "$s" | grep -q "$2" && exit 0; sleep 0.1; done; printf '%s' "$s"; exit 1`,
			"sh", socket, want)
		if err != nil {
			t.Fatalf("aerc does not show %q:\n%s", want, out)
		}
	}
	screen("letter 3")
	tmux("send-keys", ":read", "Enter")
	tmux("send-keys", ":flag -x flagged", "Enter")
	out, err := harness.TryRun(clientTime, "sh", "-c",
		`for i in $(seq 150); do curl -sS -u "$1" "imap://$2/INBOX?SEEN" | grep -q 'SEARCH [0-9]' && exit 0; sleep 0.1; done; exit 1`,
		"sh", b.User+":"+b.Pass, b.Server.IMAP)
	if err != nil {
		t.Errorf("what aerc marked as read is not: %s", out)
	}
}
