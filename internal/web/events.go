package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web/ui"
)

// Limit: event streams of one account at once; a browser needs one for all its tabs.
const MaxStreams = 20

// Limit: event streams of all accounts at once.
const MaxAllStreams = 10_000

// Limit: new messages of one event round that are told one by one; of more,
// only the number is told and the page reads the list again.
const MaxToldSingly = 10

const (
	pingEvery   = 15 * time.Second       // a quiet stream shows that it lives
	busyPause   = 25 * time.Millisecond  // while mail comes fast, tell it in rounds
	burstPause  = 300 * time.Millisecond // while it pours in, in longer ones
	writeWithin = 10 * time.Second       // a reader slower than that reconnects
	checkEvery  = time.Minute            // the session may have ended meanwhile
)

// streams counts who listens.
type streams struct {
	mu    sync.Mutex
	all   int
	accts map[mailstore.AcctID]int
}

func (s *streams) enter(id mailstore.AcctID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= MaxAllStreams || s.accts[id] >= MaxStreams {
		return false
	}
	if s.accts == nil {
		s.accts = map[mailstore.AcctID]int{}
	}
	s.all++
	s.accts[id]++
	return true
}

func (s *streams) leave(id mailstore.AcctID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.accts[id]--; s.accts[id] <= 0 {
		delete(s.accts, id)
	}
}

// place is how far a page has heard: store epoch, MODSEQ, and the first UID
// that is new to it.
type place struct {
	epoch  uint64
	modseq mailstore.ModSeq
	next   mailstore.UID
}

func (p place) String() string { return fmt.Sprintf("%x.%d.%d", p.epoch, p.modseq, p.next) }

func parsePlace(s string) (p place, ok bool) {
	f := strings.Split(s, ".")
	if len(f) != 3 {
		return p, false
	}
	epoch, err1 := strconv.ParseUint(f[0], 16, 64)
	modseq, err2 := strconv.ParseUint(f[1], 10, 64)
	next, err3 := strconv.ParseUint(f[2], 10, 32)
	p = place{epoch, mailstore.ModSeq(modseq), mailstore.UID(next)}
	return p, err1 == nil && err2 == nil && err3 == nil
}

// streamPath is where a page that shows the mailbox as it is now goes on
// hearing. The tabs of a browser share a stream by its name.
func streamPath(id mailstore.AcctID, box mailstore.Mailbox, epoch uint64) string {
	return fmt.Sprintf("/events?stream=%x-%d&box=%d&since=%s", uint64(id), box.ID, box.ID,
		place{epoch, box.HighestModSeq, box.UIDNext})
}

// event is one event of a stream. Data is plain data; the page makes text of it.
type event struct {
	Type string `json:"type"`
	ID   string `json:"id,omitempty"`
	Data any    `json:"data"`
}

// newRow is a message that came.
type newRow struct {
	UID     uint32   `json:"uid"`
	URL     string   `json:"url"`
	From    string   `json:"from"`
	Addr    string   `json:"addr"`
	To      string   `json:"to"`
	More    int      `json:"more,omitempty"`
	Subject string   `json:"subj"`
	Snippet string   `json:"snip"`
	Date    string   `json:"date"`
	Size    string   `json:"size"`
	Files   int      `json:"att,omitempty"`
	Codes   []string `json:"codes,omitempty"`
	Seen    bool     `json:"seen,omitempty"`
	Flagged bool     `json:"flagged,omitempty"`
}

type flagRow struct {
	UID     uint32 `json:"uid"`
	Seen    bool   `json:"seen"`
	Flagged bool   `json:"flagged,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

// events is the live state of one mailbox: a stream, or with poll=1 one answer
// with what a stream would have sent (for where a proxy breaks streams).
func (s *Site) events(c *call) error {
	q := c.r.URL.Query()
	n, err := strconv.ParseUint(q.Get("box"), 10, 32)
	if err != nil {
		return errForm
	}
	box := mailstore.MailboxID(n)
	since := q.Get("since")
	if last := c.r.Header.Get("Last-Event-ID"); last != "" {
		since = last
	}
	p, known := parsePlace(since)
	if q.Get("poll") != "" {
		ctx, cancel := context.WithTimeout(c.ctx, s.o.Budget)
		defer cancel()
		list, _, err := s.happened(ctx, c, box, p, known)
		if err != nil {
			return err
		}
		c.w.Header().Set("Content-Type", "application/json")
		if list == nil {
			list = []event{}
		}
		return ignore(json.NewEncoder(c.w).Encode(map[string]any{"events": list}))
	}
	if c.r.Method == http.MethodHead {
		return nil
	}
	if !s.streams.enter(c.id.Acct) {
		return &refusal{code: http.StatusTooManyRequests, title: "Too many streams", retry: "30",
			text: "This account is open in too many places."}
	}
	defer s.streams.leave(c.id.Acct)
	return s.stream(c, box, p, known)
}

// stream tells what happens until the client, the session or the server ends.
// It reads the store at its own pace, so a slow reader costs nothing: it finds
// the newest state, or is told to read everything again.
func (s *Site) stream(c *call, box mailstore.MailboxID, p place, known bool) error {
	changed, cancel := s.o.Store.Watch(c.id.Acct)
	defer cancel()
	out := &eventWriter{w: c.w, rc: http.NewResponseController(c.w)}
	c.w.WriteHeader(http.StatusOK)
	if err := out.text("retry: 2000\n\n"); err != nil {
		return nil
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	checked := s.o.Now()
	var pace flow
	for {
		list, next, err := s.news(c, box, p, known)
		switch {
		case err == nil:
			p, known = next, true
		case over(err):
			_ = out.send(event{Type: "bye"})
			return nil
		}
		for _, e := range list {
			if out.send(e) != nil {
				return nil
			}
		}
		if wait := pace.after(list, time.Now()); wait > 0 && pause(c.ctx, wait) {
			return nil
		}
		select {
		case <-c.ctx.Done():
			return nil
		case <-s.closing:
			return nil
		case <-changed:
		case <-ping.C:
			if out.send(event{Type: "ping", ID: p.String()}) != nil {
				return nil
			}
		}
		if s.o.Now().Sub(checked) > checkEvery {
			if checked = s.o.Now(); over(s.session(c.ctx, c)) {
				_ = out.send(event{Type: "bye"})
				return nil
			}
		}
	}
}

// flow finds out whether mail comes so fast that a page is better told in rounds.
type flow struct {
	since time.Time
	came  int
}

func (f *flow) after(list []event, now time.Time) time.Duration {
	if now.Sub(f.since) > burstPause {
		f.since, f.came = now, 0
	}
	for _, e := range list {
		switch e.Type {
		case "burst":
			return burstPause
		case "new":
			f.came++
		}
	}
	if f.came >= MaxToldSingly {
		return busyPause
	}
	return 0
}

// news is what happened, for who may still hear it: a session may have ended
// since the stream began.
func (s *Site) news(c *call, box mailstore.MailboxID, p place, known bool) ([]event, place, error) {
	ctx, cancel := context.WithTimeout(c.ctx, s.o.Budget)
	defer cancel()
	list, next, err := s.happened(ctx, c, box, p, known)
	if err == nil && len(list) > 0 {
		err = s.session(ctx, c)
	}
	if err != nil {
		return nil, p, err
	}
	return list, next, nil
}

// session fails where the session does not hold any more, or nobody knows.
func (s *Site) session(ctx context.Context, c *call) error {
	k, err := c.r.Cookie(cookieName(c.r))
	if err != nil {
		return auth.ErrBadCredentials
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Budget)
	defer cancel()
	_, err = s.o.Auth.ParseCookie(ctx, k.Value)
	return err
}

// over tells that a stream has nothing more to say: its session ended, or its
// mailbox is gone.
func over(err error) bool {
	return errors.Is(err, auth.ErrBadCredentials) || errors.Is(err, auth.ErrNoAccount) ||
		errors.Is(err, auth.ErrDisabled) || mailstore.KindOf(err) == mailstore.NotExist
}

// pause waits, or tells that the request ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-t.C:
		return false
	}
}

// happened reads what a page at p has not heard, as events, and where it is then.
func (s *Site) happened(ctx context.Context, c *call, box mailstore.MailboxID, p place, known bool) (
	[]event, place, error) {
	if !known {
		p.epoch = 0
	}
	ch, err := s.o.Store.Changes(ctx, c.id.Acct, box, p.epoch, p.modseq)
	if err != nil {
		return nil, p, err
	}
	if ch.Gone {
		return nil, p, &mailstore.Error{Op: "events", Kind: mailstore.NotExist}
	}
	if !ch.Resync && ch.ModSeq == p.modseq {
		return nil, p, nil
	}
	m, err := s.o.Store.MailboxByID(ctx, c.id.Acct, box)
	if err != nil {
		return nil, p, err
	}
	next := place{ch.Epoch, ch.ModSeq, p.next}
	var list []event
	if ch.Resync {
		next.next = m.UIDNext
		list = append(list, event{Type: "resync", Data: struct{}{}})
	} else if list, next.next, err = s.tell(ctx, c, ch, p.next); err != nil {
		return nil, p, err
	}
	list = append(list, event{Type: "count", Data: map[string]uint32{"total": m.Exists, "unread": m.Unseen}})
	for i := range list {
		list[i].ID = next.String()
	}
	return list, next, nil
}

// tell makes events of changes; first is the lowest UID that is new to the page.
func (s *Site) tell(ctx context.Context, c *call, ch mailstore.Changes, first mailstore.UID) (
	list []event, next mailstore.UID, err error) {
	next = first
	var came []mailstore.Entry
	var flags []flagRow
	for _, e := range ch.Changed {
		if e.UID >= first {
			came = append(came, e)
			next = max(next, e.UID+1)
			continue
		}
		flags = append(flags, flagRow{UID: uint32(e.UID), Seen: e.Flags&mailstore.Seen != 0,
			Flagged: e.Flags&mailstore.Flagged != 0, Deleted: e.Flags&mailstore.Deleted != 0})
	}
	if len(ch.Vanished) > 0 {
		next = max(next, ch.Vanished[len(ch.Vanished)-1]+1)
		list = append(list, event{Type: "gone", Data: map[string]any{"uids": ch.Vanished}})
	}
	if len(flags) > 0 {
		list = append(list, event{Type: "flags", Data: map[string]any{"rows": flags}})
	}
	if len(came) > MaxToldSingly {
		return append(list, event{Type: "burst", Data: map[string]int{"n": len(came)}}), next, nil
	}
	ids := make([]mailstore.MsgID, len(came))
	for i, e := range came {
		ids[i] = e.Msg
	}
	infos, err := s.o.Store.Infos(ctx, c.id.Acct, ids...)
	if err != nil {
		return nil, first, err
	}
	for i := range came {
		if infos[i].Msg != 0 {
			list = append(list, event{Type: "new", Data: s.newRow(&came[i], &infos[i])})
		}
	}
	return list, next, nil
}

func (s *Site) newRow(e *mailstore.Entry, i *mailstore.Info) newRow {
	r := row(e, i, "", s.o.Now())
	return newRow{UID: r.UID, URL: r.URL, From: r.From, Addr: r.Addr, To: r.To, More: r.More, Subject: r.Subject,
		Snippet: r.Snippet, Date: r.Date.UTC().Format(time.RFC3339), Size: ui.Bytes(r.Size), Files: r.Files,
		Codes: r.Codes, Seen: !r.Unread, Flagged: r.Flagged}
}

// eventWriter writes server-sent events, each within its time.
type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (o *eventWriter) send(e event) error {
	data := []byte("{}")
	if e.Data != nil {
		var err error
		if data, err = json.Marshal(e.Data); err != nil { // JSON has no line ends in it
			return err
		}
	}
	t := "event: " + e.Type + "\n"
	if e.ID != "" {
		t += "id: " + e.ID + "\n"
	}
	return o.text(t + "data: " + string(data) + "\n\n")
}

func (o *eventWriter) text(t string) error {
	// The server's write time-out is for pages; here each event has its own.
	_ = o.rc.SetWriteDeadline(time.Now().Add(writeWithin))
	if _, err := o.w.Write([]byte(t)); err != nil {
		return err
	}
	if err := o.rc.Flush(); err != nil {
		return err
	}
	_ = o.rc.SetWriteDeadline(time.Time{})
	return nil
}
