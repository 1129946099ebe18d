package imapdiff_test

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/test/rawimap"
)

// answer is what a command got, as lines that can be compared: one for each
// thing told, in no order where the RFCs give none. Numbers that each server
// chooses for itself (UIDVALIDITY, MODSEQ, object ids) are masked.
type answer []string

// normalise turns the responses to a command into an answer.
func normalise(responses []rawimap.Value) answer {
	n := &normaliser{exists: -1}
	for _, r := range responses {
		n.take(r)
	}
	n.flush()
	sort.Strings(n.lines)
	return slices.Compact(n.lines)
}

type normaliser struct {
	lines   []string
	fetched map[string]string // "FETCH n ITEM" to its value: the last one holds
	live    []int             // sequence numbers at the start of the command, for EXPUNGE
	exists  int               // messages at the end, -1 if that was not told
}

func (n *normaliser) add(format string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *normaliser) flush() {
	for k, v := range n.fetched {
		n.add("%s %s", k, v)
	}
	if n.exists >= 0 {
		n.add("%d EXISTS", n.exists)
	}
}

// take takes one response in.
func (n *normaliser) take(r rawimap.Value) {
	if len(r.List) < 2 {
		if len(r.List) == 1 && r.List[0].Text == "+" {
			n.add("+")
		}
		return
	}
	first, word := r.List[0].Text, r.List[1].Word()
	switch {
	case first == "+":
		n.add("+")
	case rawimap.IsStatus(word):
		n.status(first, word, r.List[2:])
	case first != "*":
		n.add("? %s", r)
	default:
		n.untagged(word, r.List[1:])
	}
}

// status notes a status response: the tagged one with its code, and codes of
// untagged ones; text alone says nothing to a program.
func (n *normaliser) status(tag, word string, rest []rawimap.Value) {
	code := ""
	if len(rest) > 0 {
		code = codeText(rest[0].List[1:])
	}
	switch {
	case tag != "*":
		n.add("= %s%s", word, code)
	case word == "OK" && code == "" || strings.HasPrefix(code, " [CAPABILITY") || strings.HasPrefix(code, " [INPROGRESS"):
	default:
		n.add("* %s%s", word, code)
	}
}

// codeText is a response code with what servers choose for themselves masked.
func codeText(code []rawimap.Value) string {
	if len(code) == 0 {
		return ""
	}
	parts := []string{code[0].Word()}
	for i, v := range code[1:] {
		t := v.String()
		switch w := code[0].Word(); {
		case w == "CAPABILITY":
			t = "#"
		case w == "PERMANENTFLAGS" || w == "BADCHARSET":
			t = sorted(v)
		case i == 0 && (w == "UIDVALIDITY" || w == "APPENDUID" || w == "COPYUID" || w == "HIGHESTMODSEQ" || w == "MAILBOXID"):
			t = "#"
		case w == "APPENDUID" || w == "COPYUID" || w == "MODIFIED":
			t = numbers(t)
		}
		parts = append(parts, t)
	}
	return " [" + strings.Join(parts, " ") + "]"
}

func (n *normaliser) untagged(word string, args []rawimap.Value) {
	if num, err := strconv.Atoi(word); err == nil && len(args) > 1 {
		n.numbered(num, args[1].Word(), args[2:])
		return
	}
	switch word {
	case "CAPABILITY", "ID", "ENABLED":
		rest := append([]rawimap.Value(nil), args[1:]...)
		if word != "ENABLED" {
			rest = nil
		}
		n.add("%s %s", word, sorted(rawimap.Value{Kind: 'l', List: rest}))
	case "FLAGS":
		n.add("FLAGS %s", sorted(args[1]))
	case "LIST", "LSUB":
		n.add("%s", list(word, args[1:]))
	case "STATUS":
		n.add("STATUS %q %s", inbox(args[1].Text), pairs(args[2].List))
	case "SEARCH":
		n.search(args[1:])
	case "ESEARCH":
		n.add("ESEARCH %s", esearch(args[1:]))
	case "VANISHED":
		last := len(args) - 1
		n.add("VANISHED%s %s", map[bool]string{true: " (EARLIER)"}[last > 1], numbers(args[last].Text))
	default:
		n.add("%s", rawimap.Value{Kind: 'l', List: args})
	}
}

// numbered is a response about a message, or the number of messages.
func (n *normaliser) numbered(num int, word string, rest []rawimap.Value) {
	switch word {
	case "EXPUNGE":
		n.add("EXPUNGE %d", n.original(num))
		n.exists = max(n.exists-1, -1)
	case "EXISTS":
		n.exists = num
	case "FETCH":
		if n.fetched == nil {
			n.fetched = map[string]string{}
		}
		items := rest[0].List
		for i := 0; i+1 < len(items); i += 2 {
			item := strings.ReplaceAll(items[i].Word(), `"`, "") // header field names may be quoted
			n.fetched[fmt.Sprintf("FETCH %d %s", num, item)] = fetchValue(item, items[i+1])
		}
	default:
		n.add("%d %s", num, word)
	}
}

// original is the number that a message had when the command began: servers
// may tell expunges in any order.
func (n *normaliser) original(num int) int {
	for len(n.live) < num+64 {
		next := 1
		if len(n.live) > 0 {
			next = n.live[len(n.live)-1] + 1
		}
		n.live = append(n.live, next)
	}
	was := n.live[num-1]
	n.live = slices.Delete(n.live, num-1, num)
	return was
}

// fetchValue is the value of a FETCH item.
func fetchValue(item string, v rawimap.Value) string {
	switch item {
	case "FLAGS":
		return sorted(v)
	case "BODY", "BODYSTRUCTURE":
		return strings.ToLower(v.String())
	case "MODSEQ", "EMAILID", "THREADID", "SAVEDATE":
		if v.Word() == "NIL" {
			return "NIL"
		}
		return "#"
	case "INTERNALDATE":
		if at, err := time.Parse("_2-Jan-2006 15:04:05 -0700", v.Text); err == nil && time.Since(at).Abs() < time.Hour {
			return "now"
		}
	}
	return v.String()
}

func (n *normaliser) search(args []rawimap.Value) {
	var nums []string
	mod := ""
	for _, a := range args {
		if a.Kind == 'l' {
			mod = " (MODSEQ #)"
			continue
		}
		nums = append(nums, a.Text)
	}
	n.add("SEARCH %s%s", numbers(strings.Join(nums, ",")), mod)
}

// esearch leaves the tag out and sorts what is returned.
func esearch(args []rawimap.Value) string {
	var head []string
	for len(args) > 0 && (args[0].Kind == 'l' || args[0].Word() == "UID") {
		if args[0].Kind == 'a' {
			head = append(head, "UID")
		}
		args = args[1:]
	}
	var items []string
	for i := 0; i+1 < len(args); i += 2 {
		v := args[i+1].String()
		switch args[i].Word() {
		case "ALL":
			v = numbers(v)
		case "MODSEQ":
			v = "#"
		}
		items = append(items, args[i].Word()+" "+v)
	}
	sort.Strings(items)
	return strings.Join(append(head, items...), " ")
}

// list is a LIST or LSUB response; a name is the same as atom or string.
func list(word string, args []rawimap.Value) string {
	if len(args) < 3 {
		return word + " ?"
	}
	out := fmt.Sprintf("%s %q %s %s", word, inbox(args[2].Text), sorted(args[0]), args[1])
	for _, more := range args[3:] {
		out += " " + strings.ReplaceAll(more.String(), `"`, "")
	}
	return out
}

// inbox is a mailbox's name; INBOX has no case.
func inbox(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// pairs sorts "NAME value" and masks what a server chooses.
func pairs(items []rawimap.Value) string {
	var out []string
	for i := 0; i+1 < len(items); i += 2 {
		w, v := items[i].Word(), items[i+1].String()
		switch w {
		case "UIDVALIDITY", "HIGHESTMODSEQ", "MAILBOXID":
			v = "#"
		}
		out = append(out, w+" "+v)
	}
	sort.Strings(out)
	return "(" + strings.Join(slices.Compact(out), " ") + ")"
}

// sorted is a list of flags or words in order, without regard of case.
func sorted(v rawimap.Value) string {
	var out []string
	for _, x := range v.List {
		s := x.Text
		if strings.HasPrefix(s, `\`) {
			s = strings.ToLower(s)
		}
		out = append(out, s)
	}
	sort.Strings(out)
	return "(" + strings.Join(slices.Compact(out), " ") + ")"
}

// numbers is a set in its shortest form.
func numbers(s string) string {
	var b imapwire.Set
	for part := range strings.SplitSeq(s, ",") {
		from, to, ranged := strings.Cut(part, ":")
		x, err := strconv.ParseUint(from, 10, 32)
		if err != nil {
			return s
		}
		y := x
		if ranged {
			if y, err = strconv.ParseUint(to, 10, 32); err != nil {
				return s
			}
		}
		b = b.Union(imapwire.Set{{Start: uint32(min(x, y)), Stop: uint32(max(x, y))}})
	}
	return b.String()
}
