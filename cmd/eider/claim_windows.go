package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// claim locks a file. The lock goes with the process.
func claim(f *os.File) error {
	// The byte is far behind what is written, for a lock keeps others from reading, too.
	at := &windows.Overlapped{OffsetHigh: 1 << 30}
	how := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY)
	if windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, at) != nil {
		return errBusy
	}
	return nil
}

// settle gives a file its name; one that is open cannot have another.
func settle(f *os.File, name string) error {
	return errors.Join(f.Close(), os.Rename(f.Name(), name))
}
