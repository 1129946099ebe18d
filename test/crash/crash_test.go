// Package crash_test kills the server under load and looks for what it had
// acknowledged: every message that got its 250 must be there, none twice.
package crash_test

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/harness"
)

const (
	senders     = 20
	accounts    = 4
	shortRounds = 20
	soakRounds  = 200
)

// ledger knows what was tried and what was acknowledged.
type ledger struct {
	mu    sync.Mutex
	acked [accounts]map[string]bool
	tried [accounts]map[string]bool
}

func (l *ledger) note(acct int, id string, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried[acct][id] = true
	if acked {
		l.acked[acct][id] = true
	}
}

func (l *ledger) count() (tried, acked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range accounts {
		tried += len(l.tried[i])
		acked += len(l.acked[i])
	}
	return tried, acked
}

// TestKill kills the process with SIGKILL while 20 connections send, again
// and again on the same data.
func TestKill(t *testing.T) {
	rounds := shortRounds
	if os.Getenv("EIDER_SOAK") != "" {
		rounds = soakRounds
	}
	s := harness.Start(t, "--account-quota", "100GB", "--account-messages", "10000000")
	l := &ledger{}
	var boxes [accounts]harness.Account
	var seen [accounts]map[string]imap.UID
	for i := range accounts {
		boxes[i] = s.NewAccount(t)
		l.acked[i], l.tried[i], seen[i] = map[string]bool{}, map[string]bool{}, map[string]imap.UID{}
	}
	for round := range rounds {
		storm(t, s, boxes, l, round)
		s.Restart(t)
		for i := range accounts {
			look(t, s, boxes[i], l, i, seen[i])
		}
		if t.Failed() {
			t.Fatalf("round %d of %d", round+1, rounds)
		}
	}
	tried, acked := l.count()
	t.Logf("%d rounds, %d messages tried, %d acknowledged, 0 lost, 0 twice", rounds, tried, acked)
	if acked < rounds*senders {
		t.Errorf("only %d acknowledged in %d rounds: the load was none", acked, rounds)
	}
	for i := range accounts {
		clear(seen[i])
		look(t, s, boxes[i], l, i, seen[i]) // all of it once more, from the first UID
	}
	s.Fsck(t) // through the running server
	s.Stop(t)
	s.Fsck(t) // and on the directory
}

// storm sends from all connections, kills the server in the middle, and waits
// until every sender has noticed.
func storm(t *testing.T, s *harness.Server, boxes [accounts]harness.Account, l *ledger, round int) {
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			acct := n % accounts
			send(s.SMTP, boxes[acct], func(id string, acked bool) { l.note(acct, id, acked) },
				fmt.Sprintf("r%d.s%d", round, n))
		})
	}
	time.Sleep(time.Duration(200+rand.IntN(500)) * time.Millisecond) // the moment of the kill is random
	s.Kill(t)
	wg.Wait()
}

// send submits messages over one connection until it breaks.
func send(addr string, a harness.Account, note func(id string, acked bool), name string) {
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	c := textproto.NewConn(nc)
	say := func(code int, format string, args ...any) error {
		if err := c.PrintfLine(format, args...); err != nil {
			return err
		}
		_, _, err := c.ReadResponse(code)
		return err
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + a.User + "\x00" + a.Pass))
	_, _, err = c.ReadResponse(220)
	err = errors.Join(err, say(250, "EHLO crash.test"))
	err = errors.Join(err, say(235, "AUTH PLAIN %s", plain))
	for i := 0; err == nil && i < 10_000; i++ {
		id := fmt.Sprintf("%s.%d", name, i)
		err = errors.Join(say(250, "MAIL FROM:<a@crash.test>"), say(250, "RCPT TO:<b@crash.test>"), say(354, "DATA"))
		if err != nil {
			return
		}
		note(id, false)
		w := bufio.NewWriterSize(nc, 64<<10)
		_, _ = fmt.Fprintf(w, "Message-ID: <%s@crash.test>\r\nSubject: %s\r\n\r\n", id, id)
		for range sizes[rand.IntN(len(sizes))] / 80 {
			_, _ = w.WriteString(line)
		}
		_, _ = w.WriteString(".\r\n")
		if err = w.Flush(); err != nil {
			return
		}
		if _, _, err = c.ReadResponse(250); err == nil {
			note(id, true)
		}
	}
}

// Small mail mostly, some that spills to a file, some that is stored in chunks.
var sizes = []int{800, 800, 800, 4000, 4000, 30_000, 30_000, 400_000}

var line = strings.Repeat("z", 78) + "\r\n"

// look reads the message ids of all new messages by IMAP and compares.
func look(t *testing.T, s *harness.Server, a harness.Account, l *ledger, acct int, seen map[string]imap.UID) {
	t.Helper()
	c, err := imapclient.DialInsecure(s.IMAP, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(a.User, a.Pass).Wait(); err != nil {
		t.Fatal(err)
	}
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	var from imap.UID = 1
	for _, uid := range seen {
		from = max(from, uid+1)
	}
	if from < box.UIDNext {
		fetch(t, c, from, seen)
	}
	if len(seen) != int(box.NumMessages) {
		t.Errorf("account %d: %d different messages, mailbox says %d: some are there twice or gone",
			acct, len(seen), box.NumMessages)
	}
	for id := range l.acked[acct] {
		if _, ok := seen[id]; !ok {
			t.Errorf("account %d: LOST %s, which was acknowledged", acct, id)
		}
	}
	for id := range seen {
		if !l.tried[acct][id] {
			t.Errorf("account %d: %s was never sent", acct, id)
		}
	}
}

func fetch(t *testing.T, c *imapclient.Client, from imap.UID, seen map[string]imap.UID) {
	t.Helper()
	set := imap.UIDSet{imap.UIDRange{Start: from, Stop: 0}}
	msgs, err := c.Fetch(set, &imap.FetchOptions{UID: true, Envelope: true}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		if m.UID < from { // n:* names the last message even below n
			continue
		}
		id := strings.TrimSuffix(m.Envelope.MessageID, "@crash.test")
		if old, ok := seen[id]; ok && old != m.UID {
			t.Errorf("TWICE: %s has UIDs %d and %d", id, old, m.UID)
		}
		seen[id] = m.UID
	}
}
