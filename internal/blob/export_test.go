package blob

import (
	"encoding/binary"

	"github.com/eidermail/eider/internal/mailstore/row"
)

// FillMarks makes a process believe that it counts the time of n more blobs;
// free ends that for one of them.
func (s *Store) FillMarks(n int) (free func()) {
	var id row.BlobID
	for i := range n {
		binary.BigEndian.PutUint64(id[:], uint64(i)+1)
		s.gc.marks[id] = mark{}
	}
	return func() { delete(s.gc.marks, id) }
}
