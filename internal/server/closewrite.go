package server

// CloseWrite lets a protocol say its last word to a client that is still
// sending: half-closed, the rest can be read before the connection goes.
func (c *countedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// CloseWrite of a connection behind a gate.
func (c *gated) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
