package imapstress_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/test/rawimap"
)

// own is a mailbox that one session alone writes to, and what must be in it:
// all that was acknowledged, and nothing else. A command whose answer was lost
// is done wholly or not at all.
type own struct {
	box     string
	made    bool
	seq     int
	msgs    map[uint32]string // by UID: subject, a slash, and flags
	pending *change           // its answer has not come
}

// change is what a command does to a mailbox.
type change struct {
	add  []string
	set  map[uint32]string
	gone []uint32
}

// Every how many steps a session goes to its own mailbox, how many commands it
// does there, and how many messages may be in it for more to be added.
const (
	ownEvery    = 12
	ownCommands = 5
	ownEnough   = 30
)

// Limit: time in which a store has done what a killed server had asked of it.
const lateCommit = 2 * time.Second

// on is a mailbox after the change, where the UIDs are those of what is added.
func (c *change) on(msgs map[uint32]string, uids []uint32) map[uint32]string {
	msgs = maps.Clone(msgs)
	for i, u := range uids[:min(len(uids), len(c.add))] {
		msgs[u] = c.add[i]
	}
	maps.Copy(msgs, c.set)
	for _, u := range c.gone {
		delete(msgs, u)
	}
	return msgs
}

// visitOwn leaves INBOX for the session's own mailbox, works there, and comes back.
func (s *session) visitOwn() error {
	o := &s.own
	if !o.made {
		o.box, o.msgs = "own"+strconv.Itoa(s.n), map[uint32]string{}
		if _, err := s.ask("CREATE " + o.box); err != nil { // where the answer was lost it is there: NO
			return err
		}
		o.made = true
	}
	if err := o.audit(s); err != nil {
		return err
	}
	for range ownCommands {
		if err := s.ownCommand(); err != nil {
			return err
		}
	}
	return s.reselect(s.m)
}

// audit looks at the mailbox by any connection, which is in it afterwards.
func (o *own) audit(by *session) error {
	if !o.made {
		return nil
	}
	for end := time.Now().Add(lateCommit); ; time.Sleep(50 * time.Millisecond) {
		seen, err := by.look(o.box)
		if err != nil {
			return err
		}
		done := o.pending != nil && maps.Equal(seen, o.pending.on(o.msgs, added(o.msgs, seen)))
		asBefore := maps.Equal(seen, o.msgs)
		switch {
		case !done && !asBefore:
			return fmt.Errorf("%s has %v, but what was acknowledged is %v, and what may be is %+v", o.box, seen, o.msgs, o.pending)
		case done || o.pending == nil || time.Now().After(end):
			o.msgs, o.pending = seen, nil
			return nil
		}
	}
}

// added are the UIDs that are new.
func added(before, after map[uint32]string) (out []uint32) {
	for _, u := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[u]; !ok {
			out = append(out, u)
		}
	}
	return out
}

// look selects a mailbox and reads what is in it.
func (s *session) look(box string) (map[uint32]string, error) {
	seen := map[uint32]string{}
	for _, cmd := range []string{"SELECT " + box, "UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"} {
		all, err := s.ask(cmd)
		if err == nil && all[len(all)-1].List[1].Word() != "OK" {
			err = fmt.Errorf("%s %s: %v", cmd, box, all[len(all)-1])
		}
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			if len(r.List) < 4 || r.List[2].Word() != "FETCH" {
				continue
			}
			uid, text := letterOf(r.List[3].List)
			seen[uid] = text
		}
	}
	return seen, nil
}

func letterOf(items []rawimap.Value) (uid uint32, text string) {
	var subject, flags string
	for i := 0; i+1 < len(items); i += 2 {
		switch v := items[i+1]; {
		case items[i].Word() == "UID":
			n, _ := strconv.ParseUint(v.Text, 10, 32)
			uid = uint32(n)
		case items[i].Word() == "FLAGS":
			flags = flagText(v)
		case v.Kind == 's':
			subject = strings.TrimSpace(v.Text)
		}
	}
	return uid, subject + "/" + flags
}

// ownCommand does something in the session's own mailbox, which is selected.
func (s *session) ownCommand() error {
	cmd, c := s.ownChange()
	s.own.pending = c
	all, err := s.ask(cmd)
	if err != nil {
		return err
	}
	s.own.pending = nil
	end := all[len(all)-1]
	if end.List[1].Word() != "OK" {
		return fmt.Errorf("%.60s: %v", cmd, end)
	}
	var uids []uint32
	for _, v := range end.List {
		if n := len(v.List); v.Kind == 'l' && n > 3 { // APPENDUID, COPYUID: the new ones stand last
			uids = slices.Collect(set(v.List[n-1].Text))
		}
	}
	if len(uids) != len(c.add) {
		return fmt.Errorf("%.60s: %v tells of %d UIDs, not %d", cmd, end, len(uids), len(c.add))
	}
	s.own.msgs = c.on(s.own.msgs, uids)
	return nil
}

func (s *session) ownChange() (cmd string, c *change) {
	o := &s.own
	have := slices.Sorted(maps.Keys(o.msgs))
	flag := s.pick("", `\Seen`, `\Flagged`, "$own")
	what := s.rnd.IntN(6)
	if len(have) > ownEnough {
		what = 3 + s.rnd.IntN(2)
	}
	if len(have) == 0 || what < 2 {
		lit, text := s.letter(flag)
		return "APPEND " + o.box + lit, &change{add: []string{text}}
	}
	uid := have[s.rnd.IntN(len(have))]
	subject, _, _ := strings.Cut(o.msgs[uid], "/")
	switch what {
	case 2:
		a, one := s.letter(flag)
		b, two := s.letter("")
		return "APPEND " + o.box + a + b, &change{add: []string{one, two}} // RFC 3502: both or none
	case 3:
		if strings.Contains(o.msgs[uid], `\Deleted`) {
			return fmt.Sprintf("UID EXPUNGE %d", uid), &change{gone: []uint32{uid}}
		}
		return fmt.Sprintf(`UID STORE %d FLAGS (\Deleted)`, uid), &change{set: map[uint32]string{uid: subject + `/\Deleted`}}
	case 4:
		return fmt.Sprintf("UID STORE %d FLAGS (%s)", uid, flag), &change{set: map[uint32]string{uid: subject + "/" + flag}}
	}
	return fmt.Sprintf("UID COPY %d %s", uid, o.box), &change{add: []string{o.msgs[uid]}}
}

// letter is a message for APPEND that no other is like.
func (s *session) letter(flag string) (appends, text string) {
	s.own.seq++
	subject := fmt.Sprintf("Subject: own %d of %d", s.own.seq, s.n)
	msg := subject + "\r\n\r\nx\r\n"
	return fmt.Sprintf(" (%s) {%d+}\r\n%s", flag, len(msg), msg), subject + "/" + flag
}
