package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/message/codes"
	"github.com/eidermail/eider/internal/web/ui"
)

const inbox = "INBOX"

// Limit: rows of a mailbox shown at once.
const ChunkRows = 50

// Limit: messages that one form can change.
const MaxPicked = 5000

// soon is when a row begins to say that it expires.
const soon = 24 * time.Hour

// view is what of a mailbox is asked for.
type view struct {
	box    mailstore.Mailbox
	boxes  []mailstore.Mailbox
	before mailstore.UID // only rows below it; 0: from the newest
	query  string
	epoch  uint64
}

// context is the part of an address that keeps the view, "" or "?…".
func (v view) context(before mailstore.UID) string {
	q := url.Values{}
	if v.box.Name != inbox && v.box.Name != "" {
		q.Set("box", v.box.Name)
	}
	if v.query != "" {
		q.Set("q", v.query)
	}
	if before != 0 {
		q.Set("before", strconv.FormatUint(uint64(before), 10))
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func messagePath(id mailstore.MsgID) string { return "/messages/" + strconv.FormatUint(uint64(id), 10) }

// look reads what is asked for, and the mailboxes.
func (s *Site) look(c *call, name string) (view, error) {
	q := c.r.URL.Query()
	v := view{query: cut(strings.TrimSpace(q.Get("q")), 200)}
	if n, err := strconv.ParseUint(q.Get("before"), 10, 32); err == nil {
		v.before = mailstore.UID(n)
	}
	a, err := s.o.Store.Account(c.ctx, c.id.Acct)
	if err != nil {
		return v, err
	}
	v.epoch = a.Epoch
	if v.boxes, err = s.o.Store.Mailboxes(c.ctx, c.id.Acct); err != nil {
		return v, err
	}
	if name == "" {
		name = inbox
	}
	i := slices.IndexFunc(v.boxes, func(m mailstore.Mailbox) bool { return m.Name == name })
	if i < 0 {
		return v, &refusal{code: http.StatusNotFound, title: "No such mailbox",
			text: "It does not exist, or was renamed or deleted by a mail client."}
	}
	v.box = v.boxes[i]
	return v, nil
}

// messages is the mailbox: GET /messages.
func (s *Site) messages(c *call) error {
	v, err := s.look(c, c.r.URL.Query().Get("box"))
	if err != nil {
		return err
	}
	page, err := s.list(c, v)
	if err != nil {
		return err
	}
	page.RowsOnly = c.class == classFrag
	s.show(c, http.StatusOK, page)
	return nil
}

// list fills the page with the rows of a view. The mailbox was read before the
// rows, so the stream, which begins at the mailbox's MODSEQ, misses nothing.
func (s *Site) list(c *call, v view) (ui.Mailbox, error) {
	title := boxLabel(v.box)
	if v.query != "" {
		title = "Search"
	}
	if c.user == nil && v.boxes[0].Name == inbox {
		c.user = &ui.User{Address: c.id.Address, Unread: v.boxes[0].Unseen}
	}
	page := ui.Mailbox{Shell: s.shell(c, title, "messages"), Box: boxView(v.box, v.box), Query: v.query}
	page.Stream = streamPath(c.id.Acct, v.box, v.epoch)
	for _, m := range v.boxes {
		page.Boxes = append(page.Boxes, boxView(m, v.box))
	}
	found, err := s.find(c, v)
	if err != nil {
		return page, err
	}
	page.Bad, page.Scanned = found.bad, found.scanned
	if v.before != 0 || v.query != "" {
		page.First = "/messages" + view{box: v.box}.context(0)
	}
	if found.older != 0 {
		page.Older = "/messages" + v.context(found.older)
	}
	now := s.o.Now()
	for i := range found.entries {
		page.Rows = append(page.Rows, row(&found.entries[i], &found.infos[i], v.context(v.before), now))
	}
	if v.box.Name == inbox && v.box.Exists <= 1 && v.query == "" { // at most the welcome message
		e := s.endpoints(c)
		page.Services, page.Snippets = services(e), firstStep(e, c.id.Address, s.trusted(c))
	}
	return page, nil
}

// found are the rows of one screen.
type found struct {
	entries []mailstore.Entry
	infos   []mailstore.Info
	older   mailstore.UID // where the next screen begins, 0 at the end
	scanned int           // rows looked at, if a search stopped before the end
	bad     string
}

// find reads the rows of a view.
func (s *Site) find(c *call, v view) (found, error) {
	if v.query != "" {
		return s.search(c, v)
	}
	var f found
	to := mailstore.UID(0)
	if v.before != 0 {
		if to = v.before - 1; to == 0 {
			return f, nil
		}
	}
	es, err := s.o.Store.Entries(c.ctx, c.id.Acct, v.box.ID, mailstore.Rows{To: to, Reverse: true, Limit: ChunkRows + 1})
	if err != nil {
		return f, err
	}
	if len(es) > ChunkRows {
		es = es[:ChunkRows]
		f.older = es[len(es)-1].UID
	}
	f.entries, f.infos, err = s.infos(c, es)
	return f, err
}

// infos reads the messages of rows; rows whose message went meanwhile are left out.
func (s *Site) infos(c *call, es []mailstore.Entry) ([]mailstore.Entry, []mailstore.Info, error) {
	ids := make([]mailstore.MsgID, len(es))
	for i, e := range es {
		ids[i] = e.Msg
	}
	infos, err := s.o.Store.Infos(c.ctx, c.id.Acct, ids...)
	if err != nil {
		return nil, nil, err
	}
	n := 0
	for i := range infos {
		if infos[i].Msg != 0 {
			es[n], infos[n] = es[i], infos[i]
			n++
		}
	}
	return es[:n], infos[:n], nil
}

func boxLabel(m mailstore.Mailbox) string {
	if m.Name == inbox {
		return "Inbox"
	}
	return m.Name
}

func boxView(m, current mailstore.Mailbox) ui.Box {
	return ui.Box{Name: m.Name, Label: boxLabel(m), ID: uint32(m.ID), URL: "/messages" + view{box: m}.context(0),
		Exists: m.Exists, Unseen: m.Unseen, Current: m.ID == current.ID}
}

// row is a message as the list shows it.
func row(e *mailstore.Entry, i *mailstore.Info, context string, now time.Time) ui.Row {
	env := &i.Index.Envelope
	r := ui.Row{UID: uint32(e.UID), URL: messagePath(e.Msg) + context, Size: e.Size, Date: e.InternalDate,
		Subject: message.DecodeHeader(env.Subject), Snippet: i.Index.Preview, Unread: e.Flags&mailstore.Seen == 0,
		Flagged: e.Flags&mailstore.Flagged != 0, Deleted: e.Flags&mailstore.Deleted != 0}
	if from := people(env.From); len(from) > 0 {
		r.From, r.Addr = from[0].Name, from[0].Addr
		if r.From == "" {
			r.From = r.Addr
		}
	} else {
		r.From, r.Addr = i.Envelope.From, i.Envelope.From
	}
	if r.From == "" {
		r.From = "No sender"
	}
	if to := people(env.To); len(to) > 0 {
		r.To, r.More = to[0].Addr, len(to)-1
	} else if len(i.Envelope.To) > 0 {
		r.To, r.More = i.Envelope.To[0], i.Envelope.ToCount-1
	}
	for _, a := range i.Index.Attachments {
		if !a.Inline {
			r.Files++
		}
	}
	if digits(r.Subject)+digits(r.Snippet) >= 3 { // looking closer costs ten times as much as all the rest of a row
		r.Codes = codes.Find(r.Subject, r.Snippet)
	}
	if !e.ExpireAt.IsZero() && e.ExpireAt.Sub(now) < soon {
		r.Expires = e.ExpireAt
	}
	return r
}

// digits counts them.
func digits(s string) (n int) {
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n
}

// people makes addresses of an envelope readable; groups are flattened.
func people(list []message.Address) []ui.Person {
	var out []ui.Person
	for _, a := range list {
		if a.Group {
			continue
		}
		p := ui.Person{Name: message.DecodeHeader(a.Name), Addr: a.Mailbox}
		if a.Host != "" {
			p.Addr += "@" + a.Host
		}
		p.IDN = foreignDomain(a.Host)
		out = append(out, p)
	}
	return out
}

// act is POST /messages: what the buttons over the list and in the reader do.
func (s *Site) act(c *call) error {
	if err := c.r.ParseForm(); err != nil {
		return formError(err)
	}
	f := c.r.PostForm
	box, err := strconv.ParseUint(f.Get("box"), 10, 32)
	if err != nil || len(f["uid"]) > MaxPicked {
		return errForm
	}
	var uids []mailstore.UID
	for _, t := range f["uid"] {
		n, err := strconv.ParseUint(t, 10, 32)
		if err != nil || n == 0 {
			return errForm
		}
		uids = append(uids, mailstore.UID(n))
	}
	done := "nothing"
	if len(uids) > 0 {
		if done, err = s.change(c, mailstore.MailboxID(box), uids, f.Get("do")); err != nil {
			return err
		}
	}
	if c.r.Header.Get("X-Frag") != "" {
		c.w.Header().Del("Content-Type")
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	back, err := url.Parse(local(f.Get("back"), "/messages"))
	if err != nil || !strings.HasPrefix(back.Path, "/messages") {
		back = &url.URL{Path: "/messages"}
	}
	q := back.Query()
	q.Set("done", done)
	back.RawQuery = q.Encode()
	http.Redirect(c.w, c.r, back.String(), http.StatusSeeOther)
	return nil
}

// change does one action, and says which note tells it.
func (s *Site) change(c *call, box mailstore.MailboxID, uids []mailstore.UID, what string) (string, error) {
	slices.Sort(uids)
	uids = slices.Compact(uids)
	var err error
	switch what {
	case "delete":
		_, _, err = s.o.Store.Expunge(c.ctx, c.id.Acct, box, uids, false)
		return "deleted", err
	case "read":
		_, err = s.o.Store.SetFlags(c.ctx, c.id.Acct, box, uids,
			mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Seen})
		return "read", err
	case "unread":
		_, err = s.o.Store.SetFlags(c.ctx, c.id.Acct, box, uids,
			mailstore.FlagChange{Op: mailstore.FlagsRemove, Flags: mailstore.Seen})
		return "unread", err
	}
	return "", errForm
}
