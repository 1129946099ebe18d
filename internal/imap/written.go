package imap

import (
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/memo"
)

// Limit: bytes of FETCH items that are kept as they were written: envelopes,
// structures, lists of header fields.
const maxWritten = 32 << 20

// Limit: bytes of one FETCH item that is kept as it was written.
const maxWrittenItem = 8 << 10

// prepare finds what was written of a message before, so that no more is read
// of it than is needed.
func (f *fetcher) prepare(m *Message) {
	if len(f.ready) < len(f.items) {
		f.ready = make([]string, 64*len(f.items))
	}
	m.Ready, f.ready = f.ready[:len(f.items):len(f.items)], f.ready[len(f.items):]
	m.SkipIndex, m.SkipContent = true, true
	for i, id := range f.ids {
		if id != 0 {
			k := memo.Key{Account: m.Key.Account, Message: m.Key.Message, Item: id}
			v, ok, old := f.c.s.written.Get(k)
			if old {
				f.c.s.written.Put(k, v, len(v))
			}
			if ok {
				m.Ready[i] = v
				continue
			}
		}
		var needs FetchOptions
		addNeeds(&needs, &f.items[i])
		m.SkipIndex = m.SkipIndex && !needs.Index
		m.SkipContent = m.SkipContent && !needs.Content
	}
}

// keep writes an item apart, to keep it.
func (f *fetcher) keep(i int, m *Message) error {
	f.e = imapwire.NewEncoder(nil)
	f.e.UTF8 = f.c.enc.UTF8
	err := f.item(&f.items[i], m)
	text := f.e.Taken()
	f.e = f.c.enc
	if err != nil {
		return err
	}
	if len(text) <= maxWrittenItem {
		k := memo.Key{Account: m.Key.Account, Message: m.Key.Message, Item: f.ids[i]}
		f.c.s.written.Put(k, text, len(text))
	}
	f.e.Raw(text)
	return nil
}
