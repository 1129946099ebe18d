package faces

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// The objects of MailHog's API. They hold whole messages, so an answer is cut
// by bytes, too.

// Limit: bytes of messages in one answer in MailHog's form; it has fewer messages then.
const MaxAnswer = 32 << 20

// Limit: bytes of one message in an answer in MailHog's form; its text is cut there.
const MaxData = 8 << 20

type hogPath struct {
	Relays                  []string
	Mailbox, Domain, Params string
}

type hogContent struct {
	Headers map[string][]string
	Body    string
	Size    int64
	MIME    *hogMIME
}

type hogMIME struct{ Parts []hogContent }

type hogRaw struct {
	From string
	To   []string
	Data string
	Helo string
}

type hogItem struct {
	ID      string
	From    hogPath
	To      []hogPath
	Content hogContent
	Created time.Time
	MIME    *hogMIME
	Raw     hogRaw
}

type hogPage struct {
	Total int64     `json:"total"`
	Count int       `json:"count"`
	Start int       `json:"start"`
	Items []hogItem `json:"items"`
}

func hogPathOf(address string) hogPath {
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return hogPath{Mailbox: address}
	}
	return hogPath{Mailbox: address[:i], Domain: address[i+1:]}
}

// hogItemOf reads a whole message.
func (f *Faces) hogItemOf(c *call, m *found) (hogItem, error) {
	env := &m.Info.Envelope
	it := hogItem{ID: m.id(), From: hogPathOf(env.From), To: []hogPath{}, Created: m.InternalDate.UTC()}
	for _, to := range env.To {
		it.To = append(it.To, hogPathOf(to))
	}
	content, err := f.o.Store.Content(c.ctx, c.acct, m.Entry.Msg)
	if err != nil {
		return it, err
	}
	defer content.Close()
	root := m.Index.Root
	if it.Content.Headers, err = headerOf(content, root, false); err != nil {
		return it, err
	}
	left := int64(MaxData)
	if it.Content.Body, err = bytesAt(content, root.Body, left); err != nil {
		return it, err
	}
	it.Content.Size = m.Entry.Size
	it.Raw = hogRaw{From: env.From, To: env.To, Helo: env.Helo}
	if it.Raw.To == nil {
		it.Raw.To = []string{}
	}
	if it.Raw.Data, err = bytesAt(content, message.Span{End: content.Size()}, left); err != nil {
		return it, err
	}
	if len(root.Parts) > 0 {
		it.MIME, err = hogParts(content, root, &left, 0)
	}
	return it, err
}

// hogDepth is how deep the parts of a message are listed.
const hogDepth = 10

// hogParts lists parts as they are encoded, until left bytes are used up.
func hogParts(c io.ReaderAt, p *message.Part, left *int64, depth int) (*hogMIME, error) {
	out := &hogMIME{Parts: []hogContent{}}
	for _, q := range p.Parts {
		if *left <= 0 || depth >= hogDepth {
			break
		}
		h, err := headerOf(c, q, false)
		if err != nil {
			return nil, err
		}
		part := hogContent{Headers: h, Size: q.Body.Len()}
		if part.Body, err = bytesAt(c, q.Body, *left); err != nil {
			return nil, err
		}
		*left -= int64(len(part.Body))
		if len(q.Parts) > 0 {
			if part.MIME, err = hogParts(c, q, left, depth+1); err != nil {
				return nil, err
			}
		}
		out.Parts = append(out.Parts, part)
	}
	return out, nil
}

// fill reads the messages of a page, as many as an answer may hold.
func (f *Faces) fill(c *call, p *hogPage, list []*found) error {
	left := int64(MaxAnswer)
	for _, m := range list {
		if left -= min(m.Entry.Size, MaxData); left < 0 && len(p.Items) > 0 {
			break
		}
		it, err := f.hogItemOf(c, m)
		if mailstore.KindOf(err) == mailstore.NotExist && err != nil {
			continue // went meanwhile
		}
		if err != nil {
			return err
		}
		p.Items = append(p.Items, it)
	}
	p.Count = len(p.Items)
	return nil
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
	out := hogPage{Total: int64(box.Exists), Start: start, Items: []hogItem{}}
	if err := f.fill(c, &out, list); err != nil {
		return err
	}
	return c.reply(out)
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
	out := hogPage{Start: start, Items: []hogItem{}}
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
			if out.Total++; int(out.Total) > start && len(list) < limit {
				list = append(list, m)
			}
		}
		return true
	})
	if err = errors.Join(err, inside); err != nil {
		return err
	}
	if err := f.fill(c, &out, list); err != nil {
		return err
	}
	return c.reply(out)
}

// hogMessage is GET /api/v1/messages/{id}.
func (f *Faces) hogMessage(c *call) error {
	m, err := f.open(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	it, err := f.hogItemOf(c, m)
	if err != nil {
		return err
	}
	return c.reply(it)
}

// hogJim says that there is no Jim here.
func (f *Faces) hogJim(*call) error {
	return &answer{http.StatusNotFound, "Failures on purpose are not offered."}
}

func (f *Faces) hogOutgoing(c *call) error { return c.reply(map[string]any{}) }
