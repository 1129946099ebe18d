package imapd_test

import (
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// TestIdleMemory says what an idling connection costs. It is run by hand, with
// EIDER_IDLE set to how many there are.
func TestIdleMemory(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("EIDER_IDLE"))
	if n == 0 {
		return
	}
	w := newWorld(t, options{})
	w.deliver("INBOX", "Subject: x\r\n\r\ny\r\n", 0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	conns := make([]net.Conn, n)
	for i := range n {
		mine, theirs := socketPair(t)
		conns[i] = mine
		wg.Go(func() { w.imap.ServeConn(t.Context(), theirs, w.info) })
		c := &client{t: t, conn: mine, r: newReader(mine)}
		c.line()
		c.ok("LOGIN ann@d.example \"" + password + "\"")
		c.ok("SELECT INBOX")
		c.send("i IDLE\r\n")
		c.line()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := func(a, b uint64) uint64 { return (b - a) / uint64(n) }
	t.Logf("each of %d: heap %d, stacks %d, all %d bytes", n, per(before.HeapInuse, after.HeapInuse),
		per(before.StackInuse, after.StackInuse), per(before.Sys, after.Sys))
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
}
