package imapd_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// view is what one client believes about the mailbox, from what it was told.
type view struct {
	uids  []uint32          // 0: not known yet
	flags map[uint32]string // by UID, where told with the UID
}

var (
	untagged = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE|FETCH)(.*)`)
	uidItem  = regexp.MustCompile(`\bUID (\d+)`)
	flagItem = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
)

// take takes a response in, and complains if it cannot be true.
func (v *view) take(cmd, line string) error {
	m := untagged.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	n, _ := strconv.Atoi(m[1])
	if m[2] != "EXISTS" && (n < 1 || n > len(v.uids)) {
		return fmt.Errorf("%s: %s, but there are %d", cmd, line, len(v.uids))
	}
	switch m[2] {
	case "EXISTS":
		if n < len(v.uids) {
			return fmt.Errorf("%s: %s, but there are %d", cmd, line, len(v.uids))
		}
		v.uids = append(v.uids, make([]uint32, n-len(v.uids))...)
	case "EXPUNGE":
		word, _, _ := strings.Cut(cmd, " ")
		if word == "FETCH" || word == "STORE" || word == "SEARCH" {
			return fmt.Errorf("%s: %s", cmd, line)
		}
		v.uids = slices.Delete(v.uids, n-1, n)
	case "FETCH":
		u := uidItem.FindStringSubmatch(m[3])
		if u == nil {
			return nil
		}
		uid64, _ := strconv.ParseUint(u[1], 10, 32)
		uid := uint32(uid64)
		if old := v.uids[n-1]; old != 0 && old != uid {
			return fmt.Errorf("%s: number %d was UID %d and is now %d", cmd, n, old, uid)
		}
		v.uids[n-1] = uid
		if strings.Contains(m[3], "BODY[") {
			delete(v.flags, uid) // its flags may stand behind the literal, on a line that is not looked at
		}
		if f := flagItem.FindStringSubmatch(m[3]); f != nil {
			fs := strings.Fields(strings.ReplaceAll(f[1], `\Recent`, ""))
			slices.Sort(fs)
			v.flags[uid] = strings.Join(fs, " ")
		}
	}
	return nil
}

// TestSessionsAgree: clients that do everything at random to one mailbox never
// see a number that lies, and in the end all see the same as a new one does.
func TestSessionsAgree(t *testing.T) {
	t.Parallel()
	sessionsAgree(t, 1)
}

// TestServersAgree: the same with three servers over one store that do not
// hear of each other.
func TestServersAgree(t *testing.T) {
	t.Parallel()
	sessionsAgree(t, 3)
}

func sessionsAgree(t *testing.T, servers int) {
	const clients, steps = 6, 150
	w := newWorld(t, options{})
	nodes := []*world{w}
	for len(nodes) < servers {
		nodes = append(nodes, w.node())
	}
	views := make([]*view, clients)
	conns := make([]*client, clients)
	for i := range conns {
		conns[i] = nodes[i%servers].login()
		views[i] = &view{flags: map[uint32]string{}}
		if i == 0 {
			conns[i].ok("CREATE other")
		}
		if i%2 == 1 {
			conns[i].ok("ENABLE CONDSTORE")
		}
		run(t, conns[i], views[i], "SELECT INBOX")
	}
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range steps {
				if !run(t, c, views[i], randomCommand(r, len(views[i].uids))) {
					return
				}
			}
		})
	}
	wg.Wait()
	fresh := w.login()
	want := &view{flags: map[uint32]string{}}
	run(t, fresh, want, "SELECT INBOX")
	run(t, fresh, want, "FETCH 1:* (UID FLAGS)")
	for i, c := range conns {
		run(t, c, views[i], "NOOP")
		told := views[i].flags
		views[i].flags = map[uint32]string{}
		run(t, c, views[i], "FETCH 1:* (UID FLAGS)")
		if !slices.Equal(views[i].uids, want.uids) {
			t.Errorf("client %d sees %v\na new one %v", i, views[i].uids, want.uids)
		}
		for _, uid := range want.uids {
			if views[i].flags[uid] != want.flags[uid] {
				t.Errorf("client %d: UID %d has %q, for a new one %q", i, uid, views[i].flags[uid], want.flags[uid])
			}
			if f, ok := told[uid]; ok && i%2 == 1 && f != want.flags[uid] {
				t.Errorf("client %d was told %q of UID %d, which has %q", i, f, uid, want.flags[uid])
			}
		}
	}
}

// run runs a command and takes in what it tells.
func run(t *testing.T, c *client, v *view, cmd string) bool {
	for _, l := range c.run(cmd) {
		if err := v.take(cmd, l); err != nil {
			t.Error(err)
			return false
		}
		if strings.HasPrefix(l, "BAD") && !strings.Contains(l, "no message with that number") || strings.HasPrefix(l, "* BYE") {
			t.Errorf("%s: %s", cmd, l)
			return false
		}
	}
	return true
}

func randomCommand(r *rand.Rand, n int) string {
	flag := []string{`\Seen`, `\Flagged`, `\Deleted`, `\Deleted`, `\Draft`, "$a", "$b"}[r.IntN(7)]
	op := []string{"+FLAGS", "-FLAGS", "FLAGS"}[r.IntN(3)]
	set := "*"
	if n > 0 {
		a, b := 1+r.IntN(n), 1+r.IntN(n)
		set = fmt.Sprintf("%d:%d", a, min(b, a+3))
	}
	switch r.IntN(14) {
	case 0, 1, 2:
		return "APPEND INBOX {17+}\r\nSubject: a\r\n\r\nb\r\n"
	case 3:
		return fmt.Sprintf("STORE %s %s (%s)", set, op, flag)
	case 4:
		return fmt.Sprintf("UID STORE %d:* %s (%s)", 1+r.IntN(200), op, flag)
	case 5:
		return "EXPUNGE"
	case 6:
		return "UID EXPUNGE 1:*"
	case 7:
		return "COPY " + set + " INBOX"
	case 8:
		return "MOVE " + set + " other"
	case 9:
		return "FETCH " + set + " (UID FLAGS)"
	case 10:
		return "UID FETCH 1:* (UID FLAGS)"
	case 11:
		return "SEARCH UNSEEN"
	case 12:
		return "FETCH " + set + " (UID BODY[])"
	}
	return "NOOP"
}
