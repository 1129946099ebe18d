package server

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/eidermail/eider/internal/fsck"
)

// The last lines of a report of fsck.
const (
	FsckClean = "fsck: clean"
	FsckDirty = "fsck: the store has faults"
)

// Fsck checks every invariant of the store and writes a report. It returns
// whether the store is clean.
func (c *core) Fsck(ctx context.Context, w io.Writer) (clean bool, err error) {
	sum, err := fsck.Run(ctx, c.kv, func(f fsck.Fault) { fmt.Fprintln(w, f) })
	if err != nil {
		return false, err
	}
	fmt.Fprintf(w, "%d accounts, %d mailboxes, %d messages in %d rows, %d bytes; %d blobs; %d faults\n",
		sum.Accounts, sum.Mailboxes, sum.Messages, sum.Rows, sum.Bytes, sum.Blobs, sum.Faults)
	return sum.Faults == 0, nil
}

// serveFsck streams the report; its last line tells the outcome, because the
// status of the answer goes out before that is known.
func (s *Server) serveFsck(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	clean, err := s.Fsck(r.Context(), w)
	switch {
	case err != nil:
		fmt.Fprintf(w, "fsck: failed: %v\n", err)
	case clean:
		fmt.Fprintln(w, FsckClean)
	default:
		fmt.Fprintln(w, FsckDirty)
	}
}
