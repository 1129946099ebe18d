// Package mongo starts a MongoDB replica set of three members for tests, each
// on a port and in a folder of its own, where a mongod is found in PATH, and
// kills, freezes and restarts them.
//
// It was written against MongoDB's documentation and has never met a mongod:
// there is no package of one where it was written. Its own test runs it with a
// script in mongod's place.
package mongo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/eidermail/eider/test/harness"
)

// Limit: time for the set to have a primary.
const primaryWithin = 60 * time.Second

// Limit: time for one question to a server.
const askWithin = 3 * time.Second

// name of the replica set.
const name = "eider"

// Set is a running replica set.
type Set struct {
	members []*member
}

type member struct {
	port int
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
	log  bytes.Buffer
}

// Found tells whether there is a mongod in PATH.
func Found() bool {
	_, err := exec.LookPath("mongod")
	return err == nil
}

// Start starts a set, initiates it, and ends it with the test.
func Start(t testing.TB) *Set {
	t.Helper()
	s := Launch(t)
	if err := s.initiate(t.Context()); err != nil {
		t.Fatalf("replSetInitiate: %v\n%s", err, s.members[0].log.String())
	}
	s.AwaitPrimary(t)
	return s
}

// Launch starts three servers that are no set yet.
func Launch(t testing.TB) *Set {
	t.Helper()
	harness.Need(t, "mongod")
	s := &Set{}
	for _, port := range harness.FreePorts(t, 3) {
		m := &member{port: port, dir: t.TempDir()}
		s.members = append(s.members, m)
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, m := range s.members {
			m.signal(syscall.SIGCONT)
			m.kill()
		}
	})
	return s
}

// args is the command line of a member: small caches, and orphaned transactions
// that end soon, as the recipe has it.
func (m *member) args() []string {
	return []string{"--replSet", name, "--port", strconv.Itoa(m.port), "--dbpath", m.dir, "--bind_ip", "127.0.0.1",
		"--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256",
		"--setParameter", "transactionLifetimeLimitSeconds=5"}
}

func (m *member) start() error {
	m.cmd, m.done = exec.Command("mongod", m.args()...), make(chan struct{})
	m.cmd.Stdout, m.cmd.Stderr = &m.log, &m.log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return err
	}
	go func(c *exec.Cmd, done chan struct{}) {
		_ = c.Wait() // its end is what counts
		close(done)
	}(m.cmd, m.done)
	return nil
}

// signal sends a signal; the process may have ended by itself.
func (m *member) signal(s syscall.Signal) { _ = m.cmd.Process.Signal(s) }

func (m *member) kill() {
	m.signal(syscall.SIGKILL)
	<-m.done
}

// config is the document of replSetInitiate (MongoDB Manual, "Replica Set
// Configuration"): elections after three seconds instead of ten.
func (s *Set) config() bson.D {
	members := bson.A{}
	for i, m := range s.members {
		host := fmt.Sprintf("127.0.0.1:%d", m.port)
		members = append(members, bson.D{{Key: "_id", Value: i}, {Key: "host", Value: host}})
	}
	return bson.D{{Key: "_id", Value: name}, {Key: "members", Value: members},
		{Key: "settings", Value: bson.D{{Key: "electionTimeoutMillis", Value: 3000},
			{Key: "heartbeatIntervalMillis", Value: 1000}, {Key: "catchUpTimeoutMillis", Value: 2000}}}}
}

// ask runs a command on one member.
func (m *member) ask(ctx context.Context, cmd bson.D, out any) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	uri := fmt.Sprintf("mongodb://127.0.0.1:%d/?directConnection=true", m.port)
	c, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer func() { _ = c.Disconnect(context.WithoutCancel(ctx)) }() // a client for one question
	return c.Database("admin").RunCommand(ctx, cmd).Decode(out)
}

func (s *Set) initiate(ctx context.Context) error {
	var err error
	for end := time.Now().Add(primaryWithin); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		var out bson.M
		err = s.members[0].ask(ctx, bson.D{{Key: "replSetInitiate", Value: s.config()}}, &out)
		if err == nil {
			return nil
		}
		var e mongo.CommandError
		if errors.As(err, &e) && e.Code == 23 { // AlreadyInitialized
			return nil
		}
	}
	return err
}

// Primary is the place of the member that takes writes, or -1.
func (s *Set) Primary(ctx context.Context) int {
	for i, m := range s.members {
		var hello struct {
			Primary bool `bson:"isWritablePrimary"`
		}
		select {
		case <-m.done:
			continue
		default:
		}
		if m.ask(ctx, bson.D{{Key: "hello", Value: 1}}, &hello) == nil && hello.Primary {
			return i
		}
	}
	return -1
}

// AwaitPrimary waits until there is one, and returns its place.
func (s *Set) AwaitPrimary(t testing.TB) int {
	t.Helper()
	for end := time.Now().Add(primaryWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if i := s.Primary(t.Context()); i >= 0 {
			return i
		}
	}
	t.Fatalf("the set has no primary within %v", primaryWithin)
	return -1
}

// Kill ends a member like kill -9.
func (s *Set) Kill(i int) { s.members[i].kill() }

// Restart starts a member that was killed on its data.
func (s *Set) Restart(t testing.TB, i int) {
	t.Helper()
	_ = os.Remove(filepath.Join(s.members[i].dir, "mongod.lock")) // one that was killed leaves it
	if err := s.members[i].start(); err != nil {
		t.Fatal(err)
	}
}

// Freeze stops a member in the middle of what it does, Thaw lets it go on.
func (s *Set) Freeze(i int) { s.members[i].signal(syscall.SIGSTOP) }

// Thaw lets a frozen member go on.
func (s *Set) Thaw(i int) { s.members[i].signal(syscall.SIGCONT) }

// URI names all members and a database.
func (s *Set) URI(database string) string {
	var hosts []string
	for _, m := range s.members {
		hosts = append(hosts, fmt.Sprintf("127.0.0.1:%d", m.port))
	}
	return fmt.Sprintf("mongodb://%s/%s?replicaSet=%s", strings.Join(hosts, ","), database, name)
}
