package repair

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/eidermail/eider/internal/mailstore/row"
)

// recovered is the mailbox of messages whose mailbox is not known.
const recovered = "Recovered"

func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:]) | 1
}

// mendMessages makes rows, infos and bodies agree.
func (a *account) mendMessages() error {
	ids := make([]uint64, 0, len(a.msgs))
	for id := range a.msgs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		m := a.msgs[id]
		var err error
		if a.damaged[id] && m.body || !m.body {
			err = a.drop(id, m)
		} else {
			err = a.mendMessage(id, m)
		}
		if err != nil {
			return err
		}
		if a.full() {
			return nil
		}
	}
	return nil
}

// drop removes a message whose bytes are not whole, and says so.
func (a *account) drop(id uint64, m *msg) error {
	places := []row.Place{}
	for _, p := range m.rows {
		places = append(places, p.Place)
	}
	for _, p := range m.x.Places {
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	if m.body || m.info {
		a.loss("message %d of %d bytes%s", id, m.x.Size, a.inBoxes(places))
	} else {
		a.loss("message %d%s, of which only that was left", id, a.inBoxes(places))
	}
	for _, p := range m.rows {
		a.put(row.Entry(a.acct, p.Mbox, p.UID), nil)
		if p.e.Expire != 0 {
			a.put(row.Deadline(p.e.Expire, a.acct, p.Mbox, p.UID), nil)
		}
	}
	day := uint32(a.Now().Unix() / (24 * 60 * 60))
	for _, b := range m.x.Blobs {
		a.put(row.Link(b, a.acct, id), nil)
		a.put(row.Garbage(day, b, a.acct, id), []byte{})
	}
	a.put(row.Info(a.acct, id), nil)
	a.put(row.Body(a.acct, id), nil)
	delete(a.msgs, id)
	return nil
}

// inBoxes names the mailboxes of places, for people.
func (a *account) inBoxes(places []row.Place) string {
	text := ""
	for _, p := range places {
		name := "?"
		if b := a.boxes[p.Mbox]; b != nil {
			name = b.row.Name
		}
		text += fmt.Sprintf(", in %q UID %d", name, p.UID)
	}
	return text
}

// mendMessage makes a message's info right, and its rows.
func (a *account) mendMessage(id uint64, m *msg) error {
	sizes := map[int64]bool{}
	if m.info {
		sizes[m.x.Size] = true
	}
	for _, p := range m.rows {
		sizes[p.e.Size] = true
	}
	items, err := a.tx.GetMulti(a.ctx, row.Info(a.acct, id))
	if err != nil {
		return err
	}
	x, err := row.DecodeInfo(items[0].Value)
	changed := false
	if items[0].Rev == 0 || err != nil {
		x, changed = row.InfoRow{Thread: id, NoIndex: true, Size: -1}, true
		a.loss("how message %d came in (its envelope)", id)
	}
	if _, suspect := a.damaged[id]; suspect || len(sizes) > 1 || x.Size < 0 {
		if err := a.trueSize(id, &x); err != nil {
			return err
		}
		changed = true
		if !sizes[x.Size] && (m.info || len(m.rows) > 0) {
			return a.drop(id, m) // nobody knows a message of that size: the body is not whole
		}
	}
	changed = a.mendInfo(id, &x) || changed
	rows, placed, err := a.mendRows(id, m, &x)
	if err != nil {
		return err
	}
	m.rows = rows
	if changed || placed {
		a.put(row.Info(a.acct, id), x.Append(nil))
	}
	m.x.Hashes = x.Hashes
	return a.mendLinks(id, &x)
}

// trueSize takes a message's size and blobs from its body.
func (a *account) trueSize(id uint64, x *row.InfoRow) error {
	items, err := a.tx.GetMulti(a.ctx, row.Body(a.acct, id))
	if err != nil {
		return err
	}
	b, err := row.DecodeBody(items[0].Value)
	if err != nil {
		return nil // the next walk finds it damaged
	}
	x.Size = b.Size
	for _, id := range b.Blobs {
		if !slices.Contains(x.Blobs, id) {
			x.Blobs = append(x.Blobs, id)
		}
	}
	return nil
}

// mendInfo drops what can be made again from the bytes, or cannot be read.
func (a *account) mendInfo(id uint64, x *row.InfoRow) (changed bool) {
	if _, err := row.DecodeEnvelope(x.Envelope); err != nil {
		x.Envelope, changed = nil, true
		a.loss("how message %d came in (its envelope)", id)
	}
	good := x.NoIndex && len(x.Index) == 0
	if !x.NoIndex {
		ix, err := row.DecodeIndex(x.Index)
		good = len(x.Index) > 0 && err == nil && ix.Size == x.Size
	}
	if !good {
		x.Index, x.NoIndex, changed = nil, true, true
	}
	return changed
}

// mendLinks writes links that are missing.
func (a *account) mendLinks(id uint64, x *row.InfoRow) error {
	if len(x.Blobs) == 0 {
		return nil
	}
	var keys [][]byte
	for _, b := range x.Blobs {
		keys = append(keys, row.Link(b, a.acct, id))
	}
	items, err := a.tx.GetMulti(a.ctx, keys...)
	for i, it := range items {
		if err == nil && it.Rev == 0 {
			a.put(keys[i], []byte{})
		}
	}
	return err
}

// mendRows makes the rows of a message those that it knows, and the other way
// round; a row that is missing is written, a message without any comes into Recovered.
func (a *account) mendRows(id uint64, m *msg, x *row.InfoRow) (rows []place, changed bool, err error) {
	have := map[row.Place]bool{}
	for _, p := range m.rows {
		have[p.Place] = true
		if p.e.Size != x.Size || p.e.ModSeq == 0 || p.e.ModSeq >= a.modseq-ahead+1 {
			p.e.Size, p.e.ModSeq = x.Size, a.modseq
			a.put(row.Entry(a.acct, p.Mbox, p.UID), p.e.Append(nil))
		}
		if p.e.Expire != 0 {
			if err := a.deadline(row.Deadline(p.e.Expire, a.acct, p.Mbox, p.UID)); err != nil {
				return nil, false, err
			}
		}
		rows = append(rows, p)
	}
	add := func(at row.Place, expire uint32) {
		e := row.EntryRow{Msg: id, ModSeq: a.modseq, Internal: a.received(x).Unix(), Saved: a.Now().Unix(),
			Size: x.Size, Expire: expire}
		a.put(row.Entry(a.acct, at.Mbox, at.UID), e.Append(nil))
		if expire != 0 {
			a.put(row.Deadline(expire, a.acct, at.Mbox, at.UID), []byte{})
		}
		b := a.box(at.Mbox)
		b.last = max(b.last, at.UID)
		have[at], changed = true, true
		rows = append(rows, place{at, e})
	}
	for _, at := range x.Places {
		if have[at] || at.Mbox == 0 || at.UID == 0 || a.boxes[at.Mbox] == nil || a.taken(at, id) {
			continue
		}
		expire, err := a.expiry(at)
		if err != nil {
			return nil, false, err
		}
		add(at, expire)
		a.loss("flags and keywords of message %d%s", id, a.inBoxes([]row.Place{at}))
	}
	if len(rows) == 0 {
		mbox, err := a.recoveredBox()
		if err != nil {
			return nil, false, err
		}
		add(row.Place{Mbox: mbox, UID: a.box(mbox).newUID()}, 0)
		a.loss("where message %d was: it is in %s now", id, recovered)
	}
	before := x.Places
	x.Places = nil
	for _, p := range rows {
		x.Places = append(x.Places, p.Place)
		changed = changed || !slices.Contains(before, p.Place)
	}
	return rows, changed || len(before) != len(rows), nil
}

// taken tells whether another message has a place.
func (a *account) taken(at row.Place, id uint64) bool {
	for other, m := range a.msgs {
		if other != id && slices.ContainsFunc(m.rows, func(p place) bool { return p.Place == at }) {
			return true
		}
	}
	return false
}

// recoveredBox finds the mailbox Recovered or makes it.
func (a *account) recoveredBox() (uint32, error) {
	for id, b := range a.boxes {
		if b.row.State == row.Live && b.row.Name == recovered {
			return id, nil
		}
	}
	id := a.head.NextMbox
	a.head.NextMbox++
	b := a.box(id)
	b.row.Name = recovered
	return id, nil
}
