package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/eidermail/eider/internal/kv"
)

// ErrNoRestore: this kind of store has ways of its own for backups.
var ErrNoRestore = errors.New("only the embedded store (pebble:DIR) is backed up and restored by eider; " +
	"use the means of the database")

// Restore makes a new embedded store where spec names one: fill writes it under
// another name first, so that it is there whole or not at all.
func Restore(ctx context.Context, spec string, o Options, fill func(kv.Store) error) error {
	dir, ok := strings.CutPrefix(spec, "pebble:")
	if !ok || dir == "" {
		return ErrNoRestore
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("%s holds a store already: move it away first", dir)
	}
	part := dir + ".restoring"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	st, err := openPebble("pebble:"+part, part, o)
	if err != nil {
		return err
	}
	err = errors.Join(fill(st.KV), st.KV.Close())
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(part, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// syncDir makes a rename outlive a power cut, where folders can be synced.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = f.Sync() // not everywhere
	return f.Close()
}
