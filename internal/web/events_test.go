package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web"
)

// listener reads a stream of server-sent events.
type listener struct {
	t      testing.TB
	events chan sse
	status int
	cancel context.CancelFunc
}

type sse struct{ kind, id, data string }

func (b *browser) listen(path string, head ...string) *listener {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	res, err := b.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	l := &listener{t: b.t, events: make(chan sse, 100), status: res.StatusCode, cancel: cancel}
	b.t.Cleanup(cancel)
	go func() {
		defer close(l.events)
		defer res.Body.Close()
		var e sse
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			k, v, _ := strings.Cut(s.Text(), ": ")
			switch k {
			case "event":
				e.kind = v
			case "id":
				e.id = v
			case "data":
				e.data = v
			case "":
				if e.kind != "" {
					l.events <- e
				}
				e = sse{}
			}
		}
	}()
	return l
}

// next waits for the next event, of one of these kinds if any are named.
func (l *listener) next(kinds ...string) sse {
	l.t.Helper()
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				l.t.Fatalf("the stream ended, no %v", kinds)
			}
			if len(kinds) == 0 {
				return e
			}
			for _, k := range kinds {
				if e.kind == k {
					return e
				}
			}
		case <-time.After(5 * time.Second):
			l.t.Fatalf("no event %v", kinds)
		}
	}
}

func (r *rig) stream(b *browser) string {
	r.t.Helper()
	p := b.get("/messages")
	return strings.ReplaceAll(between(p.text, `data-stream="`, `"`), "&amp;", "&")
}

func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	path := r.stream(b)
	// What came between the page and the stream is told.
	d := r.deposit(a.ID, richMail)
	l := b.listen(path)
	e := l.next("new")
	var row struct {
		UID        uint32
		URL, From  string
		Subj, Snip string
		Att        int
	}
	if err := json.Unmarshal([]byte(e.data), &row); err != nil || row.From != "Björk" || row.Subj != "Invoice" ||
		row.UID != uint32(d.UID) || row.URL != "/messages/"+num(d.Msg) || row.Att != 1 {
		t.Errorf("new: %+v %v", row, err)
	}
	if c := l.next("count"); c.data != `{"total":2,"unread":2}` {
		t.Errorf("count: %s", c.data)
	}
	begun := time.Now()
	d2 := r.deposit(a.ID, plainMail)
	e = l.next("new")
	if took := time.Since(begun); !strings.Contains(e.data, `"codes":["482913"]`) || took > time.Second {
		t.Errorf("second: after %v %s", took, e.data)
	}
	ctx := context.Background()
	if _, err := r.store.SetFlags(ctx, a.ID, d.Mailbox, []mailstore.UID{d.UID},
		mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Seen}); err != nil {
		t.Fatal(err)
	}
	if f := l.next("flags"); f.data != `{"rows":[{"uid":`+num(d.UID)+`,"seen":true}]}` {
		t.Errorf("flags: %s", f.data)
	}
	if _, _, err := r.store.Expunge(ctx, a.ID, d.Mailbox, []mailstore.UID{d2.UID}, false); err != nil {
		t.Fatal(err)
	}
	if g := l.next("gone"); g.data != `{"uids":[`+num(d2.UID)+`]}` {
		t.Errorf("gone: %s", g.data)
	}
	last := l.next("count").id
	l.cancel()
	// A client that comes back hears what it missed, once.
	d3 := r.deposit(a.ID, plainMail)
	l = b.listen(path, "Last-Event-ID", last)
	if e := l.next("new", "resync", "burst"); e.kind != "new" || !strings.Contains(e.data, `"uid":`+num(d3.UID)+`,`) {
		t.Errorf("after coming back: %+v", e)
	}
	l.cancel()
	// Many at once are told as a number.
	for range web.MaxToldSingly + 5 {
		r.deposit(a.ID, plainMail)
	}
	l = b.listen(path, "Last-Event-ID", last)
	if e := l.next("new", "burst"); e.data != `{"n":16}` {
		t.Errorf("burst: %+v", e)
	}
	l.cancel()
	// Who asks for a place we do not know reads everything again.
	for _, since := range []string{"", "junk", "0.0.0", "ffff.1.1"} {
		l = b.listen("/events?box="+num(d.Mailbox), "Last-Event-ID", since)
		if e := l.next(); e.kind != "resync" {
			t.Errorf("since %q: %+v", since, e)
		}
		l.cancel()
	}
}

func TestPolling(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	path := r.stream(b) + "&poll=1"
	has(t, b.get(path), 200, `{"events":[]}`)
	r.deposit(a.ID, plainMail)
	p := b.get(path)
	has(t, p, 200, `"type":"new"`, `"type":"count"`, "Your code")
	has(t, b.get(strings.Split(path, "&since=")[0]+"&poll=1"), 200, `"type":"resync"`)
	if p := r.browser().get(path); p.StatusCode != 401 {
		t.Errorf("without login: %d", p.StatusCode)
	}
	has(t, b.get("/events?box=77&poll=1"), 404)
}

func TestStreamsAreCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, _ := r.account()
	path := r.stream(b)
	var open []*listener
	for range web.MaxStreams {
		l := b.listen(path)
		if l.status != 200 {
			t.Fatalf("stream %d: %d", len(open), l.status)
		}
		open = append(open, l)
	}
	if l := b.listen(path); l.status != 429 {
		t.Errorf("one more: %d", l.status)
	}
	open[0].cancel()
	deadline := time.Now().Add(5 * time.Second)
	for {
		l := b.listen(path)
		if l.status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a stream that ended is still counted")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestStreamEndsWithTheServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	l := b.listen(r.stream(b))
	r.deposit(a.ID, plainMail)
	l.next("new")
	r.site.Close()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case _, ok := <-l.events:
			if !ok {
				return
			}
		case <-timeout:
			t.Fatal("the stream goes on after Close")
		}
	}
}

func TestStreamEndsWithTheAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, a := r.account()
	l := b.listen(r.stream(b))
	if l.status != 200 {
		t.Fatal(l.status)
	}
	if err := r.store.DeleteAccount(context.Background(), a.ID); err != nil {
		t.Fatal(err)
	}
	l.next("bye")
}

// TestStreamEndsWithTheLogin: a stream that was opened with another password, or
// before the account was disabled, tells nothing of what comes later.
func TestStreamEndsWithTheLogin(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, end := range map[string]func(*rig, mailstore.AcctID) error{
		"new password": func(r *rig, id mailstore.AcctID) error { _, err := r.prov.NewPassword(ctx, id); return err },
		"disabled":     func(r *rig, id mailstore.AcctID) error { return r.store.SetDisabled(ctx, id, true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, setup{})
			b, a := r.account()
			l := b.listen(r.stream(b))
			d := r.deposit(a.ID, plainMail)
			l.next("new")
			l.next("count")
			if err := end(r, a.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := r.store.SetFlags(ctx, a.ID, d.Mailbox, []mailstore.UID{d.UID},
				mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Seen}); err != nil {
				t.Fatal(err)
			}
			if e := l.next(); e.kind != "bye" {
				t.Errorf("%+v", e)
			}
		})
	}
}
