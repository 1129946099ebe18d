package imapwire

import "bytes"

// Foreign recognises HTTP and TLS. Any web page can make a browser send
// commands in the body of a request to a port of this machine, so none of the
// lines of one may be executed.
func Foreign(line []byte) bool {
	if len(line) > 0 && line[0] == 0x16 {
		return true // TLS client hello
	}
	i := bytes.LastIndexByte(line, ' ')
	if i < 0 || !bytes.HasPrefix(line[i+1:], []byte("HTTP/")) {
		// Header lines: a browser's first line can also be cut off before its end.
		for _, h := range []string{"host:", "user-agent:", "content-length:", "origin:"} {
			if len(line) >= len(h) && bytes.EqualFold(line[:len(h)], []byte(h)) {
				return true
			}
		}
		return false
	}
	return true
}
