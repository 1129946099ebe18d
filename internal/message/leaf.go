package message

import (
	"bytes"

	"github.com/eidermail/eider/internal/message/transfer"
)

// leaf takes the body of the open leaf part as it streams by: it counts what
// decoding would give, collects the preview and finds references to Content-IDs.
type leaf struct {
	part    *Part
	file    bool
	base64  bool
	count   int64 // decoded bytes, where they are not counted by b64
	b64     transfer.Base64Counter
	dec     transfer.Decoder
	held    []byte // a line end that may belong to the boundary
	buf     []byte
	cids    bool
	text    bool
	preview preview
}

// none: no part is read until begin.
func (l *leaf) none() { l.part, l.text, l.cids = nil, false, false }

// begin starts a leaf part.
func (l *leaf) begin(x *Indexer, p *Part, inside, nested bool) {
	l.file = p.isFile() && !inside
	l.text = !l.file && !inside && l.preview.wants(p)
	l.cids = !l.file && !inside && nested && p.Subtype == "html"
	if !l.file && !l.text && !l.cids {
		return
	}
	l.part = p
	l.count, l.b64, l.held = 0, transfer.Base64Counter{}, l.held[:0]
	l.dec = transfer.New(p.Encoding)
	l.base64 = p.Encoding == "base64"
	if l.text {
		l.preview.begin(p)
	}
	x.cids.reset()
}

// preamble starts the text before the first part of the outermost multipart,
// which is its text if there are no parts.
func (l *leaf) preamble(p *Part) {
	l.part, l.file, l.cids, l.text = p, false, false, true
	l.dec, l.base64 = transfer.New(p.Encoding), p.Encoding == "base64"
	l.preview.begin(&Part{Type: "text", Subtype: "plain"})
}

// feed takes the next bytes of the body.
func (l *leaf) feed(x *Indexer, p []byte) {
	switch {
	case l.part == nil || len(p) == 0:
	case l.dec == nil:
		if l.text || l.cids {
			l.decoded(x, p)
		}
	case l.base64:
		l.b64.Add(p)
		if l.text || l.cids {
			l.buf = l.dec.Decode(l.buf[:0], p)
			l.decoded(x, l.buf)
		}
	default:
		l.lines(x, p)
	}
}

// lines decodes a body in which line ends count, holding the last one back.
func (l *leaf) lines(x *Indexer, p []byte) {
	if len(l.held) == 1 && l.held[0] == '\r' && p[0] == '\n' {
		l.held = append(l.held, '\n')
		if p = p[1:]; len(p) == 0 {
			return
		}
	}
	l.release(x)
	n := len(p)
	if p[n-1] == '\n' {
		n--
	}
	if n > 0 && p[n-1] == '\r' {
		n--
	}
	l.held = append(l.held, p[n:]...)
	l.buf = l.dec.Decode(l.buf[:0], p[:n])
	l.decoded(x, l.buf)
}

func (l *leaf) release(x *Indexer) {
	if len(l.held) > 0 {
		l.buf = l.dec.Decode(l.buf[:0], l.held)
		l.held = l.held[:0]
		l.decoded(x, l.buf)
	}
}

// decoded takes bytes after transfer decoding.
func (l *leaf) decoded(x *Indexer, p []byte) {
	l.count += int64(len(p))
	if l.text && l.preview.add(p) {
		l.text = false
	}
	if l.cids {
		x.cids.scan(p)
	}
}

// end ends the part; stripped says whether the last line end was the boundary's.
func (l *leaf) end(x *Indexer, stripped bool) {
	if l.part == nil {
		return
	}
	if l.dec != nil {
		if !stripped {
			l.release(x)
		}
		l.held = l.held[:0]
		l.buf = l.dec.Flush(l.buf[:0])
		l.decoded(x, l.buf)
	}
	x.cids.end()
	l.preview.end()
	if l.file {
		size := l.count
		switch {
		case l.dec == nil:
			size = l.part.Body.Len()
		case l.base64:
			size = l.b64.Size()
		}
		if x.sizes == nil {
			x.sizes = make(map[*Part]int64)
		}
		x.sizes[l.part] = size
	}
	l.none()
}

// cidFinder finds what an HTML text refers to by "cid:" URLs (RFC 2392).
type cidFinder struct {
	found map[string]bool
	tail  [3]byte // the last bytes seen
	in    bool    // reading an id
	id    []byte
}

var cidColon = []byte("cid:")

func (c *cidFinder) reset() { c.in, c.tail, c.id = false, [3]byte{}, c.id[:0] }

// scan takes the next decoded bytes.
func (c *cidFinder) scan(p []byte) {
	for len(p) > 0 {
		if c.in {
			p = c.read(p)
			continue
		}
		// An occurrence that starts in tail.
		head := append(c.tail[:], p[:min(len(p), 3)]...)
		if i := indexCID(head); i >= 0 {
			p = p[i+len(cidColon)-len(c.tail):]
			c.in = true
			continue
		}
		i := indexCID(p)
		if i < 0 {
			copy(c.tail[:], head[len(head)-3:])
			if len(p) >= 3 {
				copy(c.tail[:], p[len(p)-3:])
			}
			return
		}
		p = p[i+len(cidColon):]
		c.in = true
	}
}

// indexCID finds "cid:" in the two ways that people write it.
func indexCID(p []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(p[from:], ':')
		if i < 0 {
			return -1
		}
		i += from
		if i >= 3 && bytes.EqualFold(p[i-3:i], cidColon[:3]) {
			return i - 3
		}
		from = i + 1
	}
}

func (c *cidFinder) read(p []byte) []byte {
	for i, b := range p {
		switch b {
		case '"', '\'', '>', '<', ' ', '\t', '\r', '\n', ')', '\\':
			c.end()
			return p[i:]
		}
		if len(c.id) >= MaxCIDBytes {
			c.reset()
			return p[i:]
		}
		c.id = append(c.id, b)
	}
	return nil
}

// end takes what was read as an id.
func (c *cidFinder) end() {
	if c.in && len(c.id) > 0 && len(c.found) < MaxCIDs {
		if c.found == nil {
			c.found = make(map[string]bool)
		}
		c.found[normalCID(string(c.id))] = true
	}
	c.reset()
}
