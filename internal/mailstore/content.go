package mailstore

import (
	"context"
	"io"

	"github.com/eidermail/eider/internal/body"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/message"
)

// Content is a stored message's bytes, exactly as they were stored. ReadAt may
// be called from several goroutines. Memory stays bounded for any size.
type Content = body.Content

// ContentBytes returns the whole message if c holds it in memory, else nil. It
// must not be changed.
func ContentBytes(c Content) []byte { return body.Bytes(c) }

// Content opens a message. Kind NotExist, Corrupt. It reads for as long as ctx
// lives. One round trip; with shared parts one more for each that is read, and
// one for each 255 KiB of it.
func (s *Store) Content(ctx context.Context, id AcctID, msg MsgID) (Content, error) {
	rows, err := s.MessageRows(ctx, id, msg)
	if err != nil {
		return nil, err
	}
	return s.OpenRow(ctx, rows[0])
}

// MessageRow is a message's row that was read and is not open yet; nil: there is
// no such message. It is not to be kept for long: its parts may go with the message.
type MessageRow []byte

// MaxMessageRow is about the most that a row has.
const MaxMessageRow = body.MaxRow

// MessageRows reads the rows of several messages. One round trip.
func (s *Store) MessageRows(ctx context.Context, id AcctID, msgs ...MsgID) ([]MessageRow, error) {
	keys := make([][]byte, len(msgs))
	for i, m := range msgs {
		keys[i] = row.Body(uint64(id), uint64(m))
	}
	items, err := s.get(ctx, "content", keys...)
	if err != nil {
		return nil, err
	}
	out := make([]MessageRow, len(items))
	for i := range items {
		if items[i].Rev != 0 {
			out[i] = items[i].Value
		}
	}
	return out, nil
}

// OpenRow opens a message whose row was read; see Content.
func (s *Store) OpenRow(ctx context.Context, value MessageRow) (Content, error) {
	const name = "content"
	if value == nil {
		return nil, wrap(name, fail(NotExist, "no such message"))
	}
	r, err := row.DecodeBody(value)
	if err != nil {
		return nil, wrap(name, err)
	}
	c, err := body.Open(ctx, s.blobs, &r)
	if err != nil {
		return nil, wrap(name, err)
	}
	return c, nil
}

// reindex makes a message's index from its bytes.
func (s *Store) reindex(ctx context.Context, id AcctID, msg MsgID) (message.Index, error) {
	if x := s.indexes.Find(uint64(id), uint64(msg)); x != nil {
		return *x, nil
	}
	c, err := s.Content(ctx, id, msg)
	if err != nil {
		return message.Index{}, err
	}
	defer c.Close()
	ix := message.NewIndexer(message.Limits{})
	if _, err := io.Copy(ix, io.NewSectionReader(c, 0, c.Size())); err != nil {
		return message.Index{}, err
	}
	x := ix.Index()
	s.indexes.Keep(uint64(id), uint64(msg), x)
	return *x, nil
}
