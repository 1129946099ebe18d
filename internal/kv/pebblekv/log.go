package pebblekv

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// exitCode is EX_IOERR of sysexits.h.
const exitCode = 74

// logger is what Pebble writes to. Its chatter is dropped.
type logger struct{ s *Store }

var _ pebble.Logger = logger{}

// Infof drops what Pebble tells about its daily work.
func (l logger) Infof(string, ...any) {}

// Errorf logs trouble, not more often than an operator can read.
func (l logger) Errorf(format string, args ...any) {
	if l.s.flood.allow() {
		l.s.log.Warn("store: " + fmt.Sprintf(format, args...))
	}
}

// Fatalf ends the process: Pebble's state in memory is no longer that on the disk.
func (l logger) Fatalf(format string, args ...any) { l.s.fatal(fmt.Errorf(format, args...)) }

// flood lets one message through per logFloodEvery.
type flood struct{ next atomic.Int64 }

func (f *flood) allow() bool {
	now, next := time.Now().UnixNano(), f.next.Load()
	return now >= next && f.next.CompareAndSwap(next, now+int64(logFloodEvery))
}

// fatal ends the process with a reason. What was acknowledged is on the disk,
// and what was not is answered by nobody, which is what a crash looks like.
func (s *Store) fatal(err error) {
	err = fmt.Errorf("pebblekv: the store in %s cannot go on: %w; "+
		"everything acknowledged is safe: put it right (a full disk? a failing one?) and start again", s.o.Dir, err)
	if s.o.Fatal != nil {
		s.o.Fatal(err)
	}
	s.log.Error(err.Error())
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitCode)
}

// noteDamage remembers damage for Ping, and tells the operator once.
func (s *Store) noteDamage(err error) {
	bad := s.corrupt(err)
	if s.bad.CompareAndSwap(nil, &bad) {
		s.log.Error(bad.Error())
	}
}
