package imapwire

import (
	"bytes"
	"strings"
	"testing"
)

// TestIdleBuffer: whatever a client has sent and was sent, its connection keeps
// idleBuffer for each way while it waits.
func TestIdleBuffer(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10, idleBuffer, MaxLine} {
		long := strings.Repeat("x", n)
		r := NewReader(strings.NewReader(long + "\r\n"))
		if line, err := r.Line(); err != nil || string(line) != long {
			t.Fatalf("%d bytes: %.20q, %v", n, line, err)
		}
		during := len(r.buf)
		_ = r.fill() // as if it waited for the next
		if len(r.buf) != idleBuffer || during < n {
			t.Errorf("after %d bytes the buffer has %d, before it had %d", n, len(r.buf), during)
		}
		var sent bytes.Buffer
		e := NewEncoder(&sent)
		e.Raw(long).CRLF()
		if err := e.Flush(); err != nil || sent.Len() != n+2 {
			t.Fatal(sent.Len(), err)
		}
		if e.Release(); cap(e.buf) > idleBuffer {
			t.Errorf("after %d bytes %d are kept to write", n, cap(e.buf))
		}
	}
}
