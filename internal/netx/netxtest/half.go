// Package netxtest has connections for tests of how a server ends them.
package netxtest

import "net"

// Half is a connection of which one direction can be closed, like one of TCP.
type Half struct {
	net.Conn
	// Late is how many bytes were read after it was closed for writing: use it
	// when nobody reads any more.
	Late int
	over bool
}

// CloseWrite notes that nothing is written any more.
func (h *Half) CloseWrite() error { h.over = true; return nil }

// Read implements net.Conn.
func (h *Half) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if h.over {
		h.Late += n
	}
	return n, err
}
