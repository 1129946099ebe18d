package deploy_test

import (
	"fmt"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

// patroniWithin is how long a database may take to be made, or found again.
const patroniWithin = 3 * time.Minute

// patroni is machine 1 of the recipe: its Patroni with the generated file, on
// loopback and in a folder, and alone, so that commits wait for no standby.
type patroni struct {
	dir, conf string
	api, port int
	cred      *syscall.Credential
	cmd       *exec.Cmd
	log       *os.File
	uri       string
	secret    func(name string) string
}

func newPatroni(t *testing.T) *patroni {
	t.Helper()
	harness.Need(t, "patroni", "patronictl")
	bin, err := postgres.Bin()
	if err != nil {
		harness.Missing(t, "%v", err)
	}
	cred, err := postgres.User()
	if err != nil {
		harness.Missing(t, "%v", err)
	}
	generated, etcd, ports := generate(t), startEtcd(t, "--enable-v2"), harness.FreePorts(t, 2)
	secrets := read(t, generated+"/secrets")
	dir, err := os.MkdirTemp("", "eider-patroni-") // t.TempDir is closed to the database's user
	if err != nil {
		t.Fatal(err)
	}
	p := &patroni{dir: dir, conf: dir + "/config.yml", api: ports[0], port: ports[1], cred: cred, secret: func(name string) string {
		return regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(secrets)[1]
	}}
	t.Cleanup(func() { p.stop(t); os.RemoveAll(dir) })
	p.uri = fmt.Sprintf("postgres://eider:%s@127.0.0.1:%d/eider?connect_timeout=1&sslmode=disable", p.secret("PG_EIDER"), p.port)
	text := strings.NewReplacer("10.77.0.1:8008", fmt.Sprint("127.0.0.1:", p.api), "10.77.0.1:5432", fmt.Sprint("127.0.0.1:", p.port),
		"10.77.0.1:2379,10.77.0.2:2379,10.77.0.3:2379", strings.TrimPrefix(etcd, "http://"),
		"10.77.0.0/24", "127.0.0.0/8", "/usr/local/lib/eider/", dir+"/", "/var/lib/postgresql/15/eider", dir+"/data",
		"/var/lib/postgresql/", dir+"/", "/var/run/postgresql", dir, "/usr/lib/postgresql/15/bin", bin,
		"synchronous_mode_strict: true", "synchronous_mode_strict: false", "mode: automatic", "mode: 'off'",
	).Replace(read(t, generated+"/n1/etc/patroni/config.yml"))
	write(t, p.conf, text)
	for _, f := range []string{"/bootstrap-database", "/pg-backup"} {
		if err := os.Chmod(write(t, dir+f, read(t, generated+"/n1/usr/local/lib/eider"+f)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/pgpass", "127.0.0.1:*:*:repl:"+p.secret("PG_REPL")+"\n")
	if p.log, err = os.Create(dir + "/log"); err != nil {
		t.Fatal(err)
	}
	if cred != nil {
		for _, f := range []string{"", "/config.yml", "/bootstrap-database", "/pg-backup", "/pgpass"} {
			if err := os.Chown(dir+f, int(cred.Uid), int(cred.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

// command runs as the database's user.
func (p *patroni) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "LC_ALL=C", "HOME="+p.dir)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred}
	return c
}

// start starts Patroni and waits until it has a primary.
func (p *patroni) start(t *testing.T) {
	t.Helper()
	began := time.Now()
	p.cmd = p.command("patroni", p.conf)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 2 * time.Second}
	for end := time.Now().Add(patroniWithin); ; time.Sleep(200 * time.Millisecond) {
		if r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/primary", p.api)); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				t.Logf("a primary after %v", time.Since(began).Round(100*time.Millisecond))
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("Patroni has no primary\n%s", read(t, p.log.Name()))
		}
	}
}

// settings are those that Patroni keeps in etcd, for all machines.
func (p *patroni) settings(t *testing.T) string {
	t.Helper()
	var out string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		out, _ = harness.TryRun(10*time.Second, "curl", "-sSf", "-m", "5", fmt.Sprintf("http://127.0.0.1:%d/config", p.api))
		if strings.Contains(out, "synchronous_mode") {
			break
		}
	}
	return out
}

// stop ends Patroni, which stops PostgreSQL.
func (p *patroni) stop(t *testing.T) {
	t.Helper()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	done, cmd := make(chan struct{}), p.cmd
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patroniWithin):
		_ = cmd.Process.Kill()
		t.Errorf("Patroni does not stop")
	}
	p.cmd = nil
}

// run runs a command of the recipe, with something to say to it.
func (p *patroni) run(t *testing.T, input, name string, args ...string) {
	t.Helper()
	c := p.command(name, args...)
	c.Env = append(c.Env, "PGHOST=127.0.0.1", fmt.Sprint("PGPORT=", p.port), "PGPASSFILE="+p.dir+"/pgpass",
		"TEXTFILES="+p.dir)
	c.Stdin = strings.NewReader(input)
	began := time.Now()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s\n%s", name, args, err, out, read(t, p.log.Name()))
	}
	t.Logf("%s: %v", name, time.Since(began).Round(100*time.Millisecond))
}

// TestRestoreUnderPatroni: the backup and the restore of docs/cluster.md, its
// commands and the generated file of Patroni, on one machine: mail of before the
// backup is there, mail of after it is not, and mail is taken.
func TestRestoreUnderPatroni(t *testing.T) {
	harness.SoakOnly(t)
	harness.Need(t, "curl", "zstd")
	p := newPatroni(t)
	p.start(t)
	s := harness.Start(t, "--store", p.uri)
	a := s.NewAccount(t)
	send := func(s *harness.Server, subject string) {
		t.Helper()
		if err := smtp.SendMail(s.SMTP, smtp.PlainAuth("", a.User, a.Pass, "127.0.0.1"), "a@b.test", []string{"c@d.test"},
			[]byte("Subject: "+subject+"\r\n\r\nbody\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	send(s, "before-the-backup")
	archive := filepath.Join(p.dir, "eider.tar.zst")
	p.run(t, "", p.dir+"/pg-backup", archive)
	send(s, "after-the-backup")
	s.Stop(t)

	p.stop(t)
	p.run(t, "mail\nYes I am aware\n", "patronictl", "-c", p.conf, "remove", "mail")
	p.run(t, "", "bash", "-o", "pipefail", "-c", fmt.Sprintf(
		"rm -rf %[1]s/data && mkdir -m 700 %[1]s/data && zstd -dc %[2]s | tar -x -C %[1]s/data", p.dir, archive))
	p.start(t)
	if conf := p.settings(t); !strings.Contains(conf, `"synchronous_mode": true`) || !strings.Contains(conf, `"ttl": 20`) {
		t.Errorf("the restored cluster's settings are %s", conf)
	}
	p.run(t, "", "psql", "-h", p.dir, "-p", fmt.Sprint(p.port), "-U", "postgres", "-d", "eider",
		"-c", "set search_path to eider", "-c", "select kv_raise_epoch()")

	back := harness.Start(t, "--store", p.uri)
	list := func() string {
		t.Helper()
		return harness.Run(t, 30*time.Second, "curl", "-sS", "-m", "20", "-u", a.User+":"+a.Pass, "http://"+back.HTTP+"/v1/messages")
	}
	if text := list(); !strings.Contains(text, "before-the-backup") || strings.Contains(text, "after-the-backup") {
		t.Errorf("the restored store has %s", text)
	}
	send(back, "after-the-restore")
	if text := list(); !strings.Contains(text, "after-the-restore") {
		t.Errorf("the restored store takes no mail: %s", text)
	}
	back.Stop(t)
	if out, err := harness.TryRun(2*time.Minute, harness.Binary(t), "fsck", "--data", t.TempDir(), "--store", p.uri); err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
}
