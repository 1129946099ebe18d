package imapdiff_test

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// place is where two servers were compared.
type place struct{ peer, script, line string }

// difference is a way in which this server differs from a peer on purpose.
type difference struct {
	id    string
	about string // the heading in the document
	peer  string // "dovecot", "cyrus", "" for both
	at    string // pattern of "script: command", "" for everywhere
	// ours and theirs are patterns of one line of an answer that only one
	// server gave; "" if that server gives none.
	ours, theirs string
	// whole: if one line of ours matches, whatever else both said is explained.
	whole bool
	// strip is what does not count in a line of either server.
	strip string
	// random: only in conversations that nobody wrote.
	random bool
	// rewrite changes a line of the peer into the one that is ours: a pattern and what replaces it.
	rewrite [2]string
	what    string // for people
	decides string // the RFC's sentence
}

type compiled struct {
	difference
	at, ours, theirs, from, strip *regexp.Regexp
}

// ledger explains differences and knows which entries were of use.
type ledger struct {
	entries []compiled
	mu      sync.Mutex
	used    map[string]int
}

func newLedger() *ledger {
	l := &ledger{used: map[string]int{}}
	re := func(s string) *regexp.Regexp { return regexp.MustCompile(`^(?s:` + s + `)$`) }
	for _, d := range differences {
		c := compiled{difference: d, at: regexp.MustCompile(d.at), ours: re(d.ours), theirs: re(d.theirs)}
		if d.rewrite[0] != "" {
			c.from = regexp.MustCompile(d.rewrite[0])
		}
		if d.strip != "" {
			c.strip = regexp.MustCompile(d.strip)
		}
		l.entries = append(l.entries, c)
	}
	return l
}

// explain takes what both said off two answers, then what the entries explain;
// it returns what is left of each.
func (l *ledger) explain(w place, ours, theirs answer) (o, th []string) {
	o, th = minus(ours, theirs), minus(theirs, ours)
	for i := range l.entries {
		if len(o)+len(th) == 0 {
			break
		}
		e := &l.entries[i]
		if e.random && w.script != "random" || e.peer != "" && e.peer != w.peer || !e.at.MatchString(w.script+": "+w.line) {
			continue
		}
		before := len(o) + len(th)
		o, th = e.apply(o, th)
		if len(o)+len(th) < before {
			l.mu.Lock()
			l.used[e.id]++
			l.mu.Unlock()
		}
	}
	return o, th
}

func (e *compiled) apply(o, th []string) (left, leftTheirs []string) {
	switch {
	case e.whole:
		if slices.ContainsFunc(o, e.ours.MatchString) {
			return nil, nil
		}
	case e.strip != nil:
		for i := 0; i < len(th); i++ {
			line := th[i]
			if e.from != nil {
				line = e.from.ReplaceAllString(line, e.rewrite[1])
			}
			bare := e.bare(line)
			if j := slices.IndexFunc(o, func(l string) bool { return e.bare(l) == bare }); j >= 0 {
				o, th = slices.Delete(o, j, j+1), slices.Delete(th, i, i+1)
				i--
			}
		}
	case e.from != nil: // and nothing to strip
		for i := 0; i < len(th); i++ {
			became := e.from.ReplaceAllString(th[i], e.rewrite[1])
			if became == th[i] {
				continue
			}
			if j := slices.Index(o, became); j >= 0 {
				o = slices.Delete(o, j, j+1)
				th = slices.Delete(th, i, i+1)
				i--
			}
		}
	case e.difference.ours == "":
		th = slices.DeleteFunc(th, e.theirs.MatchString)
	case e.difference.theirs == "":
		o = slices.DeleteFunc(o, e.ours.MatchString)
	default:
		for {
			i, j := slices.IndexFunc(o, e.ours.MatchString), slices.IndexFunc(th, e.theirs.MatchString)
			if i < 0 || j < 0 {
				break
			}
			o, th = slices.Delete(o, i, i+1), slices.Delete(th, j, j+1)
		}
	}
	return o, th
}

func (e *compiled) bare(line string) string {
	return strings.NewReplacer("( ", "(", " )", ")", "  ", " ").Replace(e.strip.ReplaceAllString(line, ""))
}

// minus is a without the lines of b.
func minus(a, b []string) (out []string) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// unused fails for entries that explained nothing: the difference is gone.
func (l *ledger) unused(t *testing.T, random bool) {
	for _, e := range l.entries {
		if e.random == random && l.used[e.id] == 0 {
			t.Errorf("the difference %q no longer occurs: take it out of differences_test.go", e.id)
		}
	}
}
