package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/eidermail/eider/internal/backup"
	"github.com/eidermail/eider/internal/kv"
)

// errNoBackup: this store has no backup of ours.
var errNoBackup = errors.New("only the embedded store (pebble:DIR) is backed up by eider; " +
	"use the means of the database, or eider export")

// Backup writes a backup of a store at one moment.
func Backup(ctx context.Context, snapshot func(context.Context, func(kv.Reader) error) error, w io.Writer) error {
	if snapshot == nil {
		return errNoBackup
	}
	return snapshot(ctx, func(rd kv.Reader) error {
		_, err := backup.Write(ctx, rd, w, time.Now())
		return err
	})
}

// CheckBackup reads a backup to its end.
func CheckBackup(r io.Reader) (backup.Summary, error) {
	return backup.Read(r, func(_, _ []byte) error { return nil })
}

// Restore makes a store of a backup and checks it; the report says what the
// check found, and whether it is clean.
func Restore(ctx context.Context, store kv.Store, r io.Reader, report io.Writer) (
	sum backup.Summary, clean bool, err error) {
	if sum, err = backup.Restore(ctx, store, r, time.Now()); err != nil {
		return sum, false, err
	}
	clean, err = Fsck(ctx, store, report)
	return sum, clean, err
}

func (s *Server) serveBackup(w http.ResponseWriter, r *http.Request) {
	out := &started{ResponseWriter: w}
	err := Backup(r.Context(), s.o.Snapshot, out)
	switch {
	case err == nil:
	case !out.yes:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default: // the backup is cut, and shows it
		s.o.Log.Warn("backup ended early", "err", err)
	}
}
