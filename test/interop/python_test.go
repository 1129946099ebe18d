package interop_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// TestPython: smtplib, imaplib and poplib of Python's standard library.
func TestPython(t *testing.T) {
	harness.Need(t, "python3")
	b := fill(t, 3)
	out := t.TempDir()
	setenv(t, b, out)
	for _, lib := range []string{"imap", "pop", "smtp"} {
		dir := filepath.Join(out, lib)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("T_OUT", dir)
		log := harness.Run(t, clientTime, "python3", "testdata/"+lib+".py")
		if lib == "smtp" {
			t.Log(log)
			continue
		}
		b.allSame(t, lib+"lib", dir)
	}
}
