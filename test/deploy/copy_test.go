package deploy_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// unpack is how docs/cluster.md copies a machine's files onto what is there.
const unpack = "-x --no-overwrite-dir --no-same-owner"

// TestCopy: the recipe's copy leaves the modes of folders alone that are there;
// what services without root read they can, and no secret is for others.
func TestCopy(t *testing.T) {
	t.Parallel()
	if !strings.Contains(read(t, filepath.Join(harness.Root(t), "docs/cluster.md")), "tar -C / "+unpack+"\n") {
		t.Fatal("docs/cluster.md copies in another way")
	}
	n1, root := generate(t)+"/n1", t.TempDir()
	before := map[string]fs.FileMode{ // as Debian's packages have them, but for the first, which no package has
		".": 0o751, "etc": 0o755, "etc/default": 0o755, "etc/redis": fs.ModeSetgid | 0o770, "etc/wireguard": 0o700}
	for _, d := range []string{".", "etc", "etc/default", "etc/redis", "etc/wireguard"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, d), before[d]); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root+"/etc/redis/redis.conf", "of the package\n")
	harness.Run(t, time.Minute, "bash", "-o", "pipefail", "-c", "tar -C "+n1+" -c . | tar -C "+root+" "+unpack)
	for d, want := range before {
		if mode := stat(t, filepath.Join(root, d)); mode != fs.ModeDir|want {
			t.Errorf("/%s had %v and has %v", d, want, mode)
		}
	}
	dir, file := stat(t, root+"/etc/eider"), stat(t, root+"/etc/eider/eider.toml")
	if dir != fs.ModeDir|0o755 || file != 0o644 {
		t.Errorf("Eider's own user cannot read its file: %v, %v", dir, file)
	}
	for _, f := range []string{"eider/eider.env", "eider/pgpass", "patroni/config.yml", "redis/redis.conf",
		"wireguard/wg0.conf"} {
		if mode := stat(t, root+"/etc/"+f); mode != 0o600 {
			t.Errorf("/etc/%s has %v", f, mode)
		}
	}
	if read(t, root+"/etc/redis/redis.conf") != read(t, n1+"/etc/redis/redis.conf") {
		t.Error("the package's file is still there")
	}
}

func stat(t *testing.T, path string) fs.FileMode {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()
}

// TestModes: in each form every folder is one that may lie over a system's own,
// since a copy by other means takes its mode along, to / itself; and whatever has
// a secret in it is for its owner alone.
func TestModes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, form := range []struct {
		options []string
		after   string
	}{{nil, "192.0.2.9"}, {[]string{"--front", "192.0.2.4", "--ipv6"}, ""}, {[]string{"--floating-ip", floatingIP}, ""},
		{[]string{"--mongodb", "--floating-ip", floatingIP}, ""}} {
		generateIn(t, dir, form.options, strings.Fields(form.after)...)
		secrets := secretsOf(t, dir)
		machines, _ := filepath.Glob(dir + "/n?")
		for _, n := range machines {
			folders, hidden := checkModes(t, n, secrets)
			if folders < 8 || hidden < 5 && !strings.HasSuffix(n, "/n4") {
				t.Errorf("%s %v: only %d folders and %d files with secrets", n, form, folders, hidden)
			}
		}
	}
}

// secretsOf are the values that nobody else may see, as the files have them.
func secretsOf(t *testing.T, dir string) [][]byte {
	t.Helper()
	var out [][]byte
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.+)$`).FindAllStringSubmatch(read(t, dir+"/secrets"), -1) {
		switch {
		case strings.HasPrefix(m[1], "WG_PUB"):
		case m[1] == "VRRP":
			out = append(out, []byte(m[2][:8])) // VRRP takes no more
		default:
			out = append(out, []byte(m[2]))
		}
	}
	return out
}

func checkModes(t *testing.T, n string, secrets [][]byte) (folders, hidden int) {
	t.Helper()
	err := filepath.WalkDir(n, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := stat(t, path)
		if d.IsDir() {
			folders++
			if mode != fs.ModeDir|0o755 {
				t.Errorf("%s has %v", path, mode)
			}
			return nil
		}
		text := []byte(read(t, path))
		for _, s := range secrets {
			if bytes.Contains(text, s) {
				hidden++
				if mode&0o077 != 0 {
					t.Errorf("%s has a secret and %v", path, mode)
				}
				return nil
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return folders, hidden
}

// checkDropIns has systemd read each drop-in beside the unit of Debian's package;
// there are those for which the form has a service, and no others.
func checkDropIns(t *testing.T, n string, want ...string) {
	t.Helper()
	harness.Need(t, "systemd-analyze")
	found, _ := filepath.Glob(n + "/etc/systemd/system/*.service.d")
	var have []string
	for _, d := range found {
		have = append(have, strings.TrimSuffix(filepath.Base(d), ".service.d"))
	}
	if strings.Join(have, " ") != strings.Join(want, " ") {
		t.Errorf("%s has drop-ins for %v, not for %v", n, have, want)
	}
	dir := t.TempDir()
	for _, u := range have {
		text, err := os.ReadFile("/lib/systemd/system/" + u + ".service")
		if u == "mongod" { // no package of it: checkMongod
			continue
		}
		if err != nil {
			harness.Missing(t, "the unit of %s: %v", u, err)
		}
		unit := write(t, filepath.Join(dir, u+".service"), string(text))
		if err := os.Mkdir(unit+".d", 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, unit+".d/eider.conf", read(t, n+"/etc/systemd/system/"+u+".service.d/eider.conf"))
		out, err := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", unit).CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%s: %v\n%s", u, err, out)
		}
	}
}
