package imapd

import (
	"context"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// fetching is one FETCH.
type fetching struct {
	s     *session
	o     imap.FetchOptions
	yield func(*imap.Message) error
	seen  map[mailstore.UID]bool // \Seen was set by this FETCH
	first error                  // of a message that could not be read; the others were
	ahead ahead
	// messages are those of the group at hand.
	messages []imap.Message
}

// Fetch yields the messages of uids (RFC 9051 §6.4.5).
func (s *session) Fetch(ctx context.Context, uids imapwire.Set, o imap.FetchOptions, yield func(*imap.Message) error,
) error {
	f := &fetching{s: s, o: o, yield: yield, ahead: ahead{s: s}}
	if o.HasChangedSince {
		narrowed, err := s.changedSince(ctx, uids, o.ChangedSince)
		if err != nil {
			return err
		}
		uids = narrowed
		if uids.Empty() {
			return nil
		}
	}
	err := s.rows(ctx, uids, func(rows []mailstore.Entry) error { return f.batch(ctx, rows) })
	if err != nil {
		return err
	}
	return f.first
}

// changedSince narrows uids by the change log, so that a client that knows
// nearly all costs nearly nothing (RFC 7162 §3.1.4). What the log does not
// reach is left to the rows themselves.
func (s *session) changedSince(ctx context.Context, uids imapwire.Set, since uint64) (imapwire.Set, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	ch, err := s.store.Changes(ctx, s.acct(), s.sel.id, s.sel.epoch, mailstore.ModSeq(since))
	if err != nil {
		return nil, s.refusal(err)
	}
	if ch.Resync || ch.Gone {
		return uids, nil
	}
	var touched imapwire.Builder
	for i := range ch.Changed {
		touched.Add(uint32(ch.Changed[i].UID))
	}
	return uids.Intersect(touched.Set()), nil
}

// batch yields a batch of rows.
func (f *fetching) batch(ctx context.Context, rows []mailstore.Entry) error {
	if f.o.HasChangedSince {
		rows = slices.DeleteFunc(rows, func(e mailstore.Entry) bool { return uint64(e.ModSeq) <= f.o.ChangedSince })
	}
	if f.o.MarkSeen {
		f.markSeen(ctx, rows)
	}
	if !f.o.Index && !f.o.Content {
		return f.group(ctx, rows)
	}
	for group := range slices.Chunk(rows, infoBatch) {
		if err := f.group(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// markSeen sets \Seen on those that do not have it, in one go. When that
// cannot be done the messages are still shown.
func (f *fetching) markSeen(ctx context.Context, rows []mailstore.Entry) {
	var unseen []mailstore.UID
	for i := range rows {
		if rows[i].Flags&mailstore.Seen == 0 {
			unseen = append(unseen, rows[i].UID)
		}
	}
	if len(unseen) == 0 {
		return
	}
	ctx, cancel := f.s.budget(ctx)
	defer cancel()
	f.s.sel.dirty = true
	done, err := f.s.store.SetFlags(ctx, f.s.acct(), f.s.sel.id, unseen,
		mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Seen})
	if err != nil {
		f.s.b.o.Log.Warn("messages could not be marked seen", "err", err)
	}
	f.seen = make(map[mailstore.UID]bool, len(done.Changed))
	changed := done.Changed
	for i := range rows {
		for len(changed) > 0 && changed[0].UID < rows[i].UID {
			changed = changed[1:]
		}
		if len(changed) > 0 && changed[0].UID == rows[i].UID {
			rows[i] = changed[0]
			f.seen[rows[i].UID] = true
		}
	}
}

func (s *session) infos(ctx context.Context, rows []mailstore.Entry) ([]mailstore.Info, error) {
	ctx, cancel := s.budget(ctx)
	defer cancel()
	msgs := make([]mailstore.MsgID, len(rows))
	for i := range rows {
		msgs[i] = rows[i].Msg
	}
	infos, err := s.store.Infos(ctx, s.acct(), msgs...)
	return infos, s.refusal(err)
}

// group yields rows with what belongs to them.
func (f *fetching) group(ctx context.Context, rows []mailstore.Entry) error {
	f.ahead.forget()
	if f.o.Prepare == nil && !f.o.Index {
		var m imap.Message
		for i := range rows {
			f.ahead.want(&rows[i])
		}
		for i := range rows {
			f.fill(&m, &rows[i])
			if err := f.one(ctx, &m, rows[i].Msg); err != nil {
				return err
			}
		}
		return nil
	}
	if f.messages == nil {
		f.messages = make([]imap.Message, infoBatch)
	}
	var wanted []mailstore.Entry // those whose index is needed
	for i := range rows {
		m := &f.messages[i]
		f.fill(m, &rows[i])
		if f.o.Prepare != nil {
			f.o.Prepare(m)
		}
		if f.o.Index && !m.SkipIndex {
			wanted = append(wanted, rows[i])
		}
		if f.o.Content && !m.SkipContent {
			f.ahead.want(&rows[i])
		}
	}
	var infos []mailstore.Info
	if len(wanted) > 0 {
		var err error
		if infos, err = f.s.infos(ctx, wanted); err != nil {
			return err
		}
	}
	for i := range rows {
		m := &f.messages[i]
		if f.o.Index && !m.SkipIndex {
			info := &infos[0]
			infos = infos[1:]
			if info.Msg == 0 {
				continue // expunged between two reads
			}
			m.Index, m.ThreadID = &info.Index, info.ThreadID
		}
		if err := f.one(ctx, m, rows[i].Msg); err != nil {
			return err
		}
	}
	return nil
}

// fill starts a message with what stands in its row.
func (f *fetching) fill(m *imap.Message, e *mailstore.Entry) {
	*m = imap.Message{
		Key: imap.MessageKey{Account: uint64(f.s.acct()), Message: uint64(e.Msg)},
		UID: uint32(e.UID), Flags: flags(e), ModSeq: uint64(e.ModSeq), InternalDate: e.InternalDate,
		SaveDate: e.SaveDate, Size: e.Size, MarkedSeen: f.seen[e.UID],
	}
	if f.o.EmailID {
		m.EmailID = mailstore.EmailID(f.s.acct(), e.Msg)
	}
}

// one yields one message, with its content open if that is wanted.
func (f *fetching) one(ctx context.Context, m *imap.Message, msg mailstore.MsgID) error {
	if !f.o.Content || m.SkipContent {
		return f.yield(m)
	}
	c, err := f.ahead.open(ctx, msg)
	if gone(err) {
		return nil
	}
	if err != nil {
		if f.first == nil {
			f.first = f.s.refusal(err)
		}
		return nil
	}
	defer c.Close()
	m.Content = c
	return f.yield(m)
}

// content is an open message whose every read has the budget of a command: a
// client may take its time over a large message, the store may not.
type content struct {
	mailstore.Content
	budget time.Duration
	timer  *time.Timer
	cancel context.CancelFunc
}

func (s *session) open(ctx context.Context, msg mailstore.MsgID) (mailstore.Content, error) {
	return s.opening(ctx, func(ctx context.Context) (mailstore.Content, error) {
		return s.store.Content(ctx, s.acct(), msg)
	})
}

// opening opens a message within the budget, in a context that lasts as long as it is open.
func (s *session) opening(ctx context.Context, open func(context.Context) (mailstore.Content, error),
) (mailstore.Content, error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(s.b.o.CommandBudget, cancel)
	c, err := open(ctx)
	timer.Stop()
	if err != nil {
		cancel()
		return nil, err
	}
	return &content{c, s.b.o.CommandBudget, timer, cancel}, nil
}

// ReadAt reads within the budget.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	c.timer.Reset(c.budget)
	defer c.timer.Stop()
	return c.Content.ReadAt(p, off)
}

// Close closes the message.
func (c *content) Close() error {
	c.timer.Stop()
	c.cancel()
	return c.Content.Close()
}
