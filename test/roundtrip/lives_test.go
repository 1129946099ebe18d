package roundtrip_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/harness"
)

// lives takes mail through all that can happen to it in a store, and fetches it
// by each protocol every time: as it came, after others were deleted and
// collected, packed again, out of an export, and out of a backup.
func lives(t *testing.T, s *harness.Server, a harness.Account, sent []letter) {
	t.Helper()
	every := func(when string, s *harness.Server, a harness.Account, mail []letter) {
		t.Helper()
		start := time.Now()
		byIMAP(t, s, a, mail)
		byPOP3(t, s, a, mail)
		byAPI(t, s, a, mail)
		if t.Failed() {
			t.Fatal(when)
		}
		t.Logf("%s: %d messages by IMAP, POP3 and HTTP in %v", when, len(mail), time.Since(start).Round(time.Second))
	}
	every("as it came", s, a, sent)
	sent = afterGC(t, s, a, sent)
	every("after collection", s, a, sent)
	byWeb(t, s, sent)
	s = repacked(t, s)
	every("packed again", s, a, sent)
	byWeb(t, s, sent)

	file := filepath.Join(t.TempDir(), "all.tar")
	run(t, s.Dir, "export", "--account", a.User, file)
	other := harness.Start(t, roomy()...)
	b := other.NewAccount(t)
	run(t, other.Dir, "import", "--account", b.User, file)
	every("exported and imported", other, b, sent)

	kept := filepath.Join(t.TempDir(), "eider.backup")
	run(t, s.Dir, "backup", kept)
	dir := t.TempDir()
	run(t, dir, "restore", kept)
	restored := harness.StartIn(t, dir, roomy()...)
	every("backed up and restored", restored, a, sent)
	byWeb(t, restored, sent)
	for _, each := range []*harness.Server{s, other, restored} {
		each.Fsck(t)
	}
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	harness.Run(t, 30*time.Minute, harness.Binary(t), append(args[:1:1], append([]string{"--data", dir}, args[1:]...)...)...)
}

// deleteEvery: one message in so many is there to be deleted.
const deleteEvery = 5

// afterGC deletes one message in deleteEvery, and has the parts that only those had
// collected: each start of a server looks at everything, and what was condemned
// before a start is collected at once where one server has the store alone.
func afterGC(t *testing.T, s *harness.Server, a harness.Account, sent []letter) (left []letter) {
	t.Helper()
	c, err := imapclient.DialInsecure(s.IMAP, nil)
	if err == nil {
		defer c.Close()
		err = c.Login(a.User, a.Pass).Wait()
	}
	if err == nil {
		_, err = c.Select("INBOX", nil).Wait()
	}
	var gone []uint32
	for i, l := range sent {
		if i%deleteEvery == 0 {
			gone = append(gone, uint32(i+1))
		} else {
			left = append(left, l)
		}
	}
	for some := range slices.Chunk(gone, 5000) { // a command's line has a limit
		if err == nil {
			deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
			err = c.Store(imap.SeqSetNum(some...), deleted, nil).Close()
		}
	}
	if err == nil {
		err = c.Expunge().Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	before := chunks(t, s)
	for range 2 {
		s.Stop(t)
		s.Restart(t)
		time.Sleep(2 * time.Second)
	}
	if now := chunks(t, s); now >= before {
		t.Errorf("%s shared parts, there were %s: nothing was collected", now, before)
	}
	return left
}

// chunks is what fsck says of the shared parts, for comparing.
func chunks(t *testing.T, s *harness.Server) string {
	t.Helper()
	out := harness.Run(t, 10*time.Minute, harness.Binary(t), "status", "--data", s.Dir)
	_, parts, _ := strings.Cut(out, `"parts": `)
	parts, _, _ = strings.Cut(parts, ",")
	_, garbage, _ := strings.Cut(out, `"garbageParts": `)
	garbage, _, _ = strings.Cut(garbage, ",")
	return fmt.Sprintf("%8s+%8s", parts, garbage)
}

// repackedWithin is how long the janitor may take to pack what was sent.
func repackedWithin() time.Duration {
	if os.Getenv("EIDER_SOAK") != "" {
		return time.Hour
	}
	return 3 * time.Minute
}

// repacked starts the server again as one that takes mail of a second for cold,
// and waits until it has packed all of it.
func repacked(t *testing.T, s *harness.Server) *harness.Server {
	t.Helper()
	s.Stop(t)
	s = harness.StartIn(t, s.Dir, append(roomy(), "--repack", "1s")...)
	r, _ := harness.AwaitRepacked(t, s, repackedWithin())
	if r.Rows == 0 || r.AfterBytes >= r.BeforeBytes {
		t.Errorf("nothing was packed again: %+v", r)
	}
	t.Logf("packed again: %d rows, %d bytes took %d", r.Rows, r.BeforeBytes, r.AfterBytes)
	return s
}
