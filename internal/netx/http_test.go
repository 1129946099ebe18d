package netx_test

import (
	"testing"

	"github.com/eidermail/eider/internal/netx"
)

func TestSpeaksHTTP(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"GET / HTTP/1.1": true, "POST /x HTTP/1.0": true, "PRI * HTTP/2.0": true, "Host: localhost:1025": true,
		"host:x": true, "Content-Length: 5": true, "Sec-Fetch-Site: cross-site": true, "options *": true,
		"": false, "GET": false, "EHLO x": false, "MAIL FROM:<a@b>": false, "a1 FETCH 1:* FLAGS": false,
		"DELE 1": false, "TOP 1 0": false, "DELETE": false, "X": false, "NOOP Host: x": false, "LIST": false,
	} {
		if got := netx.SpeaksHTTP([]byte(line)); got != want {
			t.Errorf("SpeaksHTTP(%q) = %v", line, got)
		}
	}
}
