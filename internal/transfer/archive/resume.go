package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Limit: bytes of what an export must know of a cut archive to go on with it:
// names of accounts and mailboxes, paths of messages in several, and 64 for each.
const MaxHave = 64 << 20

// ErrTooMuch: an export cannot go on with a cut archive.
var ErrTooMuch = errors.New("the archive that was cut has too many mailboxes for an export to go on with it")

// Have is what a cut archive holds. The messages of a mailbox come in the order
// of their UIDs, so that the highest says which are there.
type Have struct {
	Head     Head              `json:"head"`
	Accounts map[string]*Begun `json:"accounts"` // by AccountKey
	Numbers  int               `json:"numbers"`  // that accounts have taken
	Messages int64             `json:"messages"`
	Bytes    int64             `json:"bytes"`
	Failed   int64             `json:"-"` // messages that could not be read
	End      int64             `json:"-"` // of the last whole item
}

// Begun is what it holds of one account.
type Begun struct {
	UIDs  map[string]uint32 `json:"uids"`  // the highest of each mailbox, by MailboxKey
	Paths map[uint64]string `json:"paths"` // of messages in several mailboxes, by Message.Msg
}

// AccountKey is what says that it is the same account: one that was made anew is not.
func AccountKey(a *Account) string { return fmt.Sprintf("%+q %d", a.Address, a.Created.Unix()) }

// MailboxKey is what says that UIDs of an account's mailbox are those of before
// (RFC 9051 §2.3.1.1).
func MailboxKey(b *Mailbox) string { return fmt.Sprintf("%+q %d", b.Name, b.UIDValidity) }

// scanning is one reading of a cut archive.
type scanning struct {
	*Have
	acct   *Begun
	box    string // its key; "" if none
	weight int
}

// Scan reads an archive that was cut up to the first part that is not whole, or
// to its end. It gives nil for an empty file, and an error for what is no archive.
func Scan(ctx context.Context, r io.Reader) (*Have, error) {
	in, s := &counter{r: r}, &scanning{Have: &Have{Accounts: map[string]*Begun{}}}
	for it, err := range Read(in) {
		whole := err == nil && s.item(it)
		switch {
		case in.err != nil:
			return nil, in.err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case s.weight > MaxHave:
			return nil, ErrTooMuch
		case errors.Is(err, ErrVersion):
			return nil, err
		}
		if !whole {
			break
		}
		s.End = (in.n + tarBlock - 1) / tarBlock * tarBlock
	}
	switch {
	case s.End > 0:
		return s.Have, nil
	case in.n > 0:
		return nil, ErrNotArchive
	}
	return nil, nil
}

// tarBlock: files in a tar begin at multiples of it.
const tarBlock = 512

// item notes an item, and tells whether it is whole.
func (s *scanning) item(it Item) bool {
	switch {
	case it.Head != nil:
		s.Head = *it.Head
		return s.End == 0
	case it.Account != nil:
		s.account(AccountKey(it.Account))
		return true
	case it.Mailbox != nil && s.acct != nil:
		s.mailbox(MailboxKey(it.Mailbox))
		return true
	case it.Message != nil && s.box != "":
		return s.message(it.Message, it.Body)
	}
	return false
}

func (s *scanning) account(key string) {
	s.Numbers++
	s.box = ""
	if s.acct = s.Accounts[key]; s.acct == nil {
		s.acct = &Begun{UIDs: map[string]uint32{}, Paths: map[uint64]string{}}
		s.Accounts[key] = s.acct
		s.weight += len(key) + 64
	}
}

func (s *scanning) mailbox(key string) {
	s.box = key
	if _, ok := s.acct.UIDs[key]; !ok {
		s.acct.UIDs[key] = 0
		s.weight += len(key) + 64
	}
}

func (s *scanning) message(m *Message, body io.Reader) bool {
	if body != nil {
		h := sha256.New()
		if _, err := io.Copy(h, body); err != nil || m.SHA256 != hex.EncodeToString(h.Sum(nil)) {
			return false
		}
		s.Bytes += m.Size
		if m.Msg != 0 && m.Copies > 1 {
			s.acct.Paths[m.Msg] = m.Path
			s.weight += len(m.Path) + 64
		}
	}
	if m.Error != "" {
		s.Failed++
	} else {
		s.Messages++
	}
	s.acct.UIDs[s.box] = max(s.acct.UIDs[s.box], m.UID)
	return true
}

// counter counts what is read, and keeps why no more could be.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// Continue makes a new Writer go on behind what a cut archive has, without a Head.
func (w *Writer) Continue(h *Have) {
	w.account, w.when, w.total = h.Numbers, h.Head.Created, end{h.Messages, h.Bytes}
}
