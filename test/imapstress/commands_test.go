package imapstress_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/eidermail/eider/test/rawimap"
)

// run sends a command and takes in all that is told.
func (s *session) run(cmd string) error {
	all, err := s.ask(cmd)
	for _, r := range all {
		if e := s.m.take(cmd, r); e != nil {
			return fmt.Errorf("%s: %w\nafter\n%s", cmd, e, strings.Join(s.last, "\n"))
		}
	}
	return err
}

// ask sends a command and returns the responses. NO is an answer; BAD is not,
// but where a number has just gone.
func (s *session) ask(cmd string) (all []rawimap.Value, err error) {
	s.tags++
	tag := "s" + strconv.Itoa(s.tags)
	if s.last = append(s.last, cmd); len(s.last) > 6 {
		s.last = s.last[1:]
	}
	s.c.Send(tag + " " + cmd + "\r\n")
	for {
		r, err := s.c.Response()
		if err != nil {
			return all, fmt.Errorf("%.80s: %w", cmd, err)
		}
		all = append(all, r)
		if r.List[0].Text != tag {
			continue
		}
		if r.List[1].Word() == "BAD" {
			return all, fmt.Errorf("%.80s: %s", cmd, r)
		}
		return all, nil
	}
}

// resume selects with QRESYNC. EXISTS tells how many there are; VANISHED and
// FETCH with UIDs tell what changed: from them comes the new model.
func (s *session) resume(cmd string, uids []uint32) error {
	all, err := s.ask(cmd)
	if err != nil {
		return err
	}
	known := map[uint32]bool{}
	complete := true
	for _, u := range uids {
		known[u] = true
		complete = complete && u != 0
	}
	delete(known, 0)
	count := 0
	for _, r := range all {
		switch {
		case len(r.List) > 2 && r.List[1].Word() == "VANISHED":
			if r.List[2].Kind != 'l' { // of now, not of the time asleep: one that EXISTS has counted
				for u := range set(r.List[2].Text) {
					count--
					delete(known, u)
					delete(s.m.flags, u)
				}
				continue
			}
			v := &model{uids: keys(known), flags: s.m.flags}
			if err := v.vanished(cmd, r); err != nil {
				return err
			}
			known = map[uint32]bool{}
			for _, u := range v.uids {
				known[u] = true
			}
		case len(r.List) > 2 && r.List[2].Word() == "EXISTS":
			count, _ = strconv.Atoi(r.List[1].Text)
		case len(r.List) > 3 && r.List[2].Word() == "FETCH":
			items := r.List[3].List
			one := &model{uids: make([]uint32, 1), flags: s.m.flags}
			if err := one.fetched(1, items); err != nil {
				return err
			}
			known[one.uids[0]] = true
		default:
			_ = s.m.code(r)
		}
	}
	s.m.uids = keys(known)
	if complete && len(s.m.uids) > count {
		return fmt.Errorf("%s: %d EXISTS, but what is told makes %d", cmd, count, len(s.m.uids))
	}
	// It did not know all, or one of those that EXISTS counts went before its flags were read: it asks.
	if !complete || len(s.m.uids) < count {
		s.m.uids = make([]uint32, count)
		return s.run("UID FETCH 1:* (UID)")
	}
	return nil
}

func keys(m map[uint32]bool) []uint32 {
	var out []uint32
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// step does something. Where servers are killed, what was under way may be
// done or not: the session comes back, and from then on is told.
func (s *session) step() error {
	err := s.act()
	if s.mayLose(err) {
		return s.back()
	}
	return err
}

func (s *session) act() error {
	if s.kind == qresync && s.rnd.IntN(25) == 0 {
		return s.sleep()
	}
	if s.w.kills && s.rnd.IntN(ownEvery) == 0 {
		return s.visitOwn()
	}
	cmd := s.command()
	if strings.Contains(cmd, ".SILENT") {
		s.m.flags = map[uint32]string{} // what it changes it is not told: it forgets what it knew
	}
	return s.run(cmd)
}

func (s *session) set() string {
	n := len(s.m.uids)
	if n == 0 {
		return "1:*"
	}
	a := 1 + s.rnd.IntN(n)
	return fmt.Sprintf("%d:%d", a, min(n, a+s.rnd.IntN(3)))
}

func (s *session) pick(of ...string) string { return of[s.rnd.IntN(len(of))] }

// fewEnough is how many messages a mailbox may have for more to be copied into it.
const fewEnough = 150

// command is any command that changes something, or looks.
func (s *session) command() string {
	msg := fmt.Sprintf("Subject: m%d\r\n\r\nb%d\r\n", s.rnd.IntN(50), s.rnd.IntN(50))
	lit := fmt.Sprintf("{%d+}\r\n%s", len(msg), msg)
	flag := s.pick(`\Seen`, `\Flagged`, `\Answered`, `\Draft`, `\Deleted`, `\Deleted`, "$a", "$b")
	box := s.pick("Trash", "Sent", "w"+strconv.Itoa(s.rnd.IntN(4)))
	uid := s.pick("", "UID ")
	set := s.set()
	if uid != "" {
		set = s.pick("1:*", "*", strconv.Itoa(1+s.rnd.IntN(3000)), fmt.Sprintf("%d:*", 1+s.rnd.IntN(3000)))
	}
	switch s.rnd.IntN(24) {
	case 0, 1, 2, 3:
		return "APPEND INBOX (" + s.pick("", `\Seen`, "$a") + ") " + lit
	case 4:
		return "APPEND INBOX " + lit + " (" + flag + ") " + lit
	case 5, 6, 7:
		return uid + "STORE " + set + " " + s.pick("+", "-", "") + "FLAGS" + s.pick("", "", ".SILENT") + " (" + flag + ")"
	case 8:
		return uid + "STORE " + set + " (UNCHANGEDSINCE " + strconv.Itoa(1+s.rnd.IntN(5000)) + ") +FLAGS (" + flag + ")"
	case 9, 10:
		return "EXPUNGE"
	case 11:
		return "UID EXPUNGE 1:*"
	case 12:
		if len(s.m.uids) > fewEnough { // or the mailbox would double and double
			return "EXPUNGE"
		}
		return uid + "COPY " + set + " INBOX"
	case 13:
		return uid + "COPY " + set + " " + box
	case 14, 15:
		return "MOVE " + s.set() + " " + box
	case 16:
		return uid + "FETCH " + set + " (UID FLAGS)"
	case 17:
		return uid + "FETCH " + set + " (UID BODY[])"
	case 18:
		return "SEARCH UNSEEN"
	case 19:
		return s.pick("CREATE ", "DELETE ") + "w" + strconv.Itoa(s.rnd.IntN(4))
	case 20:
		return "RENAME w" + strconv.Itoa(s.rnd.IntN(4)) + " w" + strconv.Itoa(s.rnd.IntN(4))
	case 21:
		return "STATUS " + box + " (MESSAGES UIDNEXT)"
	case 22:
		return s.pick("CHECK", "LIST \"\" *", "SORT (ARRIVAL) UTF-8 ALL")
	}
	return "NOOP"
}
