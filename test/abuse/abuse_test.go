// Package abuse_test treats the running server as the world will: with input
// that is wrong, hostile or damaged. After each piece of it the process must be
// alive, its store without a fault, and the next mail must arrive.
package abuse_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// Limit: how long one conversation of a test may take.
const talkWithin = 20 * time.Second

// target is a running server, with one account that it must go on serving.
type target struct {
	*harness.Server
	acct harness.Account
	// messages are in the store, as far as the test knows.
	messages int
}

func start(t *testing.T, flags ...string) *target {
	t.Helper()
	s := &target{Server: harness.Start(t, flags...)}
	s.acct = s.NewAccount(t)
	return s
}

// plain is the initial response of AUTH PLAIN.
func plain(a harness.Account) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + a.User + "\x00" + a.Pass))
}

// ports are the mail ports without TLS, by name.
func (s *target) ports() map[string]string {
	return map[string]string{"smtp": s.SMTP, "mx": s.MX, "lmtp": s.LMTP, "imap": s.IMAP, "pop3": s.POP3}
}

// survives is the end of every case: the process lives, a mail still arrives
// as it was sent, fsck finds nothing, and the case stored so many messages as
// it should have.
func (s *target) survives(t *testing.T, stored int) {
	t.Helper()
	if err := s.Process().Signal(syscall.Signal(0)); err != nil {
		t.Fatalf("the process is gone: %v\n%s", err, s.Output())
	}
	want := s.messages + stored + 1
	text := fmt.Sprintf("Subject: probe %d\r\n\r\nstill here\r\n", want)
	if got := s.raw(t, s.submit(t, []byte(text))); !strings.HasSuffix(string(got), text) {
		t.Errorf("a normal mail came back as %q", got)
	}
	if s.messages = s.census(t); s.messages != want {
		t.Errorf("%d messages are stored, want %d", s.messages-1, want-1)
	}
}

// census runs fsck, which must be clean, and returns how many messages it saw.
func (s *target) census(t *testing.T) int {
	t.Helper()
	out, err := harness.TryRun(time.Minute, harness.Binary(t), "fsck", "--data", s.Dir)
	if err != nil || !strings.HasSuffix(out, "fsck: clean\n") {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	var accounts, boxes, messages int
	if _, err := fmt.Sscanf(out, "%d accounts, %d mailboxes, %d messages", &accounts, &boxes, &messages); err != nil {
		t.Fatalf("fsck says %q", out)
	}
	return messages
}

// submit sends a message by BDAT, so that its bytes go as they are, and
// returns its MSGID.
func (s *target) submit(t *testing.T, data []byte) string {
	t.Helper()
	w := dial(t, s.SMTP)
	defer w.Close()
	w.talk(s.acct, "< 220\n> EHLO abuse.test\n< 250 \n> AUTH PLAIN {plain}\n< 235\n"+
		"> MAIL FROM:<a@abuse.test>\n< 250\n> RCPT TO:<b@abuse.test>\n< 250")
	w.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(data), data))
	s.messages++
	return msgid(t, w.until("250"))
}

// msgid is what the reply to a submission names.
func msgid(t *testing.T, reply string) string {
	t.Helper()
	m := regexp.MustCompile(`^250 Accepted \[STATUS=new MSGID=([A-Za-z0-9.-]{1,64})\]$`).FindStringSubmatch(reply)
	if m == nil {
		t.Fatalf("the reply to a message is %q", reply)
	}
	return m[1]
}

// raw is a message as the API returns it.
func (s *target) raw(t *testing.T, id string) []byte {
	t.Helper()
	a := s.ask(t, "GET", "/v1/messages/"+id+"/raw", "Authorization", basic(s.acct))
	if a.StatusCode != 200 {
		t.Fatalf("raw: %d %s", a.StatusCode, a.body)
	}
	return []byte(a.body)
}

func basic(a harness.Account) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.User+":"+a.Pass))
}

// answer is an HTTP answer that was read.
type answer struct {
	*http.Response
	body string
}

// ask sends a request without cookies of its own and follows no redirect;
// headers are name, value pairs, and Host is one of them.
func (s *target) ask(t *testing.T, method, path string, headers ...string) answer {
	t.Helper()
	return request(t, "http://"+s.HTTP, method, path, headers...)
}

func request(t *testing.T, base, method, path string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	c := &http.Client{Timeout: talkWithin, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body strings.Builder
	// An event stream has no end: its first bytes do.
	n := int64(16 << 20)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		n = 1
	}
	if _, err := io.Copy(&body, io.LimitReader(resp.Body, n)); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp, body.String()}
}

// wire is a connection on which a test says whatever it likes.
type wire struct {
	net.Conn
	t   testing.TB
	r   *bufio.Reader
	log bytes.Buffer // what was said, for a failure
}

func dial(t testing.TB, addr string) *wire {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return over(t, nc)
}

// over speaks on a connection that is there, like one of TLS.
func over(t testing.TB, nc net.Conn) *wire {
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(talkWithin))
	return &wire{Conn: nc, t: t, r: bufio.NewReaderSize(nc, 64<<10)}
}

// send writes; a peer that closes early is no failure, what it said is looked at.
func (w *wire) send(text string) {
	fmt.Fprintf(&w.log, "> %.200q\n", text)
	_, _ = io.WriteString(w.Conn, text)
}

// until reads lines up to one that begins with prefix.
func (w *wire) until(prefix string) string {
	w.t.Helper()
	for {
		line, err := w.r.ReadString('\n')
		fmt.Fprintf(&w.log, "< %.200q\n", line)
		if err != nil {
			w.t.Fatalf("waited for %q: %v\n%s", prefix, err, &w.log)
		}
		if strings.HasPrefix(line, prefix) {
			return strings.TrimRight(line, "\r\n")
		}
	}
}

// rest reads until the server has closed the connection.
func (w *wire) rest() string {
	w.t.Helper()
	b, err := io.ReadAll(w.r)
	var timeout net.Error
	if ne, ok := err.(net.Error); ok {
		timeout = ne
	}
	if timeout != nil && timeout.Timeout() {
		w.t.Fatalf("the connection stays open\n%s< %.500q", &w.log, b)
	}
	return string(b)
}

// talk runs a script. "> text" sends a line, ">> text" sends what Go's quoted
// string "text" means, and nothing else; "< text" reads up to a line that
// begins so; "<.", reads to the end of the connection. In what is sent {user},
// {pass} and {plain} are the account's, and {x*100} is 100 times x.
func (w *wire) talk(a harness.Account, script string) {
	w.t.Helper()
	fill := strings.NewReplacer("{user}", a.User, "{pass}", a.Pass, "{plain}", plain(a))
	repeat := regexp.MustCompile(`\{([^{}]+)\*(\d+)\}`)
	for step := range strings.Lines(script) {
		what, text, _ := strings.Cut(strings.Trim(step, "\t\n"), " ")
		switch what {
		case "":
		case "<":
			w.until(text)
		case "<.":
			w.rest()
		case ">", ">>":
			text = repeat.ReplaceAllStringFunc(fill.Replace(text), func(m string) string {
				p := repeat.FindStringSubmatch(m)
				n, _ := strconv.Atoi(p[2])
				return strings.Repeat(p[1], n)
			})
			if what == ">" {
				text += "\r\n"
			} else if q, err := strconv.Unquote(`"` + text + `"`); err == nil {
				text = q
			} else {
				w.t.Fatalf("script: %q: %v", step, err)
			}
			w.send(text)
		default:
			w.t.Fatalf("script: %q", step)
		}
	}
}
