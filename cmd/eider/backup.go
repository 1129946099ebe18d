package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/eidermail/eider/internal/boot"
	"github.com/eidermail/eider/internal/control"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/server"
)

// Run writes a backup.
func (c *backupCmd) Run(p *process, f flags) error {
	write := func(w io.Writer) error { return c.write(p, f, w) }
	if c.To == "-" {
		return write(p.stdout)
	}
	return newFile(c.To, write)
}

// write copies the backup as it comes, and reads it on the way: a backup that
// cannot be read is none.
func (c *backupCmd) write(p *process, f flags, w io.Writer) error {
	r, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		sum, err := server.CheckBackup(r)
		if err == nil {
			fmt.Fprintf(p.stderr, "%d rows, %s backed up\n", sum.Rows, size(sum.Bytes))
		}
		r.CloseWithError(err)
		done <- err
	}()
	both := io.MultiWriter(w, in)
	err := p.withStore(p.ctx, f,
		func(s *control.Client) error { return s.Stream(p.ctx, http.MethodGet, "/stream/backup", nil, both) },
		func(st boot.Opened) error { return server.Backup(p.ctx, st.Snapshot, both) })
	in.CloseWithError(err)
	if checked := <-done; err == nil {
		err = checked
	}
	return err
}

// Run makes a store of a backup.
func (c *restoreCmd) Run(p *process, f flags) error {
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	if _, err := control.Dial(p.ctx, cfg.Data); !errors.Is(err, control.ErrNotRunning) {
		return fmt.Errorf("a server runs on %s: stop it first", cfg.Data)
	}
	in := io.ReadCloser(os.Stdin)
	if c.From != "-" {
		if in, err = os.Open(c.From); err != nil {
			return err
		}
		defer in.Close()
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	if cfg.LogLevel == "info" {
		cfg.LogLevel = "warn"
	}
	clean := false
	err = boot.Restore(p.ctx, cfg.Store, boot.Options{Log: p.logger(cfg)}, func(store kv.Store) error {
		sum, ok, err := server.Restore(p.ctx, store, in, p.stderr)
		if clean = ok; err == nil {
			fmt.Fprintf(p.stderr, "%d rows, %s restored from a backup of %s\n", sum.Rows, size(sum.Bytes),
				sum.Created.Format(time.RFC3339))
		}
		return err
	})
	if err == nil && !clean {
		return errors.New("the backup was of a store with faults, and so is this one: eider fsck --repair")
	}
	return err
}
