package message

import "bytes"

// Limits lowers the package's limits, for tests; a zero value means the constant.
type Limits struct{ Depth, Parts, IndexBytes int }

// Indexer reads a message once, in pieces of any size, and never fails. It is
// an io.Writer; Index ends it.
type Indexer struct {
	limits Limits
	ix     Index
	budget int // bytes that the index may still take
	parts  int
	done   bool

	state   state
	opening bool   // in a delimiter line after which a part starts
	bol     bool   // in a body: off is at the start of a line
	prev    byte   // the byte before off
	off     int64  // offset of the next byte of input; carry lies before it
	newline int64  // line feeds before off
	eol     int64  // length of the last line end
	carry   []byte // the start of a line whose end has not come yet
	cut     int64  // bytes of that line that were not kept

	stack []frame
	open  boundaries
	head  headReader
	leaf  leaf
	sizes map[*Part]int64 // decoded sizes of files
	cids  cidFinder
	refs  []string
}

type state uint8

const (
	inHeader state = iota
	inBody
	inDelimiter // in the rest of a delimiter line
)

// frame is an open part.
type frame struct {
	part   *Part
	env    *Envelope // of a message's root part
	start  int64     // of the header
	lines  int64     // line feeds before the body
	got    fieldSet  // fields seen in the header
	body   bool      // the header has ended
	multi  bool      // its boundary is open
	digest bool      // parts without a type are messages (RFC 2046 §5.1.5)
	inside bool      // within an embedded message
}

// NewIndexer returns an Indexer; Limits{} takes the package's limits.
func NewIndexer(l Limits) *Indexer {
	if l.Depth <= 0 {
		l.Depth = MaxDepth
	}
	if l.Parts <= 0 {
		l.Parts = MaxParts
	}
	if l.IndexBytes <= 0 {
		l.IndexBytes = MaxIndexBytes
	}
	x := &Indexer{limits: l, budget: l.IndexBytes, eol: 1}
	x.ix.Root = x.newPart()
	x.push(frame{part: x.ix.Root, env: &x.ix.Envelope})
	return x
}

// Parse indexes a message that is in memory.
func Parse(b []byte) *Index {
	x := NewIndexer(Limits{})
	x.process(b)
	return x.Index()
}

// Write reads the next bytes of the message. It never fails.
func (x *Indexer) Write(p []byte) (int, error) {
	if !x.done {
		x.process(p)
	}
	return len(p), nil
}

func (x *Indexer) process(p []byte) {
	for len(p) > 0 {
		switch x.state {
		case inHeader:
			p = x.header(p)
		case inBody:
			p = x.body(p)
		case inDelimiter:
			p = x.delimiter(p)
		}
	}
}

// Index ends the message and returns what was learned. Later calls return the same.
func (x *Indexer) Index() *Index {
	if x.done {
		return &x.ix
	}
	x.endOfInput()
	x.done = true
	x.close(0, x.off, 0)
	x.ix.Size = x.off
	x.ix.References = x.references()
	x.attachments()
	x.ix.Preview = x.leaf.preview.text()
	return &x.ix
}

// endOfInput looks at a last line without a line end.
func (x *Indexer) endOfInput() {
	for x.state == inHeader && len(x.carry) > 0 {
		n := len(x.carry)
		if x.headerLine(x.carry, x.off-int64(n)-x.cut, false) {
			x.carry = nil
			break
		}
		x.noHeader(n, 0)
	}
	if x.state == inHeader {
		x.head.flush(x)
	}
	if line := x.carry; x.state == inBody && len(line) > 0 {
		x.carry = nil
		x.off -= int64(len(line))
		if at, closing, ok := x.isDelimiter(line); ok {
			x.delimit(at, closing, x.off)
			x.skip(line)
			return
		}
		x.content(line)
	}
}

// push opens a part.
func (x *Indexer) push(f frame) {
	x.stack = append(x.stack, f)
	x.state = inHeader
	x.head.reset()
	x.cut = 0
}

// header reads one line of a header, and returns the rest.
func (x *Indexer) header(p []byte) []byte {
	before := len(x.carry)
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		x.endOfLine(p)
		x.hold(p)
		if x.head.first && x.surelyNoHeader() {
			x.noHeader(before, len(p))
			return p
		}
		return nil
	}
	line := p[:i+1]
	x.endOfLine(line)
	if before > 0 {
		x.hold(line)
		line = x.carry
	} else {
		x.off += int64(len(line))
		if over := len(line) - MaxFieldBytes; over > 0 {
			x.cut = int64(over)
			line = line[:MaxFieldBytes]
		}
	}
	if !x.headerLine(line, x.off-int64(len(line))-x.cut, true) {
		x.noHeader(before, i+1)
		return p
	}
	x.carry, x.cut = x.carry[:0], 0
	return p[i+1:]
}

// surelyNoHeader judges the first line of a header before its end has come.
func (x *Indexer) surelyNoHeader() bool {
	if isSpace(x.carry[0]) && x.stack[len(x.stack)-1].env != nil {
		return false
	}
	if x.carry[0] == '-' && len(x.open.list) > 0 {
		if _, _, ok := x.isDelimiter(x.carry); ok || len(x.carry) < x.open.need() {
			return false
		}
	}
	return fieldStart(x.carry) == no
}

// hold keeps the start of a header line, as much of it as is ever read.
func (x *Indexer) hold(p []byte) {
	x.off += int64(len(p))
	room := max(MaxFieldBytes-len(x.carry), 0)
	if len(p) > room {
		x.cut += int64(len(p) - room)
		p = p[:room]
	}
	x.carry = append(x.carry, p...)
}

// noHeader: the first line of a header is none, so the body starts with it: the
// first held bytes of carry, and the last read bytes of the input, which are
// read again.
func (x *Indexer) noHeader(held, read int) {
	x.defect("a part without a header")
	line := x.carry[:held]
	x.carry, x.cut = nil, 0
	x.off -= int64(held + read)
	x.endHeader(x.off)
	x.process(line)
}

// body reads body bytes up to the next delimiter line, and returns the rest.
func (x *Indexer) body(p []byte) []byte {
	if len(x.open.list) == 0 {
		x.content(p)
		return nil
	}
	if x.bol || len(x.carry) > 0 {
		if wait := x.candidate(p); wait {
			return nil
		}
		if x.state != inBody {
			return p
		}
	}
	if i := bytes.Index(p, newlineDashes); i >= 0 {
		x.content(p[:i+1])
		x.bol = true
		return p[i+1:]
	}
	n := len(p)
	if n > 1 && p[n-1] == '-' && p[n-2] == '\n' {
		n--
	}
	x.content(p[:n])
	x.bol = p[n-1] == '\n'
	return p[n:]
}

var newlineDashes = []byte("\n--")

// candidate looks at the start of a line: a delimiter, or not, or (wait) not
// known yet, and p is kept in carry.
func (x *Indexer) candidate(p []byte) (wait bool) {
	have, need := len(x.carry), x.open.need()
	if !x.notDashes(p) {
		lf := bytes.IndexByte(p[:min(len(p), need-have)], '\n')
		if lf < 0 && have+len(p) < need {
			x.carry = append(x.carry, p...)
			x.off += int64(len(p))
			x.prev = p[len(p)-1]
			return true
		}
		line := p[:min(len(p), need-have)]
		if have > 0 {
			line = append(x.carry, line...)
		}
		if at, closing, ok := x.isDelimiter(line); ok {
			x.delimit(at, closing, x.off-int64(have))
			x.carry = x.carry[:0]
			return false
		}
	}
	x.bol = false
	if have > 0 {
		held := x.carry
		x.off -= int64(have)
		x.content(held)
		x.carry = held[:0]
	}
	return false
}

// notDashes says whether carry and p together do not begin with "--".
func (x *Indexer) notDashes(p []byte) bool {
	for i := range 2 {
		if at := i - len(x.carry); at >= 0 && at < len(p) && p[at] != '-' {
			return true
		}
	}
	return false
}

// isDelimiter looks a line up among the open boundaries.
func (x *Indexer) isDelimiter(line []byte) (at int, closing, ok bool) {
	if len(x.open.list) == 0 || len(line) < 2 || line[0] != '-' || line[1] != '-' {
		return 0, false, false
	}
	line = line[:min(len(line), x.open.need())]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	return x.open.match(line)
}

// delimit ends what the delimiter line at start ends: all within the multipart
// of frame at.
func (x *Indexer) delimit(at int, closing bool, start int64) {
	x.close(at+1, start, x.eol)
	if closing {
		x.open.pop()
		x.stack[at].multi = false
	}
	x.opening = !closing
	x.state = inDelimiter
	x.leaf.none()
}

// delimiter passes over the rest of a delimiter line.
func (x *Indexer) delimiter(p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		x.skip(p)
		return nil
	}
	x.skip(p[:i+1])
	x.afterDelimiter()
	return p[i+1:]
}

// afterDelimiter starts the next part, or the epilogue.
func (x *Indexer) afterDelimiter() {
	x.state, x.bol = inBody, true
	if !x.opening {
		return
	}
	parent := &x.stack[len(x.stack)-1]
	if x.parts >= x.limits.Parts || x.budget < partCost {
		x.defect("more parts than are described")
		return
	}
	if len(x.stack) == 1 {
		x.leaf.preview.drop() // what stood before the first part is not the text
	}
	child := x.newPart()
	parent.part.Parts = append(parent.part.Parts, child)
	f := frame{part: child, start: x.off, inside: parent.inside}
	if parent.digest {
		child.Type, child.Subtype = "message", "rfc822"
	}
	x.push(f)
}

// close ends the open parts from the frame on: a delimiter line starts at
// start, and the line end of length eol before it belongs to it (RFC 2046 §5.1.1).
func (x *Indexer) close(from int, start, eol int64) {
	end := start - eol
	for i := len(x.stack) - 1; i >= from; i-- {
		f := &x.stack[i]
		p := f.part
		if !f.body {
			x.head.flush(x)
			p.Header, p.Body = Span{f.start, start}, Span{start, start}
			end = start
			continue
		}
		end = max(end, p.Body.Start)
		p.Body.End = end
		p.Lines = x.newline - f.lines
		if end < start && p.Lines > 0 {
			p.Lines--
		}
		if i == len(x.stack)-1 {
			x.leaf.end(x, end < start)
		}
		if f.multi {
			x.open.pop()
		}
	}
	x.stack = x.stack[:from]
}

// content passes body bytes on.
func (x *Indexer) content(p []byte) {
	x.leaf.feed(x, p)
	x.skip(p)
}

// skip counts bytes and lines.
func (x *Indexer) skip(p []byte) {
	if len(p) == 0 {
		return
	}
	x.off += int64(len(p))
	x.newline += int64(bytes.Count(p, newlineByte))
	x.endOfLine(p)
}

var newlineByte = []byte{'\n'}

// endOfLine notes the length of the line end that p ends with.
func (x *Indexer) endOfLine(p []byte) {
	n := len(p)
	if p[n-1] == '\n' {
		x.eol = 1
		if n > 1 && p[n-2] == '\r' || n == 1 && x.prev == '\r' {
			x.eol = 2
		}
	}
	x.prev = p[n-1]
}
