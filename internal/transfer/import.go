package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/transfer/archive"
)

const (
	batchMessages = 128
	batchBytes    = 4 << 20 // of messages that wait for their commit
)

// ImportOptions say where items go.
type ImportOptions struct {
	Store *mailstore.Store
	Spool *spool.Pool
	// Account finds the account that items of an account go to, or makes it; made
	// is "" for one that was there, else its password.
	Account func(context.Context, *archive.Account) (id mailstore.AcctID, made string, err error)
	// Mailbox gets everything, if it is not "".
	Mailbox string
	// Again stores messages that the mailbox has already, too.
	Again        bool
	MessageLimit int64 // bytes; 0: none
}

type importer struct {
	ImportOptions
	ctx   context.Context
	res   Result
	acct  mailstore.AcctID
	name  string // of the account, for people
	box   string // where messages go; "" if nowhere
	accts map[mailstore.AcctID]*into
	*into // the account
	batch []waiting
	bytes int64
}

// into is what is known of an account that items go to: it may come again.
type into struct {
	boxes  map[string]*present
	stored map[string]mailstore.MsgID // by path, what has more copies
}

// waiting is a message on its way into a batch.
type waiting struct {
	mailstore.Incoming
	meta *archive.Message
}

// Import stores items. What cannot be stored is a problem in the result. The
// error says why it ended early; what was stored until then stays.
func Import(ctx context.Context, o ImportOptions, items iter.Seq2[archive.Item, error]) (Result, error) {
	m := &importer{ImportOptions: o, ctx: ctx, accts: map[mailstore.AcctID]*into{}}
	var failed error
	for it, err := range items {
		if err == nil {
			err = m.item(it)
		} else if s := new(archive.Skipped); errors.As(err, &s) {
			m.res.Failed++
			m.res.problem(s.Source, "%v", s.Err)
			continue
		}
		if err != nil {
			failed = err
			break
		}
	}
	if err := m.flush(); failed == nil {
		failed = err
	}
	for _, w := range m.batch {
		w.Message.Close()
	}
	if failed != nil {
		m.res.Broken = failed.Error()
	}
	return m.res, failed
}

func (m *importer) item(it archive.Item) error {
	switch {
	case it.Account != nil:
		return m.account(it.Account)
	case it.Mailbox != nil:
		return m.mailbox(it.Mailbox)
	case it.Message != nil:
		return m.message(it.Message, it.Body)
	}
	return nil
}

// fatal tells whether an import cannot go on after an error of the store.
func fatal(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	switch mailstore.KindOf(err) {
	case mailstore.Transient, mailstore.NoSpace, mailstore.Internal:
		return true
	}
	return false
}

func (m *importer) account(a *archive.Account) error {
	if err := m.flush(); err != nil {
		return err
	}
	m.acct, m.box, m.name = 0, "", string(a.Address)
	id, password, err := m.Account(m.ctx, a)
	m.name = string(a.Address)
	if err != nil {
		m.res.problem(m.name, "no account for it: %v", err)
		if fatal(m.ctx, err) {
			return err
		}
		return nil
	}
	m.acct = id
	if m.into = m.accts[id]; m.into == nil {
		m.into = &into{map[string]*present{}, map[string]mailstore.MsgID{}}
		m.accts[id] = m.into
		m.res.Accounts++
	}
	if password != "" {
		m.res.Made = append(m.res.Made, Made{m.name, password})
	}
	for _, s := range a.Subscriptions {
		if err := m.Store.Subscribe(m.ctx, id, cleanName(string(s)), true); err != nil && fatal(m.ctx, err) {
			return err
		}
	}
	if m.Mailbox != "" {
		return m.open(m.Mailbox, "", false)
	}
	return nil
}

func (m *importer) mailbox(b *archive.Mailbox) error {
	if m.acct == 0 || m.Mailbox != "" {
		return nil
	}
	return m.open(cleanName(string(b.Name)), b.SpecialUse, b.Subscribed)
}

// open makes the mailbox that messages go to from here on, if it is not there.
func (m *importer) open(name, use string, subscribed bool) error {
	if err := m.flush(); err != nil {
		return err
	}
	m.box = ""
	box, err := m.Store.CreateMailbox(m.ctx, m.acct, name, use)
	if mailstore.KindOf(err) == mailstore.Exist {
		box, err = m.Store.Mailbox(m.ctx, m.acct, name)
	}
	if err != nil {
		m.res.problem(m.name+" "+name, "the mailbox cannot be made: %v", err)
		if fatal(m.ctx, err) {
			return err
		}
		return nil
	}
	if subscribed && !box.Subscribed {
		if err := m.Store.Subscribe(m.ctx, m.acct, name, true); err != nil && fatal(m.ctx, err) {
			return err
		}
	}
	m.box = name
	if m.boxes[name] == nil {
		m.res.Mailboxes++
		m.boxes[name], err = m.present(box)
	}
	return err
}

// cleanName makes a name that a mailbox can have of one from elsewhere.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, s)
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '/' })
	s = strings.Join(parts, "/")
	for len(s) > mailstore.MaxMailboxName {
		_, n := utf8.DecodeLastRuneInString(s)
		s = strings.TrimRight(s[:len(s)-n], "/")
	}
	if s == "" {
		return "INBOX"
	}
	return s
}

// where names a message for people.
func (m *importer) where(x *archive.Message) string {
	if x.Source != "" {
		return string(x.Source)
	}
	return fmt.Sprintf("%s %s UID %d", m.name, x.Folder, x.UID)
}

func (m *importer) fail(x *archive.Message, format string, args ...any) error {
	m.res.Failed++
	m.res.problem(m.where(x), format, args...)
	return nil
}

// message spools a message and puts it into the batch.
func (m *importer) message(x *archive.Message, body io.Reader) error {
	switch {
	case x.Error != "":
		return m.fail(x, "%s", x.Error)
	case m.acct == 0 || m.box == "":
		return m.fail(x, "there is no mailbox for it")
	case x.SameAs != "":
		return m.again(x)
	case m.MessageLimit > 0 && x.Size > m.MessageLimit:
		return m.fail(x, "%d bytes are more than a message may have, %d (--message-limit)", x.Size, m.MessageLimit)
	}
	if sum, err := hex.DecodeString(x.SHA256); err == nil && len(sum) == sha256.Size && m.has(x, [32]byte(sum)) {
		return nil
	}
	msg := m.Spool.Message()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(msg, h), body)
	sum := [32]byte(h.Sum(nil))
	switch {
	case err != nil && m.ctx.Err() == nil && n < x.Size:
		err = m.fail(x, "its bytes cannot be read: %v", err)
	case err != nil:
	case x.SHA256 != "" && x.SHA256 != hex.EncodeToString(sum[:]):
		err = m.fail(x, "its bytes are not those that its checksum is of")
	case x.SHA256 == "" && m.has(x, sum):
	default:
		return m.enqueue(x, msg)
	}
	msg.Close()
	return err
}

func (m *importer) deposit(x *archive.Message) mailstore.Deposit {
	return mailstore.Deposit{Mailbox: m.box, Flags: flagsOf(x.Flags), Keywords: m.keywords(x),
		InternalDate: x.InternalDate, SaveDate: x.SaveDate, Envelope: fromArchive(x.Envelope)}
}

// keywords are those that a message can have here; the others are a problem.
func (m *importer) keywords(x *archive.Message) []string {
	var out []string
	for _, k := range x.Keywords {
		if k == "" || len(k) > mailstore.MaxKeyword || len(out) == mailstore.MaxKeywords || strings.ContainsFunc(k, notAtom) {
			m.res.problem(m.where(x), "without the keyword %q, which cannot be one here", k)
			continue
		}
		out = append(out, k)
	}
	return out
}

// notAtom: what no keyword has in it (RFC 9051 §9, flag-keyword).
func notAtom(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r) }

func (m *importer) enqueue(x *archive.Message, msg *spool.Message) error {
	in := mailstore.Incoming{Deposit: m.deposit(x), Message: msg}
	m.batch = append(m.batch, waiting{in, x})
	if m.bytes += msg.Size(); len(m.batch) < batchMessages && m.bytes < batchBytes && x.Copies <= 1 {
		return nil
	}
	return m.flush()
}

// flush stores the messages that wait.
func (m *importer) flush() error {
	if len(m.batch) == 0 {
		return nil
	}
	in := make([]mailstore.Incoming, len(m.batch))
	for i, w := range m.batch {
		in[i] = w.Incoming
	}
	var failed error
	for i, out := range m.Store.DepositMany(m.ctx, m.acct, in) {
		w := m.batch[i]
		switch size := w.Message.Size(); {
		case out.Err == nil:
			m.res.Messages++
			m.res.Bytes += size
			if w.meta.Copies > 1 {
				m.stored[w.meta.Path] = out.Msg
			}
		case fatal(m.ctx, out.Err):
			failed = out.Err
		default:
			_ = m.fail(w.meta, "%s", reason(out.Err))
		}
		w.Message.Close()
	}
	m.batch, m.bytes = m.batch[:0], 0
	return failed
}

// reason says to a person why a message was not stored.
func reason(err error) string {
	switch mailstore.KindOf(err) {
	case mailstore.Quota:
		return "the account is full (--account-quota, --account-messages)"
	case mailstore.TooLarge:
		return "larger than a message may be (--message-limit)"
	}
	return err.Error()
}

// again puts a message that was stored already into one more mailbox.
func (m *importer) again(x *archive.Message) error {
	if sum, err := hex.DecodeString(x.SHA256); err == nil && len(sum) == sha256.Size && m.has(x, [32]byte(sum)) {
		return nil
	}
	msg, ok := m.stored[x.SameAs]
	if !ok {
		return m.fail(x, "its first copy, %s, was not stored", x.SameAs)
	}
	if err := m.flush(); err != nil {
		return err
	}
	_, err := m.Store.DepositAgain(m.ctx, m.acct, msg, m.deposit(x))
	if err == nil {
		m.res.Messages++
		return nil
	}
	if fatal(m.ctx, err) {
		return err
	}
	return m.fail(x, "%s", reason(err))
}
