package eidertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// DefaultTimeout is how long Wait waits when Match names no time.
const DefaultTimeout = 10 * time.Second

// waitSlice is the longest single request of a wait.
const waitSlice = 60 * time.Second

// Account is a mailbox with the login for all protocols.
type Account struct {
	User string // address and login
	Pass string

	s    *Server
	mu   sync.Mutex
	seen map[string]bool // ids that Wait has handed out
}

// Match says which message is meant; all that is set must hold.
type Match struct {
	// To and From are a whole address, or a part of address or name. To looks
	// at the envelope and at To, Cc and Bcc.
	To, From string
	// Subject is a part of the subject, in any case.
	Subject string
	// Timeout is how long to wait; DefaultTimeout if 0.
	Timeout time.Duration
}

// Message is a message, parsed.
type Message struct {
	ID          string
	URL         string // its web page, which needs no login
	Subject     string
	From        []mail.Address
	To, Cc, Bcc []mail.Address
	Date        time.Time
	Text        string // decoded to UTF-8
	HTML        string // as it was sent, decoded to UTF-8
	Header      mail.Header
	Attachments []Attachment
	Links       []string // of HTML and text, each once
	Codes       []string // what looks like a one-time code, likeliest first
	MailFrom    string   // the envelope's sender
	RcptTo      []string // the envelope's recipients
	Raw         []byte   // the bytes as they were sent, after the server's Return-Path line
}

// Attachment is a file of a message.
type Attachment struct {
	Name      string
	Type      string // "application/pdf"
	ContentID string
	Inline    bool
	Data      []byte
}

// Wait returns the first message that matches, of those that are there and
// those that come, and fails the test if none comes in time. Each message is
// handed out once, so that the same call finds the next one.
func (a *Account) Wait(t testing.TB, m Match) *Message {
	t.Helper()
	msg, err := a.Next(t.Context(), m)
	if err != nil {
		t.Fatalf("%v%s", err, a.inventory())
	}
	return msg
}

// ErrTimeout: no message came in time.
var ErrTimeout = errors.New("eidertest: no such message came in time")

// Next is Wait with an error: ErrTimeout when no message came.
func (a *Account) Next(ctx context.Context, m Match) (*Message, error) {
	if m.Timeout == 0 {
		m.Timeout = DefaultTimeout
	}
	end := time.Now().Add(m.Timeout)
	q := url.Values{}
	for k, v := range map[string]string{"to": m.To, "from": m.From, "subject": m.Subject} {
		if v != "" {
			q.Set(k, v)
		}
	}
	for {
		left := min(max(time.Until(end), 0), waitSlice)
		q.Set("timeout", fmt.Sprintf("%.3fs", left.Seconds()))
		var got struct {
			Message *wire
			Cursor  string
		}
		if err := a.get(ctx, "/v1/messages/wait?"+q.Encode(), &got); err != nil {
			return nil, err
		}
		q.Set("after", got.Cursor)
		if got.Message == nil {
			if !time.Now().Before(end) {
				return nil, fmt.Errorf("%w: %+v", ErrTimeout, m)
			}
			continue
		}
		if a.claim(got.Message.ID) {
			return a.message(ctx, got.Message)
		}
	}
}

func (a *Account) claim(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen[id] {
		return false
	}
	a.seen[id] = true
	return true
}

// Messages returns all messages of the inbox, oldest first, without claiming them.
func (a *Account) Messages(t testing.TB) []*Message {
	t.Helper()
	var all []*Message
	before := ""
	for {
		var page struct {
			Messages []struct{ ID string }
			Next     string
		}
		if err := a.get(t.Context(), "/v1/messages?limit=250"+before, &page); err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Messages {
			var w wire
			if err := a.get(t.Context(), "/v1/messages/"+s.ID, &w); err != nil {
				t.Fatal(err)
			}
			m, err := a.message(t.Context(), &w)
			if err != nil {
				t.Fatal(err)
			}
			all = append([]*Message{m}, all...)
		}
		if page.Next == "" {
			return all
		}
		before = "&before=" + page.Next
	}
}

// inventory says what is there instead, for a test that failed.
func (a *Account) inventory() string {
	ctx, cancel := context.WithTimeout(context.Background(), DefaultTimeout)
	defer cancel()
	var page struct {
		Messages []struct {
			Subject  string
			Envelope struct{ To []string }
		}
		Total int
	}
	if err := a.get(ctx, "/v1/messages?limit=20", &page); err != nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s holds %d messages", a.User, page.Total)
	for _, m := range page.Messages {
		fmt.Fprintf(&b, "\n  to %s: %q", strings.Join(m.Envelope.To, ", "), m.Subject)
	}
	return b.String()
}

// wire is a message of the API.
type wire struct {
	ID, URL, Subject string
	From, To, Cc     []mail.Address
	Bcc              []mail.Address
	Date             time.Time
	Text, HTML       string
	Headers          []struct{ Name, Value string }
	Attachments      []struct {
		Name, Type, ContentID, URL string
		Inline                     bool
	}
	Links    []struct{ URL string }
	Codes    []string
	Envelope struct {
		From string
		To   []string
	}
	RawURL string
}

// message fetches what the answer only points at.
func (a *Account) message(ctx context.Context, w *wire) (*Message, error) {
	m := &Message{ID: w.ID, URL: w.URL, Subject: w.Subject, From: w.From, To: w.To, Cc: w.Cc, Bcc: w.Bcc, Date: w.Date,
		Text: w.Text, HTML: w.HTML, Header: mail.Header{}, Codes: w.Codes, MailFrom: w.Envelope.From,
		RcptTo: w.Envelope.To}
	for _, h := range w.Headers {
		k := http.CanonicalHeaderKey(h.Name)
		m.Header[k] = append(m.Header[k], h.Value)
	}
	for _, l := range w.Links {
		m.Links = append(m.Links, l.URL)
	}
	var err error
	if m.Raw, err = a.fetch(ctx, w.RawURL); err != nil {
		return nil, err
	}
	for _, at := range w.Attachments {
		f := Attachment{Name: at.Name, Type: at.Type, ContentID: at.ContentID, Inline: at.Inline}
		if f.Data, err = a.fetch(ctx, at.URL); err != nil {
			return nil, err
		}
		m.Attachments = append(m.Attachments, f)
	}
	return m, nil
}

func (a *Account) get(ctx context.Context, path string, to any) error {
	b, err := a.fetch(ctx, a.s.url+path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

func (a *Account) fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(a.User, a.Pass)
	resp, err := a.s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("eidertest: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("eidertest: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &Error{resp.StatusCode, string(b)}
	}
	return b, nil
}
