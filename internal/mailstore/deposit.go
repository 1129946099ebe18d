package mailstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/body"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/spool"
)

// delivery is one message on its way into one or more accounts: all that can
// be made ready before the guards are held.
type delivery struct {
	Deposit
	size     int64
	crc      uint32
	body     *body.Body
	staged   time.Time // when the body's parts were looked up; zero: not yet
	index    []byte    // encoded; nil if too large
	envelope []byte
	hashes   []uint64 // see row.ThreadHashes
	// passed is before which message nothing more can be dropped, by account.
	passed map[AcctID]uint64
}

// Deposit stores one message in every account, all or none, in one commit:
// len(ids) <= MaxTxAccounts. The spooled message is read, not consumed.
// Kinds: NotExist, Quota, TooLarge, Transient, NoSpace.
func (s *Store) Deposit(ctx context.Context, ids []AcctID, d Deposit, m *spool.Message) ([]Deposited, error) {
	const name = "deposit"
	if len(ids) == 0 || len(ids) > MaxTxAccounts {
		return nil, wrap(name, fail(Limit, "%d accounts", len(ids)))
	}
	accts := slices.Clone(ids)
	slices.Sort(accts)
	accts = slices.Compact(accts)
	v, err := s.prepare(d, m, accts, len(accts))
	if err != nil {
		return nil, wrap(name, err)
	}
	for tries := 0; ; tries++ {
		if err := s.stage(ctx, v); err != nil {
			return nil, err
		}
		done, err := s.commit(ctx, accts, v)
		var full *fullError
		switch {
		case errors.As(err, &full) && tries < MaxTxAccounts*2:
			// More must go than fits in one commit with the message.
			passed, err := s.makeRoom(ctx, full.acct, v.size)
			if err != nil {
				return nil, err
			}
			maps.Copy(passed, v.passed)
			v.passed = passed
		case errors.Is(err, blob.ErrStale) && tries < staleTries:
			v.staged = time.Time{}
		case err != nil:
			return nil, err
		default:
			return inOrder(ids, done), nil
		}
	}
}

// inOrder puts results in the order in which the accounts were given.
func inOrder(ids []AcctID, done []Deposited) []Deposited {
	out := make([]Deposited, len(ids))
	for i, id := range ids {
		j, _ := slices.BinarySearchFunc(done, id, func(d Deposited, id AcctID) int {
			return cmp.Compare(d.Acct, id)
		})
		out[i] = done[j]
	}
	return out
}

// prepare checks and indexes a message for accounts, and takes it apart. It
// goes into one commit with as many copies or others as share says.
func (s *Store) prepare(d Deposit, m *spool.Message, accounts []AcctID, share int) (*delivery, error) {
	size := int64(len(d.Prepend)) + m.Size()
	if s.maxSize > 0 && m.Size() > s.maxSize {
		return nil, fail(TooLarge, "message of %d bytes", m.Size())
	}
	if len(d.Prepend) > MaxPrepend {
		return nil, fail(Invalid, "%d bytes of prepended header", len(d.Prepend))
	}
	var err error
	if d.Keywords, err = cleanKeywords(d.Keywords); err != nil {
		return nil, err
	}
	v := &delivery{Deposit: d, size: size}
	if d.Envelope.Received.IsZero() {
		d.Envelope.Received = s.now()
	}
	env := row.Envelope(d.Envelope).Trim(MaxStoredRecipients, MaxEnvelopeText)
	v.envelope = env.Append(make([]byte, 0, 128))
	ix := message.NewIndexer(message.Limits{})
	crc := row.NewChecksum()
	both := io.MultiWriter(ix, crc)
	_, _ = both.Write(d.Prepend)
	if b := m.Bytes(); b != nil {
		_, _ = both.Write(b)
	} else if _, err := io.Copy(both, m.Reader()); err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	v.crc = crc.Sum32()
	x := ix.Index()
	v.index = row.AppendIndex(make([]byte, 0, 1024), x)
	if len(v.index) > min(MaxIndex, MaxIndexAll/share) {
		v.index = nil
	}
	v.hashes = row.ThreadHashes(x, maxThreadHashes)
	v.body, err = s.bodies.Make(&body.Source{ReaderAt: body.Joined(d.Prepend, m), Size: size, CRC: v.crc, Index: x,
		Scope: s.scope(accounts), RowBytes: MaxInlineAll / share})
	return v, err
}

// stage sees to it that the body's shared parts are there.
func (s *Store) stage(ctx context.Context, v *delivery) error {
	if len(v.body.Parts) == 0 || !v.staged.IsZero() {
		return nil
	}
	return s.try(ctx, "deposit", func() error {
		st, err := s.blobs.Stage(ctx, v.body.Parts)
		if err == nil {
			v.staged = st.At
			s.stored.Staged(&st)
		}
		return err
	})
}

// commit stores a message that is ready in all accounts: one Update over all heads.
func (s *Store) commit(ctx context.Context, accts []AcctID, v *delivery) ([]Deposited, error) {
	guards := make([][]byte, 0, len(accts))
	for _, id := range accts {
		guards = append(guards, row.Head(uint64(id)))
	}
	done := make([]Deposited, len(accts))
	err := s.try(ctx, "deposit", func() error {
		return s.kv.Update(ctx, guards, func(tx kv.Tx) error {
			for i, id := range accts {
				o, err := s.begin(ctx, tx, i, id)
				if err != nil {
					return err
				}
				if done[i], err = o.deliver(v); err != nil {
					return err
				}
				if err := o.finish(); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	s.stored.Stored(v.body, v.size, len(accts))
	for _, d := range done {
		s.publish(ctx, uint64(d.Acct), uint64(d.ModSeq))
	}
	return done, nil
}

// deliver puts a message into the account.
func (o *op) deliver(v *delivery) (Deposited, error) {
	if len(v.body.Parts) > 0 {
		if err := o.s.blobs.Fresh(v.staged); err != nil {
			return Deposited{}, err
		}
	}
	b, thread, err := o.destination(v)
	if err != nil {
		return Deposited{}, err
	}
	if o.head.Disabled {
		return Deposited{}, fail(Permission, "account is disabled")
	}
	l := o.s.limits(&o.head)
	if l.Over(&o.head, v.size, 1) {
		if err := o.room(l, v); err != nil {
			return Deposited{}, err
		}
	}
	msg := o.head.NextMsg
	o.head.NextMsg++
	if thread == 0 {
		thread = msg
	}
	e := o.newEntry(msg, v.size, &v.Deposit)
	uid, err := o.add(b, &e)
	if err != nil {
		return Deposited{}, err
	}
	x := row.InfoRow{Size: v.size, Places: []row.Place{{Mbox: b.id, UID: uid}}, Thread: thread,
		Hashes: v.hashes, Envelope: v.envelope, Index: v.index, NoIndex: v.index == nil}
	for i := range v.body.Parts {
		id := v.body.Parts[i].ID
		x.Blobs = append(x.Blobs, id)
		blob.Link(o, id, o.acct, msg)
	}
	o.Put(row.Body(o.acct, msg), v.body.Row)
	o.Put(row.Info(o.acct, msg), x.Append(make([]byte, 0, len(v.index)+len(v.envelope)+64)))
	if len(v.hashes) > 0 {
		t := row.ThreadRow{Thread: thread, Msg: msg}.Append(nil)
		for _, h := range v.hashes {
			o.Put(row.Thread(o.acct, h), t)
		}
	}
	return Deposited{
		Acct: AcctID(o.acct), Mailbox: MailboxID(b.id), UIDValidity: b.row.UIDValidity, UID: UID(uid),
		Msg: MsgID(msg), ModSeq: ModSeq(o.modseq), LinkEpoch: o.head.LinkEpoch,
	}, nil
}

// newEntry is the row of a message that comes into a mailbox; add completes it.
func (o *op) newEntry(msg uint64, size int64, d *Deposit) row.EntryRow {
	e := row.EntryRow{Msg: msg, Flags: uint8(d.Flags), Keywords: d.Keywords, Size: size, Internal: o.now.Unix()}
	if !d.InternalDate.IsZero() {
		e.Internal = d.InternalDate.Unix()
	}
	if !d.SaveDate.IsZero() {
		e.Saved = d.SaveDate.Unix()
	}
	if r := o.s.limits(&o.head).Retention; r > 0 {
		e.Expire = deadline(o.now.Add(r))
	}
	return e
}

// destination reads the mailbox and the thread rows, for INBOX in one round trip.
func (o *op) destination(v *delivery) (b *box, thread uint64, err error) {
	id := uint32(inboxID)
	if v.Mailbox != "" && v.Mailbox != inboxName {
		if b, err = o.named(v.Mailbox); err != nil {
			return nil, 0, err
		}
		id = b.id
	}
	keys := make([][]byte, 0, 1+len(v.hashes))
	keys = append(keys, row.Mailbox(o.acct, id))
	for _, h := range v.hashes {
		keys = append(keys, row.Thread(o.acct, h))
	}
	items, err := o.GetMulti(o.ctx, keys...)
	if err != nil {
		return nil, 0, err
	}
	if b, err = o.addBox(id, items[0]); err != nil {
		return nil, 0, err
	}
	for _, it := range items[1:] {
		if it.Rev == 0 {
			continue
		}
		t, err := row.DecodeThread(it.Value)
		if err != nil {
			return nil, 0, err
		}
		return b, t.Thread, nil
	}
	return b, 0, nil
}

// add makes a row in a mailbox, with its deadline, and counts it. It sets the
// row's MODSEQ, and its save date if it has none.
func (o *op) add(b *box, e *row.EntryRow) (uid uint32, err error) {
	m := &b.row
	if m.UIDNext == math.MaxUint32 || m.Exists == math.MaxUint32 {
		return 0, fail(Limit, "mailbox has used up its UIDs")
	}
	uid = m.UIDNext
	m.UIDNext++
	if e.ModSeq = o.take(); e.Saved == 0 {
		e.Saved = o.now.Unix()
	}
	o.Put(row.Entry(o.acct, b.id, uid), e.Append(make([]byte, 0, 48)))
	if e.Expire != 0 {
		o.Put(row.Deadline(e.Expire, o.acct, b.id, uid), []byte{})
	}
	o.count(b, e, 1)
	b.log.Added = b.log.Added.Add(uid)
	return uid, nil
}

// count takes a row into the sums, or with n -1 out of them.
func (o *op) count(b *box, e *row.EntryRow, n int) {
	m := &b.row
	m.Exists += uint32(n)
	m.Bytes += int64(n) * e.Size
	if Flags(e.Flags)&Seen == 0 {
		m.Unseen += uint32(n)
	}
	if Flags(e.Flags)&Deleted != 0 {
		m.Deleted += uint32(n)
	}
	o.head.Bytes += int64(n) * e.Size
	o.head.Messages += int64(n)
	o.dirty, b.dirty = true, true
}

// deadline is a time as it stands in deadline rows, rounded up: never early.
func deadline(t time.Time) uint32 {
	return uint32(min(max(t.Add(time.Second-1).Unix(), 1), math.MaxUint32))
}

// scope is what names of parts are made with, beside their bytes: nothing, or
// what keeps accounts apart. A message for several accounts shares its parts
// between these, and with nothing else.
func (s *Store) scope(accounts []AcctID) []byte {
	switch {
	case !s.apart:
		return nil
	case len(accounts) == 1:
		return binary.BigEndian.AppendUint64([]byte{1}, uint64(accounts[0]))
	default:
		return binary.BigEndian.AppendUint64([]byte{2}, random())
	}
}
