package imapdiff_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/rawimap"
)

// script is one conversation, played to each server in an account of its own.
type script struct {
	name  string
	needs []string // capabilities
	mail  string   // the set of messages that lies in INBOX
	raw   bool     // connection 1 is not logged in
	each  bool     // made of one line, after base lines that it shares with others
	base  int
	named bool // after its own line
	lines []string
}

// scripts reads testdata/*.txt:
//
//	== name | needs CAP CAP | mail SET | raw
//	COMMAND          sent on connection 1, which is logged in unless raw
//	2: COMMAND       on connection 2, opened at its first use
//	wait 2: EXISTS   wait until a response with this word has come
//	each             every line from here on is a script of its own, after those before
//	# text           a remark
//
// In a command {{name}} is a message of testdata/mail as a literal, {{+text}}
// and {{=text}} are literals that do not and do wait for the server, \xNN is a
// byte, and ${modseq 3}, ${highest}, ${uidvalidity}, ${emailid 3},
// ${mailboxid} are what the server said last.
func scripts(t testing.TB) []script {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	var out []script
	seen := map[string]bool{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		area := strings.TrimSuffix(filepath.Base(f), ".txt")
		for line := range strings.Lines(string(raw)) {
			line = strings.TrimRight(line, "\r\n")
			switch head, ok := strings.CutPrefix(line, "== "); {
			case ok:
				s := header(t, area, head)
				if seen[s.name] {
					t.Fatalf("two scripts are called %s", s.name)
				}
				seen[s.name] = true
				out = append(out, s)
			case line == "" || strings.HasPrefix(line, "#"):
			case len(out) == 0:
				t.Fatalf("%s: a line before the first ==", f)
			case line == "each":
				out[len(out)-1].each = true
			default:
				out = addLine(out, line)
			}
		}
	}
	return out
}

// addLine adds a line to the last script, or makes a script of it.
func addLine(out []script, line string) []script {
	s := &out[len(out)-1]
	if !s.each {
		s.lines = append(s.lines, line)
		return out
	}
	if !s.named {
		s.base, s.named = len(s.lines), true
		s.name += ": " + line
		s.lines = append(s.lines, line)
		return out
	}
	next := *s
	name, _, _ := strings.Cut(s.name, ": ")
	next.name = name + ": " + line
	next.lines = append(slices.Clone(s.lines[:s.base]), line)
	return append(out, next)
}

func header(t testing.TB, area, head string) script {
	t.Helper()
	parts := strings.Split(head, "|")
	s := script{name: area + "/" + strings.TrimSpace(parts[0])}
	for _, p := range parts[1:] {
		word, rest, _ := strings.Cut(strings.TrimSpace(p), " ")
		switch word {
		case "needs":
			s.needs = strings.Fields(rest)
		case "mail":
			s.mail = rest
		case "raw":
			s.raw = true
		default:
			t.Fatalf("%s: unknown word %q", s.name, word)
		}
	}
	return s
}

// step is one line of a script with what a server answered.
type step struct {
	line string
	got  answer
}

// conn is a connection that a script speaks on.
type conn struct {
	*rawimap.Conn
	tags int
	open string          // the tag of a command that is not over: IDLE, AUTHENTICATE
	held []rawimap.Value // what has come while a script waited
	dead bool
}

func dial(addr string) (*conn, error) {
	c, err := rawimap.Dial(addr)
	return &conn{Conn: c}, err
}

// player plays one script to one server.
type player struct {
	t     testing.TB
	s     server
	login string
	conns map[string]*conn
	vars  map[string]string
	last  string // the connection of the line before
	err   error
}

// hintTime is what a server takes to tell one session of what another has done:
// a command that need not ask for it, as FETCH, knows it only then.
const hintTime = 30 * time.Millisecond

// play plays a script and ends its connections.
func play(t testing.TB, s server, sc script) ([]step, error) {
	t.Helper()
	p := &player{t: t, s: s, login: s.newUser(), conns: map[string]*conn{}, vars: map[string]string{}}
	defer p.close()
	if sc.mail != "" {
		p.fill(sc.mail)
	}
	if sc.raw {
		p.connect("1", false)
	}
	var out []step
	for _, l := range sc.lines {
		if p.err != nil {
			return out, fmt.Errorf("%s: %w", s.name, p.err)
		}
		out = append(out, step{l, p.line(l)})
	}
	return out, p.err
}

func (p *player) close() {
	for _, c := range p.conns {
		c.Close()
	}
}

var onConn = regexp.MustCompile(`^(wait )?([1-9]): ?(.*)$`)

// line plays one line.
func (p *player) line(l string) answer {
	name, text, wait := "1", l, false
	if m := onConn.FindStringSubmatch(l); m != nil {
		name, text, wait = m[2], m[3], m[1] != ""
	}
	c := p.conns[name]
	if c == nil {
		if c = p.connect(name, true); c == nil {
			return nil
		}
	}
	if c.dead {
		return answer{"(closed)"}
	}
	if wait {
		return p.await(c, text)
	}
	if p.last != "" && p.last != name {
		time.Sleep(hintTime)
	}
	p.last = name
	return p.command(c, text)
}

func (p *player) connect(name string, login bool) *conn {
	c, err := dial(p.s.addr)
	if err != nil {
		p.err = err
		return nil
	}
	p.conns[name] = c
	if _, err := c.Response(); err != nil {
		p.err = err
		return nil
	}
	if login {
		if a := p.command(c, p.login); len(a) == 0 || !strings.HasPrefix(a[0], "= OK") && !strings.Contains(fmt.Sprint(a), "= OK") {
			p.err = fmt.Errorf("login: %v", a)
			return nil
		}
	}
	return c
}

// await reads until a response with a word has come.
func (p *player) await(c *conn, word string) answer {
	for {
		r, err := c.Response()
		if err != nil {
			c.dead = true
			return answer{"(nothing came)"}
		}
		p.learn(r)
		c.held = append(c.held, r)
		if len(r.List) > 2 && r.List[2].Word() == word || len(r.List) > 1 && r.List[1].Word() == word {
			return nil
		}
	}
}

var inline = regexp.MustCompile(`\{\{([^}]*)\}\}|\$\{([^}]*)\}|\\x[0-9a-f]{2}`)

// command sends a command and reads what is told up to its end, or up to a
// continuation request that the next line answers.
func (p *player) command(c *conn, text string) answer {
	tag := c.open
	if tag == "" {
		c.tags++
		tag = "t" + strconv.Itoa(c.tags)
		text = tag + " " + text
	}
	c.open = ""
	responses := c.held
	c.held = nil
	pieces := p.pieces(text)
	for i, piece := range pieces {
		c.Send(piece)
		if strings.HasSuffix(piece, "+}\r\n") && i+1 < len(pieces) {
			continue // the literal follows at once
		}
		if i+1 < len(pieces) && !strings.HasSuffix(piece, "}\r\n") {
			continue
		}
		for {
			r, err := c.Response()
			if err != nil {
				c.dead = true
				a := normalise(responses)
				if !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
					return append(a, "(closed: "+err.Error()+")")
				}
				return append(a, "(closed)")
			}
			p.learn(r)
			responses = append(responses, r)
			if r.List[0].Text == tag {
				return normalise(responses)
			}
			if r.List[0].Text == "+" {
				break
			}
			if r.List[0].Text == "*" && len(r.List) > 1 && r.List[1].Word() == "BAD" && tag == "*" {
				return normalise(responses)
			}
		}
	}
	c.open = tag
	return normalise(responses)
}

// pieces cuts a command behind each literal's announcement.
func (p *player) pieces(text string) []string {
	out := []string{""}
	at := 0
	add := func(s string) { out[len(out)-1] += s }
	for _, m := range inline.FindAllStringSubmatchIndex(text, -1) {
		add(text[at:m[0]])
		at = m[1]
		switch {
		case m[2] >= 0:
			lit, wait := p.literal(text[m[2]:m[3]])
			plus := "+"
			if wait {
				plus = ""
			}
			add(fmt.Sprintf("{%d%s}\r\n", len(lit), plus))
			out = append(out, lit)
		case m[4] >= 0:
			add(p.variable(text[m[4]:m[5]]))
		default:
			n, _ := strconv.ParseUint(text[m[0]+2:m[1]], 16, 8)
			add(string([]byte{byte(n)}))
		}
	}
	add(text[at:] + "\r\n")
	return out
}

func (p *player) literal(word string) (text string, wait bool) {
	if s, ok := strings.CutPrefix(word, "+"); ok {
		return unescape(s), false
	}
	if s, ok := strings.CutPrefix(word, "="); ok {
		return unescape(s), true
	}
	return string(message(p.t, word)), false
}

func unescape(s string) string {
	return regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(s, func(x string) string {
		n, _ := strconv.ParseUint(x[2:], 16, 8)
		return string([]byte{byte(n)})
	})
}

// variable is what the server said last; "highest-1" is one less.
func (p *player) variable(name string) string {
	base, less, minus := strings.Cut(name, "-")
	v, ok := p.vars[base]
	if !ok {
		p.err = fmt.Errorf("the server has said nothing of ${%s}", name)
		return ""
	}
	if minus {
		n, _ := strconv.ParseUint(v, 10, 64)
		d, _ := strconv.ParseUint(less, 10, 64)
		return strconv.FormatUint(n-d, 10)
	}
	return v
}

// learn keeps what later commands may name.
func (p *player) learn(r rawimap.Value) {
	for i, v := range r.List {
		switch {
		case v.Kind == 'l' && len(v.List) > 2 && v.List[0].Text == "[":
			p.learnPair(v.List[1], v.List[2], "")
		case v.Word() == "FETCH" && i == 2 && len(r.List) > 3:
			items := r.List[3].List
			for j := 0; j+1 < len(items); j += 2 {
				p.learnPair(items[j], items[j+1], " "+r.List[1].Text)
			}
		case v.Word() == "STATUS" && len(r.List) > 3:
			items := r.List[3].List
			for j := 0; j+1 < len(items); j += 2 {
				p.learnPair(items[j], items[j+1], "")
			}
		}
	}
}

func (p *player) learnPair(k, v rawimap.Value, suffix string) {
	if v.Kind == 'l' && len(v.List) == 1 {
		v = v.List[0]
	}
	switch k.Word() {
	case "HIGHESTMODSEQ":
		p.vars["highest"] = v.Text
	case "UIDVALIDITY", "MODSEQ", "EMAILID", "THREADID", "MAILBOXID":
		p.vars[strings.ToLower(k.Word())+suffix] = v.Text
	}
}

// message reads a message of testdata/mail, with CRLF line ends.
func message(t testing.TB, name string) []byte {
	raw, err := os.ReadFile(filepath.Join("testdata/mail", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// fill puts a set of messages into INBOX: testdata/mail/SET.List names them,
// "name (flags) date" each.
func (p *player) fill(set string) {
	raw, err := os.ReadFile(filepath.Join("testdata/mail", set+".list"))
	if err != nil {
		p.t.Fatal(err)
	}
	c := p.connect("fill", true)
	if c == nil {
		return
	}
	n := 0
	for line := range strings.Lines(string(raw)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" {
			continue
		}
		lit := message(p.t, name)
		c.Send(fmt.Sprintf("f%d APPEND INBOX %s {%d+}\r\n%s\r\n", n, rest, len(lit), lit))
		for n++; ; {
			r, err := c.Response()
			if err != nil || r.List[0].Text != "*" && r.List[1].Word() != "OK" {
				p.err = fmt.Errorf("APPEND %s: %v %v", name, r, err)
				return
			}
			if r.List[0].Text != "*" {
				break
			}
		}
	}
	// The mailbox is left by a session that has seen it: nothing is \Recent.
	c.tags = 1000
	p.command(c, "SELECT INBOX")
	p.command(c, "UNSELECT")
	c.Close()
	delete(p.conns, "fill")
}
