package faces

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// The objects of MailHog's API. They hold whole messages, each up to three times:
// they are written while they are read, and an answer is cut by bytes, too.

// Limit: bytes of an answer in MailHog's form behind which no more messages follow; it has fewer then.
const MaxAnswer = 32 << 20

// Limit: bytes that a message, its text, and its parts together each take in an
// answer in MailHog's form; they are cut there.
const MaxData = 8 << 20

type hogPath struct {
	Relays                  []string
	Mailbox, Domain, Params string
}

func hogPathOf(address string) hogPath {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return hogPath{Mailbox: address}
	}
	return hogPath{Mailbox: address[:i], Domain: address[i+1:]}
}

// hogItem is a message that is being written.
type hogItem struct {
	o    *out
	c    mailstore.Content
	left int64 // bytes that its parts may still take
}

// write writes a message; header is that of its root.
func (it *hogItem) write(m *found, header map[string][]string) {
	o, root, env := it.o, m.Index.Root, &m.Info.Envelope
	to, rcpt := []hogPath{}, env.To
	for _, a := range env.To {
		to = append(to, hogPathOf(a))
	}
	if rcpt == nil {
		rcpt = []string{}
	}
	o.members(struct {
		ID      string
		From    hogPath
		To      []hogPath
		Created time.Time
	}{m.id(), hogPathOf(env.From), to, m.InternalDate.UTC()})
	o.raw(`,"Content":{"Headers":`)
	o.value(header)
	o.raw(`,"Body":`)
	o.span(it.c, root.Body, MaxData)
	o.raw(`,"Size":` + strconv.FormatInt(m.Entry.Size, 10) + `,"MIME":null},"MIME":`)
	it.parts(root, 0)
	o.raw(`,"Raw":`)
	o.members(struct {
		From string
		To   []string
		Helo string
	}{env.From, rcpt, env.Helo})
	o.raw(`,"Data":`)
	o.span(it.c, message.Span{End: it.c.Size()}, MaxData)
	o.raw("}}")
}

// hogDepth is how deep the parts of a message are listed.
const hogDepth = 10

// parts writes parts as they are encoded, until the bytes left are used up.
func (it *hogItem) parts(p *message.Part, depth int) {
	if len(p.Parts) == 0 {
		it.o.raw("null")
		return
	}
	it.o.raw(`{"Parts":[`)
	for i, q := range p.Parts {
		if it.left <= 0 || depth >= hogDepth || it.o.over() {
			break
		}
		if i > 0 {
			it.o.raw(",")
		}
		it.part(q, depth)
	}
	it.o.raw("]}")
}

func (it *hogItem) part(q *message.Part, depth int) {
	o, before := it.o, it.o.n
	h, err := headerOf(it.c, q, asSent, false)
	if err != nil {
		o.err = err
		return
	}
	o.raw(`{"Headers":`)
	o.value(h)
	o.raw(`,"Body":`)
	o.span(it.c, q.Body, it.left)
	it.left -= o.n - before
	o.raw(`,"Size":` + strconv.FormatInt(q.Body.Len(), 10) + `,"MIME":`)
	it.parts(q, depth+1)
	o.raw("}")
}

// hogOpen opens a message, to be read for as long as the client takes it: longer
// than the budget of a look-up.
func (f *Faces) hogOpen(c *call, m *found) (mailstore.Content, map[string][]string, error) {
	content, err := f.o.Store.Content(c.r.Context(), c.acct, m.Entry.Msg)
	if err != nil {
		return nil, nil, err
	}
	h, err := headerOf(content, m.Index.Root, asSent, false)
	if err != nil {
		content.Close()
		return nil, nil, err
	}
	return content, h, nil
}

// hogPage is what a page has besides its messages.
type hogPage struct {
	Total int64 `json:"total"`
	Start int   `json:"start"`
}

// fill answers with the messages of a page, as many as an answer may hold.
func (f *Faces) fill(c *call, p hogPage, list []*found) error {
	end, err := f.answers.take(c.ctx, c.acct)
	if err != nil {
		return err
	}
	defer end()
	o, count := c.begin(), 0
	o.members(p)
	o.raw(`,"items":[`)
	for _, m := range list {
		if o.over() || count > 0 && o.n+hogSize(m) > MaxAnswer {
			break
		}
		content, h, err := f.hogOpen(c, m)
		if err != nil && mailstore.KindOf(err) == mailstore.NotExist {
			continue // went meanwhile
		}
		if err != nil {
			o.err = err
			break
		}
		if count++; count > 1 {
			o.raw(",")
		}
		(&hogItem{o: o, c: content, left: MaxData}).write(m, h)
		content.Close()
	}
	o.raw(`],"count":` + strconv.Itoa(count) + `}`)
	return o.close(f, c.r)
}

// hogSize is about how many bytes a message takes in an answer, or more where
// many of them are written longer than they are.
func hogSize(m *found) int64 {
	n := 2 * min(m.Entry.Size, MaxData)
	if len(m.Index.Root.Parts) > 0 {
		n += min(m.Entry.Size, MaxData)
	}
	return n
}

// hogList is GET /api/v2/messages.
func (f *Faces) hogList(c *call) error {
	start, limit, err := page(c.r)
	if err != nil {
		return err
	}
	box, list, err := f.list(c, start, limit)
	if err != nil {
		return err
	}
	return f.fill(c, hogPage{Total: int64(box.Exists), Start: start}, list)
}

// hogSearch is GET /api/v2/search?kind=from|to|containing.
func (f *Faces) hogSearch(c *call) error {
	start, limit, err := page(c.r)
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	want := strings.ToLower(q.Get("query"))
	if len(want) > MaxQuery || want == "" {
		return bad("query must have 1 to %d bytes.", MaxQuery)
	}
	t := term{want: want}
	switch q.Get("kind") {
	case "from":
		t.field = "from"
	case "to":
		t.field = "addressed-to"
	case "containing":
	default:
		return bad("kind must be from, to or containing.")
	}
	page := hogPage{Start: start}
	var list []*found
	var inside error
	err = f.search(c, nil, func(m *found) bool {
		ok := false
		if t.field == "addressed-to" {
			env := &m.Index.Envelope
			ok = anyText(want, m.Info.Envelope.To) || anyOf(want, env.To, env.Cc)
		} else if t.field == "from" {
			ok = anyOf(want, m.Index.Envelope.From) || contains(m.Info.Envelope.From, want)
		} else if ok, inside = f.holds(c, &t, m); inside != nil {
			return false
		}
		if ok {
			if page.Total++; int(page.Total) > start && len(list) < limit {
				list = append(list, m)
			}
		}
		return true
	})
	if err = errors.Join(err, inside); err != nil {
		return err
	}
	return f.fill(c, page, list)
}

// hogMessage is GET /api/v1/messages/{id}.
func (f *Faces) hogMessage(c *call) error {
	m, err := f.open(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	end, err := f.answers.take(c.ctx, c.acct)
	if err != nil {
		return err
	}
	defer end()
	content, h, err := f.hogOpen(c, m)
	if err != nil {
		return err
	}
	defer content.Close()
	o := c.begin()
	(&hogItem{o: o, c: content, left: MaxData}).write(m, h)
	return o.close(f, c.r)
}

// hogJim says that there is no Jim here.
func (f *Faces) hogJim(*call) error {
	return &answer{code: http.StatusNotFound, text: "Failures on purpose are not offered."}
}

func (f *Faces) hogOutgoing(c *call) error { return c.reply(map[string]any{}) }
