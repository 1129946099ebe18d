package imapdiff_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRandom plays conversations that nobody wrote: two sessions on one
// account, with any commands. What differs is made as short as it can be.
// EIDER_SOAK=1 plays many more.
func TestRandom(t *testing.T) {
	const short = "150"
	checks := short
	if os.Getenv("EIDER_SOAK") != "" {
		checks = "4000"
	}
	if err := setFlag("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	if err := setFlag("rapid.nofailfile", "true"); err != nil {
		t.Fatal(err)
	}
	servers := start(t)
	l := newLedger()
	rapid.Check(t, func(rt *rapid.T) {
		s := script{name: "random", mail: "basic"}
		s.lines = append(s.lines, "1: SELECT INBOX", "2: SELECT INBOX")
		for range rapid.IntRange(1, 25).Draw(rt, "commands") {
			s.lines = append(s.lines, randomLines(rt)...)
		}
		if text := differs(t, l, servers.ours, servers.dovecot, s); text != "" {
			rt.Fatalf("%s", text)
		}
	})
	if !t.Failed() && checks != short {
		l.unused(t, true)
	}
}

// differs plays a script and returns how the servers differ first.
func differs(t testing.TB, l *ledger, ours, theirs server, s script) string {
	a, errA := play(t, ours, s)
	b, errB := play(t, theirs, s)
	if errA != nil || errB != nil {
		return fmt.Sprint(errA, errB)
	}
	for i := range min(len(a), len(b)) {
		where := place{peer: theirs.name, script: s.name, line: a[i].line}
		if o, th := l.explain(where, a[i].got, b[i].got); len(o)+len(th) > 0 {
			var all []string
			for _, step := range a[:i+1] {
				all = append(all, step.line)
			}
			return strings.Join(all, "\n") + "\n" + report(where, o, th)
		}
	}
	return ""
}

// randomLines are a command on one session and, where it may change something,
// what makes the other learn of it: when it would be told otherwise, and what
// is told of a message that is gone meanwhile, is each server's own way, and
// has scripts of its own.
func randomLines(rt *rapid.T) []string {
	me := rapid.SampledFrom([]string{"1", "2"}).Draw(rt, "session")
	other := map[string]string{"1": "2", "2": "1"}[me]
	cmd := randomCommand(rt)
	lines := []string{me + ": " + cmd}
	word, _, _ := strings.Cut(strings.TrimPrefix(cmd, "UID "), " ")
	switch word {
	case "FETCH", "STORE", "APPEND", "EXPUNGE", "MOVE", "CLOSE":
		lines = append(lines, other+": NOOP")
	}
	if word == "CLOSE" || word == "UNSELECT" {
		lines = append(lines, me+": SELECT INBOX")
	}
	return lines
}

func randomCommand(rt *rapid.T) string {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(rt, name) }
	uid := pick("uid", "", "UID ")
	set := randomSet(rt)
	flags := "(" + strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{`\Seen`, `\Flagged`, `\Deleted`, `\Answered`, `\Draft`,
		"$Work", "$a", "B"}), 0, 3, rapid.ID[string]).Draw(rt, "flags"), " ") + ")"
	switch pick("command", "fetch", "fetch", "fetch", "store", "store", "store", "copy", "move", "append", "append", "expunge", "uid expunge",
		"search", "search", "search", "sort", "noop", "status", "close", "unselect", "thread") {
	case "fetch":
		return uid + "FETCH " + set + " " + pick("item", "FLAGS", "UID", "(UID FLAGS RFC822.SIZE)", "ENVELOPE", "BODY.PEEK[]", "BODY[TEXT]",
			"BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "INTERNALDATE", "(FLAGS BODY.PEEK[1])", "BODY.PEEK[]<3.20>")
	case "store":
		return uid + "STORE " + set + " " + pick("op", "", "+", "-") + "FLAGS" + pick("silent", "", ".SILENT") + " " + flags
	case "copy":
		return uid + "COPY " + set + " " + pick("to", "Trash", "Sent", "nosuch")
	case "move":
		return uid + "MOVE " + set + " " + pick("to", "Trash", "Sent", "nosuch")
	case "append":
		return "APPEND " + pick("to", "INBOX", "INBOX", "Trash") + " " + flags + " {{" + pick("message", "plain", "re", "fwd", "utf8", "nested") + "}}"
	case "expunge":
		return "EXPUNGE"
	case "uid expunge":
		return "UID EXPUNGE " + set
	case "search":
		return uid + "SEARCH " + randomKey(rt, 3)
	case "sort":
		return uid + "SORT (" + pick("reverse", "", "REVERSE ") + pick("by", "ARRIVAL", "SIZE", "SUBJECT", "FROM", "DATE") + ") UTF-8 " + randomKey(rt, 1)
	case "thread":
		return uid + "THREAD " + pick("how", "REFERENCES", "ORDEREDSUBJECT") + " UTF-8 ALL"
	case "status":
		return "STATUS " + pick("of", "Trash", "Sent") + " (MESSAGES UNSEEN UIDNEXT)"
	case "close":
		return "CLOSE"
	case "unselect":
		return "UNSELECT"
	}
	return "NOOP"
}

func randomSet(rt *rapid.T) string {
	n := func() string { return fmt.Sprint(rapid.IntRange(1, 8).Draw(rt, "n")) }
	switch rapid.IntRange(0, 4).Draw(rt, "set") {
	case 0:
		return "1:*"
	case 1:
		return n() + ":" + n()
	case 2:
		return n() + "," + n()
	case 3:
		return "*"
	}
	return n()
}

// randomKey is a search. Alternatives of flags that are not set are left out:
// Dovecot answers them wrongly (the difference "search-not-and").
func randomKey(rt *rapid.T, depth int) string {
	positive := []string{"ALL", "SEEN", "FLAGGED", "DELETED", "ANSWERED", "DRAFT", "KEYWORD $Work", "FROM ada", "SUBJECT engines", "BODY loom",
		"TEXT bob", "LARGER 400", "SMALLER 400", "SENTON 3-Nov-2026", "SINCE 3-Nov-2026", "BEFORE 4-Nov-2026", "HEADER Message-ID plain",
		"UID 2:4", "UID 3:*", "TO carol"}
	leaf := func(of []string) string { return rapid.SampledFrom(of).Draw(rt, "leaf") }
	if depth > 0 {
		switch rapid.IntRange(0, 6).Draw(rt, "key") {
		case 0:
			return "NOT " + leaf(positive)
		case 1:
			return "OR " + leaf(positive) + " " + leaf(positive)
		case 2:
			return "OR (" + leaf(positive) + " " + leaf(positive) + ") " + leaf(positive)
		case 3, 4:
			return randomKey(rt, depth-1) + " " + randomKey(rt, depth-1)
		}
	}
	return leaf(append(positive, "UNSEEN", "UNDELETED", "UNKEYWORD $Work"))
}
