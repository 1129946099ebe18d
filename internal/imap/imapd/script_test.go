package imapd_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
)

//rules:allow var the flag of the test binary
var rewrite = flag.Bool("rewrite", false, "write what the server answers into the scripts")

// TestScripts plays testdata/*.imap. A script's lines are
//
//	C: text    send a line on connection 1; C2: on connection 2, and so on;
//	           <v> in it stands for the UIDVALIDITY that was told last
//	M: text    a line of the literal whose {} or {+} ends the line before
//	L: text    a literal without a line end; the command goes on with C:
//	S: text    a line that the server sends; S2: on connection 2
//	read N     read N lines that nobody asked for; read2 N on connection 2
//	deliver S  deliver a message with this subject to INBOX
//	limits B N let the account have B bytes and N messages
//	clock D    let the clock go on by D
//	# text     a remark
//
// After a line was sent, everything up to the tagged response or a
// continuation request is read. With -rewrite the S: lines are written anew,
// to be looked at.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.imap")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".imap"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			p := &player{t: t, w: newWorld(t, options{}), conns: map[string]*client{}, open: map[string]string{}}
			got := p.play(want)
			if *rewrite {
				if err := os.WriteFile(f, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, want) {
				t.Error(firstDifference(string(want), string(got)))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d, after\n%s\nwant %s\ngot  %s", i+1, strings.Join(g[max(0, i-5):min(i, len(g))], "\n"), a, b)
		}
	}
	return ""
}

// player plays one script.
type player struct {
	t     *testing.T
	w     *world
	conns map[string]*client
	open  map[string]string // the tag of a command that waits for more, by connection
	out   bytes.Buffer
	// validity is the UIDVALIDITY that was told last: "<v>" in a C: line.
	validity string
}

var scriptLine = regexp.MustCompile(`^([CMLS])(\d?): ?(.*)$`)

var uidValidity = regexp.MustCompile(`(?:UIDVALIDITY|APPENDUID) (\d+)`)

// varying is what differs from run to run.
var varying = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`\[CAPABILITY [^]]*\]`), "[CAPABILITY <list>]"},
	{regexp.MustCompile(`UIDVALIDITY \d+`), "UIDVALIDITY <v>"},
	{regexp.MustCompile(`APPENDUID \d+`), "APPENDUID <v>"},
	{regexp.MustCompile(`COPYUID \d+`), "COPYUID <v>"},
	{regexp.MustCompile(`MAILBOXID \(\w+\)`), "MAILBOXID (<id>)"},
	{regexp.MustCompile(`EMAILID \(\w+\)`), "EMAILID (<id>)"},
	{regexp.MustCompile(`THREADID \(\w+\)`), "THREADID (<id>)"},
}

func (p *player) play(script []byte) []byte {
	p.conns["1"] = p.w.dial()
	p.answer("1", p.conns["1"].line())
	sc := bufio.NewScanner(bytes.NewReader(script))
	var lines []string
	for sc.Scan() {
		lines = append(lines, sc.Text())
	}
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		m := scriptLine.FindStringSubmatch(line)
		if m != nil && m[1] == "S" {
			continue
		}
		if m == nil {
			fmt.Fprintln(&p.out, line)
			p.directive(line)
			continue
		}
		conn := m[2]
		if conn == "" {
			conn = "1"
		}
		if m[1] != "C" {
			p.t.Fatalf("line %d: a literal without {}", i+1)
		}
		i = p.command(lines, i, conn, m[3])
	}
	return p.out.Bytes()
}

// command sends a line with the literals that follow it, and returns the index of the last line used.
func (p *player) command(lines []string, i int, conn, text string) int {
	c := p.conn(conn)
	tag, _, _ := strings.Cut(text, " ")
	if t := p.open[conn]; t != "" {
		tag = t
		delete(p.open, conn)
	}
	for {
		fmt.Fprintln(&p.out, lines[i])
		lit, j, ok := literal(lines, i+1)
		text = strings.ReplaceAll(text, "{}", fmt.Sprintf("{%d}", len(lit)))
		text = strings.ReplaceAll(text, "{+}", fmt.Sprintf("{%d+}", len(lit)))
		text = strings.ReplaceAll(unescape(text), "<v>", p.validity)
		c.send(text + "\r\n")
		switch {
		case strings.HasSuffix(text, "+}"):
		default:
			if !p.read(conn, tag) {
				if !ok {
					return i
				}
				for _, l := range lines[i+1 : j] { // refused: it is not sent
					if !strings.HasPrefix(l, "S") {
						fmt.Fprintln(&p.out, l)
					}
				}
				return j - 1
			}
		}
		if !ok {
			p.open[conn] = tag
			return i
		}
		for _, l := range lines[i+1 : j] {
			if !strings.HasPrefix(l, "S") {
				fmt.Fprintln(&p.out, l)
			}
		}
		c.send(lit)
		i, text = j, ""
		if m := at(lines, j); m != nil && m[1] == "C" && (strings.HasPrefix(m[3], " ") || m[3] == ")") {
			text = m[3]
			continue
		}
		c.send("\r\n")
		p.read(conn, tag)
		return j - 1
	}
}

func at(lines []string, i int) []string {
	for ; i < len(lines); i++ {
		if m := scriptLine.FindStringSubmatch(lines[i]); m == nil || m[1] != "S" {
			return m
		}
	}
	return nil
}

// literal collects the M: and L: lines from i on, passing over S: lines before
// them; next is the line behind.
func literal(lines []string, i int) (text string, next int, ok bool) {
	var b strings.Builder
	for next = i; next < len(lines); next++ {
		m := scriptLine.FindStringSubmatch(lines[next])
		switch {
		case m == nil || m[1] == "C" || m[1] == "S" && ok:
			return b.String(), next, ok
		case m[1] == "M":
			ok = true
			b.WriteString(unescape(m[3]) + "\r\n")
		case m[1] == "L":
			ok = true
			b.WriteString(unescape(m[3]))
		}
	}
	return b.String(), next, ok
}

// unescape reads \xNN.
func unescape(s string) string {
	return regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(s, func(x string) string {
		var c byte
		fmt.Sscanf(x[2:], "%02x", &c)
		return string([]byte{c})
	})
}

func (p *player) conn(name string) *client {
	c := p.conns[name]
	if c == nil {
		c = p.w.dial()
		p.conns[name] = c
		p.answer(name, c.line())
	}
	return c
}

// read reads until the tagged response, and says whether a continuation request came instead.
func (p *player) read(conn, tag string) bool {
	for {
		l, err := p.conns[conn].r.ReadString('\n')
		if err != nil {
			fmt.Fprintf(&p.out, "S%s: (closed)\n", number(conn))
			return false
		}
		l = strings.TrimSuffix(l, "\r\n")
		p.answer(conn, l)
		if strings.HasPrefix(l, tag+" ") || strings.HasPrefix(l, "* BAD") {
			return false
		}
		if strings.HasPrefix(l, "+") {
			return true
		}
	}
}

func number(conn string) string {
	if conn == "1" {
		return ""
	}
	return conn
}

func (p *player) answer(conn, line string) {
	if m := uidValidity.FindStringSubmatch(line); m != nil {
		p.validity = m[1]
	}
	for _, v := range varying {
		line = v.re.ReplaceAllString(line, v.by)
	}
	fmt.Fprintf(&p.out, "S%s: %s\n", number(conn), line)
}

func (p *player) directive(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case word == "" || word[0] == '#':
	case strings.HasPrefix(word, "read"):
		n := 1
		fmt.Sscan(rest, &n)
		conn := strings.TrimPrefix(word, "read")
		if conn == "" {
			conn = "1"
		}
		for range n {
			p.answer(conn, p.conns[conn].line())
		}
	case word == "deliver":
		p.w.deliver("INBOX", "From: sam@x.example\r\nSubject: "+rest+"\r\n\r\nHello.\r\n", 0)
	case word == "limits":
		var l mailstore.AccountLimits
		fmt.Sscan(rest, &l.Bytes, &l.Messages)
		if err := p.w.store.SetLimits(context.Background(), p.w.ann, l); err != nil {
			p.t.Fatal(err)
		}
	case word == "clock":
		d, err := time.ParseDuration(rest)
		if err != nil {
			p.t.Fatal(err)
		}
		p.w.now.Add(int64(d / time.Second))
	default:
		p.t.Fatalf("unknown directive %q", line)
	}
}
