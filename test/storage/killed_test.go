package storage_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/harness"
)

const (
	uploaders       = 8
	heardBeforeKill = 2 * uploaders
	fileParts       = 5
	filePart        = 4 << 20 // 20 MB in each message
)

// upload is a message of a sender, with large files; the first is that of all.
func upload(sender int) []byte {
	files := [][]byte{noise(1, filePart)}
	for i := range fileParts - 1 {
		own := noise(uint64(100*sender+i+2), filePart)
		clear(own[:len(unmarked)/4*3])
		files = append(files, own)
	}
	return mail(fmt.Sprintf("files of %d", sender), files...)
}

// unmarked begins each file of a sender's own, in base64.
const unmarked = "AAAAAAAA"

// marked is an upload with other files of the sender's own, so that none of
// them is there before.
func marked(text []byte, n uint32) []byte {
	mark := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32([]byte("no"), n))
	return bytes.ReplaceAll(text, []byte("\r\n\r\n"+unmarked), []byte("\r\n\r\n"+mark))
}

// uploads are what senders know of their messages, of which no two are alike.
type uploads struct {
	texts [uploaders][]byte
	sent  atomic.Uint32
	mu    sync.Mutex
	acked map[[32]byte]int // 1 or, for what was tried, 0
	heard chan struct{}    // one for each that is acknowledged
}

func (u *uploads) send(s *harness.Server, a harness.Account, text []byte) {
	for err := error(nil); err == nil; {
		text := marked(text, u.sent.Add(1))
		sum := sha256.Sum256(append([]byte(prepended), text...))
		u.mu.Lock()
		u.acked[sum] = 0
		u.mu.Unlock()
		if err = trySubmit(s, a, text); err == nil {
			u.mu.Lock()
			u.acked[sum] = 1
			u.mu.Unlock()
			u.heard <- struct{}{}
		}
	}
}

// storm kills the server while all send, and tells what is left of what was not
// acknowledged: at each start the janitor looks at everything, and condemns it.
func (u *uploads) storm(t *testing.T, s *harness.Server, accounts []harness.Account) (left int64) {
	t.Helper()
	var all sync.WaitGroup
	for n, text := range u.texts {
		all.Go(func() { u.send(s, accounts[n%len(accounts)], text) })
	}
	late := time.After(2 * time.Minute)
	for n := range heardBeforeKill {
		select {
		case <-u.heard:
		case <-late:
			t.Fatalf("%d messages are acknowledged: the senders are refused", n)
		}
	}
	s.Kill(t)
	all.Wait()
	for len(u.heard) > 0 {
		<-u.heard
	}
	s.Restart(t)
	for end := time.Now().Add(5 * time.Second); left == 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		left = status(t, s).GarbageParts
	}
	time.Sleep(2 * time.Second) // until that is committed, too
	return left
}

// TestKilledUploads: a server that is killed while many send large files has all
// that it acknowledged and nothing that nobody sent, and is clean; what is left
// of the others is collected.
func TestKilledUploads(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "--account-quota=4GB") // or the oldest make room, and are missed
	accounts := []harness.Account{s.NewAccount(t), s.NewAccount(t)}
	u := &uploads{acked: map[[32]byte]int{}, heard: make(chan struct{}, 1000)}
	for n := range u.texts {
		u.texts[n] = upload(n)
	}
	left := u.storm(t, s, accounts)
	for range 4 { // all may have been between two messages
		if left == 0 {
			left = u.storm(t, s, accounts)
		}
	}
	if left == 0 {
		t.Error("no kill left anything: the test tests nothing")
	}
	s.Fsck(t)
	there := map[[32]byte]int{}
	for _, a := range accounts {
		look(t, s, a, there)
	}
	for sum, n := range u.acked {
		if there[sum] < n {
			t.Errorf("%d of a message are there, and %d were acknowledged", there[sum], n)
		}
	}
	for sum := range there {
		if _, ok := u.acked[sum]; !ok {
			t.Error("a message is there that nobody sent")
		}
	}
	t.Logf("%d tried, %d there, and of the others %d parts", len(u.acked), len(there), left)
	s.Stop(t)
	s.Fsck(t)
	s.Restart(t) // what an earlier process condemned needs no grace
	now := await(t, s, time.Minute, "it is collected", func(u usage) bool { return u.GarbageParts == 0 })
	if want := int64(1 + len(there)*(fileParts-1)); now.Parts != want {
		t.Errorf("%d parts are stored, %d are needed", now.Parts, want)
	}
	for _, a := range accounts {
		look(t, s, a, there) // a second time, so that each counts twice
	}
	for sum, n := range there {
		if n%2 != 0 {
			t.Errorf("a message is gone, or changed: %x", sum)
		}
	}
	s.Fsck(t)
}

// look counts the messages of an account by their bytes.
func look(t *testing.T, s *harness.Server, a harness.Account, there map[[32]byte]int) {
	t.Helper()
	c, err := imapclient.DialInsecure(s.IMAP, nil)
	must(t, err)
	defer c.Close()
	must(t, c.Login(a.User, a.Pass).Wait())
	box, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	section := &imap.FetchItemBodySection{Peek: true}
	o := &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}
	for seq := range box.NumMessages {
		list, err := c.Fetch(imap.SeqSetNum(seq+1), o).Collect()
		must(t, err)
		there[sha256.Sum256(list[0].FindBodySection(section))]++
	}
}
