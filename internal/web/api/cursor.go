package api

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/eidermail/eider/internal/mailstore"
)

// cursor is a place in the history of a mailbox: all that has a UID below next
// has been seen, and so have the changes up to modseq of epoch. UIDs are never
// used twice, so a message that arrived later is always at or above next, and
// one that only got a flag is not.
type cursor struct {
	acct    mailstore.AcctID
	mailbox mailstore.MailboxID // 0: any, at its very start
	next    mailstore.UID
	epoch   uint64
	modseq  mailstore.ModSeq
}

// StartCursor is the cursor before the first message of an account.
func StartCursor(acct mailstore.AcctID) string { return cursor{acct: acct}.String() }

const cursorVersion = 1

var cursorText = base64.RawURLEncoding

// String is opaque to clients. It is no secret: it opens nothing.
func (c cursor) String() string {
	b := make([]byte, 0, 48)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint32(b, acctCheck(c.acct))
	b = binary.AppendUvarint(b, uint64(c.mailbox))
	b = binary.AppendUvarint(b, uint64(c.next))
	b = binary.AppendUvarint(b, c.epoch)
	b = binary.AppendUvarint(b, uint64(c.modseq))
	b = binary.BigEndian.AppendUint16(b, uint16(crc32.ChecksumIEEE(b)))
	return cursorText.EncodeToString(b)
}

var (
	errCursor      = errors.New("the cursor is damaged: pass one on as it was received")
	errCursorOther = errors.New("the cursor is of another account")
	errCursorBox   = errors.New("the cursor is of another mailbox")
)

// Limit: characters of a cursor.
const maxCursor = 96

func parseCursor(acct mailstore.AcctID, s string) (cursor, error) {
	if len(s) > maxCursor {
		return cursor{}, errCursor
	}
	b, err := cursorText.DecodeString(s)
	if err != nil || len(b) < 7 || b[0] != cursorVersion {
		return cursor{}, errCursor
	}
	body, sum := b[:len(b)-2], binary.BigEndian.Uint16(b[len(b)-2:])
	if uint16(crc32.ChecksumIEEE(body)) != sum {
		return cursor{}, errCursor
	}
	if binary.BigEndian.Uint32(body[1:]) != acctCheck(acct) {
		return cursor{}, errCursorOther
	}
	var v [4]uint64
	rest := body[5:]
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(rest); n <= 0 {
			return cursor{}, errCursor
		}
		rest = rest[n:]
	}
	if len(rest) != 0 || v[0] > 1<<32-1 || v[1] > 1<<32-1 {
		return cursor{}, errCursor
	}
	return cursor{acct: acct, mailbox: mailstore.MailboxID(v[0]), next: mailstore.UID(v[1]),
		epoch: v[2], modseq: mailstore.ModSeq(v[3])}, nil
}

// in checks that c can be used in a mailbox.
func (c cursor) in(m mailstore.MailboxID) (cursor, error) {
	if c.mailbox != 0 && c.mailbox != m {
		return c, errCursorBox
	}
	c.mailbox = m
	return c, nil
}

// acctCheck catches a cursor used with the wrong account, without showing the account's number.
func acctCheck(id mailstore.AcctID) uint32 {
	b := binary.BigEndian.AppendUint64([]byte("cursor"), uint64(id))
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}
