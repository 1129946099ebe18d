// Package wildduck_test runs WildDuck's own black-box IMAP tests, as npm
// serves them, against this server. They are installed and run, never copied.
// deviations.json lists each test that fails here, with the reason.
package wildduck_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// Limit: how long the suite may take; its client waits 100 ms before each command.
const suiteTime = 4 * time.Minute

// TestProtocol fails for a test that fails and is not listed, and for one that
// is listed and passes.
func TestProtocol(t *testing.T) {
	root := harness.Root(t)
	suite := filepath.Join(root, "test/.unpacked/wildduck/imap-core/test/protocol-test.js")
	mocha := filepath.Join(root, "test/node/node_modules/mocha/bin/mocha.js")
	for _, f := range []string{suite, mocha} {
		if _, err := os.Stat(f); err != nil {
			harness.Missing(t, "%s; 'make test-setup' brings it", f)
		}
	}
	node := filepath.Join(root, "test/node/node_modules/.bin/node")
	if _, err := os.Stat(node); err != nil {
		harness.Need(t, "node")
		node, _ = exec.LookPath("node")
	}
	s := harness.Start(t, "--store", "memory")
	for name, addr := range map[string]string{"T_IMAP_PORT": s.IMAP, "T_IMAPS_PORT": s.IMAPS} {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("T_HOST", host)
		t.Setenv(name, port)
	}
	t.Setenv("ETHEREAL_API", "http://"+s.HTTP)
	t.Setenv("NODE_PATH", filepath.Join(root, "test/node/node_modules"))
	out := filepath.Join(t.TempDir(), "report.json")
	text, _ := harness.TryRun(suiteTime, node, mocha, "--exit", "--require", filepath.Join(root, "test/wildduck/shim.cjs"),
		"--reporter", "json", "--reporter-option", "output="+out, suite)
	check(t, out, text)
}

// report is what mocha says.
type report struct{ Passes, Failures []result }

type result struct {
	FullTitle string
	Err       struct{ Message string }
}

func check(t *testing.T, path, text string) {
	t.Helper()
	var r report
	raw, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(raw, &r) != nil {
		t.Fatalf("no report: %v\n%s", err, text)
	}
	listed := map[string]string{}
	raw, err = os.ReadFile("deviations.json")
	if err != nil || json.Unmarshal(raw, &listed) != nil {
		t.Fatal("deviations.json:", err)
	}
	if n := len(r.Passes) + len(r.Failures); n < 80 {
		t.Errorf("%d tests ran, want at least 80\n%s", n, text)
	}
	failed := map[string]bool{}
	for _, f := range r.Failures {
		failed[f.FullTitle] = true
		if listed[f.FullTitle] == "" {
			t.Errorf("%s: %s", f.FullTitle, f.Err.Message)
		}
	}
	for title := range listed {
		if !failed[title] {
			t.Errorf("%s is listed as a deviation and passes", title)
		}
	}
	t.Logf("%d pass, %d deviate as listed", len(r.Passes), len(failed))
}
