// Package diag keeps the stories of the last connections and says what went
// wrong in each, and which setting changes it.
//
// It promises bounded memory whatever clients do: at most MaxStories stories of
// at most MaxFaults faults each, the same story told again being counted and
// not kept twice; that one client or one login cannot push out all others; and
// that a story goes after MaxAge. A Story is plain data, so that servers of one
// cluster can tell each other theirs. It holds no password and no message.
package diag

import (
	"container/list"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limit: connection stories that are kept.
const MaxStories = 512

// Limit: connection stories kept of one client address (IPv6: one /64), and of one login.
const MaxOfOne = 48

// Limit: faults kept of one connection story.
const MaxFaults = 4

// Limit: time that a connection story is kept.
const MaxAge = 24 * time.Hour

// Limit: time in which the same connection story is only counted.
const MergeTime = 10 * time.Minute

// Limit: bytes of one text in a connection story.
const MaxText = 256

// Cause names why something did not work: the Cause of a protocol's package.
type Cause string

// Fault is one thing that did not work.
type Fault struct {
	Cause Cause  `json:"cause"`
	Code  int    `json:"code,omitempty"`  // of the SMTP reply
	Reply string `json:"reply,omitempty"` // what the client was told
	Text  string `json:"text,omitempty"`  // the login, mechanism or address it is about
	Size  int64  `json:"size,omitempty"`  // of a message, in bytes
}

// Story is one connection, or several with the same course.
type Story struct {
	At       time.Time  `json:"at"` // the end of the last
	Count    int        `json:"count"`
	Listener string     `json:"listener"` // the flag's name: "smtp", "imaps"
	Client   netip.Addr `json:"client"`
	Trusted  bool       `json:"trusted"` // by its address, in dev mode
	Helo     string     `json:"helo,omitempty"`
	Login    string     `json:"login,omitempty"` // as it was typed
	LoggedIn bool       `json:"loggedIn"`
	TLS      bool       `json:"tls"`
	Messages int        `json:"messages"` // accepted
	Faults   []Fault    `json:"faults,omitempty"`
	// Owner is the address that Login names, in the form of lookups; "" if none.
	Owner string `json:"-"`
}

// Log keeps stories. All methods may be called at once.
type Log struct {
	now func() time.Time

	mu    sync.Mutex
	all   *list.List // of *Story, newest first
	byKey map[string]*list.Element
}

// New returns an empty Log.
func New(now func() time.Time) *Log {
	if now == nil {
		now = time.Now
	}
	return &Log{now: now, all: list.New(), byKey: map[string]*list.Element{}}
}

// Add tells a story.
func (l *Log) Add(s Story) {
	s.trim()
	k := s.key()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune()
	if e, ok := l.byKey[k]; ok {
		old := e.Value.(*Story)
		if s.At.Sub(old.At) < MergeTime {
			old.At, old.Count, old.Messages, old.Helo = s.At, old.Count+s.Count, old.Messages+s.Messages, s.Helo
			l.all.MoveToFront(e)
			return
		}
		delete(l.byKey, k) // the old one stays, and is not counted on
	}
	l.byKey[k] = l.all.PushFront(&s)
	l.makeRoom(&s)
}

// trim holds a story to its limits.
func (s *Story) trim() {
	s.Count = max(s.Count, 1)
	s.Client = s.Client.Unmap().WithZone("")
	s.Helo, s.Login, s.Owner = cut(s.Helo), cut(s.Login), cut(s.Owner)
	var faults []Fault
	for _, f := range s.Faults {
		f.Reply, f.Text = cut(f.Reply), cut(f.Text)
		if len(faults) < MaxFaults && !slices.Contains(faults, f) {
			faults = append(faults, f)
		}
	}
	s.Faults = faults
}

func cut(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
	}
	return strings.Clone(strings.ToValidUTF8(s, "?"))
}

// key is the same for stories with the same course.
func (s *Story) key() string {
	var b strings.Builder
	b.WriteString(s.Listener + "\x00" + s.Client.String() + "\x00" + s.Login + "\x00" + strconv.FormatBool(s.Messages > 0))
	for _, f := range s.Faults {
		b.WriteString("\x00" + string(f.Cause) + "\x00" + strconv.Itoa(f.Code) + "\x00" + f.Text)
	}
	return b.String()
}

// net is what stories are counted by.
func (s *Story) net() netip.Addr {
	if s.Client.Is6() {
		p, _ := s.Client.Prefix(64)
		return p.Addr()
	}
	return s.Client
}

// makeRoom drops what is over a limit: of the same client, of the same login, of all.
func (l *Log) makeRoom(s *Story) {
	client, owner := 0, 0
	var next *list.Element
	for e := l.all.Front(); e != nil; e = next {
		next = e.Next()
		o := e.Value.(*Story)
		drop := false
		if o.net() == s.net() {
			client++
			drop = client > MaxOfOne
		}
		if s.Owner != "" && o.Owner == s.Owner {
			owner++
			drop = drop || owner > MaxOfOne
		}
		if drop {
			l.remove(e)
		}
	}
	if l.all.Len() > MaxStories {
		l.remove(l.all.Back())
	}
}

func (l *Log) remove(e *list.Element) {
	s := l.all.Remove(e).(*Story)
	if k := s.key(); l.byKey[k] == e {
		delete(l.byKey, k)
	}
}

// prune drops what is too old.
func (l *Log) prune() {
	old := l.now().Add(-MaxAge)
	for e := l.all.Back(); e != nil && e.Value.(*Story).At.Before(old); e = l.all.Back() {
		l.remove(e)
	}
}

// Recent returns the newest n stories.
func (l *Log) Recent(n int) []Story { return l.pick(n, func(*Story) bool { return true }) }

// Of returns the newest n stories of logins as an address.
func (l *Log) Of(owner string, n int) []Story {
	return l.pick(n, func(s *Story) bool { return owner != "" && s.Owner == owner })
}

func (l *Log) pick(n int, want func(*Story) bool) []Story {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prune()
	var out []Story
	for e := l.all.Front(); e != nil && len(out) < n; e = e.Next() {
		if s := e.Value.(*Story); want(s) {
			out = append(out, *s)
		}
	}
	return out
}
