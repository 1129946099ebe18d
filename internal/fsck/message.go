package fsck

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/body"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// logs checks each mailbox's change log, and learns what it says of each UID.
func (a *account) logs() error {
	type state struct {
		last  uint64
		count uint32
	}
	at := map[uint32]*state{}
	err := a.scan(row.TagLog, func(k row.Key, it kv.Item) error {
		a.sum.LogRecords++
		b := a.boxes[k.Mbox]
		if b == nil {
			a.fault(it.Key, "log of a mailbox that is not there")
			return nil
		}
		l, err := row.DecodeLog(it.Value)
		if err != nil {
			a.fault(it.Key, "%v", err)
			return nil
		}
		st := at[k.Mbox]
		if st == nil {
			st = &state{last: b.row.LogFloor}
			at[k.Mbox] = st
		}
		st.count++
		if k.ModSeq <= b.row.LogStart || k.ModSeq > b.row.Highest {
			a.fault(it.Key, "record outside the log, (%d, %d]", b.row.LogStart, b.row.Highest)
		}
		if k.ModSeq <= b.row.LogFloor {
			return nil // left from before a jump of the epoch, waiting to be trimmed
		}
		if l.Prev != st.last {
			a.fault(it.Key, "record follows %d, the one before is %d", l.Prev, st.last)
		}
		st.last = k.ModSeq
		b.take(k.ModSeq, &l)
		return nil
	})
	for id, b := range a.boxes {
		st := at[id]
		if st == nil {
			st = &state{last: b.row.LogFloor}
		}
		if b.row.State != row.Live {
			continue // its log goes as a whole
		}
		if st.last != b.row.Highest {
			a.fault(row.Mailbox(a.acct, id), "the log ends at %d, HIGHESTMODSEQ is %d", st.last, b.row.Highest)
		}
		if st.count != b.row.LogCount {
			a.fault(row.Mailbox(a.acct, id), "mailbox counts %d log records, there are %d", b.row.LogCount, st.count)
		}
	}
	return err
}

func (b *box) take(modseq uint64, l *row.LogRow) {
	for u := range l.Added.All {
		b.log[u] = touch{modseq, false}
	}
	for u := range l.Changed.All {
		b.log[u] = touch{modseq, false}
	}
	for u := range l.Vanished.All {
		b.log[u] = touch{modseq, true}
	}
}

// messages checks the info rows against the rows that name them.
func (a *account) messages() error {
	err := a.scan(row.TagInfo, func(k row.Key, it kv.Item) error {
		a.sum.Messages++
		a.infos[k.Msg] = true
		x, err := row.DecodeInfo(it.Value)
		if err != nil {
			a.fault(it.Key, "%v", err)
			return nil
		}
		switch {
		case k.Msg >= a.head.NextMsg:
			a.fault(it.Key, "message id was not given out")
		case k.Msg < a.head.FirstMsg:
			a.fault(it.Key, "message id is below the account's first, %d", a.head.FirstMsg)
		}
		if !samePlaces(x.Places, a.places[k.Msg]) {
			a.fault(it.Key, "message is named by rows %v, it says %v", a.places[k.Msg], x.Places)
		}
		if size, ok := a.sizes[k.Msg]; ok && size != x.Size {
			a.fault(it.Key, "size %d, its rows say %d", x.Size, size)
		}
		if _, err := row.DecodeEnvelope(x.Envelope); err != nil {
			a.fault(it.Key, "envelope: %v", err)
		}
		if x.NoIndex == (len(x.Index) > 0) {
			a.fault(it.Key, "index is neither kept nor left out")
		} else if !x.NoIndex {
			if ix, err := row.DecodeIndex(x.Index); err != nil {
				a.fault(it.Key, "index: %v", err)
			} else if ix.Size != x.Size {
				a.fault(it.Key, "index of %d bytes, message of %d", ix.Size, x.Size)
			}
		}
		return a.messageRows(k, &x)
	})
	for msg, ps := range a.places {
		if !a.infos[msg] {
			a.fault(row.Entry(a.acct, ps[0].Mbox, ps[0].UID), "row names message %d, which is not there", msg)
		}
	}
	return err
}

// messageRows checks that a message has its bytes and its links.
func (a *account) messageRows(k row.Key, x *row.InfoRow) error {
	items, err := a.r.GetMulti(a.ctx, row.Body(a.acct, k.Msg))
	if err != nil {
		return err
	}
	if items[0].Rev == 0 {
		a.fault(row.Body(a.acct, k.Msg), "message without a body")
		return nil
	}
	if err := a.body(items[0], x); err != nil {
		return err
	}
	for _, id := range x.Blobs {
		if err := a.has(row.Link(id, a.acct, k.Msg), "message without its link to a blob"); err != nil {
			return err
		}
		if err := a.has(row.Blob(id), "message without its blob"); err != nil {
			return err
		}
	}
	return nil
}

// body checks a message's bytes: all that stands in its row, and that the
// shared parts have the sizes that it needs. The parts themselves are checked
// once, with the blobs.
func (a *account) body(it kv.Item, x *row.InfoRow) error {
	r, err := row.DecodeBody(it.Value)
	if err == nil && r.Size != x.Size {
		a.fault(it.Key, "body of %d bytes, message of %d", r.Size, x.Size)
		return nil
	}
	if err == nil {
		var sizes []int64
		if sizes, err = body.Sizes(&r); err == nil {
			err = a.parts(it.Key, &r, sizes, x)
		}
	}
	if err == nil {
		err = a.bytes(&r)
	}
	if errors.Is(err, row.ErrCorrupt) || errors.Is(err, blob.ErrCorrupt) {
		a.fault(it.Key, "%v", err)
		return nil
	}
	return err
}

// parts checks that a body's blobs are linked and have the right sizes.
func (a *account) parts(key []byte, r *row.BodyRow, sizes []int64, x *row.InfoRow) error {
	for i, id := range r.Blobs {
		if !slices.Contains(x.Blobs, id) {
			a.fault(key, "body in a blob that the message does not link")
			continue
		}
		items, err := a.r.GetMulti(a.ctx, row.Blob(id))
		if err != nil {
			return err
		}
		// What is missing or damaged is reported with the link or the blob.
		if b, err := row.DecodeBlob(items[0].Value); err == nil && items[0].Rev != 0 && b.Size != sizes[i] {
			a.fault(key, "body needs %d bytes of a blob of %d", sizes[i], b.Size)
		}
	}
	return nil
}

// bytes opens a body, which compares checksums, and reads all of one that is a
// single blob of an older format, whose chunks have none.
func (a *account) bytes(r *row.BodyRow) error {
	c, err := body.Open(a.ctx, a.blobs, r)
	if err != nil || r.Kind != row.InBlob {
		return err
	}
	defer c.Close()
	crc := row.NewChecksum()
	if _, err := io.Copy(crc, io.NewSectionReader(c, 0, c.Size())); err != nil {
		return err
	}
	if crc.Sum32() != r.CRC {
		return fmt.Errorf("%w: checksum of the blob differs", blob.ErrCorrupt)
	}
	return nil
}

func samePlaces(a, b []row.Place) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 1 {
		return a[0] == b[0]
	}
	have := make(map[row.Place]int, len(a))
	for _, p := range a {
		have[p]++
	}
	for _, p := range b {
		if have[p]--; have[p] < 0 {
			return false
		}
	}
	return true
}

// bodies looks for bytes without a message.
func (a *account) bodies() error {
	q := kv.Prefix(row.OfAccount(row.TagBody, a.acct))
	q.KeysOnly = true
	for it, err := range a.r.Scan(a.ctx, q) {
		if err != nil {
			return err
		}
		a.sum.Bodies++
		if k, ok := row.ParseKey(it.Key); !ok || !a.infos[k.Msg] {
			a.fault(it.Key, "body without a message")
		} else {
			a.sum.Bytes += a.sizes[k.Msg]
		}
	}
	return nil
}

// threads checks that each thread row belongs to a message.
func (a *account) threads() error {
	return a.scan(row.TagThread, func(k row.Key, it kv.Item) error {
		t, err := row.DecodeThread(it.Value)
		if err != nil {
			a.fault(it.Key, "%v", err)
			return nil
		}
		items, err := a.r.GetMulti(a.ctx, row.Info(a.acct, t.Msg))
		if err != nil {
			return err
		}
		x, err := row.DecodeInfo(items[0].Value)
		if items[0].Rev == 0 || err != nil || !slices.Contains(x.Hashes, k.Hash) {
			a.fault(it.Key, "thread row of message %d, which is not there or is not in it", t.Msg)
		}
		return nil
	})
}
