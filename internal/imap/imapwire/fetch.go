package imapwire

import "slices"

// Item is a kind of FETCH item.
type Item uint8

// The items of FETCH (RFC 9051 §6.4.5).
const (
	ItemFlags Item = iota
	ItemUID
	ItemInternalDate
	ItemSize
	ItemEnvelope
	ItemBody          // BODY: the structure without extension data
	ItemBodyStructure // BODYSTRUCTURE
	ItemSection       // BODY[…] and BODY.PEEK[…]
	ItemRFC822        // RFC 3501: the message
	ItemRFC822Header  // RFC 3501: its header
	ItemRFC822Text    // RFC 3501: its body
	ItemModSeq        // RFC 7162
	ItemBinary        // BINARY[…] and BINARY.PEEK[…] (RFC 3516)
	ItemBinarySize    // BINARY.SIZE[…] (RFC 3516)
	ItemEmailID       // RFC 8474
	ItemThreadID      // RFC 8474
	ItemSaveDate      // RFC 8514
	ItemPreview       // RFC 8970
)

// FetchItem is one thing that FETCH asks for.
type FetchItem struct {
	Kind    Item
	Peek    bool // does not set \Seen
	Section Section
	Partial *Partial
}

// Section is a section specification (RFC 9051 §6.4.5.1).
type Section struct {
	Part   []uint32 // 1.2.3
	Spec   Spec
	Fields []string // of SpecFields and SpecFieldsNot, upper case
}

// Spec says what of a part is meant.
type Spec uint8

// The section specifiers.
const (
	SpecAll       Spec = iota // BODY[] or BODY[1.2]: all, or the body of a part
	SpecHeader                // HEADER
	SpecFields                // HEADER.FIELDS (…)
	SpecFieldsNot             // HEADER.FIELDS.NOT (…)
	SpecText                  // TEXT
	SpecMIME                  // MIME
)

var specNames = [...]string{"", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME"}

// Partial is <offset.count>.
type Partial struct{ Offset, Count uint64 }

// setsSeen tells whether fetching the item sets \Seen.
func (f FetchItem) setsSeen() bool {
	switch f.Kind {
	case ItemSection, ItemBinary:
		return !f.Peek
	case ItemRFC822, ItemRFC822Text:
		return true
	}
	return false
}

// Asks tells whether an item is among items.
func Asks(items []FetchItem, kind Item) bool {
	return slices.ContainsFunc(items, func(f FetchItem) bool { return f.Kind == kind })
}

// SetsSeen tells whether any of the items sets \Seen (RFC 9051 §6.4.5).
func SetsSeen(items []FetchItem) bool {
	for _, f := range items {
		if f.setsSeen() {
			return true
		}
	}
	return false
}

// ExpectFetchItems reads an item, a macro, or a list of items.
func (d *Decoder) ExpectFetchItems(items *[]FetchItem) bool {
	switch {
	case d.Word("ALL"):
		*items = macro(ItemFlags, ItemInternalDate, ItemSize, ItemEnvelope)
		return true
	case d.Word("FULL"):
		*items = macro(ItemFlags, ItemInternalDate, ItemSize, ItemEnvelope, ItemBody)
		return true
	case d.Word("FAST"):
		*items = macro(ItemFlags, ItemInternalDate, ItemSize)
		return true
	}
	var out []FetchItem
	one := func() bool {
		if len(out) == MaxFetchItems {
			return d.Fail("too many items")
		}
		out = append(out, FetchItem{})
		return d.fetchItem(&out[len(out)-1])
	}
	if !d.List(one) && !one() {
		return false
	}
	*items = out
	return len(out) > 0 || d.Fail("nothing to fetch")
}

func macro(kinds ...Item) []FetchItem {
	out := make([]FetchItem, len(kinds))
	for i, k := range kinds {
		out[i].Kind = k
	}
	return out
}

func (d *Decoder) upperName() []byte {
	b := d.class(isName)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return b
}

func (d *Decoder) fetchItem(f *FetchItem) bool {
	name := d.upperName()
	if kind, ok := simpleItem(name); ok {
		f.Kind = kind
		if kind == ItemBody && d.Byte('[') {
			f.Kind = ItemSection
			return d.sectionAndPartial(f)
		}
		if kind == ItemPreview {
			return d.previewModifier()
		}
		return true
	}
	switch string(name) {
	case "BODY.PEEK":
		f.Kind, f.Peek = ItemSection, true
	case "BINARY":
		f.Kind = ItemBinary
	case "BINARY.PEEK":
		f.Kind, f.Peek = ItemBinary, true
	case "BINARY.SIZE":
		f.Kind, f.Peek = ItemBinarySize, true
	default:
		return d.Fail("unknown FETCH item")
	}
	return d.ExpectByte('[') && d.sectionAndPartial(f)
}

func simpleItem(name []byte) (Item, bool) {
	switch string(name) {
	case "FLAGS":
		return ItemFlags, true
	case "UID":
		return ItemUID, true
	case "INTERNALDATE":
		return ItemInternalDate, true
	case "RFC822.SIZE":
		return ItemSize, true
	case "ENVELOPE":
		return ItemEnvelope, true
	case "BODY":
		return ItemBody, true
	case "BODYSTRUCTURE":
		return ItemBodyStructure, true
	case "RFC822":
		return ItemRFC822, true
	case "RFC822.HEADER":
		return ItemRFC822Header, true
	case "RFC822.TEXT":
		return ItemRFC822Text, true
	case "MODSEQ":
		return ItemModSeq, true
	case "EMAILID":
		return ItemEmailID, true
	case "THREADID":
		return ItemThreadID, true
	case "SAVEDATE":
		return ItemSaveDate, true
	case "PREVIEW":
		return ItemPreview, true
	}
	return 0, false
}

// previewModifier reads PREVIEW's optional (LAZY) (RFC 8970 §3.2).
func (d *Decoder) previewModifier() bool {
	save := d.pos
	if d.SP() && d.Byte('(') {
		return d.Word("LAZY") && d.ExpectByte(')') || d.Fail("unknown PREVIEW modifier")
	}
	d.pos = save
	return true
}

func (d *Decoder) sectionAndPartial(f *FetchItem) bool {
	if !d.section(&f.Section) || !d.ExpectByte(']') {
		return false
	}
	if f.Kind != ItemSection && f.Section.Spec != SpecAll {
		return d.Fail("BINARY takes part numbers only")
	}
	if f.Kind == ItemBinarySize {
		return true
	}
	if !d.Byte('<') {
		return true
	}
	var p Partial
	if !d.ExpectNumber64(&p.Offset) || !d.ExpectByte('.') || !d.ExpectNumber64(&p.Count) || !d.ExpectByte('>') {
		return false
	}
	if p.Count == 0 {
		return d.Fail("empty partial")
	}
	f.Partial = &p
	return true
}

func (d *Decoder) section(s *Section) bool {
	for {
		b, ok := d.peek()
		if !ok || b < '0' || b > '9' {
			break
		}
		var n uint32
		if !d.ExpectNumber(&n) {
			return false
		}
		if n == 0 || len(s.Part) == MaxSectionParts {
			return d.Fail("bad part number")
		}
		s.Part = append(s.Part, n)
		if !d.Byte('.') {
			return true
		}
	}
	name := d.upperName()
	if len(name) == 0 {
		return len(s.Part) == 0 || d.Fail("bad section")
	}
	for i := SpecHeader; i <= SpecMIME; i++ {
		if specNames[i] == string(name) {
			s.Spec = i
		}
	}
	switch s.Spec {
	case SpecAll:
		return d.Fail("unknown section")
	case SpecMIME:
		return len(s.Part) > 0 || d.Fail("MIME needs a part number")
	case SpecFields, SpecFieldsNot:
		return d.ExpectSP() && d.fieldList(s)
	}
	return true
}

func (d *Decoder) fieldList(s *Section) bool {
	ok := d.ExpectList(func() bool {
		var name string
		if !d.ExpectAstring(&name) {
			return false
		}
		s.Fields = append(s.Fields, upper(name))
		return len(s.Fields) <= MaxHeaderFields || d.Fail("too many header fields")
	})
	if ok && len(s.Fields) == 0 {
		return d.Fail("no header fields named")
	}
	return ok
}

func upper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// Section writes a section with its brackets, as a FETCH response names it.
func (e *Encoder) Section(s *Section, p *Partial) *Encoder {
	e.Byte('[')
	for i, n := range s.Part {
		if i > 0 {
			e.Byte('.')
		}
		e.Number(n)
	}
	if s.Spec != SpecAll {
		if len(s.Part) > 0 {
			e.Byte('.')
		}
		e.Raw(specNames[s.Spec])
	}
	if len(s.Fields) > 0 {
		e.Raw(" (")
		for i, f := range s.Fields {
			if i > 0 {
				e.SP()
			}
			e.astring(f)
		}
		e.Byte(')')
	}
	e.Byte(']')
	if p != nil {
		e.Byte('<').Number64(p.Offset).Byte('>')
	}
	return e
}

// astring writes a word as an atom where it can be one.
func (e *Encoder) astring(s string) *Encoder {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || charClass(c)&isAstring == 0 {
			return e.String(s)
		}
	}
	if s == "" {
		return e.String(s)
	}
	return e.Raw(s)
}
