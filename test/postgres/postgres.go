// Package postgres runs a PostgreSQL server of a test's own, from the Debian
// package: on a free loopback port, in a directory of its own, by a user who is
// not root, ended by process id.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eidermail/eider/test/harness"
)

// Limit: how long the server may take to start, or to recover from a kill.
const startWithin = 60 * time.Second

// Bin is the folder of the newest PostgreSQL, or an error that names the package.
func Bin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	sort.Strings(found)
	if len(found) == 0 {
		return "", errors.New("PostgreSQL (Debian's postgresql-15) is not in /usr/lib/postgresql")
	}
	return found[len(found)-1], nil
}

// User is whom servers run as: PostgreSQL refuses root. Nil: as we are.
func User() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
}

// Server is one running server.
type Server struct {
	Port int
	dir  string
	bin  string
	cred *syscall.Credential
	conf []string
	log  bytes.Buffer
	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// password of all users of the server.
const password = "not-a-secret"

// Start makes a cluster and runs a server on it until the test ends. Settings
// are lines of postgresql.conf, like "fsync=off".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Run(settings...)
	if err != nil {
		harness.Missing(t, "%v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Run is Start without a test; Close ends it.
func Run(settings ...string) (*Server, error) {
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	cred, err := User()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "eider-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, cred: cred, conf: settings}
	if err := s.create(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) create() error {
	if s.cred != nil {
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	pw := filepath.Join(s.dir, "pw")
	if err := os.WriteFile(pw, []byte(password), 0o644); err != nil {
		return err
	}
	initdb := s.command("initdb", "-D", filepath.Join(s.dir, "data"), "-U", "postgres", "-A", "scram-sha-256",
		"--pwfile", pw, "--no-sync", "--locale", "C", "-E", "UTF8", "--data-checksums")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	var err error
	if s.Port, err = FreePort(); err != nil {
		return err
	}
	if err := s.Launch(); err != nil {
		return err
	}
	for _, sql := range []string{
		"create role eider login password '" + password + "'",
		"create database eider owner eider",
	} {
		if err := s.Exec(sql); err != nil {
			return err
		}
	}
	return nil
}

// Standby makes a server that follows s, and runs it until the test ends.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	b := &Server{bin: s.bin, cred: s.cred, conf: s.conf}
	t.Cleanup(b.Close)
	if err := s.follow(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *Server) follow(b *Server) (err error) {
	if b.dir, err = os.MkdirTemp("", "eider-postgres-"); err != nil {
		return err
	}
	if b.cred != nil {
		if err := os.Chown(b.dir, int(b.cred.Uid), int(b.cred.Gid)); err != nil {
			return err
		}
	}
	if b.Port, err = FreePort(); err != nil {
		return err
	}
	copying := b.command("pg_basebackup", "-D", filepath.Join(b.dir, "data"), "-R", "--no-sync", "--checkpoint=fast",
		"-d", s.uri("postgres", ""))
	if out, err := copying.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	return b.Launch()
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, program), args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Pdeathsig: syscall.SIGKILL}
	c.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.dir)
	return c
}

// Launch starts the server on its data, for the first time or again.
func (s *Server) Launch() error {
	args := []string{"-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + s.dir, "-c", "max_connections=400"}
	for _, c := range s.conf {
		args = append(args, "-c", c)
	}
	end := time.Now().Add(startWithin)
	for {
		s.mu.Lock()
		s.cmd, s.done = s.command("postgres", args...), make(chan struct{})
		s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
		err := s.cmd.Start()
		cmd, done := s.cmd, s.done
		s.mu.Unlock()
		if err != nil {
			return err
		}
		go func() {
			_ = cmd.Wait() // its end is what counts
			close(done)
		}()
		if s.answers(done, end) {
			return nil
		}
		// What a killed one left may hold its memory for a moment.
		if time.Now().After(end) {
			return fmt.Errorf("postgres does not start within %v:\n%s", startWithin, s.log.String())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// answers waits until the server lets somebody in, and tells whether it did.
func (s *Server) answers(done chan struct{}, end time.Time) bool {
	for time.Now().Before(end) {
		if s.Exec("select 1") == nil {
			return true
		}
		select {
		case <-done:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return false
}

// URI names the database as its owner sees it, who is no superuser.
func (s *Server) URI() string { return s.uri("eider", "eider") }

// URIAt is URI with another port, that of a proxy.
func (s *Server) URIAt(port int) string {
	return strings.Replace(s.URI(), ":"+strconv.Itoa(s.Port), ":"+strconv.Itoa(port), 1)
}

func (s *Server) uri(user, db string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", user, password, s.Port, db)
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(sql string) error { return s.ExecIn("postgres", sql) }

// ExecIn is Exec in a database.
func (s *Server) ExecIn(database, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.uri("postgres", database))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, sql)
	return err
}

// Reconfigure changes a setting of the running server, "name=value", and waits
// until it holds.
func (s *Server) Reconfigure(setting string) error {
	name, value, _ := strings.Cut(setting, "=")
	if err := s.Exec("alter system set " + name + " = '" + value + "'"); err != nil {
		return err
	}
	if err := s.Exec("select pg_reload_conf()"); err != nil {
		return err
	}
	for end := time.Now().Add(startWithin); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		// Each is a new session, which has the settings of the postmaster.
		if s.Exec("select 1 / (current_setting('"+name+"') = '"+value+"')::int") == nil {
			return nil
		}
	}
	return fmt.Errorf("%s does not take effect", setting)
}

// processes are the server and all its children.
func (s *Server) processes() []int {
	out := []int{s.cmd.Process.Pid}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(out[0]) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// Signal sends a signal to the server and all its children.
func (s *Server) Signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, sig) // it may have ended by itself
	}
}

// Kill ends the server and its children with SIGKILL.
func (s *Server) Kill() {
	s.Signal(syscall.SIGKILL)
	<-s.done
}

// Backup copies the whole running server with pg_basebackup, as the recipe in
// docs/cluster.md does, and returns a server that was started on the copy.
func (s *Server) Backup(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "eider-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Server{dir: dir, bin: s.bin, cred: s.cred, conf: s.conf}
	t.Cleanup(c.Close)
	if s.cred != nil {
		if err := os.Chown(dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	copied := c.command("bash", "-c", fmt.Sprintf("mkdir -m 700 %s && %s/pg_basebackup -h 127.0.0.1 -p %d -U postgres "+
		"-c fast -D - -Ft -X fetch | tar -x -C %s", data, s.bin, s.Port, data))
	copied.Path = "/bin/bash"
	copied.Env = append(copied.Env, "PGPASSWORD="+password)
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	if c.Port, err = FreePort(); err != nil {
		t.Fatal(err)
	}
	if err := c.Launch(); err != nil {
		t.Fatal(err)
	}
	return c
}

// Demote makes a standby of the server, which follows nobody and takes no writes.
func (s *Server) Demote() error {
	s.Kill()
	signal := filepath.Join(s.dir, "data", "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return err
	}
	if s.cred != nil {
		if err := os.Chown(signal, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	return s.Launch()
}

// Promote makes a primary of it again.
func (s *Server) Promote() error { return s.Exec("select pg_promote(true, 60)") }

// Close ends the server and removes its data.
func (s *Server) Close() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.Signal(syscall.SIGCONT)
		s.Kill()
	}
	_ = os.RemoveAll(s.dir) // a temporary directory
}

// FreePort is a loopback port that nothing listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
