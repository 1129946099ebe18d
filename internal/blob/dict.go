package blob

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/eidermail/eider/internal/codec"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// firstDict is the first number of a store's own dictionaries: RFC 8878 §5
// keeps lower ones for dictionaries that everybody knows.
const firstDict = 1 << 15

// ErrDictTaken: another process has stored a dictionary meanwhile.
var ErrDictTaken = errors.New("blob: the dictionary's number is taken")

// LoadDicts makes the store's dictionaries known, those that other processes
// made too, and uses the newest of each kind for new data.
func (s *Store) LoadDicts(ctx context.Context) error {
	for it, err := range s.kv.Scan(ctx, kv.Prefix([]byte{row.TagDict})) {
		if err != nil {
			return err
		}
		if err := s.AddDict(it); err != nil {
			return err
		}
	}
	return nil
}

// AddDict makes the dictionary of a row known, and uses it for new data.
func (s *Store) AddDict(it kv.Item) error {
	k, ok := row.ParseKey(it.Key)
	d, err := row.DecodeDict(it.Value)
	if !ok || err != nil || codec.Kind(d.Kind) >= codec.Kinds {
		return fmt.Errorf("%w: dictionary %x", ErrCorrupt, it.Key)
	}
	data := d.Data
	if d.Raw != 0 {
		if data, err = s.codec.Decode(nil, d.Data, d.Raw); err != nil {
			return fmt.Errorf("%w: dictionary %d: %w", ErrCorrupt, k.Number, err)
		}
	}
	if err := s.codec.Add(k.Number, data); err != nil {
		return err
	}
	s.codec.Use(codec.Kind(d.Kind), k.Number)
	return nil
}

// KeepDict stores a dictionary for good, under the next free number, and uses it
// for new data. Before it returns nothing is encoded with it.
func (s *Store) KeepDict(ctx context.Context, d row.DictRow) (id uint32, err error) {
	if err := s.LoadDicts(ctx); err != nil {
		return 0, err
	}
	id = s.codec.NextID(firstDict)
	d.Created = s.o.Now().Unix()
	data := append([]byte(nil), d.Data...)
	binary.LittleEndian.PutUint32(data[4:], id) // RFC 8878 §5: magic number, id
	if packed, ok := s.codec.Encode(nil, data, 0); ok {
		d.Raw, d.Data = int64(len(data)), packed
	} else {
		d.Raw, d.Data = 0, data
	}
	key, value := row.Dict(id), d.Append(nil)
	err = s.kv.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
		if tx.Guard(0).Rev != 0 {
			return ErrDictTaken
		}
		tx.Put(key, value)
		return nil
	}, kv.Background())
	if err != nil {
		return 0, err
	}
	return id, s.AddDict(kv.Item{Key: key, Value: value})
}
