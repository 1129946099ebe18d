package imapd_test

import (
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// TestIdleMemory: an idling connection has one goroutine. It says what memory
// each costs, which is only right for many: EIDER_IDLE sets how many there are.
func TestIdleMemory(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("EIDER_IDLE"))
	if n == 0 {
		n = 30
	}
	w := newWorld(t, options{})
	w.deliver("INBOX", "Subject: x\r\n\r\ny\r\n", 0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
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
	if more := runtime.NumGoroutine() - goroutines; more > n+n/3 { // the mailbox's watch and the like are few
		t.Errorf("%d goroutines for %d idling connections", more, n)
	}
	per := func(a, b uint64) uint64 { return (b - a) / uint64(n) }
	t.Logf("each of %d: heap %d, stacks %d, all %d bytes", n, per(before.HeapInuse, after.HeapInuse),
		per(before.StackInuse, after.StackInuse), per(before.Sys, after.Sys))
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
}
