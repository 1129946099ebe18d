package web

import (
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/message/codes"
)

// Limit: messages that one search looks at; it then offers to go on.
const MaxSearched = 5000

// Limit: the time that one search may take; it then offers to go on.
const SearchBudget = time.Second

// searchPage is how many rows are read at once.
const searchPage = 250

// term is one condition of a search.
type term struct {
	field string // "", from, to, subject, is, has
	text  string // lower case
	not   bool
}

// parseQuery reads words, "quoted words", field:value, each with a - before it
// to exclude. bad names the first thing that makes no sense.
func parseQuery(q string) (terms []term, bad string) {
	for rest := strings.TrimSpace(q); rest != ""; rest = strings.TrimSpace(rest) {
		var t term
		if t.not = strings.HasPrefix(rest, "-") && len(rest) > 1; t.not {
			rest = rest[1:]
		}
		head, _, _ := strings.Cut(rest, " ")
		if f, _, ok := strings.Cut(head, ":"); ok && fieldName(f) {
			t.field, rest = strings.ToLower(f), rest[len(f)+1:]
		}
		if strings.HasPrefix(rest, `"`) {
			text, after, _ := strings.Cut(rest[1:], `"`)
			t.text, rest = text, after
		} else {
			t.text, rest, _ = strings.Cut(rest, " ")
		}
		t.text = strings.ToLower(strings.TrimSpace(t.text))
		if !t.known() && bad == "" {
			bad = "“" + t.field + ":" + t.text + "” is not known. Try is:unread, is:flagged or has:attachment."
			continue
		}
		if t.text != "" {
			terms = append(terms, t)
		}
	}
	return terms, bad
}

func fieldName(s string) bool {
	switch strings.ToLower(s) {
	case "from", "to", "subject", "is", "has":
		return true
	}
	return false
}

func (t term) known() bool {
	switch t.field {
	case "is":
		return t.text == "unread" || t.text == "read" || t.text == "flagged"
	case "has":
		return strings.HasPrefix(t.text, "attach") || t.text == "file" || t.text == "code"
	}
	return true
}

// byEntry decides by the row alone, where it can.
func (t term) byEntry(e *mailstore.Entry) (is, known bool) {
	if t.field != "is" {
		return false, false
	}
	switch t.text {
	case "unread":
		return e.Flags&mailstore.Seen == 0, true
	case "read":
		return e.Flags&mailstore.Seen != 0, true
	}
	return e.Flags&mailstore.Flagged != 0, true
}

func (t term) byInfo(i *mailstore.Info) bool {
	env := &i.Index.Envelope
	in := func(s string) bool { return strings.Contains(strings.ToLower(s), t.text) }
	inPeople := func(list []message.Address) bool {
		for _, p := range people(list) {
			if in(p.Addr) || in(p.Name) {
				return true
			}
		}
		return false
	}
	inTo := func() bool {
		for _, a := range i.Envelope.To {
			if in(a) {
				return true
			}
		}
		return inPeople(env.To) || inPeople(env.Cc) || inPeople(env.Bcc)
	}
	subject := func() bool { return in(message.DecodeHeader(env.Subject)) }
	switch t.field {
	case "from":
		return inPeople(env.From) || in(i.Envelope.From)
	case "to":
		return inTo()
	case "subject":
		return subject()
	case "has":
		if t.text == "code" {
			return len(codes.Find(message.DecodeHeader(env.Subject), i.Index.Preview)) > 0
		}
		return len(i.Index.Attachments) > 0
	}
	return subject() || inPeople(env.From) || inTo() || in(i.Index.Preview)
}

// search walks the mailbox from the newest row down, until a screen is full or
// it has looked long enough.
func (s *Site) search(c *call, v view) (found, error) {
	terms, bad := parseQuery(v.query)
	f := found{bad: bad}
	if bad != "" || len(terms) == 0 {
		return f, nil
	}
	stop := s.o.Now().Add(SearchBudget)
	to := mailstore.UID(0)
	if v.before != 0 {
		to = v.before - 1
	}
	for to != 0 || v.before == 0 && f.scanned == 0 {
		es, err := s.o.Store.Entries(c.ctx, c.id.Acct, v.box.ID, mailstore.Rows{To: to, Reverse: true, Limit: searchPage})
		if err != nil || len(es) == 0 {
			f.scanned = 0
			return f, err
		}
		full, err := s.sift(c, terms, es, &f)
		if err != nil || full {
			return f, err
		}
		last := es[len(es)-1].UID
		f.scanned += len(es)
		if len(es) < searchPage || last == 1 {
			break
		}
		if f.scanned >= MaxSearched || s.o.Now().After(stop) {
			f.older = last
			return f, nil
		}
		to = last - 1
	}
	f.scanned = 0
	return f, nil
}

// sift adds the rows that match; it tells when the screen is full.
func (s *Site) sift(c *call, terms []term, es []mailstore.Entry, f *found) (full bool, err error) {
	var left []mailstore.Entry
	for i := range es {
		if matchEntry(terms, &es[i]) {
			left = append(left, es[i])
		}
	}
	left, infos, err := s.infos(c, left)
	if err != nil {
		return false, err
	}
	for i := range left {
		if !matchInfo(terms, &infos[i]) {
			continue
		}
		if len(f.entries) == ChunkRows {
			f.older = f.entries[ChunkRows-1].UID
			return true, nil
		}
		f.entries, f.infos = append(f.entries, left[i]), append(f.infos, infos[i])
	}
	return false, nil
}

func matchEntry(terms []term, e *mailstore.Entry) bool {
	for _, t := range terms {
		if is, known := t.byEntry(e); known && is == t.not {
			return false
		}
	}
	return true
}

func matchInfo(terms []term, i *mailstore.Info) bool {
	for _, t := range terms {
		if t.field != "is" && t.byInfo(i) == t.not {
			return false
		}
	}
	return true
}
