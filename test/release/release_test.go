// Package release_test checks what a release consists of. No container engine
// runs here: the Dockerfile is read by a parser and its last stage's file
// system is run in a chroot as the Dockerfile says; the compose file is read by
// docker-compose, the workflow by actionlint, the unit by systemd-analyze, the
// completions by the shells they are for.
package release_test

import (
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// toolTime bounds a run of a tool.
const toolTime = 2 * time.Minute

func file(t *testing.T, name string) string { return filepath.Join(harness.Root(t), name) }

// TestRelease builds for this system (EIDER_SOAK=1: for all of them): static,
// with its version, its checksums, its completions.
func TestRelease(t *testing.T) {
	out := filepath.Join(t.TempDir(), "dist")
	targets := "linux/" + runtime.GOARCH
	want := []string{"SHA256SUMS", "LICENSE", "eider.service", "eider.bash", "eider.zsh", "eider.fish"}
	if os.Getenv("EIDER_SOAK") == "1" {
		targets = "linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64"
		want = append(want, "eider-Linux-x86_64", "eider-Linux-aarch64", "eider-Darwin-x86_64", "eider-Darwin-arm64",
			"eider-Windows-x86_64.exe")
	}
	cmd := exec.Command(file(t, "scripts/release"))
	cmd.Env = append(os.Environ(), "OUT="+out, "TARGETS="+targets, "VERSION=v9.9.9")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, f := range want {
		if st, err := os.Stat(filepath.Join(out, f)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	harness.Run(t, toolTime, "sh", "-c", "cd '"+out+"' && sha256sum --check --strict --quiet SHA256SUMS")
	uname := strings.TrimSpace(harness.Run(t, toolTime, "sh", "-c", "echo eider-$(uname -s)-$(uname -m)"))
	bin := filepath.Join(out, uname) // as the README's first command names it
	if v := harness.Run(t, toolTime, bin, "version"); !strings.Contains(v, "v9.9.9") {
		t.Errorf("version: %s", v)
	}
	static(t, bin)
	for shell, args := range map[string][]string{"bash": {"-n"}, "zsh": {"-n"}, "fish": {"--no-execute"}} {
		harness.Need(t, shell)
		harness.Run(t, toolTime, shell, append(args, filepath.Join(out, "eider."+shell))...)
	}
	complete := `. '` + filepath.Join(out, "eider.bash") + `'; COMP_WORDS=(eider $1 "$2"); COMP_CWORD=$((${#COMP_WORDS[@]}-1))
		_eider; echo "${COMPREPLY[@]}"`
	for in, want := range map[[2]string]string{{"", "exe"}: "exec", {"account", ""}: "create", {"serve", "--rete"}: "--retention",
		{"", "--rete"}: "--retention", {"exec", "--"}: "--show"} {
		got := harness.Run(t, toolTime, "bash", "-c", complete, "-", in[0], in[1])
		if !strings.Contains(got, want) {
			t.Errorf("eider %s %s<Tab>: %s", in[0], in[1], got)
		}
	}
}

// static fails unless a program needs nothing of the system it runs on.
func static(t *testing.T, bin string) {
	t.Helper()
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	if err != nil || len(libs) > 0 {
		t.Errorf("it needs %v %v", libs, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it is linked dynamically")
		}
	}
}

// image is what the last stage of the Dockerfile says.
type image struct {
	Problems, Copy                                 []string
	From, User, Entrypoint, Health, Expose, Volume string
	Env                                            map[string]string
}

func dockerfile(t *testing.T, path string) image {
	t.Helper()
	dir := file(t, "test/node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules/dockerfile-utils")); err != nil {
		harness.Missing(t, "npm packages; 'make test-setup' installs them")
	}
	harness.Need(t, "node")
	var i image
	out := harness.Run(t, toolTime, "node", filepath.Join(dir, "dockerfile.mjs"), path)
	if err := json.Unmarshal([]byte(out), &i); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return i
}

// TestDockerfile: it has no mistake, and its image is from scratch and not root's.
func TestDockerfile(t *testing.T) {
	i := dockerfile(t, file(t, "Dockerfile"))
	if len(i.Problems) > 0 {
		t.Errorf("problems: %q", i.Problems)
	}
	if i.From != "scratch" || i.User != "65532:65532" || i.Entrypoint != `["/eider"]` || i.Volume != "/data" ||
		!strings.HasSuffix(i.Health, `CMD ["/eider", "health"]`) || len(i.Copy) != 1 {
		t.Errorf("%+v", i)
	}
	bad := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(bad, []byte("FROM scratch\nCOPPY a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if i := dockerfile(t, bad); len(i.Problems) == 0 {
		t.Error("the parser finds no mistakes")
	}
}

// TestImage runs the image's file system in a chroot, as its user, with its
// environment; only the ports are others.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		harness.NoRight(t, "chroot")
	}
	harness.Need(t, "chroot")
	i := dockerfile(t, file(t, "Dockerfile"))
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, harness.Binary(t), filepath.Join(root, "eider"))
	beside(t, root)
	var env []string
	for k, v := range i.Env {
		if strings.HasPrefix(v, ":") { // a port: a free one on loopback instead
			v = "127.0.0.1:0"
		}
		env = append(env, k+"="+v)
	}
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/eider", args...)
		cmd.Env, cmd.Dir = env, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL,
			Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		return cmd
	}
	srv := inside("--ready-file", "/tmp/ready.json", "--admin", "off")
	srv.Stderr = &strings.Builder{}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Process.Kill(); _ = srv.Wait() })
	ready := awaitReady(t, filepath.Join(root, "tmp/ready.json"), srv)
	if out, err := inside("health").CombinedOutput(); err != nil || string(out) != "ok\n" {
		t.Errorf("health: %v %s", err, out)
	}
	if err := smtp.SendMail(ready["smtp"].(string), nil, "a@b.test", []string{"c@d.test"},
		[]byte("Subject: from outside\r\n\r\nx\r\n")); err != nil {
		t.Error(err)
	}
	send := inside("sendmail", "-t")
	send.Stdin = strings.NewReader("To: x@y.test\nSubject: from inside\n\nx\n")
	send.Env = append(send.Env, "EIDER_SMTP="+ready["smtp"].(string))
	if out, err := send.CombinedOutput(); err != nil {
		t.Errorf("sendmail: %v %s", err, out)
	}
	if err := srv.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := srv.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, srv.Stderr)
	}
	if out, err := inside("health").CombinedOutput(); err == nil {
		t.Errorf("healthy without a server: %s", out)
	}
	if out, err := inside("fsck").CombinedOutput(); err != nil {
		t.Errorf("fsck: %v %s", err, out)
	}
}

// beside makes what the image holds beside the binary, as the Dockerfile's first
// stage does: by the commands of its RUN line that name no Go. Then it is the
// user's, as COPY makes it.
func beside(t *testing.T, root string) {
	t.Helper()
	text, err := os.ReadFile(file(t, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	done := 0
	for line := range strings.Lines(joined) {
		if run, ok := strings.CutPrefix(line, "RUN "); ok && strings.Contains(run, "/image/") {
			for cmd := range strings.SplitSeq(run, "&&") {
				if !strings.Contains(cmd, "go build") {
					harness.Run(t, toolTime, "sh", "-ec", strings.ReplaceAll(cmd, "/image/", root+"/"))
					done++
				}
			}
		}
	}
	if done == 0 {
		t.Fatal("the Dockerfile makes nothing in /image/")
	}
	harness.Run(t, toolTime, "chown", "-R", "65532:65532", root)
}

// TestImageRoots: the image has the roots that ACME servers are trusted by,
// where Go looks for them, with Let's Encrypt's among them.
func TestImageRoots(t *testing.T) {
	if os.Getuid() != 0 {
		harness.NoRight(t, "chown")
	}
	root := t.TempDir()
	beside(t, root)
	b, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil {
		t.Fatalf("--acme on cannot work in the image: %v", err)
	}
	for name := ""; ; {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			t.Fatalf("there is no root of Let's Encrypt; the last is %s", name)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if name = c.Subject.CommonName; name == "ISRG Root X1" {
			return
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func awaitReady(t *testing.T, path string, srv *exec.Cmd) map[string]any {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var ready map[string]any
		if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &ready) == nil {
			return ready
		}
	}
	t.Fatalf("not ready\n%s", srv.Stderr)
	return nil
}

// TestCompose: docker-compose can read the example, and the ports are published
// on loopback only: the image trusts private networks.
func TestCompose(t *testing.T) {
	harness.Need(t, "docker-compose")
	out := harness.Run(t, toolTime, "docker-compose", "-f", file(t, "deploy/compose.yaml"), "config")
	for _, w := range []string{"127.0.0.1:8025:8025/tcp", "127.0.0.1:1025:1025/tcp", "condition: service_healthy"} {
		if !strings.Contains(out, w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
	bad := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(bad, []byte("services:\n  a:\n    imagge: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := harness.TryRun(toolTime, "docker-compose", "-f", bad, "config"); err == nil {
		t.Errorf("a mistake was taken:\n%s", out)
	}
}

// TestComposeCluster: docker-compose can read the cluster; every part comes back
// after a loss, and the servers have the time that draining takes.
func TestComposeCluster(t *testing.T) {
	harness.Need(t, "docker-compose")
	out := harness.Run(t, toolTime, "docker-compose", "-f", file(t, "deploy/compose-cluster.yaml"), "config")
	_, out, _ = strings.Cut("\n"+out, "\nservices:\n")
	services := regexp.MustCompile(`(?m)^  [a-z0-9]+:\n(?:    .*\n)+`).FindAllString(out, -1)
	servers := 0
	for _, s := range services {
		if !strings.Contains(s, "\n    restart: unless-stopped\n") {
			t.Errorf("it stays away after a loss:\n%s", s)
		}
		if strings.Contains(s, "\n    image: eider\n") {
			servers++
			if !regexp.MustCompile(`\n    stop_grace_period: (60s|1m0s)\n`).MatchString(s) {
				t.Errorf("it is killed while it drains:\n%s", s)
			}
		}
	}
	if len(services) != 6 || servers != 3 {
		t.Errorf("%d services, %d of them servers, in\n%s", len(services), servers, out)
	}
}

// TestWorkflow: actionlint finds nothing in the example, and something in a bad one.
func TestWorkflow(t *testing.T) {
	lint := func(path string) (string, error) {
		cmd := exec.Command("go", "tool", "actionlint", "-no-color", path)
		cmd.Dir = file(t, "test/tools")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	good := file(t, "deploy/github-actions.yml")
	if out, err := lint(good); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.yml")
	if err := os.WriteFile(bad, []byte(strings.Replace(string(text), "runs-on", "run-on", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := lint(bad); err == nil || !strings.Contains(out, "run-on") {
		t.Errorf("a mistake was taken: %v\n%s", err, out)
	}
}

// TestUnit: systemd takes the user unit, and its program starts as it says.
func TestUnit(t *testing.T) {
	harness.Need(t, "systemd-analyze")
	home := t.TempDir()
	bin := filepath.Join(home, ".local/bin/eider")
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, harness.Binary(t), bin)
	verify := func(unit string) (string, error) {
		cmd := exec.Command("systemd-analyze", "verify", "--user", "--man=no", unit)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := verify(file(t, "deploy/systemd/eider.service")); err != nil || strings.Contains(out, "eider.service") {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file(t, "deploy/systemd/eider.service"))
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "eider.service")
	if err := os.WriteFile(bad, []byte(strings.Replace(string(text), "ExecStart=%h/.local", "ExecStart=local", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := verify(bad); err == nil && !strings.Contains(out, "eider.service") {
		t.Errorf("a mistake was taken\n%s", out)
	}
}

// TestLoopbackOnly: no docker line of the README publishes a port to the network.
func TestLoopbackOnly(t *testing.T) {
	text, err := os.ReadFile(file(t, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "docker run") && strings.Count(line, "-p ") != strings.Count(line, "-p 127.0.0.1:") {
			t.Errorf("publishes to everyone: %s", line)
		}
	}
}
