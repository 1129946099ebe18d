package imapd

import (
	"strings"

	"github.com/eidermail/eider/internal/imap/memo"
	"github.com/eidermail/eider/internal/imap/order"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// Limit: bytes of what IMAP keeps in memory to sort and search messages by their headers.
const maxSummaries = 24 << 20

// The items of the memo of summaries.
const (
	orderItem = iota
	fieldItem // and the numbers above: one for each of keptFields
)

// keptFields are the header fields whose folded text is kept: those that
// SEARCH has keys for.
var keptFields = [...]string{"From", "To", "Cc", "Bcc", "Subject"}

// summary is something of a message that never changes: what its order depends
// on, or the text of a header field.
type summary struct {
	order *order.Message
	// text is all fields of a name, folded, each after a line end; "" if there are none.
	text string
}

func keptField(name string) (item uint64, ok bool) {
	for i, f := range keptFields {
		if strings.EqualFold(f, name) {
			return fieldItem + uint64(i), true
		}
	}
	return 0, false
}

func (s *session) memoKey(msg mailstore.MsgID, item uint64) memo.Key {
	return memo.Key{Account: uint64(s.acct()), Message: uint64(msg), Item: item}
}

// recall finds a summary, and keeps it from being forgotten.
func (b *backend) recall(k memo.Key) (summary, bool) {
	v, ok, old := b.summaries.Get(k)
	if old {
		b.remember(k, v)
	}
	return v, ok
}

func (b *backend) remember(k memo.Key, v summary) {
	n := len(v.text)
	if m := v.order; m != nil {
		n = 300 + len(m.From) + len(m.To) + len(m.Cc) + len(m.ShownFrom) + len(m.ShownTo) + len(m.Subject) + len(m.ID)
		for _, r := range m.References {
			n += 16 + len(r)
		}
	}
	b.summaries.Put(k, v, n)
}

// foldedFields is the text of all fields of a name in a header.
func foldedFields(head []byte, name string) string {
	var out []byte
	for f := range message.HeaderFields(head) {
		if f.Is(name) {
			out = append(out, '\n')
			out = appendFolded(out, []byte(f.Text()))
		}
	}
	return string(out)
}
