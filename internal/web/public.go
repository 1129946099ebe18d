package web

import (
	"bytes"
	"io"
	"net/url"
	"strings"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// What strangers see of a message: the mail as it was sent, but not where its
// sender sits, and so much a day as its account may give away.

// pageCost is what showing a message costs of the account's daily bytes, beside
// the text that it reads.
const pageCost = 8 << 10

// charge counts what a stranger is about to read; the owner reads free.
func (s *Site) charge(c *call, m *mail, n int64) error {
	if !m.public || m.owner {
		return nil
	}
	return s.o.Policy.Linked(c.ctx, m.acct, n)
}

// shown is what is read to show a message: its texts, up to what is shown of them.
func shown(m *mail) int64 {
	plain, html := bodies(&m.info.Index)
	n := int64(pageCost)
	for _, p := range plain {
		n += min(p.Body.Len(), MaxTextShown)
	}
	for _, p := range html {
		n += min(p.Body.Len(), MaxHTML)
	}
	return n
}

// report is where a message is reported: a page, or a mail that names it.
func (s *Site) report(m *mail) string {
	to := s.o.AbuseContact
	if to == "" || strings.HasPrefix(to, "http://") || strings.HasPrefix(to, "https://") {
		return to
	}
	return "mailto:" + to + "?subject=" + strings.ReplaceAll(url.QueryEscape("Report of message "+m.link), "+", "%20")
}

// cutOut is a message without some bytes of it.
type cutOut struct {
	io.ReaderAt
	size       int64 // what is left
	start, gap int64
}

// Size is how much is left.
func (c *cutOut) Size() int64 { return c.size }

// ReadAt reads over the gap.
func (c *cutOut) ReadAt(p []byte, off int64) (n int, err error) {
	if off < c.start {
		n, err = c.ReaderAt.ReadAt(p[:min(int64(len(p)), c.start-off)], off)
		if err != nil || n == len(p) {
			return n, err
		}
		off += int64(n)
	}
	k, err := c.ReaderAt.ReadAt(p[n:], off+c.gap)
	return n + k, err
}

// sent is the message as strangers may have it: without the Received line that
// we put before it, which has the address of the client that brought it.
func sent(m *mail, content mailstore.Content) (*cutOut, error) {
	whole := &cutOut{ReaderAt: content, size: content.Size()}
	client := m.info.Envelope.Client
	if !m.public || m.owner || client == "" {
		return whole, nil
	}
	// What is put before a message is two lines with bounded names.
	head := make([]byte, min(content.Size(), 8<<10))
	if n, err := content.ReadAt(head, 0); err != nil && (err != io.EOF || n < len(head)) {
		return nil, err
	}
	at := int64(0)
	for f := range message.HeaderFields(head) {
		n := int64(len(f.Raw))
		switch {
		case f.Is("Return-Path") && at == 0:
			at += n
			continue
		case f.Is("Received") && ours(f.Raw, client):
			whole.start, whole.gap = at, n
			whole.size -= n
		}
		break
	}
	return whole, nil
}

// ours tells the Received line that this server wrote.
func ours(raw []byte, client string) bool {
	return bytes.Contains(raw, []byte("(Eider) with ")) &&
		(bytes.Contains(raw, []byte("(["+client+"])")) || bytes.Contains(raw, []byte("([IPv6:"+client+"])")))
}
