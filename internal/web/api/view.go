package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// messageID reads the name of a message: its number, or the MSGID that the
// SMTP reply and the permalink carry.
func (a *API) messageID(c caller, s string) (mailstore.MsgID, bool) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return mailstore.MsgID(n), n != 0
	}
	l, ok := a.o.Auth.ParsePermalink(s)
	if !ok || l.Acct != c.Acct || l.Epoch != c.LinkEpoch {
		return 0, false
	}
	return l.Msg, true
}

// open finds a message by its name in the path.
func (a *API) open(ctx context.Context, c caller, id string) (string, row, error) {
	msg, ok := a.messageID(c, id)
	if !ok {
		return "", row{}, problem(http.StatusNotFound, replies[mailstore.NotExist].text)
	}
	m, e, err := a.o.Store.Place(ctx, c.Acct, msg)
	if err != nil {
		return "", row{}, err
	}
	if at := e.ExpireAt; !at.IsZero() && !a.o.Now().Before(at) { // the janitor only has not come by yet
		return "", row{}, problem(http.StatusNotFound, replies[mailstore.NotExist].text)
	}
	infos, err := a.o.Store.Infos(ctx, c.Acct, msg)
	if err != nil {
		return "", row{}, err
	}
	if len(infos) != 1 || infos[0].Msg == 0 {
		return "", row{}, problem(http.StatusNotFound, replies[mailstore.NotExist].text)
	}
	return m.Name, row{e, infos[0]}, nil
}

type getInput struct {
	ID string `path:"id" maxLength:"64" doc:"The id of a list, or the MSGID of an SMTP reply"`
}

type messageOutput struct{ Body *Message }

// get is GET /v1/messages/{id}.
func (a *API) get(ctx context.Context, in *getInput) (*messageOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	c := callerOf(ctx)
	mailbox, r, err := a.open(ctx, c, in.ID)
	if err != nil {
		return nil, a.fail("message", err)
	}
	m, err := a.full(ctx, c, mailbox, &r)
	if err != nil {
		return nil, a.fail("message", err)
	}
	return &messageOutput{m}, nil
}

// summary is what lists show.
func summary(a *API, c caller, mailbox string, r *row) Summary {
	env := &r.Index.Envelope
	id := strconv.FormatUint(uint64(r.Entry.Msg), 10)
	s := Summary{
		ID: id, URL: c.base + "/message/" + a.o.Auth.Permalink(c.Acct, c.LinkEpoch, r.Entry.Msg),
		Mailbox: mailbox, UID: uint32(r.UID), Subject: message.DecodeHeader(env.Subject),
		From: people(env.From), To: people(env.To), Cc: people(env.Cc), Bcc: people(env.Bcc),
		ReplyTo: people(env.ReplyTo),
		Date:    env.SentAt.UTC(), Received: r.InternalDate.UTC(), Size: r.Entry.Size, Preview: r.Index.Preview,
		MessageID: strings.Trim(strings.TrimSpace(env.MessageID), "<>"), ThreadID: r.ThreadID,
		Seen: r.Flags&mailstore.Seen != 0, Answered: r.Flags&mailstore.Answered != 0,
		Flagged: r.Flags&mailstore.Flagged != 0, Deleted: r.Flags&mailstore.Deleted != 0,
		Draft: r.Flags&mailstore.Draft != 0, Keywords: r.Keywords, Attachments: len(r.Index.Attachments),
		Envelope: Envelope{From: r.Info.Envelope.From, To: r.Info.Envelope.To, ToCount: r.Info.Envelope.ToCount,
			Helo: r.Info.Envelope.Helo, Client: r.Info.Envelope.Client, Protocol: r.Info.Envelope.Protocol,
			TLS: r.Info.Envelope.TLS, User: r.Info.Envelope.User},
	}
	// A year that JSON cannot carry (RFC 3339 has four digits) is as good as none.
	if y := s.Date.Year(); env.SentAt.IsZero() || y < 1 || y > 9999 {
		s.Date = s.Received
	}
	if !r.ExpireAt.IsZero() {
		s.Expires = r.ExpireAt.UTC().Truncate(time.Second)
	}
	if s.Keywords == nil {
		s.Keywords = []string{}
	}
	if s.Envelope.To == nil {
		s.Envelope.To = []string{}
	}
	return s
}

// people are the addresses of a field, without the marks of groups.
func people(list []message.Address) []Address {
	out := make([]Address, 0, len(list))
	for _, ad := range list {
		if ad.Group || ad.Host == "" && ad.Mailbox == "" {
			continue
		}
		p := Address{Name: message.DecodeHeader(ad.Name), Address: ad.Mailbox}
		if ad.Host != "" {
			p.Address += "@" + ad.Host
		}
		out = append(out, p)
	}
	return out
}

// full reads the message itself, too.
func (a *API) full(ctx context.Context, c caller, mailbox string, r *row) (*Message, error) {
	content, err := a.o.Store.Content(ctx, c.Acct, r.Entry.Msg)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	m := &Message{Summary: summary(a, c, mailbox, r), Files: []Attachment{}, Links: []Link{}, Codes: []string{},
		Headers: []Header{}, Defects: r.Index.Defects}
	here := c.base + "/v1/messages/" + m.ID
	m.RawURL = here + "/raw"
	for _, at := range r.Index.Attachments {
		m.Files = append(m.Files, Attachment{ID: at.ID, Name: at.Name, Type: at.Type, ContentID: at.ContentID,
			Inline: at.Inline, Size: at.DecodedSize, URL: here + "/parts/" + at.ID})
	}
	if err := readHeaders(content, &r.Index, m); err != nil {
		return nil, err
	}
	if err := readBodies(content, &r.Index, m); err != nil {
		return nil, err
	}
	return m, nil
}
