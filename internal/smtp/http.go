package smtp

import (
	"bytes"
	"strings"
)

// isHTTP tells that a browser, or another HTTP client, talks to us: any web
// page can make one send a request to a port of this machine, with mail
// commands in its body. No SMTP verb is among these words.
func isHTTP(line []byte) bool {
	word, _, spaced := bytes.Cut(line, []byte{' '})
	if len(word) > 32 {
		return false
	}
	if name, ok := bytes.CutSuffix(word, []byte{':'}); ok {
		return isHTTPHeader(strings.ToLower(string(name)))
	}
	if name, _, ok := bytes.Cut(word, []byte{':'}); ok && isHTTPHeader(strings.ToLower(string(name))) {
		return true
	}
	switch strings.ToUpper(string(word)) {
	case "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PRI", "PROPFIND":
		return spaced
	}
	return false
}

func isHTTPHeader(name string) bool {
	switch name {
	case "host", "user-agent", "connection", "origin", "referer", "cookie", "authorization", "upgrade",
		"cache-control", "pragma", "transfer-encoding", "te", "dnt", "expect", "range", "priority":
		return true
	}
	for _, p := range []string{"accept", "content-", "sec-", "x-", "upgrade-", "if-", "access-control-"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
