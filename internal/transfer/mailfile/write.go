package mailfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// Sink writes items as files. What is there already is left: an export that was
// cut off goes on when it is run again.
type Sink struct {
	format  Format
	all     bool
	root    *os.Root
	spool   *spool.Pool
	account string          // folder of the account, "." if there is only one
	folder  string          // of the mailbox
	taken   map[string]bool // names in the account's folder, without case
	box     *archive.Mailbox
	have    map[string]bool // maildir: what is in the folder, without flags
	words   []string        // maildir: keywords by letter
	file    *os.File        // mbox
	out     *bufio.Writer
	// Present counts messages that were there already.
	Present int64
}

// NewSink writes to a folder, which is made if it is missing. With all, each
// account gets a folder of its own.
func NewSink(dir string, f Format, all bool, pool *spool.Pool) (*Sink, error) {
	if f != Mbox && f != Maildir && f != Eml {
		return nil, fmt.Errorf("%q is no format to write", f)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Sink{format: f, all: all, root: root, spool: pool, taken: map[string]bool{}}, nil
}

// Close ends the last mailbox.
func (s *Sink) Close() error { return errors.Join(s.endMailbox(), s.root.Close()) }

// Add writes an item.
func (s *Sink) Add(it archive.Item) error {
	switch {
	case it.Account != nil:
		if err := s.endMailbox(); err != nil {
			return err
		}
		if s.account = "."; s.all {
			s.account = s.free("", encodeName(string(it.Account.Address)))
		}
		return s.root.MkdirAll(s.account, 0o700)
	case it.Mailbox != nil:
		if err := s.endMailbox(); err != nil {
			return err
		}
		return s.mailbox(it.Mailbox)
	case it.Message != nil && it.Body != nil:
		return s.message(it.Message, it.Body)
	}
	return nil
}

// free is a name that differs from the others in the same folder by more than case.
func (s *Sink) free(dir, name string) string {
	for n := 1; ; n++ {
		try := name
		if n > 1 {
			try = fmt.Sprintf("%s~%d", name, n)
		}
		if key := dir + "/" + strings.ToLower(try); !s.taken[key] {
			s.taken[key] = true
			return try
		}
	}
}

func (s *Sink) mailbox(b *archive.Mailbox) error {
	s.box = b
	name := string(b.Name)
	switch s.format {
	case Maildir:
		s.folder = s.account
		if dir := encodeMaildir(name); dir != "." {
			s.folder = path.Join(s.account, s.free(s.account, dir))
		}
		return s.openMaildir()
	case Eml:
		s.folder = path.Join(s.account, s.free(s.account, encodeName(name)))
		return s.root.MkdirAll(s.folder, 0o700)
	}
	s.folder = path.Join(s.account, s.free(s.account, encodeName(name))) + ".mbox"
	return s.openMbox()
}

func (s *Sink) endMailbox() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	if err := errors.Join(s.out.Flush(), f.Close()); err != nil {
		return err
	}
	return s.root.Rename(s.folder+".part", s.folder)
}

func (s *Sink) message(m *archive.Message, body io.Reader) error {
	switch s.format {
	case Eml:
		return s.eml(m, body)
	case Maildir:
		return s.maildir(m, body)
	}
	return s.mbox(m, body)
}

// eml writes the exact bytes; the file's time is the internal date.
func (s *Sink) eml(m *archive.Message, body io.Reader) error {
	name := fmt.Sprintf("%s/%d.eml", s.folder, m.UID)
	if st, err := s.root.Lstat(name); err == nil && st.Size() == m.Size && st.ModTime().Unix() == m.InternalDate.Unix() {
		s.Present++
		return nil
	}
	return s.create(name, m, body)
}

// create writes a file under another name first, so that what is there is whole.
func (s *Sink) create(name string, m *archive.Message, body io.Reader) error {
	part := name + ".part"
	if i := strings.LastIndex(name, "/cur/"); i >= 0 {
		part = name[:i] + "/tmp/" + name[i+len("/cur/"):]
	}
	if err := s.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if !m.InternalDate.IsZero() {
		if err := s.root.Chtimes(part, m.InternalDate, m.InternalDate); err != nil {
			return err
		}
	}
	return s.root.Rename(part, name)
}

// local gives a message with the line ends of local files: LF, if all of its
// lines end with CRLF; else as it is.
func (s *Sink) local(body io.Reader) (*spool.Message, io.Reader, error) {
	msg := s.spool.Message()
	var e ends
	if _, err := io.Copy(io.MultiWriter(msg, &e), body); err != nil {
		msg.Close()
		return nil, nil, err
	}
	if e.uniform() {
		return msg, &toLF{bufio.NewReader(msg.Reader())}, nil
	}
	return msg, msg.Reader(), nil
}

func (s *Sink) openMaildir() error {
	s.have, s.words = map[string]bool{}, nil
	for _, d := range []string{"tmp", "new", "cur"} {
		if err := s.root.MkdirAll(path.Join(s.folder, d), 0o700); err != nil {
			return err
		}
	}
	if s.folder != s.account {
		f, err := s.root.OpenFile(path.Join(s.folder, "maildirfolder"), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		f.Close()
	}
	for _, d := range []string{"new", "cur"} {
		list, err := fs.ReadDir(s.root.FS(), path.Join(s.folder, d))
		if err != nil {
			return err
		}
		for _, e := range list {
			base, _, _ := strings.Cut(e.Name(), ":2,")
			s.have[base] = true
		}
	}
	f, err := s.root.Open(path.Join(s.folder, keywordsFile))
	if err != nil {
		return nil
	}
	defer f.Close()
	for scan := bufio.NewScanner(io.LimitReader(f, 64<<10)); scan.Scan(); {
		if _, k, ok := strings.Cut(scan.Text(), " "); ok {
			s.words = append(s.words, k)
		}
	}
	return nil
}

func (s *Sink) maildir(m *archive.Message, body io.Reader) error {
	base := fmt.Sprintf("%d.U%dV%d.eider,S=%d", max(m.InternalDate.Unix(), 0), m.UID, s.box.UIDValidity, m.Size)
	if s.have[base] {
		s.Present++
		return nil
	}
	letters, err := s.letters(m)
	if err != nil {
		return err
	}
	msg, local, err := s.local(body)
	if err != nil {
		return err
	}
	defer msg.Close()
	return s.create(s.folder+"/cur/"+base+":2,"+letters, m, local)
}

// letters are a message's flags and keywords behind ":2,", sorted. The file of
// the keywords' names grows with each new one.
func (s *Sink) letters(m *archive.Message) (string, error) {
	var out []byte
	for _, f := range m.Flags {
		if c := map[string]byte{`\Draft`: 'D', `\Flagged`: 'F', `\Answered`: 'R', `\Seen`: 'S', `\Deleted`: 'T'}[f]; c != 0 {
			out = append(out, c)
		}
	}
	for _, k := range m.Keywords {
		i := slices.Index(s.words, k)
		if i < 0 && len(s.words) < 26 {
			i = len(s.words)
			s.words = append(s.words, k)
			if err := s.writeKeywords(); err != nil {
				return "", err
			}
		}
		if i >= 0 {
			out = append(out, 'a'+byte(i))
		}
	}
	slices.Sort(out)
	return string(out), nil
}

func (s *Sink) writeKeywords() error {
	var b strings.Builder
	for i, k := range s.words {
		fmt.Fprintf(&b, "%d %s\n", i, k)
	}
	return s.root.WriteFile(path.Join(s.folder, keywordsFile), []byte(b.String()), 0o600)
}
