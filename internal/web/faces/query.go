package faces

import (
	"context"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/message"
)

// Limit: bytes of a search query of the faces of other catchers.
const MaxQuery = 1000

// Limit: terms of a search query of the faces of other catchers.
const MaxTerms = 20

// Limit: time of one search of the faces of other catchers.
const SearchTime = 3 * time.Second

// term is one word of a query in Mailpit's search language: all must hold.
type term struct {
	not         bool
	field, want string
	at          time.Time // of before and after
	size        int64     // of larger and smaller
}

// parseQuery reads: word, "some words", from:x, subject:"some words",
// has:attachment, is:unread, before:2026-01-31, larger:10k, and each with a
// leading - or ! for what must not hold.
func parseQuery(q string) ([]term, error) {
	if len(q) > MaxQuery {
		return nil, bad("The query has more than %d bytes.", MaxQuery)
	}
	var out []term
	for _, w := range words(q) {
		var t term
		if len(w) > 1 && (w[0] == '-' || w[0] == '!') {
			t.not, w = true, w[1:]
		}
		t.want = strings.ToLower(strings.Trim(w, `"'`))
		if field, rest, ok := strings.Cut(w, ":"); ok && searchable(strings.ToLower(field)) {
			t.field, t.want = strings.ToLower(field), strings.ToLower(strings.Trim(rest, `"'`))
		}
		if err := t.check(); err != nil {
			return nil, err
		}
		if t.want != "" {
			out = append(out, t)
		}
		if len(out) > MaxTerms {
			return nil, bad("The query has more than %d terms.", MaxTerms)
		}
	}
	return out, nil
}

func searchable(field string) bool {
	switch field {
	case "from", "to", "cc", "bcc", "reply-to", "addressed", "subject", "message-id", "tag", "is", "has",
		"before", "after", "larger", "smaller":
		return true
	}
	return false
}

// words cuts a query at blanks that stand in no quotes.
func words(q string) []string {
	var out []string
	var b strings.Builder
	quote := byte(0)
	for i := range len(q) {
		c := q[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && c == '"':
			quote = c
		case quote == 0 && (c == ' ' || c == '\t'):
			if b.Len() > 0 {
				out = append(out, b.String())
				b.Reset()
			}
			continue
		}
		b.WriteByte(c)
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	return out
}

func (t *term) check() error {
	switch t.field {
	case "before", "after":
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02", "2006/01/02"} {
			if at, err := time.Parse(layout, strings.ToUpper(t.want)); err == nil {
				t.at = at
				return nil
			}
		}
		return bad("%s wants a date like 2026-01-31.", t.field)
	case "larger", "smaller":
		n, mul := t.want, int64(1)
		for suffix, m := range map[string]int64{"k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20} {
			if rest, ok := strings.CutSuffix(t.want, suffix); ok && rest != "" && rest[len(rest)-1] <= '9' {
				n, mul = rest, m
			}
		}
		var v int64
		for _, c := range n {
			if c < '0' || c > '9' || v > 1<<40 {
				return bad("%s wants a size like 100k.", t.field)
			}
			v = v*10 + int64(c-'0')
		}
		t.size = v * mul
	}
	return nil
}

// search calls see with the messages that match, newest first.
func (f *Faces) search(c *call, terms []term, see func(*found) bool) error {
	end, err := f.searches.take(c.ctx, c.acct)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(c.ctx, SearchTime)
	defer cancel()
	sc := *c
	sc.ctx = ctx
	return f.each(&sc, func(m *found) (bool, error) {
		for i := range terms {
			ok, err := f.holds(&sc, &terms[i], m)
			if err != nil {
				return false, err
			}
			if ok == terms[i].not {
				return true, nil
			}
		}
		return see(m), nil
	})
}

// holds tells whether a term, without its not, is true of a message.
func (f *Faces) holds(c *call, t *term, m *found) (bool, error) {
	env := &m.Index.Envelope
	switch t.field {
	case "from":
		return anyOf(t.want, env.From), nil
	case "to":
		return anyOf(t.want, env.To), nil
	case "cc":
		return anyOf(t.want, env.Cc), nil
	case "bcc":
		return anyOf(t.want, env.Bcc) || anyText(t.want, m.Info.Envelope.To), nil
	case "reply-to":
		return anyOf(t.want, env.ReplyTo), nil
	case "addressed":
		return anyOf(t.want, env.From, env.To, env.Cc, env.Bcc, env.ReplyTo) || anyText(t.want, m.Info.Envelope.To), nil
	case "subject":
		return contains(message.DecodeHeader(env.Subject), t.want), nil
	case "message-id":
		return contains(strings.Trim(env.MessageID, "<> "), strings.Trim(t.want, "<>")), nil
	case "tag":
		return false, nil // there are none
	case "is":
		return t.want == "read" && seen(m) || t.want == "unread" && !seen(m), nil
	case "has":
		return strings.HasPrefix(t.want, "attachment") && len(m.Index.Attachments) > 0, nil
	case "before":
		return m.InternalDate.Before(t.at), nil
	case "after":
		return m.InternalDate.After(t.at), nil
	case "larger":
		return m.Entry.Size > t.size, nil
	case "smaller":
		return m.Entry.Size < t.size, nil
	}
	if contains(message.DecodeHeader(env.Subject), t.want) ||
		anyOf(t.want, env.From, env.To, env.Cc, env.Bcc, env.ReplyTo) ||
		anyText(t.want, m.Info.Envelope.To) || contains(m.Index.Preview, t.want) {
		return true, nil
	}
	content, err := f.o.Store.Content(c.ctx, c.acct, m.Entry.Msg)
	if err != nil {
		return false, err
	}
	defer content.Close()
	text, html, err := texts(content, &m.Index)
	return contains(text, t.want) || contains(message.HTMLText(html), t.want), err
}

func contains(text, lower string) bool { return strings.Contains(strings.ToLower(text), lower) }

func anyText(want string, all []string) bool {
	for _, s := range all {
		if contains(s, want) {
			return true
		}
	}
	return false
}

func anyOf(want string, lists ...[]message.Address) bool {
	for _, l := range lists {
		for _, p := range people(l) {
			if contains(p.Address, want) || contains(p.Name, want) {
				return true
			}
		}
	}
	return false
}
