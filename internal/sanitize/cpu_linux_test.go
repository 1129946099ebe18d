package sanitize_test

import (
	"syscall"
	"time"
)

// cpuTime is the processor time of this thread, which does not see what else
// the machine does.
func cpuTime() time.Duration {
	const thisThread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thisThread, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
