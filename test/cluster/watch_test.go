package cluster_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/cluster/rig"
)

func plainAuth(b box) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + b.User + "\x00" + b.Pass))
}

// mail is what a fetch found.
type mail struct {
	uid     uint32
	subject string
}

var subjectItems = &imap.FetchOptions{UID: true, Envelope: true}

func collect(cmd *imapclient.FetchCommand) ([]mail, error) {
	all, err := cmd.Collect()
	if err != nil {
		return nil, err
	}
	var out []mail
	for _, m := range all {
		if m.Envelope != nil {
			out = append(out, mail{uint32(m.UID), m.Envelope.Subject})
		}
	}
	return out, nil
}

func fetchSubjects(c *imapclient.Client, seq uint32) ([]mail, error) {
	return collect(c.Fetch(imap.SeqSetNum(seq), subjectItems))
}

// watcher listens to one account on one node or through one machine's HAProxy,
// over IMAP IDLE and over HTTP.
type watcher struct {
	l       *load
	m       *rig.Machine
	account int
	dial    func(ctx context.Context, door string) (net.Conn, error)
	web     *http.Client // by dial

	mu     sync.Mutex
	last   uint32            // the highest UID that was seen
	uids   map[uint32]string // subject by UID
	faults []string
	events map[string]bool // subjects
}

func (w *watcher) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) < 5 {
		w.faults = append(w.faults, fmt.Sprintf(format, args...))
	}
}

// idle keeps an IDLE session for as long as the load lasts.
func (w *watcher) idle() {
	for first := true; !w.l.over(); first = false {
		if !first && !w.l.rest(200*time.Millisecond) {
			return
		}
		idling, err := w.session()
		if err != nil && idling && !w.l.over() {
			w.l.dropped.Add(1)
		}
	}
}

// session is one IDLE session; it tells whether it came as far as idling.
func (w *watcher) session() (idling bool, err error) {
	raw, err := w.dial(context.Background(), "imaps")
	if err != nil {
		return false, err
	}
	conn := tls.Client(raw, w.l.c.TLS())
	news := make(chan struct{}, 1)
	tell := func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	c := imapclient.New(conn, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(*imapclient.UnilateralDataMailbox) { tell() }}})
	defer c.Close()
	b := w.l.boxes[w.account]
	if err := c.Login(b.User, b.Pass).Wait(); err != nil {
		return false, err
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		return false, err
	}
	tell()
	for {
		cmd, err := c.Idle()
		if err != nil {
			return idling, err
		}
		idling = true
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-w.l.stop:
			return true, nil
		case err := <-ended:
			if err == nil {
				err = fmt.Errorf("IDLE ended by the server")
			}
			return true, err
		case <-news:
		}
		if err := cmd.Close(); err != nil {
			return true, err
		}
		if err := <-ended; err != nil {
			return true, err
		}
		if err := w.catchUp(c); err != nil {
			return true, err
		}
	}
}

// catchUp fetches what is new. Nothing may appear below what was seen before.
func (w *watcher) catchUp(c *imapclient.Client) error {
	w.mu.Lock()
	from := w.last + 1
	w.mu.Unlock()
	set := imap.UIDSet{}
	set.AddRange(imap.UID(from), 0)
	found, err := collect(c.Fetch(set, subjectItems))
	if err != nil {
		return err
	}
	for _, m := range found {
		w.mu.Lock()
		old, seen := w.uids[m.uid]
		w.uids[m.uid] = m.subject
		w.last = max(w.last, m.uid)
		w.mu.Unlock()
		if m.uid < from && !seen { // n:* may give the last one again
			w.fault("UID %d appears after %d", m.uid, from-1)
		}
		if seen && old != m.subject {
			w.fault("UID %d was %s and is %s", m.uid, old, m.subject)
		}
	}
	return nil
}

// stream listens to the account's events.
func (w *watcher) stream() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-w.l.stop
		cancel()
	}()
	last, token := "", w.l.boxes[w.account].Token
	for !w.l.over() {
		_ = events(ctx, w.web, token, last, func(event, id, data string) { // it ends when the node does
			switch event {
			case "message":
				var s struct{ Subject string }
				if json.Unmarshal([]byte(data), &s) == nil {
					w.mu.Lock()
					w.events[s.Subject] = true
					w.mu.Unlock()
				}
			case "resync":
				for w.list(ctx, token) != nil && w.l.rest(200*time.Millisecond) {
				}
			}
			if id != "" {
				last = id
			}
		})
		w.l.rest(200 * time.Millisecond)
	}
}

// list reads the whole list, as a client does that was told to resync.
func (w *watcher) list(ctx context.Context, token string) error {
	before := ""
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet,
			"https://"+rig.Host+"/v1/messages?limit=100&before="+url.QueryEscape(before), nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		r, err := w.web.Do(req)
		if err != nil {
			return err
		}
		var page struct {
			Messages []struct{ Subject string }
			Next     string
		}
		err = json.NewDecoder(r.Body).Decode(&page)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK {
			return fmt.Errorf("list: %s %w", r.Status, err)
		}
		w.mu.Lock()
		for _, m := range page.Messages {
			w.events[m.Subject] = true
		}
		w.mu.Unlock()
		if before = page.Next; before == "" {
			return nil
		}
	}
}

// missing counts the acknowledged messages that the watcher has not seen.
func (w *watcher) missing(acked map[string]sent) (idle, stream int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	for _, s := range w.uids {
		seen[s] = true
	}
	for id := range acked {
		if !seen[id] {
			idle++
		}
		if !w.events[id] {
			stream++
		}
	}
	return idle, stream
}
