package server

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/diag"
	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// TestPortErrorNamesTheLikelyTool is about ports that tests cannot take.
func TestPortErrorNamesTheLikelyTool(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, addr string
		err        error
		want       []string
	}{
		{"smtp", "localhost:1025", netx.ErrTaken, []string{"Mailpit", "MailHog", "--smtp", "EIDER_SMTP", "off"}},
		{"http", "localhost:8025", netx.ErrTaken, []string{"Mailpit", "--http"}},
		{"imaps", ":993", netx.ErrTaken, []string{"Dovecot", "--imaps"}},
		{"mx", ":25", netx.ErrNotPermitted, []string{"CAP_NET_BIND_SERVICE", "--mx"}},
		{"pop3", "192.0.2.1:110", netx.ErrNotLocal, []string{"--pop3", "does not have the address"}},
		{"admin", "localhost:8026", netx.ErrTaken, []string{"another Eider", "--admin"}},
	} {
		text := portError(config.Listener{Name: c.name, Addr: config.Listen(c.addr)},
			&netx.ListenError{Addr: c.addr, Err: c.err}).Error()
		for _, w := range append(c.want, c.addr) {
			if !strings.Contains(text, w) {
				t.Errorf("%q does not name %q", text, w)
			}
		}
	}
}

// TestEveryCauseHasWords: what a protocol notices, a person can be told.
func TestEveryCauseHasWords(t *testing.T) {
	causes := regexp.MustCompile(`(?m)^\s+\w+\s+(?:Cause|TLSFault)\s+= "([a-z-]+)"`)
	seen := 0
	for _, file := range []string{"smtp/record.go", "pop3/server.go", "netx/tlsfault.go"} {
		src, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range causes.FindAllSubmatch(src, -1) {
			if seen++; !diag.Known(diag.Cause(m[1])) {
				t.Errorf("%s: no words for %q", file, m[1])
			}
		}
	}
	if seen < 28 {
		t.Errorf("found %d causes only", seen)
	}
}

// TestOfOne: the same account may come again, another may not, though the head
// of an archive that went on after a cut does not tell of it.
func TestOfOne(t *testing.T) {
	t.Parallel()
	one, other := &archive.Account{Address: "a@x.test"}, &archive.Account{Address: "b@x.test"}
	list := []archive.Item{{Head: &archive.Head{Accounts: 1}}, {Account: one}, {Account: one}, {Account: other}, {}}
	var got []error
	for _, err := range ofOne(func(yield func(archive.Item, error) bool) {
		for _, it := range list {
			if !yield(it, nil) {
				return
			}
		}
	}) {
		got = append(got, err)
	}
	if len(got) != 4 || got[2] != nil || !errors.Is(got[3], errSeveral) {
		t.Errorf("%v", got)
	}
}
