package imapwire

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// SearchOp is a kind of search key.
type SearchOp uint8

// The search keys (RFC 9051 §6.4.4).
const (
	SearchAll SearchOp = iota
	SearchAnd
	SearchOr
	SearchNot
	SearchSeq     // message sequence numbers, as written
	SearchUID     // UIDs, as written; after Resolve as a Set
	SearchFlag    // has the system flag
	SearchKeyword // has the keyword
	SearchRecent
	SearchNew // \Recent and not \Seen
	SearchOld // not \Recent
	SearchBefore
	SearchOn
	SearchSince
	SearchSentBefore
	SearchSentOn
	SearchSentSince
	SearchSavedBefore // RFC 8514
	SearchSavedOn
	SearchSavedSince
	SearchSaveDateSupported
	SearchOlder // RFC 5032 WITHIN
	SearchYounger
	SearchLarger
	SearchSmaller
	SearchHeader
	SearchBcc
	SearchCc
	SearchFrom
	SearchSubject
	SearchTo
	SearchBody
	SearchText
	SearchModSeq   // RFC 7162
	SearchEmailID  // RFC 8474
	SearchThreadID // RFC 8474
)

// SearchKey is a node of a search: an operation on messages, or on other keys.
type SearchKey struct {
	Op      SearchOp
	Keys    []SearchKey // And, Or (two), Not (one)
	SeqSet  SeqSet      // Seq and UID, as written
	Set     Set         // Seq and UID, after the session has resolved them to UIDs
	Flag    System
	Text    string // of text keys, in UTF-8; of Keyword, EmailID, ThreadID
	Field   string // of Header
	Date    time.Time
	Number  uint64 // Larger, Smaller, ModSeq
	Seconds time.Duration
}

// SearchReturn are the result options of ESEARCH (RFC 4731), SEARCHRES (RFC
// 5182) and PARTIAL (RFC 9394).
type SearchReturn struct {
	Extended bool // RETURN was given: answer with ESEARCH
	Min      bool
	Max      bool
	All      bool
	Count    bool
	Save     bool
	Partial  *PartialRange
}

// OnlySave tells that the client wants no answer, only "$".
func (r *SearchReturn) OnlySave() bool {
	return r.Save && !r.Min && !r.Max && !r.All && !r.Count && r.Partial == nil
}

// PartialRange is a range of positions in a result (RFC 9394 §3.1): from 1
// on, or, with Last, counted from its end. First is the lower number.
type PartialRange struct {
	First, Final uint32
	Last         bool
}

// Cut gives the range as offsets into n results, [from, to).
func (p *PartialRange) Cut(n int) (from, to int) {
	first, final := int(min(int64(p.First), int64(n)+1)), int(min(int64(p.Final), int64(n)))
	if first > n {
		return 0, 0
	}
	if p.Last {
		return n - final, n - first + 1
	}
	return first - 1, final
}

// Append writes the range as the client may write it.
func (p *PartialRange) Append(b []byte) []byte {
	sign := ""
	if p.Last {
		sign = "-"
	}
	b = strconv.AppendUint(append(b, sign...), uint64(p.First), 10)
	return strconv.AppendUint(append(append(b, ':'), sign...), uint64(p.Final), 10)
}

// ExpectPartial reads a range: "1:100" or "-1:-100".
func (d *Decoder) ExpectPartial(p *PartialRange) bool {
	p.Last = d.Byte('-')
	if !d.ExpectNumber(&p.First) || !d.ExpectByte(':') || p.Last != d.Byte('-') || !d.ExpectNumber(&p.Final) ||
		p.First == 0 || p.Final == 0 {
		return d.Fail("bad range of results")
	}
	if p.First > p.Final {
		p.First, p.Final = p.Final, p.First
	}
	return true
}

// badCharset is the response code for a charset that is not known.
const badCharset = "BADCHARSET (US-ASCII UTF-8)"

// Charset turns a client's search text into UTF-8.
type Charset func(charset string, text string) (string, bool)

// ExpectSearch reads the arguments of SEARCH from the first to the last.
func (d *Decoder) ExpectSearch(ret *SearchReturn, key *SearchKey, charset Charset) bool {
	if !d.SearchOptions(ret) {
		return false
	}
	name := ""
	if d.Word("CHARSET") && (!d.ExpectSP() || !d.ExpectAstring(&name) || !d.ExpectSP()) {
		return false
	}
	if name != "" && d.NoCharset {
		return d.Fail("no CHARSET after ENABLE UTF8=ACCEPT: it is UTF-8")
	}
	return d.ExpectSearchKeys(key, name, charset)
}

// SearchOptions reads RETURN (…) and the space behind it, if it stands there;
// false is an error.
func (d *Decoder) SearchOptions(ret *SearchReturn) bool {
	if !d.Word("RETURN") {
		return d.err == nil
	}
	return d.ExpectSP() && d.searchReturn(ret) && d.ExpectSP()
}

// ExpectSearchKeys reads search keys to the end of the command; name is the
// charset of their texts, "" if none was named.
func (d *Decoder) ExpectSearchKeys(key *SearchKey, name string, charset Charset) bool {
	decode := func(s string) (string, bool) { return s, utf8.ValidString(s) }
	if name != "" {
		if _, ok := charset(name, ""); !ok {
			return d.badCharset("unknown charset")
		}
		decode = func(s string) (string, bool) { return charset(name, s) }
	}
	and := SearchKey{Op: SearchAnd}
	for {
		var k SearchKey
		if !d.searchKey(&k) {
			return false
		}
		and.Keys = append(and.Keys, k)
		if d.CRLF() {
			break
		}
		if !d.ExpectSP() {
			return false
		}
	}
	texts := 0
	and.Walk(func(k *SearchKey) {
		if k.Op >= SearchHeader && k.Op <= SearchText {
			texts++
		}
	})
	if texts > MaxSearchTexts {
		return d.failCode("LIMIT", "too many texts to search for")
	}
	if !and.decode(decode) {
		return d.badCharset("search text does not fit the charset")
	}
	*key = and
	if len(and.Keys) == 1 {
		*key = and.Keys[0]
	}
	return true
}

func (d *Decoder) badCharset(text string) bool { return d.failCode(badCharset, text) }

// IsBadCharset tells whether a command failed for its charset: NO, not BAD (RFC 9051 §6.4.4).
func (e *SyntaxError) IsBadCharset() bool { return e.Code == badCharset }

func (k *SearchKey) decode(f func(string) (string, bool)) bool {
	for i := range k.Keys {
		if !k.Keys[i].decode(f) {
			return false
		}
	}
	if k.Op < SearchHeader || k.Op > SearchText {
		return true
	}
	s, ok := f(k.Text)
	k.Text = s
	return ok
}

func (d *Decoder) searchReturn(r *SearchReturn) bool {
	r.Extended = true
	any := false
	ok := d.ExpectList(func() bool {
		any = true
		switch {
		case d.Word("MIN"):
			r.Min = true
		case d.Word("MAX"):
			r.Max = true
		case d.Word("ALL"):
			r.All = true
		case d.Word("COUNT"):
			r.Count = true
		case d.Word("SAVE"):
			r.Save = true
		case d.Word("PARTIAL"):
			if r.Partial != nil {
				return d.Fail("one PARTIAL at most") // RFC 9394 §3.1
			}
			r.Partial = new(PartialRange)
			return d.ExpectSP() && d.ExpectPartial(r.Partial)
		default:
			return d.Fail("unknown RETURN option")
		}
		return true
	})
	if !any {
		r.All = true // RFC 4731 §3.1: RETURN () is RETURN (ALL)
	}
	if r.All && r.Partial != nil {
		return d.Fail("PARTIAL and ALL exclude each other") // RFC 9394 §3.1
	}
	return ok
}

func (d *Decoder) searchKey(k *SearchKey) bool {
	if d.keys++; d.keys > MaxSearchKeys {
		return d.failCode("LIMIT", "too many search keys")
	}
	b, ok := d.peek()
	if ok && b == '(' {
		return d.searchGroup(k)
	}
	if ok && (b == '*' || b == '$' || b >= '0' && b <= '9') {
		k.Op = SearchSeq
		return d.ExpectSeqSet(&k.SeqSet)
	}
	name := string(d.upperName())
	if flag, not, ok := flagKey(name); ok {
		leaf(k, not, SearchKey{Op: SearchFlag, Flag: flag})
		return true
	}
	switch name {
	case "":
		return d.Fail("expected a search key")
	case "ALL":
		k.Op = SearchAll
	case "NEW":
		k.Op = SearchNew
	case "OLD":
		k.Op = SearchOld
	case "RECENT":
		k.Op = SearchRecent
	case "SAVEDATESUPPORTED":
		k.Op = SearchSaveDateSupported
	case "NOT":
		k.Op, k.Keys = SearchNot, make([]SearchKey, 1)
		return d.ExpectSP() && d.nested(func() bool { return d.searchKey(&k.Keys[0]) })
	case "OR":
		k.Op, k.Keys = SearchOr, make([]SearchKey, 2)
		return d.ExpectSP() && d.nested(func() bool {
			return d.searchKey(&k.Keys[0]) && d.ExpectSP() && d.searchKey(&k.Keys[1])
		})
	default:
		return d.searchWithArgument(name, k)
	}
	return true
}

func (d *Decoder) nested(f func() bool) bool {
	if d.depth++; d.depth > MaxDepth {
		return d.Fail("search nested too deep")
	}
	ok := f()
	d.depth--
	return ok
}

func (d *Decoder) searchGroup(k *SearchKey) bool {
	k.Op = SearchAnd
	ok := d.ExpectList(func() bool {
		var sub SearchKey
		if !d.searchKey(&sub) {
			return false
		}
		k.Keys = append(k.Keys, sub)
		return true
	})
	return ok && (len(k.Keys) > 0 || d.Fail("empty search group"))
}

// leaf sets k to a key or to its opposite.
func leaf(k *SearchKey, not bool, key SearchKey) {
	if not {
		*k = SearchKey{Op: SearchNot, Keys: []SearchKey{key}}
		return
	}
	*k = key
}

func flagKey(name string) (flag System, not, ok bool) {
	name, not = strings.CutPrefix(name, "UN")
	switch name {
	case "ANSWERED":
		return Answered, not, true
	case "DELETED":
		return Deleted, not, true
	case "DRAFT":
		return Draft, not, true
	case "FLAGGED":
		return Flagged, not, true
	case "SEEN":
		return Seen, not, true
	}
	return 0, false, false
}

func (d *Decoder) searchWithArgument(name string, k *SearchKey) bool {
	if op, ok := textKey(name); ok {
		k.Op = op
		return d.ExpectSP() && d.ExpectAstring(&k.Text)
	}
	if op, ok := dateKey(name); ok {
		k.Op = op
		return d.ExpectSP() && d.ExpectDate(&k.Date)
	}
	switch name {
	case "KEYWORD", "UNKEYWORD":
		var word string
		if !d.ExpectSP() || !d.expectKeyword(&word) {
			return false
		}
		leaf(k, name == "UNKEYWORD", SearchKey{Op: SearchKeyword, Text: word})
		return true
	case "LARGER", "SMALLER":
		k.Op = SearchLarger
		if name == "SMALLER" {
			k.Op = SearchSmaller
		}
		return d.ExpectSP() && d.ExpectNumber64(&k.Number)
	case "OLDER", "YOUNGER":
		k.Op = SearchOlder
		if name == "YOUNGER" {
			k.Op = SearchYounger
		}
		var n uint32
		if !d.ExpectSP() || !d.ExpectNumber(&n) {
			return false
		}
		if n == 0 {
			return d.Fail("interval must not be zero")
		}
		k.Seconds = min(time.Duration(n)*time.Second, maxWithin)
		return true
	case "HEADER":
		k.Op = SearchHeader
		return d.ExpectSP() && d.ExpectAstring(&k.Field) && d.ExpectSP() && d.ExpectAstring(&k.Text)
	case "UID":
		k.Op = SearchUID
		return d.ExpectSP() && d.ExpectSeqSet(&k.SeqSet)
	case "EMAILID", "THREADID":
		k.Op = SearchEmailID
		if name == "THREADID" {
			k.Op = SearchThreadID
		}
		return d.ExpectSP() && d.ExpectAstring(&k.Text)
	case "MODSEQ":
		k.Op = SearchModSeq
		return d.ExpectSP() && d.searchModSeq(k)
	}
	return d.Fail("unknown search key")
}

// expectKeyword reads a flag-keyword: an atom, in the case it is written.
func (d *Decoder) expectKeyword(s *string) bool {
	*s = string(d.class(isAtom))
	return *s != "" || d.Fail("expected a keyword")
}

// searchModSeq reads [entry-name entry-type] mod-sequence (RFC 7162 §3.1.5).
// Entries have no MODSEQ of their own here, so naming one narrows nothing.
func (d *Decoder) searchModSeq(k *SearchKey) bool {
	var entry string
	if d.Quoted(&entry) {
		if !strings.HasPrefix(strings.ToLower(entry), "/flags/") {
			return d.Fail("unknown MODSEQ entry")
		}
		if !d.ExpectSP() || !d.Word("PRIV") && !d.Word("SHARED") && !d.Word("ALL") {
			return d.Fail("bad MODSEQ entry type")
		}
		if !d.ExpectSP() {
			return false
		}
	}
	return d.ExpectNumber64(&k.Number)
}

func textKey(name string) (SearchOp, bool) {
	switch name {
	case "BCC":
		return SearchBcc, true
	case "BODY":
		return SearchBody, true
	case "CC":
		return SearchCc, true
	case "FROM":
		return SearchFrom, true
	case "SUBJECT":
		return SearchSubject, true
	case "TEXT":
		return SearchText, true
	case "TO":
		return SearchTo, true
	}
	return 0, false
}

func dateKey(name string) (SearchOp, bool) {
	switch name {
	case "BEFORE":
		return SearchBefore, true
	case "ON":
		return SearchOn, true
	case "SINCE":
		return SearchSince, true
	case "SENTBEFORE":
		return SearchSentBefore, true
	case "SENTON":
		return SearchSentOn, true
	case "SENTSINCE":
		return SearchSentSince, true
	case "SAVEDBEFORE":
		return SearchSavedBefore, true
	case "SAVEDON":
		return SearchSavedOn, true
	case "SAVEDSINCE":
		return SearchSavedSince, true
	}
	return 0, false
}

// Walk calls f for the key and all below it.
func (k *SearchKey) Walk(f func(*SearchKey)) {
	f(k)
	for i := range k.Keys {
		k.Keys[i].Walk(f)
	}
}
