// Package thunderbird_test opens a mailbox in Debian's Thunderbird, in a window
// of Xvfb, and looks at what a person would see. Only `make soak` has it.
package thunderbird_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/rawimap"
)

// Limit: how long Thunderbird may take to start, or to show what it should.
const showWithin = 5 * time.Minute

const mails = 12

// TestThunderbird: it logs in, lists the mailboxes and the messages, shows one
// with its attachment, sees a message that comes while it idles, and what it
// marks and deletes is marked and deleted here.
func TestThunderbird(t *testing.T) {
	harness.SoakOnly(t)
	harness.Need(t, "thunderbird", "Xvfb")
	s := harness.Start(t, "--store", "memory")
	a := s.NewAccount(t)
	c := login(t, s, a)
	for i := range mails {
		appendMail(t, c, fmt.Sprintf("Grüße %d", i+1), `()`)
	}
	b := start(t, s, a)
	b.addPassword(t, a)
	b.openInbox(t)
	b.await(t, "all messages in the list", fmt.Sprint(mails), `return String(tree.view.rowCount)`)
	b.shot(t, "list")

	b.run(t, nil, `tree.selectedIndex = tree.view.rowCount - 1`)
	b.await(t, "the text of the message", "Hallo, Welt: 1 ", `return text()`)
	b.shot(t, "message")
	answer(t, c, "SELECT INBOX", "")
	awaitIMAP(t, c, "SEARCH SEEN", "(* SEARCH 1)")

	appendMail(t, c, "while it idles", `()`)
	b.await(t, "the new message", fmt.Sprint(mails+1), `return String(tree.view.rowCount)`)
	b.run(t, nil, `tree.selectedIndex = 0; await settle(); goDoCommand("cmd_markAsFlagged")`)
	awaitIMAP(t, c, "SEARCH FLAGGED", "(* SEARCH 13)")
	b.run(t, nil, `tree.selectedIndex = 1; await settle(); goDoCommand("cmd_delete")`)
	b.await(t, "one less", fmt.Sprint(mails), `return String(tree.view.rowCount)`)
	b.shot(t, "after")
	awaitIMAP(t, c, "STATUS Trash (MESSAGES)", "(* STATUS Trash (MESSAGES 1))")
}

// bird is a running Thunderbird.
type bird struct {
	*marionette
	dir string
}

func start(t *testing.T, s *harness.Server, a harness.Account) *bird {
	t.Helper()
	b := &bird{dir: t.TempDir()}
	profile := filepath.Join(b.dir, "profile")
	port := harness.FreePorts(t, 1)[0]
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(prefs(t, s, a, port)), 0o600); err != nil {
		t.Fatal(err)
	}
	display := xvfb(t)
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	b.launch(t, log, "thunderbird", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile,
		"DISPLAY="+display, "HOME="+b.dir, "MOZ_CRASHREPORTER_DISABLE=1", "LC_ALL=C.UTF-8")
	for end := time.Now().Add(showWithin); ; time.Sleep(200 * time.Millisecond) {
		if b.marionette, err = dialMarionette(port); err == nil {
			return b
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("thunderbird: %v\n%s", err, text[max(0, len(text)-4000):])
		}
	}
}

// launch starts a program with arguments, of which those with "=" are for the
// environment, and ends it with the test.
func (b *bird) launch(t *testing.T, out *os.File, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = os.Environ()
	for _, a := range args {
		if strings.Contains(a, "=") {
			cmd.Env = append(cmd.Env, a)
		} else {
			cmd.Args = append(cmd.Args, a)
		}
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it has children
		_ = cmd.Wait()
	})
}

// xvfb starts a screen and returns its name.
func xvfb(t *testing.T) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_ = r.SetReadDeadline(time.Now().Add(showWithin))
	var n int
	if _, err := fmt.Fscan(r, &n); err != nil {
		t.Fatal("Xvfb: ", err)
	}
	return fmt.Sprintf(":%d", n)
}

// prefs make an account of the server, and keep Thunderbird from greeting,
// updating and asking home.
func prefs(t *testing.T, s *harness.Server, a harness.Account, marionette int) string {
	t.Helper()
	host, port, err := net.SplitHostPort(s.IMAP)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	set := func(name string, value any) {
		if text, ok := value.(string); ok {
			value = fmt.Sprintf("%q", text)
		}
		fmt.Fprintf(&out, "user_pref(%q, %v);\n", name, value)
	}
	set("marionette.port", marionette)
	for _, name := range []string{"app.update.enabled", "app.donation.eoy.version.viewed", "datareporting.policy.dataSubmissionEnabled",
		"mail.provider.enabled", "extensions.getAddons.cache.enabled", "network.captive-portal-service.enabled",
		"network.connectivity-service.enabled", "app.normandy.enabled", "mail.inappnotifications.enabled", "mail.spotlight.firstRunDone"} {
		set(name, name == "mail.spotlight.firstRunDone")
	}
	set("datareporting.policy.dataSubmissionPolicyBypassNotification", true)
	set("mail.rights.override", true)
	set("mailnews.start_page.enabled", false)
	set("mailnews.start_page_override.mstone", "ignore")
	set("mail.accountmanager.accounts", "account1")
	set("mail.accountmanager.defaultaccount", "account1")
	set("mail.account.account1.identities", "id1")
	set("mail.account.account1.server", "server1")
	set("mail.identity.id1.fullName", "Ada")
	set("mail.identity.id1.useremail", a.User)
	set("mail.identity.id1.valid", true)
	for name, value := range map[string]any{"type": "imap", "hostname": host, "userName": a.User, "name": a.User,
		"socketType": 0, "authMethod": 3, "login_at_startup": false, "check_new_mail": false} {
		set("mail.server.server1."+name, value)
	}
	fmt.Fprintf(&out, "user_pref(%q, %s);\n", "mail.server.server1.port", port)
	return out.String()
}

// addPassword puts the password where Thunderbird keeps passwords.
func (b *bird) addPassword(t *testing.T, a harness.Account) {
	t.Helper()
	b.run(t, nil, `
const info = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
const origin = "imap://" + arguments[0];
info.init(origin, null, origin, arguments[1], arguments[2], "", "");
await Services.logins.addLoginAsync(info)`, "127.0.0.1", a.User, a.Pass)
}

// helpers are what the scripts below use.
const helpers = `
const pane = () => document.getElementById("tabmail").currentAbout3Pane;
const tree = pane() && pane().threadTree;
const settle = () => new Promise(r => setTimeout(r, 500));
const text = () => {
  const m = document.getElementById("tabmail").currentAboutMessage;
  const body = m && m.getMessagePaneBrowser().contentDocument.body;
  return body ? body.textContent : "";
};
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
`

// run runs a script in the main window.
func (b *bird) run(t *testing.T, out any, js string, args ...any) {
	t.Helper()
	if err := b.script(out, helpers+"return (async () => {"+js+"\n})()", args...); err != nil {
		t.Fatalf("%s: %v", js, err)
	}
}

// await waits until a script returns what contains a text.
func (b *bird) await(t *testing.T, what, want, js string) {
	t.Helper()
	var got string
	for end := time.Now().Add(showWithin); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if b.run(t, &got, js); strings.Contains(got, want) {
			return
		}
	}
	b.shot(t, "failed")
	t.Fatalf("%s: Thunderbird shows %q, not %q", what, got, want)
}

func (b *bird) openInbox(t *testing.T) {
	t.Helper()
	b.await(t, "the mail tab", "ready", `return tree ? "ready" : ""`)
	b.await(t, "the INBOX", "inbox", `
const server = MailServices.accounts.accounts[0].incomingServer;
server.getNewMessages(server.rootFolder, msgWindow, null);
const box = server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
if (!box) { await settle(); return ""; }
pane().displayFolder(box.URI);
return "inbox"`)
}

// shot keeps a picture of the window where EIDER_SCREENSHOTS says.
func (b *bird) shot(t *testing.T, name string) {
	t.Helper()
	png, err := b.screenshot()
	if err != nil {
		t.Fatal(err)
	}
	if len(png) < 10_000 {
		t.Errorf("the picture %s has %d bytes", name, len(png))
	}
	if dir := os.Getenv("EIDER_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "thunderbird-"+name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func login(t *testing.T, s *harness.Server, a harness.Account) *rawimap.Conn {
	t.Helper()
	c, err := rawimap.Dial(s.IMAP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Response(); err != nil {
		t.Fatal(err)
	}
	answer(t, c, fmt.Sprintf("LOGIN %q %q", a.User, a.Pass), "")
	return c
}

// answer sends a command and returns the untagged responses that contain a text.
func answer(t *testing.T, c *rawimap.Conn, cmd, with string) (found []string) {
	t.Helper()
	c.Send("t " + cmd + "\r\n")
	for {
		v, err := c.Response()
		if err != nil {
			t.Fatalf("%.60s: %v", cmd, err)
		}
		if v.List[0].Text == "t" {
			if v.List[1].Word() != "OK" {
				t.Fatalf("%.60s: %v", cmd, v)
			}
			return found
		}
		if line := v.String(); with != "" && strings.Contains(line, with) {
			found = append(found, line)
		}
	}
}

func awaitIMAP(t *testing.T, c *rawimap.Conn, cmd, want string) {
	t.Helper()
	word, _, _ := strings.Cut(cmd, " ")
	var got []string
	for end := time.Now().Add(showWithin); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if got = answer(t, c, cmd, "* "+word); len(got) == 1 && got[0] == want {
			return
		}
	}
	t.Errorf("%s: %q, not %q", cmd, got, want)
}

func appendMail(t *testing.T, c *rawimap.Conn, subject, flags string) {
	t.Helper()
	n := subject[strings.LastIndexByte(subject, ' ')+1:]
	m := strings.ReplaceAll(`From: Ada Lovelace <ada@example.test>
To: Bob <bob@example.test>
Subject: `+subject+`
Message-ID: <`+n+`@example.test>
Date: Mon, 2 Nov 2026 10:00:`+fmt.Sprintf("%02s", n[max(0, len(n)-2):])+` +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Hallo, Welt: `+n+` äöü

--b
Content-Type: text/csv; name="figures.csv"
Content-Disposition: attachment; filename="figures.csv"

a,b
1,2
--b--
`, "\n", "\r\n")
	answer(t, c, fmt.Sprintf("APPEND INBOX %s {%d+}\r\n%s", flags, len(m), m), "")
}
