package server

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// Fsck checks every invariant of the store and writes what it finds. It
// returns whether the store is clean.
func (c *core) Fsck(_ context.Context, _ io.Writer) (clean bool, err error) {
	return false, errors.New("fsck is not wired yet")
}

func (s *Server) serveFsck(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	clean, err := s.Fsck(r.Context(), w)
	switch {
	case err != nil:
		_, _ = io.WriteString(w, "fsck: failed: "+err.Error()+"\n")
	case clean:
		_, _ = io.WriteString(w, FsckClean+"\n")
	default:
		_, _ = io.WriteString(w, FsckDirty+"\n")
	}
}

// The last lines of a report of fsck.
const (
	FsckClean = "fsck: clean"
	FsckDirty = "fsck: the store has faults"
)
