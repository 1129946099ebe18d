package cluster_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/cluster/rig"
	"github.com/eidermail/eider/test/harness"
)

// TestTwoBuilds runs nodes of the last release and of this build side by side, in
// each mixture that a rolling upgrade goes through and one that goes back. The
// last release is the last tag; EIDER_OLD names another commit, or a program.
func TestTwoBuilds(t *testing.T) {
	old := oldBuild(t)
	if old == "" {
		t.Log("nothing is released yet: there is no tag, and EIDER_OLD names nothing")
		return
	}
	c := start(t, rig.Options{Binary: old})
	d := newDrill(t, c, 250*time.Millisecond)
	d.few = 200
	install := func(n int, binary string) func() error {
		return func() error { return d.replace(c.Machines[n-1], binary) }
	}
	kill := func(name, part string, who func() *rig.Machine) *row {
		breaks, mend := d.kill(part, who)
		return d.fault(name, breaks, mend)
	}
	fresh := harness.Binary(t)
	smooth(t, d.fault("node 1 upgraded", install(1, fresh), nil))
	kill("old node killed", "eider", d.machine(2))
	kill("new node killed", "eider", d.machine(1))
	away(t, kill("store primary killed", "postgres", c.Primary), 7*time.Second)
	smooth(t, d.fault("node 2 upgraded", install(2, fresh), nil))
	smooth(t, d.fault("node 1 goes back", install(1, old), nil))
	kill("old node killed", "eider", d.machine(1))
	smooth(t, d.fault("node 1 upgraded again", install(1, fresh), nil))
	smooth(t, d.fault("node 3 upgraded", install(3, fresh), nil))
	d.finish()
}

// replace restarts a machine's eider as another build.
func (d *drill) replace(m *rig.Machine, binary string) error {
	return errors.Join(m.Proc("eider").Stop(30*time.Second), m.Install(binary), m.Proc("eider").Start(),
		d.c.AwaitReady(30*time.Second))
}

// oldBuild is the program of EIDER_OLD, or of the last tag; "" if there is none.
func oldBuild(t *testing.T) string {
	t.Helper()
	ref := os.Getenv("EIDER_OLD")
	if st, err := os.Stat(ref); err == nil && st.Mode().IsRegular() {
		return ref
	}
	root := harness.Root(t)
	if ref == "" {
		out, err := exec.Command("git", "-C", root, "describe", "--tags", "--abbrev=0").Output()
		if err != nil {
			return "" // no tag, or no git
		}
		ref = strings.TrimSpace(string(out))
	}
	dir := t.TempDir()
	script := `set -e
mkdir src && git -C "$1" archive "$2" | tar -x -C src
cd src && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o ../eider ./cmd/eider
cd .. && rm -r src`
	cmd := exec.Command("sh", "-c", script, "old", root, ref)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", ref, err, out)
	}
	t.Logf("the old build is %s", ref)
	return filepath.Join(dir, "eider")
}
