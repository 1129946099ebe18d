package api

import (
	"context"
	"strings"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// Filter is what a message must have to be listed or waited for; all that is
// given must hold.
type Filter struct {
	To      string `query:"to" maxLength:"500" doc:"Recipient: a whole address, or a part of address or name"`
	From    string `query:"from" maxLength:"500" doc:"Sender: a whole address, or a part of address or name"`
	Subject string `query:"subject" maxLength:"500" doc:"Part of the subject, in any case"`
}

// search is a Filter with what only lists can ask for.
type search struct {
	Filter
	text        string
	unseen      bool
	attachments bool
	limit       int // messages wanted
}

func (f Filter) empty() bool { return f.To == "" && f.From == "" && f.Subject == "" }

func (s search) empty() bool { return s.Filter.empty() && s.text == "" && !s.unseen && !s.attachments }

// entry checks what needs the mailbox row only.
func (s search) entry(e *mailstore.Entry) bool { return !s.unseen || e.Flags&mailstore.Seen == 0 }

// info checks what the message's index can tell.
func (s search) info(i *mailstore.Info) bool {
	env := &i.Index.Envelope
	switch {
	case s.attachments && len(i.Index.Attachments) == 0:
	case s.Subject != "" && !contains(message.DecodeHeader(env.Subject), s.Subject):
	case s.From != "" && !anyAddress(s.From, []string{i.Envelope.From}, env.From, env.Sender):
	case s.To != "" && !anyAddress(s.To, i.Envelope.To, env.To, env.Cc, env.Bcc):
	default:
		return true
	}
	return false
}

// body checks the text, if that is asked for: the index first, then the parts.
func (a *API) body(ctx context.Context, acct mailstore.AcctID, s search, i *mailstore.Info) (bool, error) {
	if s.text == "" {
		return true, nil
	}
	env := &i.Index.Envelope
	if contains(message.DecodeHeader(env.Subject), s.text) || contains(i.Index.Preview, s.text) ||
		anyAddress(s.text, append([]string{i.Envelope.From}, i.Envelope.To...), env.From, env.To, env.Cc) {
		return true, nil
	}
	c, err := a.o.Store.Content(ctx, acct, i.Msg)
	if err != nil {
		return false, err
	}
	defer c.Close()
	for _, p := range textParts(&i.Index) {
		t, _, err := partText(c, p, MaxSearchText)
		if err != nil {
			return false, err
		}
		if contains(t, s.text) {
			return true, nil
		}
	}
	return false, nil
}

// contains tells whether part is in text, in any case.
func contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// anyAddress looks for want among addresses. A whole address must be equal, so
// that bob@x.test does not find notbob@x.test; anything else is a part of it.
func anyAddress(want string, plain []string, lists ...[]message.Address) bool {
	want = strings.TrimSpace(want)
	at := strings.LastIndexByte(want, '@')
	whole := at > 0 && at < len(want)-1 && !strings.ContainsAny(want, " <>")
	match := func(address, name string) bool {
		if whole {
			return strings.EqualFold(address, want)
		}
		return contains(address, want) || name != "" && contains(name, want)
	}
	for _, p := range plain {
		if p != "" && match(p, "") {
			return true
		}
	}
	for _, l := range lists {
		for _, ad := range l {
			if ad.Host == "" && ad.Mailbox == "" {
				continue
			}
			if match(ad.Mailbox+"@"+ad.Host, message.DecodeHeader(ad.Name)) {
				return true
			}
		}
	}
	return false
}
