//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// claim locks a file of this user's. The lock goes with the process.
func claim(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if s, ok := st.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return errors.New("the file is another user's")
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errBusy
	}
	return nil
}

// settle gives a file its name. It is locked until it has it.
func settle(f *os.File, name string) error {
	return errors.Join(os.Rename(f.Name(), name), f.Close())
}
