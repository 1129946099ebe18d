package mailfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/transfer/archive"
)

// message spools a message and hands it on. Its size and line ends are known
// only then. An error is one of the files.
func (r *reading) message(m *archive.Message, body io.Reader) error {
	msg := r.Spool.Message()
	defer msg.Close()
	var e ends
	limit := r.MessageLimit
	if limit <= 0 {
		limit = 1 << 62
	}
	n, err := io.Copy(io.MultiWriter(msg, &e), io.LimitReader(body, limit+1))
	if err != nil {
		return err
	}
	if n > limit {
		r.skip(string(m.Source), fmt.Errorf("more than %d bytes, which a message may have (--message-limit)", limit))
		_, err := io.Copy(io.Discard, body)
		return err
	}
	it := archive.Item{Message: m, Body: msg.Reader()}
	m.Size = msg.Size()
	if r.CRLF && e.lf > 0 && e.crlf == 0 {
		m.Size += e.lf
		it.Body = &toCRLF{r: bufio.NewReader(msg.Reader())}
	}
	r.send(it)
	return nil
}

// header reads the beginning of a message.
func header(msg io.ReaderAt) []byte {
	b := make([]byte, maxHeader)
	n, _ := msg.ReadAt(b, 0)
	b = b[:n]
	for _, end := range []string{"\n\n", "\n\r\n"} {
		if i := bytes.Index(b, []byte(end)); i >= 0 {
			b = b[:i+1]
		}
	}
	return b
}

// maxHeader is how far flags are looked for in a message's header.
const maxHeader = 64 << 10

// file reads a file that is one message.
func (r *reading) file(name string, m *archive.Message) {
	f, st, err := r.open(name)
	if err != nil {
		r.skip(name, err)
		return
	}
	defer f.Close()
	if m == nil {
		m = &archive.Message{}
	}
	m.Source, m.InternalDate = archive.Text(name), st.ModTime()
	if err := r.message(m, &counter{f, &r.Read}); err != nil {
		r.skip(name, err)
	}
}

// emls reads a folder of .eml files.
func (r *reading) emls(dir, below string, list []fs.DirEntry) error {
	told := false
	// Our own names are UIDs: as they stood in the mailbox.
	slices.SortStableFunc(list, func(a, b fs.DirEntry) int { return number(a.Name()) - number(b.Name()) })
	for _, d := range list {
		if r.stopped || r.ctx.Err() != nil {
			return fs.SkipAll
		}
		if !strings.EqualFold(path.Ext(d.Name()), ".eml") || !r.regular(dir, d) {
			continue
		}
		if !told {
			told = true
			if !r.send(archive.Item{Mailbox: &archive.Mailbox{Name: archive.Text(folderName(below))}}) {
				return fs.SkipAll
			}
		}
		r.file(path.Join(dir, d.Name()), nil)
	}
	return nil
}

// number is the number that a file's name begins with, or 0.
func number(name string) int {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, path.Ext(name)), 10, 32)
	if err != nil {
		return 0
	}
	return int(n)
}

// mboxes reads the mbox files of a folder.
func (r *reading) mboxes(dir, below string, list []fs.DirEntry) error {
	for _, d := range list {
		if r.stopped || r.ctx.Err() != nil {
			return fs.SkipAll
		}
		if !r.regular(dir, d) {
			continue
		}
		name := path.Join(dir, d.Name())
		if !r.beginsMbox(name) {
			continue
		}
		if err := r.mbox(name, mboxName(path.Join(below, d.Name()))); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) beginsMbox(name string) bool {
	f, st, err := r.open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [5]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:]) == "From " || st.Size() == 0 && strings.HasSuffix(name, ".mbox")
}

// mbox reads one mbox file.
func (r *reading) mbox(name, mailbox string) error {
	if !r.send(archive.Item{Mailbox: &archive.Mailbox{Name: archive.Text(mailbox)}}) {
		return nil
	}
	f, _, err := r.open(name)
	if err != nil {
		r.skip(name, err)
		return nil
	}
	defer f.Close()
	box := newMboxReader(&counter{f, &r.Read})
	for n := 1; !r.stopped && r.ctx.Err() == nil; n++ {
		from, err := box.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			r.skip(name, err)
			return nil
		}
		m := &archive.Message{Source: archive.Text(fmt.Sprintf("%s message %d", name, n)),
			InternalDate: from.date, Envelope: &archive.Envelope{From: archive.Text(from.sender), Received: from.date}}
		if err := r.mboxMessage(m, box); err != nil {
			r.skip(string(m.Source), err)
			return nil
		}
	}
	return nil
}

// mboxMessage takes the flags off a message, or reads them in its header.
func (r *reading) mboxMessage(m *archive.Message, box *mboxReader) error {
	own := box.ownFlags()
	if own != nil {
		parseStatus(m, own)
		return r.message(m, box)
	}
	top, err := box.peek(maxHeader)
	if err != nil {
		return err
	}
	if bytes.Contains(top, []byte("DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA")) {
		_, err := io.Copy(io.Discard, box)
		return err
	}
	parseStatus(m, top)
	return r.message(m, box)
}

// maildir reads a folder if it is a maildir.
func (r *reading) maildir(dir, below string, list []fs.DirEntry) error {
	base := path.Base(dir)
	if below != "" && (base == "cur" || base == "new" || base == "tmp") {
		return fs.SkipDir
	}
	is := func(d fs.DirEntry) bool { return d.IsDir() && (d.Name() == "cur" || d.Name() == "new") }
	if !slices.ContainsFunc(list, is) {
		return nil
	}
	keywords := r.keywords(path.Join(dir, keywordsFile))
	if !r.send(archive.Item{Mailbox: &archive.Mailbox{Name: archive.Text(maildirName(below))}}) {
		return fs.SkipAll
	}
	for _, sub := range []string{"cur", "new"} {
		files, err := fs.ReadDir(r.root.FS(), path.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			r.skip(path.Join(dir, sub), err)
			continue
		}
		slices.SortStableFunc(files, func(a, b fs.DirEntry) int { return compareMaildir(a.Name(), b.Name()) })
		for _, d := range files {
			if r.stopped || r.ctx.Err() != nil {
				return fs.SkipAll
			}
			if strings.HasPrefix(d.Name(), ".") || !r.regular(path.Join(dir, sub), d) {
				continue
			}
			m := &archive.Message{}
			if sub == "cur" {
				m.Flags, m.Keywords = maildirFlags(d.Name(), keywords)
			}
			r.file(path.Join(dir, sub, d.Name()), m)
		}
	}
	return nil
}

// keywordsFile is where Dovecot keeps the names of a maildir's keywords.
const keywordsFile = "dovecot-keywords"

// keywords reads the names of keywords, by letter.
func (r *reading) keywords(name string) (out [26]string) {
	f, _, err := r.open(name)
	if err != nil {
		return out
	}
	defer f.Close()
	s := bufio.NewScanner(io.LimitReader(f, 64<<10))
	for s.Scan() {
		var n int
		var k string
		if _, err := fmt.Sscanf(s.Text(), "%d %s", &n, &k); err == nil && n >= 0 && n < len(out) {
			out[n] = k
		}
	}
	return out
}
