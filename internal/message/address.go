package message

import (
	"bytes"
	"strings"
)

// ParseAddresses reads an address list (RFC 5322 §3.4, obsolete forms too) and
// makes the best of what is none: at most MaxAddresses, raw words kept as
// names, nothing refused. Names stay encoded; see DecodeHeader.
func ParseAddresses(value string) []Address {
	list, _ := parseAddresses([]byte(value), MaxAddresses)
	return list
}

// addressParser splits a list into addresses. Every byte is looked at a fixed
// number of times.
type addressParser struct {
	scanner
	out     []Address
	max     int
	group   bool
	words   []byte // what stands outside brackets, unquoted
	comment []byte // the last comment
	angle   []byte // between < and >
	inAngle bool
	quoted  bool // words has a quoted string
	local   int  // where the last quoted string in words ends
}

// parseAddresses reads at most limit entries; cut says whether there were more.
func parseAddresses(v []byte, limit int) (list []Address, cut bool) {
	p := addressParser{scanner: scanner{b: v}, max: limit}
	for !p.done() && len(p.out) < p.max {
		p.next()
	}
	cut = !p.done()
	p.end()
	if p.group {
		p.out = append(p.out, Address{Group: true})
	}
	return p.out, cut
}

// next takes one token.
func (p *addressParser) next() {
	switch c := p.b[p.i]; {
	case isSpace(c):
		p.i++
		p.gap()
	case c == ',':
		p.i++
		p.end()
	case c == ';':
		p.i++
		p.end()
		if p.group {
			p.group = false
			p.out = append(p.out, Address{Group: true})
		}
	case c == ':' && p.startsGroup():
		p.i++
		name := string(trimCut(p.words))
		p.reset()
		p.group = true
		p.out = append(p.out, Address{Mailbox: cutString(name), Group: true})
	case c == '"':
		p.part()
		w, ok := p.scanner.quoted(p.words)
		if !ok {
			p.i++ // a quote that stands alone
			return
		}
		p.words, p.quoted, p.local = w, true, len(w)
	case c == '(' && !p.noComment:
		if in, ok := p.scanner.comment(); ok {
			p.comment = in
			p.gap()
		}
	case c == '<':
		p.bracket()
	case c == '\\' && p.i+1 < len(p.b):
		p.words = append(p.words, p.b[p.i+1])
		p.i += 2
	case c == '[':
		p.literal()
	default:
		if p.quoted && p.local == len(p.words) && c != '@' && c != '.' {
			p.gap()
		}
		start := p.i
		for p.i++; p.i < len(p.b) && !special(p.b[p.i]); p.i++ {
		}
		p.words = append(p.words, p.b[start:p.i]...)
	}
}

func special(c byte) bool {
	return isSpace(c) || strings.IndexByte(`,;:"(<\[`, c) >= 0
}

// part puts a space before a quoted word of a phrase, but not within a local part.
func (p *addressParser) part() {
	if n := len(p.words); n > 0 && p.words[n-1] != '.' && p.words[n-1] != '@' {
		p.gap()
	}
}

// gap puts one space between words.
func (p *addressParser) gap() {
	if n := len(p.words); n > 0 && p.words[n-1] != ' ' {
		p.words = append(p.words, ' ')
	}
}

// startsGroup: a colon after a name that is no address, outside a group.
func (p *addressParser) startsGroup() bool {
	return !p.group && !p.inAngle && (p.quoted || bytes.IndexByte(p.words, '@') < 0)
}

// literal takes a domain literal, "[127.0.0.1]", whose colons and commas are
// not ours.
func (p *addressParser) literal() {
	end := p.i + 1
	for end < len(p.b) && end-p.i < 128 && strings.IndexByte("],>[", p.b[end]) < 0 {
		end++
	}
	if end < len(p.b) && p.b[end] == ']' {
		end++
	} else {
		end = p.i + 1
	}
	p.words = append(p.words, p.b[p.i:end]...)
	p.i = end
}

// bracket takes "<addr-spec>", with or without its end.
func (p *addressParser) bracket() {
	start := p.i + 1
	stop, comma := -1, -1
	quoted := false
	j := start
	for ; j < len(p.b); j++ {
		c := p.b[j]
		if c == '\\' {
			j++
		} else if c == '"' {
			quoted = !quoted
		} else if c == '>' && !quoted {
			stop = j
			break
		} else if (c == ',' || c == ';') && comma < 0 && !quoted && !isRoute(p.b[start:j]) {
			comma = j
			break
		} else if c == '<' && !quoted {
			break
		}
	}
	switch {
	case stop >= 0:
		p.angle, p.i = p.b[start:stop], stop+1
	case comma >= 0:
		p.angle, p.i = p.b[start:comma], comma
	default:
		j = min(j, len(p.b))
		p.angle, p.i = p.b[start:j], j
	}
	p.inAngle = true
}

// isRoute: an obsolete source route, "@a,@b:user@c" (RFC 5322 §4.4).
func isRoute(b []byte) bool { return len(b) > 0 && b[0] == '@' }

func (p *addressParser) reset() {
	p.words, p.comment, p.angle = p.words[:0], nil, nil
	p.inAngle, p.quoted, p.local = false, false, 0
}

// end writes the address that was collected, if there is one.
func (p *addressParser) end() {
	words := trimCut(p.words)
	var a Address
	switch {
	case p.inAngle:
		a.Name = string(words)
		a.Mailbox, a.Host = splitSpec(p.angle)
	case len(words) == 0:
		p.reset()
		return
	default:
		a = p.plain(words)
	}
	if a.Name == "" {
		a.Name = string(trimCut(p.comment))
	}
	a.Name, a.Mailbox, a.Host = cutString(a.Name), cutString(a.Mailbox), cutString(a.Host)
	p.reset()
	if a != (Address{}) {
		p.out = append(p.out, a)
	}
}

// plain reads what stands without brackets: "addr", "addr (Name)", or the broken
// "Name addr", "addr addr" and "Name". Of several addresses all but the last are
// written at once.
func (p *addressParser) plain(words []byte) (a Address) {
	first := bytes.IndexByte(words, '@')
	switch {
	case first < p.local && p.local == len(words) || first < 0 && bytes.IndexByte(words, ' ') > 0:
		a.Name = string(words)
		return a
	case first < p.local || bytes.IndexByte(words[p.local:], ' ') < 0:
		a.Mailbox, a.Host = splitPlain(words)
		return a
	}
	start := 0 // of the name
	for i := p.local; i < len(words); {
		end := bytes.IndexByte(words[i:], ' ')
		if end < 0 {
			end = len(words)
		} else {
			end += i
		}
		if w := words[i:end]; bytes.IndexByte(w, '@') >= 0 {
			if a.Mailbox != "" && len(p.out) < p.max {
				p.out = append(p.out, a)
			}
			a = Address{Name: cutString(string(trimCut(words[start:i])))}
			a.Mailbox, a.Host = splitPlain(w)
			start = end
		}
		i = end + 1
	}
	return a
}

// splitSpec takes apart what stands between angle brackets.
func splitSpec(b []byte) (local, host string) {
	if isRoute(b) {
		if i := bytes.IndexByte(b, ':'); i >= 0 {
			b = b[i+1:]
		}
	}
	s := scanner{b: b}
	var plain []byte
	for !s.done() {
		switch c := b[s.i]; {
		case isSpace(c):
			s.i++
		case c == '(' && !s.noComment:
			_, _ = s.comment()
		case c == '"':
			q, ok := s.quoted(plain)
			if plain = q; !ok {
				s.i++
			}
		case c == '\\' && s.i+1 < len(b):
			plain = append(plain, b[s.i+1])
			s.i += 2
		default:
			plain = append(plain, c)
			s.i++
		}
	}
	return splitPlain(plain)
}

// splitPlain splits at the last "@".
func splitPlain(b []byte) (local, host string) {
	at := bytes.LastIndexByte(b, '@')
	if at < 0 {
		return string(trimCut(b)), ""
	}
	return string(trimCut(b[:at])), string(bytes.ReplaceAll(trimCut(b[at+1:]), []byte(" "), nil))
}

func cutString(s string) string {
	if len(s) <= MaxString {
		return s
	}
	return keepString([]byte(s))
}
