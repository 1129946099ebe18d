package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Writer writes an archive.
type Writer struct {
	tar     *tar.Writer
	account int
	mailbox int
	message int64
	total   end
	when    time.Time
}

// NewWriter returns a Writer on w. An archive is whole only after Close.
func NewWriter(w io.Writer) *Writer { return &Writer{tar: tar.NewWriter(w), when: time.Unix(0, 0)} }

// paths are those of messages.
var paths = regexp.MustCompile(`^eider/\d{4,9}/\d{4,9}/\d{1,18}$`)

// Add writes an item. A message's Path is set, if it was not read from an archive,
// where others name it. After an error that is not of
// the item's Body nothing more can be written.
func (w *Writer) Add(it Item) error {
	switch {
	case it.Head != nil:
		it.Head.Format, it.Head.Version = "eider", Version
		w.when = it.Head.Created
		return w.line("eider/archive.json", it.Head)
	case it.Account != nil:
		w.account++
		w.mailbox = 0
		return w.line(fmt.Sprintf("eider/%04d/account.json", w.account), it.Account)
	case it.Mailbox != nil:
		w.mailbox++
		w.message = 0
		return w.line(fmt.Sprintf("eider/%04d/%04d/mailbox.json", w.account, w.mailbox), it.Mailbox)
	case it.Message != nil:
		return w.add(it.Message, it.Body)
	}
	return nil
}

func (w *Writer) add(m *Message, body io.Reader) error {
	w.message++
	if !paths.MatchString(m.Path) {
		m.Path = fmt.Sprintf("eider/%04d/%04d/%d", w.account, w.mailbox, w.message)
	}
	if err := w.line(m.Path+".json", m); err != nil {
		return err
	}
	if m.Error != "" {
		return nil
	}
	w.total.Messages++
	h := &tar.Header{Name: m.Path + ".eml", Mode: 0o600, ModTime: w.when}
	if !m.InternalDate.IsZero() {
		h.ModTime = m.InternalDate
	}
	if m.SameAs != "" {
		h.Typeflag, h.Linkname = tar.TypeLink, m.SameAs+".eml"
		return w.tar.WriteHeader(h)
	}
	w.total.Bytes += m.Size
	h.Typeflag, h.Size = tar.TypeReg, m.Size
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(w.tar, body)
	if err == nil && n != m.Size {
		err = fmt.Errorf("message of %d bytes, expected %d", n, m.Size)
	}
	return err
}

func (w *Writer) line(name string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(b.Len()), Mode: 0o600, ModTime: w.when}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.tar.Write(b.Bytes())
	return err
}

// Close ends the archive; it does not close what it was written to.
func (w *Writer) Close() error {
	if err := w.line("eider/end.json", w.total); err != nil {
		return err
	}
	return w.tar.Close()
}
