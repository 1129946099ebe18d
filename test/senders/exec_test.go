package senders_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// project copies the sample project, with its packages installed.
func project(t *testing.T) (dir string, env []string) {
	t.Helper()
	harness.Need(t, "npm")
	modules := filepath.Join(harness.Root(t), "test/node/node_modules")
	if _, err := os.Stat(filepath.Join(modules, "nodemailer")); err != nil {
		harness.Missing(t, "npm packages; 'make test-setup' installs them")
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/nodemailer-app")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"PATH=" + filepath.Join(modules, ".bin") + ":" + os.Getenv("PATH"), "HOME=" + dir}
}

// TestExecNpmTest: a project's own suite is green with no configuration, red
// when it should be, and a red one shows the mail.
func TestExecNpmTest(t *testing.T) {
	dir, env := project(t)
	run := func(extra ...string) (int, string) {
		cmd := exec.Command(harness.Binary(t), "exec", "--", "npm", "test")
		cmd.Dir, cmd.Env = dir, append(env, extra...)
		timer := time.AfterFunc(clientTime, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if code, out := run(); code != 0 || strings.Contains(out, "caught") {
		t.Errorf("green: %d\n%s", code, out)
	}
	code, out := run("WRONG_CODE=1")
	if code != 1 || !strings.Contains(out, "caught 1 message") || !strings.Contains(out, "Your code is 482910.") {
		t.Errorf("red: %d\n%s", code, out)
	}
}

// Limit: time from a binary to the first mail that was caught and seen.
const firstMail = time.Minute

// TestFirstMail does what the README says to a newcomer, with a fresh binary:
// start, make an account, paste its settings, send, see.
func TestFirstMail(t *testing.T) {
	_ = harness.Binary(t) // building is not part of it
	begin := time.Now()
	s := harness.Start(t)
	a := open(t, s, "localhost")
	for _, v := range senders {
		if v.id == "python" {
			v.send(t, a, false)
		}
	}
	took := time.Since(begin)
	t.Logf("from the binary to the first mail seen: %v, limit %v", took.Round(time.Millisecond), firstMail)
	if took > firstMail {
		t.Errorf("the first mail took %v", took)
	}
}

// TestSendmailCallers: programs that call sendmail by themselves.
func TestSendmailCallers(t *testing.T) {
	s := harness.Start(t)
	a := open(t, s, "localhost")
	for _, v := range []sender{
		{id: "git", needs: []string{"git"}, have: "/usr/lib/git-core/git-send-email", run: `git init -q . && echo x > x && git add x
			git -c user.name=Ada -c user.email=ada@example.com commit -q -m 'Hello from git'
			git send-email --sendmail-cmd="eider sendmail" --from app@example.com --to ada@example.com --confirm never -1`},
		{id: "symfony", needs: []string{"php"}, have: "/usr/share/php/Symfony/Component/Mailer/autoload.php",
			run: `echo "MAILER_DSN=sendmail://default?command=$(dirname "$(command -v eider)")/eider%20sendmail%20-bs" > .env
				php "$DATA/symfony.php"`},
		{id: "mutt", needs: []string{"mutt"}, run: `printf 'set from=app@example.com\nset sendmail="eider sendmail -oem -oi"\nset record=""\n' > rc
			echo 'Caught by Eider.' | mutt -F rc -s 'Hello from mutt' ada@example.com`},
	} {
		t.Run(v.id, func(t *testing.T) {
			harness.Need(t, v.needs...)
			if _, err := os.Stat(v.have); v.have != "" && err != nil {
				harness.Missing(t, "%s; 'make test-setup' installs it", v.have)
			}
			before := len(a.subjects(t))
			t.Setenv("EIDER_SMTP", s.SMTP)
			t.Setenv("EIDER_USER", a.user)
			t.Setenv("EIDER_PASS", a.pass)
			want := a
			if v.id == "symfony" { // it speaks SMTP itself, without a login
				catch, _ := s.Raw["catchAll"].(map[string]any)
				want = &account{api: a.api, user: catch["user"].(string), pass: catch["pass"].(string)}
				before = len(want.subjects(t))
			}
			out, err := v.script(t, t.TempDir(), a.ca, false)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got := want.subjects(t)
			if len(got) != before+1 || !strings.Contains(got[0], "Hello") {
				t.Errorf("%q\n%s", got, out)
			}
		})
	}
}
