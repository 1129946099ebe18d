package mailstore

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/message"
)

// Content is a stored message's bytes, exactly as they were stored. ReadAt may
// be called from several goroutines. Memory stays bounded for any size.
type Content interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// inline is a message that stands in its row.
type inline struct{ *bytes.Reader }

func (inline) Close() error { return nil }

// Bytes opens what is in memory anyway.
type inMemory interface{ Bytes() []byte }

type inlineBytes struct {
	inline
	b []byte
}

func (i inlineBytes) Bytes() []byte { return i.b }

// ContentBytes returns the whole message if c holds it in memory, else nil. It
// must not be changed.
func ContentBytes(c Content) []byte {
	if m, ok := c.(inMemory); ok {
		return m.Bytes()
	}
	return nil
}

// Content opens a message. Kind NotExist, Corrupt. It reads for as long as ctx lives.
func (s *Store) Content(ctx context.Context, id AcctID, msg MsgID) (Content, error) {
	const name = "content"
	items, err := s.get(ctx, name, row.Body(uint64(id), uint64(msg)))
	if err != nil {
		return nil, err
	}
	if items[0].Rev == 0 {
		return nil, wrap(name, fail(NotExist, "no such message"))
	}
	r, err := row.DecodeBody(items[0].Value)
	if err != nil {
		return nil, wrap(name, err)
	}
	switch {
	case r.Codec != row.Plain:
		return nil, wrap(name, fail(Corrupt, "unknown codec %d", r.Codec))
	case r.Kind == row.Inline:
		if row.Checksum(r.Data) != r.CRC {
			return nil, wrap(name, fail(Corrupt, "checksum differs"))
		}
		return inlineBytes{inline{bytes.NewReader(r.Data)}, r.Data}, nil
	case r.Kind == row.InBlob:
		b, err := s.blobs.Open(ctx, r.Blob)
		if err != nil {
			return nil, wrap(name, err)
		}
		if b.Size() != r.Size {
			return nil, wrap(name, fail(Corrupt, "blob of another size"))
		}
		return b, nil
	default:
		return nil, wrap(name, fail(Corrupt, "unknown kind of body %d", r.Kind))
	}
}

// Limit: indexes too large for their row that are kept in memory.
const MaxCachedIndexes = 8

// indexCache keeps the indexes that were made again last.
type indexCache struct {
	mu   sync.Mutex
	list []cachedIndex // the newest last
}

type cachedIndex struct {
	id    AcctID
	msg   MsgID
	index *message.Index
}

func (c *indexCache) find(id AcctID, msg MsgID) *message.Index {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.list {
		if e.id == id && e.msg == msg {
			return e.index
		}
	}
	return nil
}

func (c *indexCache) keep(id AcctID, msg MsgID, x *message.Index) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) >= MaxCachedIndexes {
		c.list = append(c.list[:0], c.list[1:]...)
	}
	c.list = append(c.list, cachedIndex{id, msg, x})
}

// reindex makes a message's index from its bytes.
func (s *Store) reindex(ctx context.Context, id AcctID, msg MsgID) (message.Index, error) {
	if x := s.indexes.find(id, msg); x != nil {
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
	s.indexes.keep(id, msg, x)
	return *x, nil
}
