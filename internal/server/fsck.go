package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/eidermail/eider/internal/backup"
	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/repair"
)

// The last lines of a report of fsck.
const (
	FsckClean = "fsck: clean"
	FsckDirty = "fsck: the store has faults"
)

// Fsck checks every invariant of a store and writes a report. It returns
// whether the store is clean.
func Fsck(ctx context.Context, store kv.Store, w io.Writer) (clean bool, err error) {
	sum, err := fsck.Run(ctx, store, func(f fsck.Fault) { fmt.Fprintf(w, "%s; repair: %s\n", f, repair.What(f.Key)) })
	if err != nil {
		return false, err
	}
	summary(w, sum)
	return sum.Faults == 0, nil
}

func summary(w io.Writer, sum fsck.Summary) {
	fmt.Fprintf(w, "%d accounts, %d mailboxes, %d messages in %d rows, %d bytes; %d blobs; %d faults\n",
		sum.Accounts, sum.Mailboxes, sum.Messages, sum.Rows, sum.Bytes, sum.Blobs, sum.Faults)
}

// Repair mends a store, and writes a report of its faults and of what was lost.
// Rows that it removes or overwrites are kept in a file in dir, if dir is not
// "". It returns whether the store is clean then.
func Repair(ctx context.Context, store kv.Store, dir string, w io.Writer) (clean bool, err error) {
	k := &keeper{dir: dir}
	res, err := repair.Run(ctx, repair.Options{KV: store, Now: time.Now, Keep: k.keep,
		Fault: func(f fsck.Fault, what string) { fmt.Fprintf(w, "%s; repair: %s\n", f, what) },
		Lost:  func(text string) { fmt.Fprintf(w, "lost: %s\n", obs.Clean(text)) }})
	err = errors.Join(err, k.close())
	if err != nil {
		return false, err
	}
	if k.file != nil {
		fmt.Fprintf(w, "rows as they were before: %s\n", k.file.Name())
	}
	fmt.Fprintf(w, "%d faults, %d rows written or removed, %d things lost\n", res.Faults, res.Written, res.Lost)
	summary(w, res.Summary)
	return res.Left == 0, nil
}

// keeper writes rows that a repair changes into a file, in the form of a backup.
type keeper struct {
	dir  string
	file *os.File
	rows *backup.Writer
}

// lostFound is the folder, in the data directory, of what repairs took away.
const lostFound = "lost+found"

func (k *keeper) keep(key, value []byte) error {
	if k.dir == "" {
		return nil
	}
	if k.file == nil {
		dir := filepath.Join(k.dir, lostFound)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		now := time.Now()
		f, err := os.OpenFile(filepath.Join(dir, now.UTC().Format("repair-20060102T150405.000000000.rows")),
			os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		k.file = f
		if k.rows, err = backup.NewWriter(f, now); err != nil {
			return err
		}
	}
	return k.rows.Add(key, value)
}

func (k *keeper) close() error {
	if k.file == nil {
		return nil
	}
	return errors.Join(k.rows.Close(), k.file.Sync(), k.file.Close())
}

// serveFsck streams the report; its last line tells the outcome, because the
// status of the answer goes out before that is known.
func (s *Server) serveFsck(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var clean bool
	var err error
	if r.URL.Query().Get("repair") == "true" {
		clean, err = Repair(r.Context(), s.kv, s.o.ControlDir, w)
	} else {
		clean, err = Fsck(r.Context(), s.kv, w)
	}
	switch {
	case err != nil:
		fmt.Fprintf(w, "fsck: failed: %v\n", err)
	case clean:
		fmt.Fprintln(w, FsckClean)
	default:
		fmt.Fprintln(w, FsckDirty)
	}
}
