package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/eidermail/eider/internal/transfer/archive"
)

// part is the file that an archive is written to until it is whole. It stays
// where the writing was cut off, and the next export goes on with it.
type part struct {
	*os.File
	name string        // that it gets in the end
	have *archive.Have // nil: nothing
	cut  bool          // something was written, and not all
}

// openPart opens the part of an archive that is to be named name, for this
// process alone. It changes nothing in what is there.
func openPart(ctx context.Context, name string) (*part, error) {
	if _, err := os.Lstat(name); err == nil {
		return nil, usageError{fmt.Errorf("%s is there already", name)}
	}
	f, err := openOwn(name + ".part")
	if err != nil {
		return nil, err
	}
	p := &part{File: f, name: name}
	if p.have, err = archive.Scan(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w: remove it, or name another file", f.Name(), err)
	}
	return p, nil
}

// advise says to a person what to do after an error.
func (p *part) advise(err error) error {
	switch {
	case p.cut:
		return fmt.Errorf("%w (run the same command again: it goes on where it was)", err)
	case p.have != nil:
		return fmt.Errorf("%s, which was cut: %w", p.Name(), err)
	}
	return err
}

// openOwn opens a regular file of this user's, or makes it, and locks it.
func openOwn(path string) (*os.File, error) {
	how := os.O_RDWR
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		how |= os.O_CREATE | os.O_EXCL
	case err != nil:
		return nil, err
	case !there.Mode().IsRegular():
		return nil, fmt.Errorf("%s is there, and is no file: remove it", path)
	}
	f, err := os.OpenFile(path, how, 0o600)
	if err != nil {
		return nil, err
	}
	if err := claim(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// The name may be that of another file since.
	now, err := os.Lstat(path)
	mine, err2 := f.Stat()
	if err = errors.Join(err, err2); err == nil && !os.SameFile(now, mine) {
		err = fmt.Errorf("%s: %w", path, errBusy)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// errBusy: two exports into one file would mix.
var errBusy = errors.New("another command is writing it")

// end is where what is whole ends.
func (p *part) end() int64 {
	if p.have == nil {
		return 0
	}
	return p.have.End
}

// fill writes what comes behind what is there and is whole. Until something
// comes, all stays as it was; a new file to which nothing comes is removed.
func (p *part) fill(r io.Reader, write func(io.Reader, io.Writer) error) error {
	in := bufio.NewReader(r)
	if _, err := in.Peek(1); err != nil {
		if p.have != nil {
			return err
		}
		return errors.Join(err, p.Close(), os.Remove(p.Name()))
	}
	p.cut = true
	_, err := p.Seek(p.end(), io.SeekStart)
	if err = errors.Join(err, p.Truncate(p.end())); err != nil {
		return err
	}
	out := bufio.NewWriterSize(p.File, 1<<16)
	if err := errors.Join(write(in, out), out.Flush(), p.Sync()); err != nil {
		return err
	}
	p.cut = false
	return settle(p.File, p.name)
}
