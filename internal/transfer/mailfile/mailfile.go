// Package mailfile reads and writes mail as other programs keep it: mbox files,
// maildirs, and folders of .eml files. Both directions speak in the items of
// package archive and stream: a message at a time, of any size.
//
// It promises to touch nothing outside of the folder it was given: files are
// reached through an os.Root, links are not followed when reading, and the names
// it writes are made of escaped text (see names.go). A message that cannot be
// read is told (archive.Skipped), and the reading goes on.
//
// What the formats cannot carry is in docs/transfer.md.
package mailfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// Format is a way to keep mail in files.
type Format string

// The formats.
const (
	Auto    Format = "auto" // find out
	Eider   Format = "eider"
	Mbox    Format = "mbox"
	Maildir Format = "maildir"
	Eml     Format = "eml"
)

// Source is mail in files.
type Source struct {
	Path   string // a file or folder
	Format Format
	// All: each folder in Path is an account, named by its address.
	All bool
	// CRLF makes the line ends of messages that have only bare LFs CRLF, as mail
	// protocols want them.
	CRLF         bool
	MessageLimit int64 // bytes; a larger one is skipped; 0: none
	Spool        *spool.Pool
	// Read counts the bytes read, for a display of progress.
	Read atomic.Int64
}

// Total is how many bytes there are to read, nearly; 0 if it is not known.
func (s *Source) Total() (n int64) {
	_ = filepath.WalkDir(s.Path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil {
				n += st.Size()
			}
		}
		return nil
	})
	return n
}

// Detect says of what format Path is; it changes Format from Auto.
func (s *Source) Detect() error {
	st, err := os.Stat(s.Path)
	if err != nil {
		return err
	}
	if s.Format != Auto && s.Format != "" {
		return nil
	}
	if st.IsDir() {
		s.Format, err = s.detectDir()
		return err
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("eider/archive.json\x00")):
		s.Format = Eider
	case bytes.HasPrefix(head, []byte("From ")), n == 0:
		s.Format = Mbox
	case strings.EqualFold(filepath.Ext(s.Path), ".eml"):
		s.Format = Eml
	default:
		return fmt.Errorf("%s is no archive, no mbox and no .eml file: say what it is with --format", s.Path)
	}
	return nil
}

// detectDir looks for the first file or folder that tells.
func (s *Source) detectDir() (Format, error) {
	found := Auto
	err := filepath.WalkDir(s.Path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "cur" || d.Name() == "new"):
			found = Maildir
		case d.Type().IsRegular() && strings.EqualFold(filepath.Ext(p), ".eml"):
			found = Eml
		case d.Type().IsRegular() && isMbox(p):
			found = Mbox
		default:
			return nil
		}
		return filepath.SkipAll
	})
	if err == nil && found == Auto {
		err = fmt.Errorf("in %s there is no maildir, no mbox and no .eml file", s.Path)
	}
	return found, err
}

// isMbox tells whether a file begins as an mbox does.
func isMbox(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [5]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:]) == "From "
}

// reading is one walk over a Source.
type reading struct {
	*Source
	ctx   context.Context
	root  *os.Root
	yield func(archive.Item, error) bool
	// stopped: whoever takes the items wants no more.
	stopped bool
}

// Items yields what is in the files. Call Detect first if Format is Auto.
func (s *Source) Items(ctx context.Context) iter.Seq2[archive.Item, error] {
	if s.Format == Eider {
		return s.archive()
	}
	return func(yield func(archive.Item, error) bool) {
		r := &reading{Source: s, ctx: ctx, yield: yield}
		if err := r.run(); err != nil && !r.stopped {
			yield(archive.Item{}, err)
		}
	}
}

// archive yields the items of an archive; "-" is standard input.
func (s *Source) archive() iter.Seq2[archive.Item, error] {
	return func(yield func(archive.Item, error) bool) {
		f := os.Stdin
		if s.Path != "-" {
			var err error
			if f, err = os.Open(s.Path); err != nil {
				yield(archive.Item{}, err)
				return
			}
			defer f.Close()
		}
		for it, err := range archive.Read(&counter{f, &s.Read}) {
			if !yield(it, err) {
				return
			}
		}
	}
}

// counter counts what is read.
type counter struct {
	io.Reader
	n *atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// send hands an item on.
func (r *reading) send(it archive.Item) bool {
	if !r.stopped && !r.yield(it, nil) {
		r.stopped = true
	}
	return !r.stopped
}

// skip tells of what cannot be read.
func (r *reading) skip(where string, err error) bool {
	if !r.stopped && !r.yield(archive.Item{}, &archive.Skipped{Source: where, Err: err}) {
		r.stopped = true
	}
	return !r.stopped
}

func (r *reading) run() error {
	dir, file := r.Path, ""
	st, err := os.Stat(r.Path)
	if err != nil {
		return err
	}
	if !st.IsDir() {
		dir, file = filepath.Dir(r.Path), filepath.Base(r.Path)
	}
	if r.root, err = os.OpenRoot(dir); err != nil {
		return err
	}
	defer r.root.Close()
	if !r.All {
		if r.send(archive.Item{Head: &archive.Head{Accounts: 1}}) && r.send(archive.Item{Account: &archive.Account{}}) {
			return r.folder(".", file)
		}
		return nil
	}
	list, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return err
	}
	if !r.send(archive.Item{Head: &archive.Head{Accounts: len(list)}}) {
		return nil
	}
	for _, d := range list {
		if !d.IsDir() {
			r.skip(d.Name(), fmt.Errorf("no folder of an account"))
			continue
		}
		a := &archive.Account{Address: archive.Text(decodeName(d.Name()))}
		if !r.send(archive.Item{Account: a}) {
			return nil
		}
		if err := r.folder(d.Name(), ""); err != nil {
			return err
		}
	}
	return nil
}

// folder reads all mail of one account: what is below dir, or one file in it.
func (r *reading) folder(dir, file string) error {
	switch {
	case r.Format == Mbox && file != "":
		return r.mbox(file, mboxName(file))
	case r.Format == Eml && file != "":
		if r.send(archive.Item{Mailbox: &archive.Mailbox{Name: "INBOX"}}) {
			r.file(file, nil)
		}
		return nil
	case r.Format == Mbox:
		return r.walk(dir, r.mboxes)
	case r.Format == Maildir:
		return r.walk(dir, r.maildir)
	case r.Format == Eml:
		return r.walk(dir, r.emls)
	}
	return fmt.Errorf("%q is no format", r.Format)
}

// walk calls visit for dir and each folder below it, with the entries in it and
// its path below dir.
func (r *reading) walk(dir string, visit func(dir, below string, list []fs.DirEntry) error) error {
	return fs.WalkDir(r.root.FS(), dir, func(p string, d fs.DirEntry, err error) error {
		if r.stopped || r.ctx.Err() != nil {
			return fs.SkipAll
		}
		if err != nil {
			r.skip(p, err)
			return nil
		}
		if !d.IsDir() {
			return nil
		}
		list, err := fs.ReadDir(r.root.FS(), p)
		if err != nil {
			r.skip(p, err)
			return nil
		}
		below := strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
		return visit(p, below, list)
	})
}

// regular tells whether an entry is a file to read, and tells of links.
func (r *reading) regular(dir string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink != 0 {
		r.skip(dir+"/"+d.Name(), fmt.Errorf("a symbolic link is not followed"))
	}
	return d.Type().IsRegular()
}

// open opens a regular file; what became a link since it was listed is refused.
func (r *reading) open(name string) (*os.File, fs.FileInfo, error) {
	before, err := r.root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("no regular file")
	}
	f, err := r.root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("it was replaced while it was opened")
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, after, nil
}
