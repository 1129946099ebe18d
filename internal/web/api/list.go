package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
)

type listInput struct {
	Filter
	Mailbox     string `query:"mailbox" default:"INBOX" maxLength:"1000"`
	Text        string `query:"text" maxLength:"500" doc:"Part of subject, addresses or text, in any case"`
	Unseen      bool   `query:"unseen" doc:"Only messages not seen yet"`
	Attachments bool   `query:"attachments" doc:"Only messages with files"`
	After       string `query:"after" maxLength:"96" doc:"A cursor: only what came after it"`
	Before      string `query:"before" maxLength:"20" doc:"The next of the page before"`
	Limit       int    `query:"limit" minimum:"1" maximum:"250" default:"50"`
}

// Page is one page of a list, newest first.
type Page struct {
	Messages []Summary `json:"messages"`
	Next     string    `json:"next,omitempty" doc:"Pass on as before for what follows; absent at the end"`
	Cursor   string    `json:"cursor" doc:"Now: pass on as after to wait for, or list, what comes later"`
	Total    uint32    `json:"total" doc:"Messages in the mailbox"`
	Unseen   uint32    `json:"unseen" doc:"Messages in the mailbox not seen yet"`
}

type pageOutput struct{ Body Page }

// list is GET /v1/messages.
func (a *API) list(ctx context.Context, in *listInput) (*pageOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	c := callerOf(ctx)
	if in.Text != "" {
		release, ok := a.texts.take(c.Acct)
		if !ok {
			return nil, problem(http.StatusTooManyRequests, "This account has 4 searches under way, which is the most.")
		}
		defer release()
	}
	m, now, err := a.place(ctx, c.Acct, in.Mailbox)
	if err != nil {
		return nil, a.fail("list", err)
	}
	from, to := mailstore.UID(1), now.next-1
	if in.After != "" {
		cur, err := a.cursorFor(c.Acct, in.After, m.ID)
		if err != nil {
			return nil, err
		}
		from = max(from, cur.next)
	}
	if in.Before != "" {
		n, err := strconv.ParseUint(in.Before, 10, 32)
		if err != nil || n == 0 {
			return nil, problem(http.StatusUnprocessableEntity, "before must be the next of an earlier answer.")
		}
		to = min(to, mailstore.UID(n)-1)
	}
	s := search{Filter: in.Filter, text: in.Text, unseen: in.Unseen, attachments: in.Attachments, limit: in.Limit}
	out := Page{Messages: []Summary{}, Cursor: now.String(), Total: m.Exists, Unseen: m.Unseen}
	found, next, err := a.find(ctx, c.Acct, m.ID, span{from, to}, s)
	if err != nil {
		return nil, a.fail("list", err)
	}
	for i := range found {
		out.Messages = append(out.Messages, summary(a, c, m.Name, &found[i]))
	}
	if next > from {
		out.Next = strconv.FormatUint(uint64(next), 10)
	}
	return &pageOutput{out}, nil
}

// row is a message in its place.
type row struct {
	mailstore.Entry
	mailstore.Info
}

// place finds a mailbox and the cursor of now in it. The account is read
// first: a change between the two reads is then after the cursor.
func (a *API) place(ctx context.Context, id mailstore.AcctID, name string) (mailstore.Mailbox, cursor, error) {
	acct, err := a.o.Store.Account(ctx, id)
	if err != nil {
		return mailstore.Mailbox{}, cursor{}, err
	}
	m, err := a.o.Store.Mailbox(ctx, id, name)
	if err != nil {
		return mailstore.Mailbox{}, cursor{}, err
	}
	return m, cursor{acct: id, mailbox: m.ID, next: m.UIDNext, epoch: acct.Epoch, modseq: acct.ModSeq}, nil
}

func (a *API) cursorFor(id mailstore.AcctID, s string, m mailstore.MailboxID) (cursor, error) {
	cur, err := parseCursor(id, s)
	if err == nil {
		cur, err = cur.in(m)
	}
	if err != nil {
		return cur, problem(http.StatusUnprocessableEntity, err.Error())
	}
	return cur, nil
}

// span is UIDs from..to of a mailbox.
type span struct{ from, to mailstore.UID }

// find collects up to s.limit messages that match, newest first, and returns
// the UID below which the search goes on (0: nothing is left).
func (a *API) find(ctx context.Context, id mailstore.AcctID, m mailstore.MailboxID, in span, s search) (
	[]row, mailstore.UID, error) {
	var found []row
	stop := a.o.Now().Add(MaxSearchTime)
	for scanned, to := 0, in.to; to >= in.from; {
		n := batch
		if s.empty() {
			n = min(batch, s.limit-len(found))
		}
		es, err := a.o.Store.Entries(ctx, id, m, mailstore.Rows{From: in.from, To: to, Reverse: true, Limit: n})
		if err != nil {
			return nil, 0, err
		}
		if len(es) == 0 {
			return found, 0, nil
		}
		rows, err := a.match(ctx, id, es, s)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range rows {
			found = append(found, r)
			if len(found) == s.limit {
				return found, r.UID, nil
			}
		}
		last := es[len(es)-1].UID
		if scanned += len(es); scanned >= MaxScan || a.o.Now().After(stop) {
			return found, last, nil
		}
		to = last - 1
	}
	return found, 0, nil
}

// match reads what belongs to rows and keeps those that fit, in their order.
// What expired meanwhile is left out.
func (a *API) match(ctx context.Context, id mailstore.AcctID, es []mailstore.Entry, s search) ([]row, error) {
	now := a.o.Now()
	var keep []mailstore.Entry
	var ids []mailstore.MsgID
	for i := range es {
		if s.entry(&es[i]) && (es[i].ExpireAt.IsZero() || es[i].ExpireAt.After(now)) {
			keep, ids = append(keep, es[i]), append(ids, es[i].Msg)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	infos, err := a.o.Store.Infos(ctx, id, ids...)
	if err != nil {
		return nil, err
	}
	var out []row
	for i := range infos {
		if infos[i].Msg == 0 || !s.info(&infos[i]) {
			continue
		}
		ok, err := a.body(ctx, id, s, &infos[i])
		if err != nil && mailstore.KindOf(err) != mailstore.NotExist {
			return nil, err
		}
		if ok && err == nil {
			out = append(out, row{keep[i], infos[i]})
		}
	}
	return out, nil
}

// seconds is a time span: "30s", "2m" or a number of seconds.
func seconds(s string) (time.Duration, bool) {
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if !(n >= 0 && n <= MaxWait.Seconds()) {
			return 0, false
		}
		return time.Duration(n * float64(time.Second)), true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0 && d <= MaxWait
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}
