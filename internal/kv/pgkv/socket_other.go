//go:build !linux

package pgkv

import (
	"syscall"
	"time"
)

// giveUpAfter: keep-alive must do.
func giveUpAfter(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
