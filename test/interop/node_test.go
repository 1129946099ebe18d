package interop_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// node runs a script of test/node and returns what it prints.
func node(t *testing.T, script string) string {
	t.Helper()
	dir := filepath.Join(harness.Root(t), "test/node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules/nodemailer")); err != nil {
		harness.Missing(t, "npm packages; 'make test-setup' installs them")
	}
	bin := "node"
	if p := filepath.Join(dir, "node_modules/.bin/node"); fileExists(p) {
		bin = p
	} else if _, err := exec.LookPath("node"); err != nil {
		harness.Missing(t, "node; 'make test-setup' installs it")
	}
	return harness.Run(t, clientTime, bin, filepath.Join(dir, script))
}

func fileExists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// TestNodemailer: the library unchanged, told of us by ETHEREAL_API alone.
func TestNodemailer(t *testing.T) {
	b := fill(t, 0)
	setenv(t, b, t.TempDir())
	out := node(t, "nodemailer.mjs")
	var got struct{ URL, Response, User, Web string }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.HasPrefix(got.URL, got.Web+"/message/") {
		t.Errorf("preview URL %q is not below %q", got.URL, got.Web)
	}
	resp, err := http.Get(got.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || !strings.Contains(string(page), "Hello from Nodemailer") {
		t.Errorf("%s: %d\n%.2000s", got.URL, resp.StatusCode, page)
	}
}

// TestImapflow lists, reads, flags, moves, deletes, idles, and looks again.
func TestImapflow(t *testing.T) {
	b := fill(t, 3)
	out := t.TempDir()
	setenv(t, b, out)
	t.Log(node(t, "imapflow.mjs"))
	b.allSame(t, "imapflow", out)
}

// TestNodePop3 lists, reads and deletes.
func TestNodePop3(t *testing.T) {
	b := fill(t, 3)
	out := t.TempDir()
	setenv(t, b, out)
	t.Log(node(t, "pop3.mjs"))
	b.allSame(t, "node-pop3", out)
}
