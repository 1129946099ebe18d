package transfer

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// present is what a mailbox had before the import: an import that was cut off
// and is run again goes on where it was. Each message counts once, so a message
// that the source has twice is stored twice.
type present struct {
	bySize map[int64][]known
}

type known struct {
	msg    mailstore.MsgID
	sum    [16]byte // the beginning of the SHA-256, once it was needed
	hashed bool
}

// presentPage is how many rows are read at once.
const presentPage = 1000

// present reads what a mailbox has.
func (m *importer) present(b mailstore.Mailbox) (*present, error) {
	p := &present{bySize: map[int64][]known{}}
	if b.Exists == 0 || m.Again {
		return p, nil
	}
	for from := mailstore.UID(1); ; {
		rows, err := m.Store.Entries(m.ctx, m.acct, b.ID, mailstore.Rows{From: from, Limit: presentPage})
		if err != nil || len(rows) == 0 {
			return p, err
		}
		for _, r := range rows {
			p.bySize[r.Size] = append(p.bySize[r.Size], known{msg: r.Msg})
		}
		from = rows[len(rows)-1].UID + 1
	}
}

// has tells whether the mailbox had a message with these bytes, and takes it
// off what it had.
func (m *importer) has(x *archive.Message, sum [sha256.Size]byte) bool {
	p := m.boxes[m.box]
	list := p.bySize[x.Size]
	for i := range list {
		k := &list[i]
		if !k.hashed {
			k.hashed = true
			k.sum = m.sum(k.msg)
		}
		if k.sum != [16]byte(sum[:16]) {
			continue
		}
		if x.Copies > 1 {
			m.stored[x.Path] = k.msg
		}
		p.bySize[x.Size] = append(list[:i], list[i+1:]...)
		m.res.Present++
		return true
	}
	return false
}

// sum is the beginning of the SHA-256 of a stored message; zero if it cannot be read.
func (m *importer) sum(msg mailstore.MsgID) (out [16]byte) {
	c, err := m.Store.Content(m.ctx, m.acct, msg)
	if err != nil {
		return out
	}
	defer c.Close()
	text, err := digest(c)
	if err != nil {
		return out
	}
	b, _ := hex.DecodeString(text[:32])
	copy(out[:], b)
	return out
}
