package faces

import (
	"math"
	"net/http"
	"net/mail"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/web/pour"
)

// The objects of Mailpit's API, by the names that its clients read.

type pitSummary struct {
	ID          string
	MessageID   string
	Read        bool
	From        *mail.Address
	To          []*mail.Address
	Cc          []*mail.Address
	Bcc         []*mail.Address
	ReplyTo     []*mail.Address
	Subject     string
	Created     time.Time
	Username    string
	Tags        []string
	Size        int64
	Attachments int
	Snippet     string
}

type pitPage struct {
	Total         int64        `json:"total"`
	Unread        int64        `json:"unread"`
	Count         int          `json:"count"`
	MessagesCount int64        `json:"messages_count"`
	MessagesUnr   int64        `json:"messages_unread"`
	Start         int          `json:"start"`
	Tags          []string     `json:"tags"`
	Messages      []pitSummary `json:"messages"`
}

type pitFile struct {
	PartID      string
	FileName    string
	ContentType string
	ContentID   string
	Size        int64
}

type pitWhole struct {
	ID              string
	MessageID       string
	From            *mail.Address
	To              []*mail.Address
	Cc              []*mail.Address
	Bcc             []*mail.Address
	ReplyTo         []*mail.Address
	ReturnPath      string
	Subject         string
	ListUnsubscribe struct {
		Header, Errors, HeaderPost string
		Links                      []string
	}
	Date        time.Time
	Tags        []string
	Username    string
	Size        int64
	Inline      []pitFile
	Attachments []pitFile
}

func seen(m *found) bool { return m.Flags&mailstore.Seen != 0 }

// first is the sender, nil where there is none.
func first(list []*mail.Address) *mail.Address {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// hidden are envelope recipients that no field names, which Mailpit shows as Bcc.
func hidden(m *found) []*mail.Address {
	env := &m.Index.Envelope
	out := people(env.Bcc)
	named := append(append(people(env.To), people(env.Cc)...), out...)
next:
	for _, to := range m.Info.Envelope.To {
		for _, p := range named {
			if strings.EqualFold(p.Address, to) {
				continue next
			}
		}
		out = append(out, &mail.Address{Address: to})
	}
	return out
}

func pitOf(m *found) pitSummary {
	env := &m.Index.Envelope
	return pitSummary{ID: m.id(), MessageID: strings.Trim(env.MessageID, "<> "), Read: seen(m),
		From: first(people(env.From)), To: people(env.To), Cc: people(env.Cc), Bcc: hidden(m), ReplyTo: people(env.ReplyTo),
		Subject: message.DecodeHeader(env.Subject), Created: m.InternalDate.UTC(), Username: m.Info.Envelope.User,
		Tags: []string{}, Size: m.Entry.Size, Attachments: len(m.Index.Attachments), Snippet: m.Index.Preview}
}

// pitList is GET /api/v1/messages.
func (f *Faces) pitList(c *call) error {
	start, limit, err := page(c.r)
	if err != nil {
		return err
	}
	box, list, err := f.list(c, start, limit)
	if err != nil {
		return err
	}
	out := pitPage{Total: int64(box.Exists), Unread: int64(box.Unseen), Count: len(list),
		MessagesCount: int64(box.Exists), MessagesUnr: int64(box.Unseen), Start: start, Tags: []string{},
		Messages: []pitSummary{}}
	for _, m := range list {
		out.Messages = append(out.Messages, pitOf(m))
	}
	return c.reply(out)
}

// query reads the search of a request.
func query(r *http.Request) ([]term, error) {
	q := r.URL.Query().Get("query")
	if strings.TrimSpace(q) == "" {
		return nil, bad("Error: no search query")
	}
	return parseQuery(q)
}

// pitSearch is GET /api/v1/search.
func (f *Faces) pitSearch(c *call) error {
	start, limit, err := page(c.r)
	if err != nil {
		return err
	}
	terms, err := query(c.r)
	if err != nil {
		return err
	}
	box, err := f.box(c)
	if err != nil {
		return err
	}
	out := pitPage{Total: int64(box.Exists), Unread: int64(box.Unseen), Start: start, Tags: []string{},
		Messages: []pitSummary{}}
	err = f.search(c, terms, func(m *found) bool {
		if out.MessagesCount++; !seen(m) {
			out.MessagesUnr++
		}
		if n := int(out.MessagesCount); n > start && n <= start+limit {
			out.Messages = append(out.Messages, pitOf(m))
		}
		return true
	})
	out.Count = len(out.Messages)
	if err != nil {
		return err
	}
	return c.reply(out)
}

// pitRemoveFound is DELETE /api/v1/search.
func (f *Faces) pitRemoveFound(c *call) error {
	terms, err := query(c.r)
	if err != nil {
		return err
	}
	box, err := f.box(c)
	if err != nil {
		return err
	}
	var uids []mailstore.UID
	if err := f.search(c, terms, func(m *found) bool { uids = append(uids, m.UID); return true }); err != nil {
		return err
	}
	if len(uids) > 0 {
		if _, _, err := f.o.Store.Expunge(c.ctx, c.acct, box.ID, uids, false); err != nil {
			return err
		}
	}
	return c.ok()
}

// pitMark is PUT /api/v1/messages: read or unread, by id, by search, or all.
func (f *Faces) pitMark(c *call) error {
	b, err := changeOf(c)
	if err != nil {
		return err
	}
	box, err := f.box(c)
	if err != nil {
		return err
	}
	var uids []mailstore.UID
	switch {
	case b.Search != "":
		terms, err := parseQuery(b.Search)
		if err != nil {
			return err
		}
		if err := f.search(c, terms, func(m *found) bool { uids = append(uids, m.UID); return true }); err != nil {
			return err
		}
	case len(b.IDs) == 0:
		es, err := f.o.Store.Entries(c.ctx, c.acct, box.ID, mailstore.Rows{})
		if err != nil {
			return err
		}
		for _, e := range es {
			uids = append(uids, e.UID)
		}
	}
	for _, id := range b.IDs {
		m, err := f.open(c, id)
		if isNone(err) && err != nil {
			continue
		}
		if err != nil {
			return err
		}
		uids = append(uids, m.UID)
	}
	if err := f.mark(c, box.ID, uids, b.Read); err != nil {
		return err
	}
	return c.ok()
}

func (f *Faces) mark(c *call, box mailstore.MailboxID, uids []mailstore.UID, read bool) error {
	if len(uids) == 0 {
		return nil
	}
	op := mailstore.FlagsRemove
	if read {
		op = mailstore.FlagsAdd
	}
	_, err := f.o.Store.SetFlags(c.ctx, c.acct, box, uids, mailstore.FlagChange{Op: op, Flags: mailstore.Seen})
	return err
}

// pitMessage is GET /api/v1/message/{id}; it marks the message as read. Text and
// HTML are written while they are read.
func (f *Faces) pitMessage(c *call) error {
	m, err := f.open(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	end, err := f.answers.take(c.ctx, c.acct)
	if err != nil {
		return err
	}
	defer end()
	content, err := f.o.Store.Content(c.r.Context(), c.acct, m.Entry.Msg)
	if err != nil {
		return err
	}
	defer content.Close()
	w, err := pitWholeOf(content, m)
	if err != nil {
		return err
	}
	if box, e, err := f.o.Store.Place(c.ctx, c.acct, m.Entry.Msg); err == nil && !seen(m) {
		// Reading comes first: an error of the mark is none of the reader's.
		_ = f.mark(c, box.ID, []mailstore.UID{e.UID}, true)
	}
	plain, markup := textsOf(content, &m.Index)
	o := c.begin()
	o.members(w)
	o.raw(`,"Text":`)
	o.text(plain, math.MaxInt32) // MaxText of it
	o.raw(`,"HTML":`)
	o.text(markup, math.MaxInt32)
	o.raw("}")
	return o.close(f, c.r)
}

// pitWholeOf is all of a message but its texts.
func pitWholeOf(content mailstore.Content, m *found) (pitWhole, error) {
	s := pitOf(m)
	w := pitWhole{ID: s.ID, MessageID: s.MessageID, From: s.From, To: s.To, Cc: s.Cc, Bcc: s.Bcc, ReplyTo: s.ReplyTo,
		ReturnPath: m.Info.Envelope.From, Subject: s.Subject, Date: m.Index.Envelope.SentAt.UTC(), Tags: s.Tags,
		Username: s.Username, Size: s.Size, Inline: []pitFile{}, Attachments: []pitFile{}}
	if y := w.Date.Year(); m.Index.Envelope.SentAt.IsZero() || y < 1 || y > 9999 {
		w.Date = s.Created
	}
	w.ListUnsubscribe.Links = []string{}
	h, err := headerOf(content, m.Index.Root, canonical, true)
	if err != nil {
		return w, err
	}
	w.ListUnsubscribe.Header = strings.Join(h["List-Unsubscribe"], ", ")
	w.ListUnsubscribe.HeaderPost = strings.Join(h["List-Unsubscribe-Post"], ", ")
	for _, l := range message.FindLinks(w.ListUnsubscribe.Header) {
		w.ListUnsubscribe.Links = append(w.ListUnsubscribe.Links, l.URL)
	}
	for _, a := range m.Index.Attachments {
		file := pitFile{PartID: a.Path, FileName: a.Name, ContentType: a.Type, ContentID: a.ContentID, Size: a.DecodedSize}
		if a.Inline {
			w.Inline = append(w.Inline, file)
		} else {
			w.Attachments = append(w.Attachments, file)
		}
	}
	return w, nil
}

// pitHeaders is GET /api/v1/message/{id}/headers.
func (f *Faces) pitHeaders(c *call) error {
	m, err := f.open(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	content, err := f.o.Store.Content(c.ctx, c.acct, m.Entry.Msg)
	if err != nil {
		return err
	}
	defer content.Close()
	h, err := headerOf(content, m.Index.Root, canonical, false)
	if err != nil {
		return err
	}
	return c.reply(h)
}

// pitView is GET /view/{id}.txt and .html. The HTML is shown to programs as it
// was sent; a browser gets it as text, and the message's page for looking.
func (f *Faces) pitView(c *call) error {
	id, kind, _ := strings.Cut(c.r.PathValue("name"), ".")
	if kind != "txt" && kind != "html" {
		return f.notOffered(c)
	}
	m, err := f.open(c, id)
	if err != nil {
		return err
	}
	end, err := f.answers.take(c.ctx, c.acct)
	if err != nil {
		return err
	}
	defer end()
	content, err := f.o.Store.Content(c.r.Context(), c.acct, m.Entry.Msg)
	if err != nil {
		return err
	}
	defer content.Close()
	text, markup := textsOf(content, &m.Index)
	if kind == "html" {
		text = markup
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	pour.Out(c.w, c.r, f.o.Log, text)
	return nil
}

// pitInfo is GET /api/v1/info.
func (f *Faces) pitInfo(c *call) error {
	box, err := f.box(c)
	if err != nil {
		return err
	}
	return c.reply(map[string]any{"Version": "Eider " + f.o.Version, "LatestVersion": "", "Database": "",
		"DatabaseSize": box.Bytes, "Messages": box.Exists, "Unread": box.Unseen, "Tags": map[string]int{},
		"RuntimeStats": map[string]any{}})
}

// pitWebUI is GET /api/v1/webui: nothing that it tells of is offered.
func (f *Faces) pitWebUI(c *call) error {
	return c.reply(map[string]any{"Label": "", "MessageRelay": map[string]any{"Enabled": false}, "SpamAssassin": false,
		"ChaosEnabled": false, "DuplicatesIgnored": false})
}

func (f *Faces) pitTags(c *call) error { return c.reply([]string{}) }
