package deploy_test

import (
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

// TestBackup_PostgreSQL: a pg_basebackup taken while mail comes in, put back as
// docs/cluster.md says, has every mail that was acknowledged before it, and is
// a sound store that takes mail.
func TestBackup_PostgreSQL(t *testing.T) {
	t.Parallel()
	harness.Need(t, "curl")
	db := postgres.Start(t, "fsync=off")
	s := harness.Start(t, "--store", db.URI())
	a := s.NewAccount(t)
	send := func(s *harness.Server, subject string) error {
		return smtp.SendMail(s.SMTP, smtp.PlainAuth("", a.User, a.Pass, "127.0.0.1"), "a@b.test", []string{"c@d.test"},
			[]byte("Subject: "+subject+"\r\n\r\nbody\r\n"))
	}
	list := func(s *harness.Server) string {
		t.Helper()
		return harness.Run(t, 30*time.Second, "curl", "-sS", "-m", "20", "-u", a.User+":"+a.Pass, "http://"+s.HTTP+"/v1/messages?limit=100")
	}
	for i := range 10 {
		if err := send(s, fmt.Sprintf("before-%d-", i)); err != nil {
			t.Fatal(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { // mail goes on while the copy is made
		var err error
		for err == nil {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
				err = send(s, "meanwhile")
				time.Sleep(500 * time.Millisecond) // the list below shows 100
			}
		}
		stopped <- err
	}()
	copied := db.Backup(t)
	close(stop)
	if err := <-stopped; err != nil {
		t.Errorf("mail during the backup: %v", err)
	}
	s.Stop(t)
	if err := copied.ExecIn("eider", "set search_path to eider; select kv_raise_epoch()"); err != nil {
		t.Fatalf("the epoch of the recipe: %v", err)
	}
	back := harness.Start(t, "--store", copied.URI())
	text := list(back)
	for i := range 10 {
		if !strings.Contains(text, fmt.Sprintf("before-%d-", i)) {
			t.Errorf("message %d is not in the backup", i)
		}
	}
	if err := send(back, "after"); err != nil || !strings.Contains(list(back), "after") {
		t.Errorf("the restored store takes no mail: %v", err)
	}
	back.Stop(t)
	out, err := harness.TryRun(2*time.Minute, harness.Binary(t), "fsck", "--data", t.TempDir(), "--store", copied.URI())
	if err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
}

// pgBackup is the generated pg-backup of machine 1 before a real PostgreSQL, with
// an ssh that stalls before it takes anything, as a line or a disk may.
type pgBackup struct {
	script, remote, texts string
	env                   []string
}

const ssh = `#!/bin/sh
case "$*" in *" backup@elsewhere "*) ;; *) echo "ssh: $*" >&2; exit 255 ;; esac
for command; do :; done
case $command in *cat*) sleep 5 ;; esac
cd "$REMOTE" && exec sh -c "$command"
`

func newPGBackup(t *testing.T) *pgBackup {
	t.Helper()
	harness.Need(t, "bash", "pg_basebackup", "zstd", "promtool")
	n1, dir := generate(t)+"/n1", t.TempDir()
	conf := read(t, n1+"/etc/patroni/config.yml")
	cutOff := regexp.MustCompile(`tcp_user_timeout: (\d+)`).FindStringSubmatch(conf)
	db := postgres.Start(t, "fsync=off", "tcp_user_timeout="+cutOff[1])
	pass := strings.Replace(read(t, n1+"/etc/eider/pgpass"), "10.77.0.1:5432", fmt.Sprint("127.0.0.1:", db.Port), 1)
	word := strings.Split(strings.TrimSpace(pass), ":")[4]
	if !strings.Contains(conf, "{username: repl, password: "+word+"}") {
		t.Fatal("pgpass has another password than Patroni gives to repl")
	}
	if err := db.Exec("create role repl replication login password '" + word + "'"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/ssh", []byte(ssh), 0o700); err != nil {
		t.Fatal(err)
	}
	p := &pgBackup{script: n1 + "/usr/local/lib/eider/pg-backup", remote: t.TempDir(), texts: t.TempDir()}
	p.env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "PGHOST=127.0.0.1", fmt.Sprint("PGPORT=", db.Port),
		"REMOTE="+p.remote, "TEXTFILES="+p.texts, "PGPASSFILE="+write(t, dir+"/pgpass", pass))
	return p
}

func (p *pgBackup) run(target string, env ...string) (string, error) {
	c := exec.Command(p.script, target)
	c.Env = append(p.env, env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// whole: the archive is all that a folder holds, is whole and for its owner only.
func (p *pgBackup) whole(t *testing.T, dir, name string) {
	t.Helper()
	if files, _ := filepath.Glob(dir + "/*"); len(files) != 1 || stat(t, dir+"/"+name) != 0o600 {
		t.Fatalf("there is %v", files)
	}
	list := harness.Run(t, time.Minute, "bash", "-o", "pipefail", "-c", "zstd -dc "+dir+"/"+name+" | tar -t")
	for _, want := range []string{"backup_label", "global/pg_control", "pg_wal/[0-9A-F]{24}", "backup_manifest"} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(list) {
			t.Errorf("no %s in\n%s", want, list)
		}
	}
}

// TestPGBackup: the generated script writes a whole archive, here and by way of an
// ssh that takes nothing for longer than Patroni's file lets a client of the
// database be silent, and says when; where it fails it leaves nothing and says nothing.
func TestPGBackup(t *testing.T) {
	t.Parallel()
	p, here := newPGBackup(t), t.TempDir()
	wrong := write(t, t.TempDir()+"/pgpass", "*:*:*:repl:wrong-pass\n")
	for _, target := range []string{here + "/eider.tar.zst", "backup@elsewhere:eider.tar.zst"} {
		if out, err := p.run(target, "PGPASSFILE="+wrong); err == nil || strings.Contains(out, "wrong-pass") {
			t.Errorf("%s with a wrong password: %v\n%s", target, err, out)
		}
	}
	for _, dir := range []string{here, p.remote, p.texts} {
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Errorf("what failed leaves %v", left)
		}
	}
	began := time.Now()
	for _, target := range []string{here + "/eider.tar.zst", "backup@elsewhere:eider.tar.zst"} {
		if out, err := p.run(target); err != nil || out != "" {
			t.Fatalf("%s: %v\n%s", target, err, out)
		}
	}
	p.whole(t, here, "eider.tar.zst")
	p.whole(t, p.remote, "eider.tar.zst")
	text := read(t, p.texts+"/eider-backup.prom")
	said := regexp.MustCompile(`(?m)^eider_backup_time (\d+)$`).FindStringSubmatch(text)
	if said == nil || said[1] < fmt.Sprint(began.Unix()) || stat(t, p.texts+"/eider-backup.prom") != 0o644 {
		t.Errorf("it says %s", text)
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, target := range []string{"", "backup@elsewhere:"} {
		if out, err := p.run(target); err == nil || !strings.Contains(out, "pg-backup FILE") {
			t.Errorf("%q: %v\n%s", target, err, out)
		}
	}
}
