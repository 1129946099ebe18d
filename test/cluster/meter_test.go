package cluster_test

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// meter counts what one protocol's clients met in the present phase.
type meter struct {
	mu        sync.Mutex
	good      int
	failed    int
	reconnect int // connections lost or refused between requests
	last      time.Time
	gap       time.Duration // longest time in which no request of any client succeeded
	wait      time.Duration // longest from dialling to the greeting
	first     time.Time     // of all errors
	latest    time.Time
	errs      []string
}

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.good, m.failed, m.reconnect, m.gap, m.wait, m.errs = 0, 0, 0, 0, 0, nil
	m.first, m.latest = time.Time{}, time.Time{}
	m.last = time.Now()
}

func (m *meter) ok() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.good++
	m.gap = max(m.gap, time.Since(m.last))
	m.last = time.Now()
}

// greeted notes how long a new connection took to its greeting.
func (m *meter) greeted(began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wait = max(m.wait, time.Since(began))
}

// fail counts a request that failed.
func (m *meter) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed++
	m.note(err)
}

// lost counts a connection that was lost or refused before a request was begun.
func (m *meter) lost(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reconnect++
	m.note(err)
}

func (m *meter) note(err error) {
	m.latest = time.Now()
	if m.first.IsZero() {
		m.first = m.latest
	}
	if len(m.errs) < 3 {
		m.errs = append(m.errs, err.Error())
	}
}

func (m *meter) goodSoFar() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.good
}

// seen is what one protocol's clients met during one fault.
type seen struct {
	failed, reconnected int
	gap, wait           time.Duration
	errors              time.Duration // from the first error to the last
}

func (m *meter) seen() (seen, []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return seen{m.failed, m.reconnect, max(m.gap, time.Since(m.last)), m.wait, m.latest.Sub(m.first)}, m.errs
}

// The protocols, in the order of a row.
const (
	pSMTP = iota
	pIMAP
	pPOP3
	pHTTP
	protocols
)

//rules:allow var the names of the above
var names = [protocols]string{"smtp", "imap", "pop3", "http"}

// row is what one fault did to the clients.
type row struct {
	name                                 string
	took                                 time.Duration
	rivalry                              float64 // see rivals_test.go
	by                                   [protocols]seen
	idleDropped                          int64
	acked, unsure, lost, twice, repeated int
	errs                                 []string
}

func (r *row) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-34s %5.1f s", r.name, r.took.Seconds())
	for p, s := range r.by {
		fmt.Fprintf(&b, "; %s %d failed, %d reconnected, errors for %.1f s, gap %.1f s, greeting %.1f s",
			names[p], s.failed, s.reconnected, s.errors.Seconds(), s.gap.Seconds(), s.wait.Seconds())
	}
	fmt.Fprintf(&b, "; IMAP sessions dropped %d; rivals %.1f  %s", r.idleDropped, r.rivalry, strings.Join(r.errs, " | "))
	return b.String()
}

// header and line are a row of the table.
func header() string {
	return fmt.Sprintf("%-34s %38s %21s %21s %21s %6s %7s %5s %6s %9s\n", "", "SMTP failed/reconn./errors/gap/greet",
		"IMAP fail/gap/greet", "POP3 fail/gap/greet", "HTTP fail/gap/greet", "IDLE-", "acked", "lost", "twice", "repeated")
}

func (r *row) line() string {
	var b strings.Builder
	s := r.by[pSMTP]
	fmt.Fprintf(&b, "%-34s %10d %5d %6.1fs %6.1fs %5.1fs", r.name, s.failed, s.reconnected, s.errors.Seconds(),
		s.gap.Seconds(), s.wait.Seconds())
	for _, s := range r.by[pIMAP:] {
		fmt.Fprintf(&b, " %6d %6.1fs %5.1fs", s.failed, s.gap.Seconds(), s.wait.Seconds())
	}
	fmt.Fprintf(&b, " %6d %7d %5d %6d %4d/%d\n", r.idleDropped, r.acked, r.lost, r.twice, r.repeated, r.unsure)
	return b.String()
}
