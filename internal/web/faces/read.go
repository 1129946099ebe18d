package faces

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/web/pour"
)

// Limit: messages in one answer of the faces of other catchers.
const MaxPage = 1000

// Limit: messages that one search of the faces of other catchers looks at.
const MaxScan = 5000

// Limit: messages that one request to the faces of other catchers changes or deletes by id.
const MaxIDs = 5000

// Limit: decoded bytes of text and of HTML of one message in an answer of the faces of other catchers.
const MaxText = 2 << 20

// readBatch is how many messages are looked at in one round trip.
const readBatch = 100

const inbox = "INBOX"

// found is a message with its place.
type found struct {
	mailstore.Entry
	mailstore.Info
}

func (m *found) id() string { return strconv.FormatUint(uint64(m.Entry.Msg), 10) }

// box is the account's INBOX.
func (f *Faces) box(c *call) (mailstore.Mailbox, error) {
	return f.o.Store.Mailbox(c.ctx, c.acct, inbox)
}

// page reads start and limit.
func page(r *http.Request) (start, limit int, err error) {
	limit = 50
	for name, to := range map[string]*int{"start": &start, "limit": &limit} {
		if s := r.URL.Query().Get(name); s != "" {
			if *to, err = strconv.Atoi(s); err != nil || *to < 0 {
				return 0, 0, bad("%s must be a number.", name)
			}
		}
	}
	return start, min(limit, MaxPage), nil
}

// each calls see with the messages of INBOX, newest first, until it says no, or
// MaxScan of them were seen.
func (f *Faces) each(c *call, see func(*found) (more bool, err error)) error {
	box, err := f.box(c)
	if err != nil {
		return err
	}
	es, err := f.o.Store.Entries(c.ctx, c.acct, box.ID, mailstore.Rows{Reverse: true, Limit: MaxScan})
	if err != nil {
		return err
	}
	for len(es) > 0 {
		batch := es[:min(len(es), readBatch)]
		es = es[len(batch):]
		ids := make([]mailstore.MsgID, len(batch))
		for i := range batch {
			ids[i] = batch[i].Msg
		}
		infos, err := f.o.Store.Infos(c.ctx, c.acct, ids...)
		if err != nil {
			return err
		}
		for i := range batch {
			if infos[i].Msg == 0 || infos[i].Index.Root == nil {
				continue // went meanwhile
			}
			if more, err := see(&found{batch[i], infos[i]}); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// list is one page of INBOX: entries are skipped without reading them.
func (f *Faces) list(c *call, start, limit int) (box mailstore.Mailbox, out []*found, err error) {
	if box, err = f.box(c); err != nil || limit == 0 {
		return box, nil, err
	}
	es, err := f.o.Store.Entries(c.ctx, c.acct, box.ID, mailstore.Rows{Reverse: true, Limit: start + limit})
	if err != nil || start >= len(es) {
		return box, nil, err
	}
	for es = es[start:]; len(es) > 0; {
		batch := es[:min(len(es), readBatch)]
		es = es[len(batch):]
		ids := make([]mailstore.MsgID, len(batch))
		for i := range batch {
			ids[i] = batch[i].Msg
		}
		infos, err := f.o.Store.Infos(c.ctx, c.acct, ids...)
		if err != nil {
			return box, nil, err
		}
		for i := range batch {
			if infos[i].Msg != 0 && infos[i].Index.Root != nil {
				out = append(out, &found{batch[i], infos[i]})
			}
		}
	}
	return box, out, nil
}

// open finds a message by its id, or "latest".
func (f *Faces) open(c *call, id string) (*found, error) {
	if id == "latest" {
		_, newest, err := f.list(c, 0, 1)
		if err != nil {
			return nil, err
		}
		if len(newest) == 0 {
			return nil, errNone
		}
		return newest[0], nil
	}
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil || n == 0 {
		return nil, errNone
	}
	_, e, err := f.o.Store.Place(c.ctx, c.acct, mailstore.MsgID(n))
	if err != nil {
		return nil, err
	}
	if at := e.ExpireAt; !at.IsZero() && !f.o.Now().Before(at) { // the janitor only has not come by yet
		return nil, errNone
	}
	infos, err := f.o.Store.Infos(c.ctx, c.acct, e.Msg)
	if err != nil {
		return nil, err
	}
	if len(infos) == 0 || infos[0].Msg == 0 || infos[0].Index.Root == nil {
		return nil, errNone
	}
	return &found{e, infos[0]}, nil
}

// text is the decoded text of parts one after the other. They are opened when
// they are come to.
type text struct {
	c    io.ReaderAt
	list []*message.Part
	now  io.Reader
}

func (t *text) Read(b []byte) (int, error) {
	for {
		if t.now == nil {
			if len(t.list) == 0 {
				return 0, io.EOF
			}
			p := t.list[0]
			t.list = t.list[1:]
			t.now = message.TextReader(p, io.NewSectionReader(t.c, p.Body.Start, p.Body.Len()))
		}
		n, err := t.now.Read(b)
		if err == io.EOF {
			t.now, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// textsOf are readers of the decoded text and HTML of a message, cut at MaxText.
func textsOf(c io.ReaderAt, ix *message.Index) (plain, markup io.Reader) {
	files := map[string]bool{}
	for _, a := range ix.Attachments {
		files[a.Path] = true
	}
	p, m := &text{c: c}, &text{c: c}
	for path, q := range message.WalkParts(ix.Root) {
		if len(q.Parts) > 0 || q.Type != "text" || files[path] || path == "" && files["1"] {
			continue
		}
		switch q.Subtype {
		case "plain":
			p.list = append(p.list, q)
		case "html":
			m.list = append(m.list, q)
		}
	}
	return io.LimitReader(p, MaxText), io.LimitReader(m, MaxText)
}

// texts are the decoded text and HTML of a message, cut at MaxText.
func texts(c io.ReaderAt, ix *message.Index) (plain, markup string, err error) {
	p, m := textsOf(c, ix)
	var a, b strings.Builder
	if _, err = io.Copy(&a, p); err == nil {
		_, err = io.Copy(&b, m)
	}
	return a.String(), b.String(), err
}

// naming is how a field is called in an answer.
type naming int

const (
	canonical naming = iota // in the form of Go's net/http, which Mailpit uses
	asSent                  // as it was sent first, which MailHog uses
)

// headerOf is the message's header as a map, decoded if so wanted.
func headerOf(c io.ReaderAt, p *message.Part, as naming, decode bool) (map[string][]string, error) {
	b := make([]byte, min(p.Header.Len(), message.MaxHeaderBytes))
	if n, err := c.ReadAt(b, p.Header.Start); err != nil && (err != io.EOF || n < len(b)) {
		return nil, err
	}
	out, first := map[string][]string{}, map[string]string{}
	for f := range message.HeaderFields(b) {
		if len(f.Name) == 0 {
			continue
		}
		value := string(message.Unfold(f.Value))
		if decode {
			value = f.Text()
		}
		name := strings.ToValidUTF8(string(f.Name), "\uFFFD")
		key := http.CanonicalHeaderKey(name)
		if as == asSent {
			key = strings.ToLower(name)
			if first[key] == "" {
				first[key] = name
			}
			key = first[key]
		}
		out[key] = append(out[key], strings.ToValidUTF8(strings.TrimSpace(value), "\uFFFD"))
	}
	return out, nil
}

// people are addresses in the form of Go's net/mail, which Mailpit uses.
func people(list []message.Address) []*mail.Address {
	out := []*mail.Address{}
	for _, a := range list {
		if a.Group || a.Host == "" && a.Mailbox == "" {
			continue
		}
		out = append(out, &mail.Address{Name: message.DecodeHeader(a.Name), Address: a.Mailbox + "@" + a.Host})
	}
	return out
}

// raw is the message, byte for byte.
func (f *Faces) raw(c *call) error {
	m, err := f.open(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	content, err := f.o.Store.Content(c.r.Context(), c.acct, m.Entry.Msg)
	if err != nil {
		return err
	}
	defer content.Close()
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if strings.HasSuffix(c.r.URL.Path, "/download") || c.r.URL.Query().Get("dl") == "1" {
		c.w.Header().Set("Content-Disposition", `attachment; filename="`+m.id()+`.eml"`)
	}
	c.w.Header().Set("Content-Length", strconv.FormatInt(content.Size(), 10))
	pour.Out(c.w, c.r, f.o.Log, io.NewSectionReader(content, 0, content.Size()))
	return nil
}

// part is a leaf by its number, decoded. No browser is to show it.
func (f *Faces) part(c *call) error {
	m, err := f.open(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	at, ok := message.ParsePath(c.r.PathValue("part"))
	if !ok || len(at) == 0 {
		return errNone
	}
	p := message.FindPart(m.Index.Root, at)
	if p == nil || len(p.Parts) > 0 {
		return errNone
	}
	content, err := f.o.Store.Content(c.r.Context(), c.acct, m.Entry.Msg)
	if err != nil {
		return err
	}
	defer content.Close()
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Disposition", "attachment")
	encoded := io.NewSectionReader(content, p.Body.Start, p.Body.Len())
	pour.Out(c.w, c.r, f.o.Log, message.DecodeTransfer(p.Encoding, encoded))
	return nil
}

// change is the body of a change, all of which may be missing.
type change struct {
	IDs    []string
	Read   bool
	Search string
}

// changeOf reads the body of a change, or nothing.
func changeOf(c *call) (b change, err error) {
	err = json.NewDecoder(c.r.Body).Decode(&b)
	if err != nil && !errors.Is(err, io.EOF) {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return b, err
		}
		return b, bad("The body must be JSON with IDs.")
	}
	if len(b.IDs) > MaxIDs {
		return b, bad("At most %d ids in one request.", MaxIDs)
	}
	return b, nil
}

// remove deletes messages by id, or all of them. It answers with nothing:
// MailHog's clients would take words for JSON, and Mailpit's do not look.
func (f *Faces) remove(c *call) error {
	b, err := changeOf(c)
	if err != nil {
		return err
	}
	if len(b.IDs) == 0 {
		return f.removeAll(c)
	}
	for _, id := range b.IDs {
		if err := f.removeID(c, id); err != nil && !isNone(err) {
			return err
		}
	}
	return nil
}

func isNone(err error) bool {
	return err == errNone || mailstore.KindOf(err) == mailstore.NotExist
}

// removeAll empties INBOX of what was there when it was asked.
func (f *Faces) removeAll(c *call) error {
	box, err := f.box(c)
	if err != nil {
		return err
	}
	es, err := f.o.Store.Entries(c.ctx, c.acct, box.ID, mailstore.Rows{})
	if err != nil {
		return err
	}
	uids := make([]mailstore.UID, len(es))
	for i := range es {
		uids[i] = es[i].UID
	}
	// Many messages take longer than a look-up may.
	ctx, cancel := context.WithTimeout(c.r.Context(), 2*time.Minute)
	defer cancel()
	if len(uids) > 0 {
		if _, _, err := f.o.Store.Expunge(ctx, c.acct, box.ID, uids, false); err != nil {
			return err
		}
	}
	return nil
}

// removeID deletes one message from where it lies.
func (f *Faces) removeID(c *call, id string) error {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil || n == 0 {
		return errNone
	}
	box, e, err := f.o.Store.Place(c.ctx, c.acct, mailstore.MsgID(n))
	if err != nil {
		return err
	}
	_, _, err = f.o.Store.Expunge(c.ctx, c.acct, box.ID, []mailstore.UID{e.UID}, false)
	return err
}

func (f *Faces) removeOne(c *call) error {
	return f.removeID(c, c.r.PathValue("id"))
}
