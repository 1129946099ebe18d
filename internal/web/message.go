package web

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/web/ui"
)

// mail is one message that was asked for and may be shown.
type mail struct {
	acct   mailstore.AcctID
	id     mailstore.MsgID
	link   string // its permalink
	public bool   // asked for by its permalink
	owner  bool   // though by its permalink, for a page of its owner
	base   string // where its pages lie
	info   mailstore.Info
	box    mailstore.Mailbox
	entry  mailstore.Entry
}

// open finds the message of a path: a number of one's own account, or a
// permalink of anybody's.
func (s *Site) open(c *call) (*mail, error) {
	if link := c.r.PathValue("msgid"); link != "" {
		return s.openLink(c, link, false)
	}
	if c.id == nil {
		return nil, errLogin
	}
	n, err := strconv.ParseUint(c.r.PathValue("id"), 10, 64)
	if err != nil || n == 0 {
		return nil, errNoMessage
	}
	m := &mail{acct: c.id.Acct, id: mailstore.MsgID(n), base: messagePath(mailstore.MsgID(n)),
		link: s.o.Auth.Permalink(c.id.Acct, c.id.LinkEpoch, mailstore.MsgID(n))}
	return m, s.load(c, m)
}

// openLink opens a permalink. A forged one costs no store read; ended, expired
// and deleted ones get the same answer as forged ones.
func (s *Site) openLink(c *call, link string, owner bool) (*mail, error) {
	l, ok := s.o.Auth.ParsePermalink(link)
	if !ok {
		return nil, errNoMessage
	}
	a, err := s.o.Store.Account(c.ctx, l.Acct)
	if err != nil {
		return nil, err
	}
	if a.LinkEpoch != l.Epoch || a.Disabled || a.LinksOff && !owner {
		return nil, errNoMessage
	}
	m := &mail{acct: l.Acct, id: l.Msg, link: link, public: true, owner: owner,
		base: "/message/" + link}
	return m, s.load(c, m)
}

func (s *Site) load(c *call, m *mail) (err error) {
	if m.box, m.entry, err = s.o.Store.Place(c.ctx, m.acct, m.id); err != nil {
		return err
	}
	infos, err := s.o.Store.Infos(c.ctx, m.acct, m.id)
	if err != nil {
		return err
	}
	if len(infos) == 0 || infos[0].Msg == 0 || infos[0].Index.Root == nil {
		return errNoMessage
	}
	if at := m.entry.ExpireAt; !at.IsZero() && !s.o.Now().Before(at) {
		return errNoMessage // due, the janitor only has not come by yet
	}
	m.info = infos[0]
	return nil
}

// permalink shows a message to anyone who has its link. It changes nothing.
func (s *Site) permalink(c *call) error {
	m, err := s.open(c)
	if err != nil {
		return err
	}
	if err := s.charge(c, m, shown(m)); err != nil {
		return err
	}
	r, err := s.reader(c, m, "")
	if err != nil {
		return err
	}
	if c.class == classFrag { // there is no list beside it
		s.show(c, http.StatusOK, ui.Mailbox{ReaderOnly: true, Reader: &r})
		return nil
	}
	s.show(c, http.StatusOK, ui.Page{Shell: s.shell(c, pageTitle(r.Subject), ""), Reader: r, Report: s.report(m)})
	return nil
}

// message shows one's own message, beside the list, and marks it as read.
func (s *Site) message(c *call) error {
	m, err := s.open(c)
	if err != nil {
		return err
	}
	if err := s.markSeen(c, m); err != nil {
		return err
	}
	if c.class == classFrag {
		v := view{box: m.box}
		q := c.r.URL.Query()
		v.query = cut(strings.TrimSpace(q.Get("q")), 200)
		before, _ := strconv.ParseUint(q.Get("before"), 10, 32)
		r, err := s.reader(c, m, v.context(mailstore.UID(before)))
		if err != nil {
			return err
		}
		s.show(c, http.StatusOK, ui.Mailbox{ReaderOnly: true, Reader: &r})
		return nil
	}
	v, err := s.look(c, m.box.Name)
	if err != nil {
		return err
	}
	page, err := s.list(c, v)
	if err != nil {
		return err
	}
	r, err := s.reader(c, m, v.context(v.before))
	if err != nil {
		return err
	}
	page.Reader, page.Title = &r, pageTitle(r.Subject)
	for i := range page.Rows {
		page.Rows[i].Current = page.Rows[i].UID == r.UID
	}
	s.show(c, http.StatusOK, page)
	return nil
}

// pageTitle names a page after a mail's subject. A title has no bdi: signs that
// turn text around would turn the browser's own words around, too.
func pageTitle(subject string) string {
	subject = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) {
			return -1
		}
		return r
	}, subject)
	if strings.TrimSpace(subject) == "" {
		return "No subject"
	}
	return cut(subject, 120)
}

// markSeen is the one thing that a GET changes, and only for the owner. A
// browser that merely fetches ahead does not count as reading.
func (s *Site) markSeen(c *call, m *mail) error {
	ahead := c.r.Header.Get("Sec-Purpose") != "" || c.r.Method == http.MethodHead
	// A page of another origin can make a browser ask, by an image for example.
	// Only what the owner sees counts: a page, or a piece of one for our scripts.
	dest := c.r.Header.Get("Sec-Fetch-Dest")
	unseen := dest != "" && dest != "document" && c.class != classFrag
	if m.entry.Flags&mailstore.Seen != 0 || ahead || unseen {
		return nil
	}
	_, err := s.o.Store.SetFlags(c.ctx, m.acct, m.box.ID, []mailstore.UID{m.entry.UID},
		mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Seen})
	switch mailstore.KindOf(err) {
	case mailstore.NotExist, mailstore.Transient, mailstore.NoSpace:
		return nil // reading comes first
	}
	return err
}

// reader fills in a message's view. context keeps the list's view in addresses.
func (s *Site) reader(c *call, m *mail, context string) (ui.Reader, error) {
	env := &m.info.Index.Envelope
	r := ui.Reader{Public: m.public, Base: m.base, UID: uint32(m.entry.UID), Subject: message.DecodeHeader(env.Subject),
		From: people(env.From), To: people(env.To), Cc: people(env.Cc), Bcc: people(env.Bcc), Date: env.SentAt,
		Came: m.entry.InternalDate, Size: m.entry.Size, Expires: m.entry.ExpireAt,
		Deleted: m.entry.Flags&mailstore.Deleted != 0, Flagged: m.entry.Flags&mailstore.Flagged != 0,
		Defects: m.info.Index.Defects}
	if reply := people(env.ReplyTo); !samePeople(reply, r.From) {
		r.ReplyTo = reply
	}
	if !m.public {
		r.Back, r.Action = "/messages"+context, "/messages"
		r.Box = strconv.FormatUint(uint64(m.box.ID), 10)
		r.Link = "/message/" + m.link
		if err := s.neighbours(c, m, &r, context); err != nil {
			return r, err
		}
	}
	for _, a := range m.info.Index.Attachments {
		r.Files = append(r.Files, ui.File{ID: a.ID, Name: a.Name, Type: a.Type, Size: a.DecodedSize, Inline: a.Inline,
			URL: m.base + "/attachments/" + a.ID})
	}
	content, err := s.o.Store.Content(c.ctx, m.acct, m.id)
	if err != nil {
		return r, err
	}
	defer content.Close()
	return r, s.fillTab(c, m, content, &r, context)
}

func samePeople(a, b []ui.Person) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !strings.EqualFold(a[i].Addr, b[i].Addr) {
			return false
		}
	}
	return true
}

// neighbours finds the newer and the older message of the mailbox.
func (s *Site) neighbours(c *call, m *mail, r *ui.Reader, context string) error {
	newer, err := s.o.Store.Entries(c.ctx, m.acct, m.box.ID, mailstore.Rows{From: m.entry.UID + 1, Limit: 1})
	if err != nil {
		return err
	}
	if len(newer) > 0 {
		r.Next = messagePath(newer[0].Msg) + context
	}
	if m.entry.UID <= 1 {
		return nil
	}
	older, err := s.o.Store.Entries(c.ctx, m.acct, m.box.ID, mailstore.Rows{To: m.entry.UID - 1, Reverse: true, Limit: 1})
	if err == nil && len(older) > 0 {
		r.Prev = messagePath(older[0].Msg) + context
	}
	return err
}

// foreignDomain is the ASCII form of a domain that has other letters in it,
// because two of them can look the same; "" for plain ones.
func foreignDomain(host string) string {
	for i := range len(host) {
		if host[i] >= 0x80 {
			if a, err := idna.ToASCII(host); err == nil {
				return a
			}
			return "not a domain"
		}
	}
	return ""
}

// body reads the text of parts, decoded, up to limit bytes; cut is what is left out.
func body(r io.ReaderAt, parts []*message.Part, limit int64) (text string, cut int64, err error) {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 && b.Len() > 0 {
			b.WriteString("\n")
		}
		src := message.TextReader(p, io.NewSectionReader(r, p.Body.Start, p.Body.Len()))
		n, err := io.Copy(&b, io.LimitReader(src, limit-int64(b.Len())))
		if err != nil {
			return "", 0, err
		}
		if int64(b.Len()) >= limit {
			cut += max(p.Body.Len()-n, 0)
			for _, q := range parts[i+1:] {
				cut += q.Body.Len()
			}
			break
		}
	}
	return strings.ToValidUTF8(b.String(), ""), cut, nil
}

// bodies are the parts that are read in place: plain text and HTML.
func bodies(x *message.Index) (plain, html []*message.Part) {
	files := map[string]bool{}
	for _, a := range x.Attachments {
		files[a.Path] = true
	}
	var walk func(p *message.Part, path string)
	walk = func(p *message.Part, path string) {
		for i, q := range p.Parts {
			walk(q, join(path, i+1))
		}
		if len(p.Parts) > 0 || p.Type != "text" || files[path] || path == "" && files["1"] {
			return
		}
		switch p.Subtype {
		case "html":
			html = append(html, p)
		case "plain":
			plain = append(plain, p)
		}
	}
	walk(x.Root, "")
	return firstFew(plain), firstFew(html)
}

// maxBodies bounds the text parts that are shown one after the other.
const maxBodies = 16

func firstFew(p []*message.Part) []*message.Part { return p[:min(len(p), maxBodies)] }

func join(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}

func stamp(t time.Time) string { return t.UTC().Format("Mon, 2 Jan 2006 15:04:05.000 MST") }
