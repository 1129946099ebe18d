package storage_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// TestSpaceComesBack: when mail has expired and what it alone needed is
// collected, the data directory is smaller, without anybody's doing.
func TestSpaceComesBack(t *testing.T) {
	t.Parallel()
	const retention = 15 * time.Second
	s := harness.Start(t, "--retention", retention.String())
	a := s.NewAccount(t)
	const files, size = 24, 600_000
	for i := range files {
		submit(t, s, a, mail(fmt.Sprintf("file %d", i), noise(uint64(i), size)))
	}
	for i := range 100 {
		submit(t, s, a, mail(fmt.Sprintf("small %d", i), noise(uint64(i), 3000)))
	}
	last := time.Now()
	s.Stop(t) // all that is in memory goes into files
	full := onDisk(t, s)
	if full < files*size/2 {
		t.Fatalf("%d bytes on the disk, of %d", full, files*size)
	}
	time.Sleep(time.Until(last.Add(retention + 2*time.Second)))
	// At each start the janitor looks at everything. The first time it expires
	// and condemns. The second time it collects, for nobody links what was
	// condemned before a server started that is alone: that stands for the
	// grace time.
	s.Restart(t)
	u := await(t, s, 2*time.Minute, "all expires", func(u usage) bool { return u.Messages == 0 })
	if u.GarbageParts == 0 || u.GarbageBytes < size/2 {
		t.Errorf("nothing waits to be collected: %+v", u)
	}
	time.Sleep(2 * time.Second)
	s.Stop(t)
	s.Restart(t)
	await(t, s, 2*time.Minute, "all is collected", func(u usage) bool { return u.GarbageParts == 0 })
	now := onDisk(t, s)
	for end := time.Now().Add(2 * time.Minute); now > full/10 && time.Now().Before(end); time.Sleep(time.Second) {
		now = onDisk(t, s)
	}
	t.Logf("%d bytes on the disk with mail, %d when it has gone", full, now)
	if now > full/10 {
		t.Errorf("%d of %d bytes did not come back", now, full)
	}
	// What the server tells is as of its last look, some seconds ago.
	await(t, s, time.Minute, "the server tells of less", func(u usage) bool { return u.StoredBytes <= full/2 })
	s.Fsck(t)
}
