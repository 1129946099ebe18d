package shape

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// Constant are the items of a FETCH that are the same each time they are
// written, each by a number for what it looks like: 0 stands for another item; nil: all are.
func Constant(items []imapwire.FetchItem, seed maphash.Seed, utf8 bool) []uint64 {
	ids := make([]uint64, len(items))
	any := false
	for i := range items {
		it := &items[i]
		switch it.Kind {
		case imapwire.ItemEnvelope, imapwire.ItemBody, imapwire.ItemBodyStructure, imapwire.ItemPreview:
		case imapwire.ItemSection:
			fields := it.Section.Spec == imapwire.SpecFields || it.Section.Spec == imapwire.SpecFieldsNot
			if !fields || it.Partial != nil {
				continue
			}
		default:
			continue
		}
		ids[i], any = itemID(it, seed, utf8), true
	}
	if !any {
		return nil
	}
	return ids
}

// itemID is a number for what an item looks like; with 64 bits under a random
// seed no two are alike.
func itemID(it *imapwire.FetchItem, seed maphash.Seed, utf8 bool) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteByte(byte(it.Kind))
	if utf8 {
		h.WriteByte(1)
	} else {
		h.WriteByte(0)
	}
	h.WriteByte(byte(it.Section.Spec))
	for _, n := range it.Section.Part {
		h.Write(binary.LittleEndian.AppendUint32(nil, n))
	}
	for _, f := range it.Section.Fields {
		h.WriteByte(0)
		h.WriteString(f)
	}
	return max(h.Sum64(), 1)
}
