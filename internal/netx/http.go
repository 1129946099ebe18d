package netx

import (
	"bytes"
	"strings"
)

// SpeaksHTTP tells that a line at a mail port comes from a browser or another
// HTTP client. Any web page can make a browser send a request to a port of
// this machine, with mail commands in its body; so a mail server closes such a
// connection at its first line. No mail protocol has a command among these words.
func SpeaksHTTP(line []byte) bool {
	word, _, spaced := bytes.Cut(line, []byte{' '})
	if len(word) > 64 {
		word = word[:64]
	}
	if name, _, ok := bytes.Cut(word, []byte{':'}); ok {
		return isHTTPHeader(strings.ToLower(string(name)))
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
