package imapstress_test

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/eidermail/eider/test/rawimap"
)

// model is what one session believes of the selected mailbox, from what it was
// told and nothing else.
type model struct {
	uids   []uint32          // by sequence number; 0: not told yet
	flags  map[uint32]string // by UID, where told
	modseq uint64            // HIGHESTMODSEQ, or the highest that was told since
	valid  string            // UIDVALIDITY
}

// take takes a response in, and says what cannot be true.
func (m *model) take(cmd string, r rawimap.Value) error {
	if len(r.List) < 2 || r.List[0].Text != "*" {
		return m.code(r)
	}
	word := r.List[1].Word()
	switch n, err := strconv.Atoi(word); {
	case err == nil && len(r.List) > 2:
		return m.numbered(cmd, n, r)
	case word == "VANISHED":
		return m.vanished(cmd, r)
	}
	return m.code(r)
}

// code learns from response codes.
func (m *model) code(r rawimap.Value) error {
	for _, v := range r.List {
		if v.Kind != 'l' || len(v.List) < 3 || v.List[0].Text != "[" {
			continue
		}
		switch v.List[1].Word() {
		case "HIGHESTMODSEQ":
			n, _ := strconv.ParseUint(v.List[2].Text, 10, 64)
			m.modseq = n
		case "UIDVALIDITY":
			m.valid = v.List[2].Text
		}
	}
	return nil
}

func (m *model) numbered(cmd string, n int, r rawimap.Value) error {
	switch r.List[2].Word() {
	case "EXISTS":
		if n < len(m.uids) {
			return fmt.Errorf("%d EXISTS, but there are %d", n, len(m.uids))
		}
		m.uids = append(m.uids, make([]uint32, n-len(m.uids))...)
	case "EXPUNGE":
		if holdsBack(cmd) {
			return fmt.Errorf("EXPUNGE during %s", cmd)
		}
		if n < 1 || n > len(m.uids) {
			return fmt.Errorf("%d EXPUNGE, but there are %d", n, len(m.uids))
		}
		delete(m.flags, m.uids[n-1])
		m.uids = slices.Delete(m.uids, n-1, n)
	case "FETCH":
		return m.fetched(n, r.List[3].List)
	}
	return nil
}

// holdsBack: RFC 9051 §7.5.1.
func holdsBack(cmd string) bool {
	word, _, _ := strings.Cut(cmd, " ")
	return word == "FETCH" || word == "STORE" || word == "SEARCH"
}

func (m *model) fetched(n int, items []rawimap.Value) error {
	if n < 1 || n > len(m.uids) {
		return fmt.Errorf("FETCH of %d, but there are %d", n, len(m.uids))
	}
	uid := m.uids[n-1]
	for i := 0; i+1 < len(items); i += 2 {
		switch items[i].Word() {
		case "UID":
			u, _ := strconv.ParseUint(items[i+1].Text, 10, 32)
			if uid != 0 && uid != uint32(u) {
				return fmt.Errorf("%d was UID %d and is UID %d", n, uid, u)
			}
			uid = uint32(u)
			m.uids[n-1] = uid
		case "MODSEQ":
			if v, _ := strconv.ParseUint(items[i+1].List[0].Text, 10, 64); v == 0 {
				return fmt.Errorf("MODSEQ of %d is %s", n, items[i+1])
			}
		}
	}
	for i := 0; i+1 < len(items) && uid != 0; i += 2 {
		if items[i].Word() == "FLAGS" {
			m.flags[uid] = flagText(items[i+1])
		}
	}
	return nil
}

// flagText is a list of flags in order, without \Recent.
func flagText(v rawimap.Value) string {
	var out []string
	for _, f := range v.List {
		if f.Text != `\Recent` {
			out = append(out, f.Text)
		}
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}

func (m *model) vanished(cmd string, r rawimap.Value) error {
	last := r.List[len(r.List)-1]
	earlier := r.List[2].Kind == 'l'
	if !earlier && holdsBack(cmd) {
		return fmt.Errorf("VANISHED during %s", cmd)
	}
	for u := range set(last.Text) {
		delete(m.flags, u)
		i := slices.Index(m.uids, u)
		if i < 0 && earlier {
			continue
		}
		if i < 0 {
			// Allowed only while the client has not been told the UIDs of all.
			if !slices.Contains(m.uids, 0) {
				return fmt.Errorf("VANISHED %d, which was not there", u)
			}
			// Which of those it was cannot be known: all behind the first are unknown again.
			i = slices.Index(m.uids, 0)
			clear(m.uids[i:])
		}
		m.uids = slices.Delete(m.uids, i, i+1)
	}
	return nil
}

// set are the numbers of a set.
func set(text string) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for part := range strings.SplitSeq(text, ",") {
			from, to, ranged := strings.Cut(part, ":")
			if !ranged {
				to = from
			}
			a, _ := strconv.ParseUint(from, 10, 32)
			b, _ := strconv.ParseUint(to, 10, 32)
			for u := a; u <= b; u++ {
				if !yield(uint32(u)) {
					return
				}
			}
		}
	}
}

// differs compares what a session knows with what is so.
func (m *model) differs(truth *model) string {
	if !slices.Equal(m.uids, truth.uids) {
		return fmt.Sprintf("knows UIDs %v, there are %v", m.uids, truth.uids)
	}
	for _, u := range slices.Sorted(maps.Keys(m.flags)) {
		if m.flags[u] != truth.flags[u] {
			return fmt.Sprintf("knows flags %q of UID %d, which are %q", m.flags[u], u, truth.flags[u])
		}
	}
	return ""
}
