package mongo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestCommands: with a script in mongod's place, members start with the command
// line that MongoDB's documentation asks for, are killed, and start again on
// the same port and folder. It proves nothing of a mongod.
func TestCommands(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" != --dbpath ] || dir=$2; all=\"$all $1\"; shift; done\n" +
		"echo \"$all\" >> \"$dir/calls\"\nexec sleep 600\n"
	if err := os.WriteFile(filepath.Join(bin, "mongod"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	if !Found() {
		t.Fatal("the mongod in PATH is not found")
	}
	s := Launch(t)
	calls := func(i, n int) []string {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			b, _ := os.ReadFile(filepath.Join(s.members[i].dir, "calls")) // it comes
			if lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n"); len(b) > 0 && len(lines) == n {
				return lines
			}
			if time.Now().After(end) {
				t.Fatalf("member %d: %s", i, b)
			}
		}
	}
	for i, m := range s.members {
		words := strings.Fields(calls(i, 1)[0])
		for _, pair := range [][2]string{{"--replSet", "eider"}, {"--dbpath", m.dir}, {"--bind_ip", "127.0.0.1"},
			{"--setParameter", "transactionLifetimeLimitSeconds=5"}} {
			if n := slices.Index(words, pair[0]); n < 0 || n+1 >= len(words) || words[n+1] != pair[1] {
				t.Errorf("member %d: no %s %s in %q", i, pair[0], pair[1], words)
			}
		}
	}
	s.Kill(1)
	s.Restart(t, 1)
	if c := calls(1, 2); c[0] != c[1] {
		t.Errorf("after a restart: %q", c)
	}
	if i := s.Primary(t.Context()); i != -1 {
		t.Errorf("a script is the primary: %d", i)
	}
	b, err := bson.MarshalExtJSON(s.config(), false, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"_id":"eider"`, `"electionTimeoutMillis":3000`, `{"_id":2,"host":"127.0.0.1:`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}
