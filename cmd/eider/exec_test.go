package main_test

import (
	"bytes"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestExec: the command knows by its environment where to send and to read,
// its exit code is ours, and a failure shows what was caught.
func TestExec(t *testing.T) {
	t.Parallel()
	send := program() + ` sendmail -t`
	letter := `printf 'To: ada@example.com\nSubject: Hi\033[1m there\n\nYour code is 123456\n' | ` + send
	for _, c := range []struct {
		name, script string
		flags        []string
		code         int
		want, not    []string
	}{
		{"green and silent", letter, nil, 0, nil, []string{"caught", "ada@example.com"}},
		{"red", letter + "; exit 3", nil, 3, []string{"exit code 3", "caught 1 message", "→ ada@example.com",
			"Hi", "there", "123456"}, []string{"\x1b"}},
		{"shown", letter + ";" + letter, []string{"--show"}, 0, []string{"caught 2 messages"}, []string{"exit code"}},
		{"nothing caught", "exit 1", nil, 1, []string{"no mail was caught"}, nil},
		{"without a login", "unset EIDER_USER; " + letter + "; exit 1", nil, 1, []string{"caught 1 message"}, nil},
		{"killed", "kill -9 $$", nil, 137, nil, nil},
		{"read back", letter + `; curl -sf -H "Authorization: Bearer $EIDER_TOKEN" "$EIDER_API/messages" | grep -q '"subject"' &&
			curl -sf -u "$EIDER_USER:$EIDER_PASS" "pop3://$POP3_HOST:$POP3_PORT/1" | grep -q 123456 &&
			curl -sf -u "$IMAP_USER:$IMAP_PASS" "imap://$IMAP_HOST:$IMAP_PORT/INBOX;UID=1" | grep -q 123456`, nil, 0, nil, nil},
		{"every name", `test -n "$ETHEREAL_API" && test -n "$SMTP_URL" && test -n "$MAILER_DSN" && test -n "$EMAIL_URL" &&
			test -s "$EIDER_CA" && test "$SMTP_HOST:$SMTP_PORT" = "$EIDER_SMTP" && test "$MAIL_PORT" = "$SPRING_MAIL_PORT" &&
			test "$SMTP_SECURE" = false`, nil, 0, nil, nil},
		{"settings of a server", letter + "; exit 1", nil, 1, []string{"caught 1 message"}, nil},
	} {
		args := append(append([]string{"exec"}, c.flags...), "--", "sh", "-c", c.script)
		code, out, errs := run(t, []string{"EIDER_HTTP=nonsense", "EIDER_PUBLIC_HOST=x.test", "EIDER_STORE=pebble:/nowhere"},
			args...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s%s", c.name, code, c.code, out, errs)
		}
		for _, w := range c.want {
			if !strings.Contains(errs, w) {
				t.Errorf("%s: no %q in %s", c.name, w, errs)
			}
		}
		for _, w := range c.not {
			if strings.Contains(errs, w) {
				t.Errorf("%s: %q in %s", c.name, w, errs)
			}
		}
	}
}

func TestExecMistakes(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "not-executable")
	if err := os.WriteFile(script, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		args []string
		env  string
		want string
	}{
		{127, []string{"exec", "--", "no-such-command"}, "", "no-such-command"},
		{126, []string{"exec", "--", script}, "", "permission denied"},
		{2, []string{"exec"}, "", "<command>"},
		{2, []string{"exec", "--"}, "", "eider exec -- npm test"},
		{2, []string{"exec", "true"}, "EIDER_RETENTION=soon", "EIDER_RETENTION"},
	} {
		code, _, errs := run(t, []string{c.env}, c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "caught") {
			t.Errorf("%q: %d %s", c.args, code, errs)
		}
	}
}

// TestExecSignal: a command that is told to stop still sends its last mail.
func TestExecSignal(t *testing.T) {
	t.Parallel()
	c := command(nil, "exec", "--show", "--", "sh", "-c",
		`trap 'echo bye | `+program()+` sendmail a@b.test; exit 5' TERM; echo up; while :; do sleep 0.05; done`)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	c.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		c.Process.Kill()
		t.Fatal("still running")
	}
	if code := c.ProcessState.ExitCode(); code != 5 || !strings.Contains(errs.String(), "caught 1 message") {
		t.Errorf("%d %s", code, &errs)
	}
}

// TestSendmail: as programs call it, with the exit codes that they know.
func TestSendmail(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	link := filepath.Join(t.TempDir(), "sendmail")
	if err := os.Symlink(program(), link); err != nil {
		t.Fatal(err)
	}
	catch := s.ready["catchAll"].(map[string]any)
	to := login{User: catch["user"].(string), Pass: catch["pass"].(string)}
	for _, c := range []struct {
		path, in string
		env      []string
		args     []string
		code     int
		want     string
	}{
		{program(), "To: a@x.test\nSubject: plain\n\nx\n", nil, []string{"sendmail", "-t", "-i"}, 0, ""},
		{program(), "To: a@x.test\nSubject: over TLS\n\nx\n", []string{"EIDER_SMTP=smtps://" + s.addr("smtps"),
			"EIDER_CA=" + s.ready["ca"].(string)}, []string{"sendmail", "-t", "-i"}, 0, ""},
		{program(), "x", []string{"EIDER_SMTP=smtps://" + s.addr("smtps")}, []string{"sendmail", "a@b"}, 75, "certificate"},
		{link, "Subject: by name\n\nx\n", nil, []string{"-oi", "-fboss@x.test", "a@x.test", "b@x.test"}, 0, ""},
		{program(), "Subject: x\n\n", nil, []string{"sendmail", "-t"}, 64, "no recipients"},
		{program(), "x", nil, []string{"sendmail", "-Z"}, 64, "-Z"},
		{program(), "x", nil, []string{"sendmail", "-bd"}, 64, "-bd"},
		{program(), "x", []string{"EIDER_SMTP=127.0.0.1:1"}, []string{"sendmail", "a@b"}, 75, "EIDER_SMTP"},
		{program(), "x", []string{"EIDER_SMTP=nonsense"}, []string{"sendmail", "a@b"}, 64, "EIDER_SMTP"},
		{program(), "x", []string{"EIDER_CA=/nowhere"}, []string{"sendmail", "a@b"}, 64, "EIDER_CA"},
		{program(), "x", []string{"EIDER_USER=" + to.User, "EIDER_PASS=wrong"}, []string{"sendmail", "a@b"}, 77, "535"},
		{program(), strings.Repeat("x: y\n", 1<<20), nil, []string{"sendmail", "a@b"}, 65, "1 MB"},
		{program(), "", nil, []string{"sendmail", "-bp"}, 0, ""},
		{program(), "", nil, []string{"sendmail", "-bi"}, 0, ""},
		{program(), "", nil, []string{"sendmail", "--help"}, 0, ""},
	} {
		cmd := exec.Command(c.path, c.args...)
		cmd.Env = append([]string{"HOME=" + os.TempDir(), "EIDER_SMTP=" + s.addr("smtp")}, c.env...)
		cmd.Stdin = strings.NewReader(c.in)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) {
			t.Errorf("%q %q: %d, want %d: %v %s", c.args, c.env, code, c.code, err, out)
		}
	}
	list := s.list(t, to)
	for _, w := range []string{`"subject":"plain"`, `"subject":"over TLS"`, `"subject":"by name"`, "boss@x.test", "b@x.test"} {
		if !strings.Contains(list, w) {
			t.Errorf("no %s in %s", w, list)
		}
	}
	// -bs: a program that speaks SMTP itself.
	cmd := exec.Command(link, "-bs")
	cmd.Env = []string{"EIDER_SMTP=" + s.addr("smtp")}
	cmd.Stdin = strings.NewReader("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: spoken\r\n\r\nx\r\n.\r\nQUIT\r\n")
	if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "250 Accepted [STATUS=new MSGID=") {
		t.Errorf("-bs: %v %s", err, out)
	}
	if err := smtp.SendMail(s.addr("smtp"), nil, "a@b", []string{"c@d"}, nil); err != nil {
		t.Error(err)
	}
	s.stop(t)
}
