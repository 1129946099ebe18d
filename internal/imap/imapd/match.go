package imapd

import (
	"slices"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// verdict is what is known of a message and a key.
type verdict int8

const (
	no verdict = iota
	yes
	unknown // a later step will tell
)

func is(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// step is how closely a message is looked at.
type step int8

const (
	byRow step = iota
	byIndex
	byContent
)

// stepOf is the step that decides a key.
func stepOf(op imapwire.SearchOp) step {
	switch op {
	case imapwire.SearchSentBefore, imapwire.SearchSentOn, imapwire.SearchSentSince, imapwire.SearchThreadID:
		return byIndex
	case imapwire.SearchHeader, imapwire.SearchBcc, imapwire.SearchCc, imapwire.SearchFrom,
		imapwire.SearchSubject, imapwire.SearchTo, imapwire.SearchBody, imapwire.SearchText:
		return byContent
	}
	return byRow
}

// needsIndex tells whether deciding a key needs the index: header fields are
// found without, the parts of a body are not.
func needsIndex(op imapwire.SearchOp) bool {
	return stepOf(op) == byIndex || op == imapwire.SearchBody || op == imapwire.SearchText
}

// matcher decides keys for one message at a time.
type matcher struct {
	s    *session
	acct mailstore.AcctID
	now  time.Time

	step    step
	entry   *mailstore.Entry
	info    *mailstore.Info
	content mailstore.Content
	err     error // of reading the content
	text    texts
}

// prepare gets the texts of a search ready.
func (m *matcher) prepare(key *imapwire.SearchKey) {
	key.Walk(func(k *imapwire.SearchKey) {
		if k.Op >= imapwire.SearchHeader && k.Op <= imapwire.SearchText {
			k.Text = foldString(k.Text)
			if k.Op == imapwire.SearchBody || k.Op == imapwire.SearchText {
				m.text.want(k.Text)
			}
		}
	})
}

// at turns to a message.
func (m *matcher) at(s step, e *mailstore.Entry) {
	m.step, m.entry, m.info, m.content = s, e, nil, nil
	m.text.forget()
}

// eval decides a key as far as the step allows.
func (m *matcher) eval(k *imapwire.SearchKey) verdict {
	switch k.Op {
	case imapwire.SearchAnd:
		v := yes
		for i := range k.Keys {
			switch m.eval(&k.Keys[i]) {
			case no:
				return no
			case unknown:
				v = unknown
			}
		}
		return v
	case imapwire.SearchOr:
		v := no
		for i := range k.Keys {
			switch m.eval(&k.Keys[i]) {
			case yes:
				return yes
			case unknown:
				v = unknown
			}
		}
		return v
	case imapwire.SearchNot:
		switch m.eval(&k.Keys[0]) {
		case yes:
			return no
		case no:
			return yes
		}
		return unknown
	}
	if stepOf(k.Op) > m.step || m.err != nil {
		if fieldOf(k) != "" {
			return m.remembered(k)
		}
		return unknown
	}
	switch stepOf(k.Op) {
	case byIndex:
		return m.evalIndex(k)
	case byContent:
		return is(m.evalContent(k))
	}
	return is(m.evalRow(k))
}

// remembered decides a key on a header field whose text is kept.
func (m *matcher) remembered(k *imapwire.SearchKey) verdict {
	item, ok := keptField(fieldOf(k))
	if !ok {
		return unknown
	}
	v, ok := m.s.b.recall(m.s.memoKey(m.entry.Msg, item))
	if !ok {
		return unknown
	}
	return is(v.text != "" && strings.Contains(v.text, k.Text))
}

// fieldOf is the header field that a key looks at, "" if it does not.
func fieldOf(k *imapwire.SearchKey) string {
	switch k.Op {
	case imapwire.SearchHeader:
		return k.Field
	case imapwire.SearchBcc:
		return "Bcc"
	case imapwire.SearchCc:
		return "Cc"
	case imapwire.SearchFrom:
		return "From"
	case imapwire.SearchSubject:
		return "Subject"
	case imapwire.SearchTo:
		return "To"
	}
	return ""
}

// evalRow decides keys on what stands in a mailbox's row.
func (m *matcher) evalRow(k *imapwire.SearchKey) bool {
	e := m.entry
	switch k.Op {
	case imapwire.SearchAll, imapwire.SearchSaveDateSupported:
		return true
	case imapwire.SearchUID:
		return k.Set.Contains(uint32(e.UID))
	case imapwire.SearchFlag:
		return e.Flags&stored(k.Flag) != 0
	case imapwire.SearchKeyword:
		return slices.ContainsFunc(e.Keywords, func(w string) bool { return strings.EqualFold(w, k.Text) })
	case imapwire.SearchBefore, imapwire.SearchOn, imapwire.SearchSince:
		return byDate(k.Op-imapwire.SearchBefore, e.InternalDate, k.Date)
	case imapwire.SearchSavedBefore, imapwire.SearchSavedOn, imapwire.SearchSavedSince:
		return byDate(k.Op-imapwire.SearchSavedBefore, e.SaveDate, k.Date)
	case imapwire.SearchOlder:
		return !e.InternalDate.After(m.now.Add(-k.Seconds))
	case imapwire.SearchYounger:
		return !e.InternalDate.Before(m.now.Add(-k.Seconds))
	case imapwire.SearchLarger:
		return uint64(e.Size) > k.Number
	case imapwire.SearchSmaller:
		return uint64(e.Size) < k.Number
	case imapwire.SearchModSeq:
		return uint64(e.ModSeq) >= k.Number
	case imapwire.SearchEmailID:
		return mailstore.EmailID(m.acct, e.Msg) == k.Text
	}
	return false
}

// byDate compares days, disregarding time and zone (RFC 9051 §6.4.4); op is 0
// for before, 1 for on, 2 for since.
func byDate(op imapwire.SearchOp, t, day time.Time) bool {
	y, mon, d := t.Date()
	c := time.Date(y, mon, d, 0, 0, 0, 0, time.UTC).Compare(day)
	switch op {
	case 0:
		return c < 0
	case 1:
		return c == 0
	}
	return c >= 0
}

func (m *matcher) evalIndex(k *imapwire.SearchKey) verdict {
	if m.info == nil {
		return unknown
	}
	if k.Op == imapwire.SearchThreadID {
		return is(m.info.ThreadID == k.Text)
	}
	// The day as the sender wrote it, not as it was in Greenwich.
	sent, ok := message.ParseDate(m.info.Index.Envelope.Date)
	return is(ok && byDate(k.Op-imapwire.SearchSentBefore, sent, k.Date))
}

// evalContent decides keys on the text of a message.
func (m *matcher) evalContent(k *imapwire.SearchKey) bool {
	switch {
	case fieldOf(k) != "" || k.Op == imapwire.SearchHeader:
		return m.header(fieldOf(k), k.Text)
	case k.Op == imapwire.SearchBody:
		return m.body(k.Text, false)
	}
	return m.body(k.Text, true)
}

// header tells whether a field of the header holds a text; an empty text asks
// whether there is such a field (RFC 9051 §6.4.4).
func (m *matcher) header(name, text string) bool {
	head, err := m.text.header(m.content)
	if err != nil {
		m.err = err
		return false
	}
	folded := foldedFields(head, name)
	if item, ok := keptField(name); ok {
		m.s.b.remember(m.s.memoKey(m.entry.Msg, item), summary{text: folded})
	}
	return folded != "" && strings.Contains(folded, text)
}

// body tells whether the body, or with headers the headers too, hold a text.
func (m *matcher) body(text string, headers bool) bool {
	if text == "" {
		return true
	}
	if m.info == nil {
		return false
	}
	found, err := m.text.search(m.content, m.info.Index.Root)
	if err != nil {
		m.err = err
		return false
	}
	return found.body[text] || headers && found.head[text]
}
