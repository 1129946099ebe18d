package body

import (
	"sync/atomic"

	"github.com/eidermail/eider/internal/blob"
)

// Stats are counts of what a process has stored since it started.
type Stats struct {
	Messages  int64 // once for each account that got it
	Bytes     int64 // of these messages
	BodyBytes int64 // of their rows, without shared parts
	// Shared parts that were new, and those that were there already.
	PartsNew, PartsFound                          int64
	PartBytesNew, PartBytesStored, PartBytesFound int64
}

// Counter counts what is stored.
type Counter struct {
	messages, bytes, body                  atomic.Int64
	partsNew, partsFound                   atomic.Int64
	partBytesNew, partStored, partFoundLen atomic.Int64
}

// Staged counts parts.
func (t *Counter) Staged(st *blob.Staged) {
	t.partsNew.Add(int64(st.New))
	t.partsFound.Add(int64(st.Found))
	t.partBytesNew.Add(st.NewBytes)
	t.partStored.Add(st.StoredBytes)
	t.partFoundLen.Add(st.FoundBytes)
}

// Stored counts a message of size bytes in so many accounts.
func (t *Counter) Stored(b *Body, size int64, accounts int) {
	t.messages.Add(int64(accounts))
	t.bytes.Add(int64(accounts) * size)
	t.body.Add(int64(accounts * len(b.Row)))
}

// Stats returns the counts.
func (t *Counter) Stats() Stats {
	return Stats{Messages: t.messages.Load(), Bytes: t.bytes.Load(), BodyBytes: t.body.Load(),
		PartsNew: t.partsNew.Load(), PartsFound: t.partsFound.Load(), PartBytesNew: t.partBytesNew.Load(),
		PartBytesStored: t.partStored.Load(), PartBytesFound: t.partFoundLen.Load()}
}
