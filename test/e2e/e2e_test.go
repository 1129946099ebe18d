// Package e2e_test looks at the whole through a real Chromium: the way of a
// newcomer by mouse, by keyboard and without JavaScript, mail that attacks
// whoever reads it, accessibility, and many tabs. The scripts that drive the
// browser are in test/node/e2e; what they find comes back as lines of JSON.
package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// scriptTime bounds one run of a browser script.
const scriptTime = 20 * time.Minute // on a machine that others use too

// script is one run of a script of test/node/e2e.
type script struct {
	name string
	args []string
	env  []string
	// asked does what the script asks for and returns the answer.
	asked func(what string) string
	// line gets every line that is neither a check, a note nor a question.
	line func(raw []byte)
}

// said is a line that a script prints.
type said struct {
	Check, Detail, Note, Ask string
	OK                       bool
}

// parts finds the browser, Node and the npm packages.
func parts(t *testing.T) (chromium, node, dir string) {
	t.Helper()
	harness.Need(t, "chromium")
	chromium, _ = exec.LookPath("chromium")
	dir = filepath.Join(harness.Root(t), "test/node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules/playwright-core")); err != nil {
		harness.Missing(t, "npm packages; 'make test-setup' installs them")
	}
	node = filepath.Join(dir, "node_modules/.bin/node")
	if _, err := os.Stat(node); err != nil {
		harness.Need(t, "node")
		node, _ = exec.LookPath("node")
	}
	return chromium, node, dir
}

// run runs a script beside a server and makes a subtest of each of its checks.
func run(t *testing.T, s *harness.Server, sc script) {
	t.Helper()
	chromium, node, dir := parts(t)
	ctx, cancel := context.WithTimeout(t.Context(), scriptTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, append([]string{filepath.Join(dir, "e2e", sc.name)}, sc.args...)...)
	cmd.Env = append(os.Environ(), "EIDER_CHROMIUM="+chromium, "EIDER_WEB=http://"+s.HTTP, "EIDER_SMTP="+s.SMTP)
	cmd.Env = append(cmd.Env, sc.env...)
	cmd.WaitDelay = 5 * time.Second
	var trouble strings.Builder
	cmd.Stderr = &trouble
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	checks := sc.read(t, out, in)
	err = cmd.Wait()
	if err != nil {
		t.Errorf("%s %q: %v\n%.3000s", sc.name, sc.args, err, trouble.String())
	}
	if checks == 0 && sc.line == nil {
		t.Errorf("%s %q checked nothing\n%.3000s", sc.name, sc.args, trouble.String())
	}
}

// read takes in what a script says until it ends, and counts its checks.
func (sc script) read(t *testing.T, out io.Reader, in io.Writer) (checks int) {
	t.Helper()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var l said
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Errorf("%s says %q", sc.name, lines.Text())
			continue
		}
		switch {
		case l.Check != "":
			checks++
			t.Run(l.Check, func(t *testing.T) {
				if !l.OK {
					t.Error(l.Detail)
				} else if l.Detail != "" {
					t.Log(l.Detail)
				}
			})
		case l.Note != "":
			t.Log(l.Note)
		case l.Ask != "":
			fmt.Fprintln(in, sc.asked(l.Ask))
		case sc.line != nil:
			sc.line(append([]byte(nil), lines.Bytes()...))
		}
	}
	return checks
}
