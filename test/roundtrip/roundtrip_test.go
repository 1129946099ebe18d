// Package roundtrip_test sends all mail of the corpus by SMTP, twice (with
// CRLF by DATA, unchanged by BDAT), and fetches each by IMAP, POP3, the web
// and the API: every byte must come back.
package roundtrip_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/eidermail/eider/test/corpus"
	"github.com/eidermail/eider/test/harness"
)

// prepended is what submission puts before a message.
const prepended = "Return-Path: <corpus@example.test>\r\n"

// letter is one message as it was sent, and what the server said of it.
type letter struct {
	name  string
	sum   [32]byte
	size  int
	crlf  bool // ends with CRLF, or is empty behind a header line of ours
	msgid string
}

type line struct {
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *line {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Minute))
	return &line{c, bufio.NewReaderSize(c, 64<<10)}
}

// say writes what and reads replies until one begins with want and is complete.
func (l *line) say(t *testing.T, want, what string) string {
	t.Helper()
	if what != "" {
		if _, err := io.WriteString(l, what); err != nil {
			t.Fatal(err)
		}
	}
	for {
		s, err := l.r.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %.60q", err, what)
		}
		if !strings.HasPrefix(s, want) {
			t.Fatalf("got %q after %.60q, want %s", s, what, want)
		}
		if len(s) < 4 || s[3] != '-' || want[0] == '+' {
			return strings.TrimRight(s, "\r\n")
		}
	}
}

// TestCorpus sends all of the corpus, and fetches it by each protocol; with
// EIDER_SOAK=1 in all that mail goes through in a store.
func TestCorpus(t *testing.T) {
	msgs := append(corpus.Everyday(t), corpus.Torture(t)...)
	s := harness.Start(t, roomy()...)
	a := s.NewAccount(t)
	sent := submit(t, s, a, msgs)
	t.Logf("%d messages sent, each by DATA and by BDAT", len(msgs))
	if os.Getenv("EIDER_SOAK") != "" {
		lives(t, s, a, sent)
		return
	}
	byIMAP(t, s, a, sent)
	byPOP3(t, s, a, sent)
	byWeb(t, s, sent)
	byAPI(t, s, a, sent)
	s.Fsck(t)
}

func submit(t *testing.T, s *harness.Server, a harness.Account, msgs []corpus.Message) []letter {
	c := dial(t, s.SMTP)
	c.say(t, "220", "")
	c.say(t, "250", "EHLO corpus.test\r\n")
	c.say(t, "235", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+a.User+"\x00"+a.Pass))+"\r\n")
	var sent []letter
	for _, m := range msgs {
		data := corpus.CRLF(m.Data)
		c.say(t, "250", "MAIL FROM:<corpus@example.test>\r\n")
		c.say(t, "250", "RCPT TO:<x@example.test>\r\n")
		c.say(t, "354", "DATA\r\n")
		wire := bytes.ReplaceAll(data, []byte("\r\n."), []byte("\r\n.."))
		if wire[0] == '.' {
			wire = append([]byte("."), wire...)
		}
		reply := c.say(t, "250 Accepted [STATUS=new MSGID=", string(wire)+".\r\n")
		sent = append(sent, note(m.Name+" by DATA", data, reply))

		c.say(t, "250", "MAIL FROM:<corpus@example.test>\r\n")
		c.say(t, "250", "RCPT TO:<x@example.test>\r\n")
		half := len(m.Data) / 2
		c.say(t, "250", fmt.Sprintf("BDAT %d\r\n%s", half, m.Data[:half]))
		reply = c.say(t, "250 Accepted [STATUS=new MSGID=",
			fmt.Sprintf("BDAT %d LAST\r\n%s", len(m.Data)-half, m.Data[half:]))
		sent = append(sent, note(m.Name+" by BDAT", m.Data, reply))
	}
	return sent
}

func note(name string, data []byte, reply string) letter {
	id := strings.TrimSuffix(strings.TrimPrefix(reply, "250 Accepted [STATUS=new MSGID="), "]")
	whole := len(data) == 0 || bytes.HasSuffix(data, []byte("\r\n"))
	return letter{name, sha256.Sum256(data), len(data), whole, id}
}

// check compares what came back with what was sent.
func check(t *testing.T, way string, l letter, got []byte) {
	t.Helper()
	body, ok := bytes.CutPrefix(got, []byte(prepended))
	if !ok {
		t.Errorf("%s: %s does not begin with %q", way, l.name, prepended)
	}
	if sha256.Sum256(body) != l.sum {
		t.Errorf("%s: %s came back changed: %d bytes, sent %d", way, l.name, len(body), l.size)
	}
}

func byIMAP(t *testing.T, s *harness.Server, a harness.Account, sent []letter) {
	c, err := imapclient.DialInsecure(s.IMAP, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(a.User, a.Pass).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	cmd := c.Fetch(imap.SeqSet{imap.SeqRange{Start: 1, Stop: 0}},
		&imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}})
	defer cmd.Close()
	n := 0
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		buf, err := msg.Collect()
		if err != nil {
			t.Fatal(err)
		}
		if int(msg.SeqNum) > len(sent) {
			t.Fatalf("IMAP: message %d of %d", msg.SeqNum, len(sent))
		}
		check(t, "IMAP", sent[msg.SeqNum-1], buf.FindBodySection(section))
		n++
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	if n != len(sent) {
		t.Errorf("IMAP: %d messages, sent %d", n, len(sent))
	}
}

func byPOP3(t *testing.T, s *harness.Server, a harness.Account, sent []letter) {
	c := dial(t, s.POP3)
	c.say(t, "+OK", "")
	c.say(t, "+OK", "USER "+a.User+"\r\n")
	c.say(t, "+OK", "PASS "+a.Pass+"\r\n")
	want := fmt.Sprintf("+OK %d ", len(sent))
	c.say(t, want, "STAT\r\n")
	for i, l := range sent {
		c.say(t, "+OK", fmt.Sprintf("RETR %d\r\n", i+1))
		got, err := multiline(c.r)
		if err != nil {
			t.Fatal(err)
		}
		if !l.crlf {
			got = bytes.TrimSuffix(got, []byte("\r\n"))
		}
		check(t, "POP3", l, got)
	}
	c.say(t, "+OK", "QUIT\r\n")
}

// multiline reads a multi-line response (RFC 1939 §3): up to "." CRLF on a line
// of its own, a dot at the start of a line taken off. LF ends a line as CRLF does.
func multiline(r *bufio.Reader) ([]byte, error) {
	var out []byte
	start := true // the last line ended
	for {
		part, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return nil, err
		}
		if start && string(part) == ".\r\n" {
			return out, nil
		}
		if start && part[0] == '.' {
			part = part[1:]
		}
		out = append(out, part...)
		start = bytes.HasSuffix(part, []byte("\n"))
	}
}

func fetch(t *testing.T, url, token string) []byte {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %d %v %.300s", url, resp.StatusCode, err, b)
	}
	return b
}

func byWeb(t *testing.T, s *harness.Server, sent []letter) {
	for _, l := range sent {
		base := "http://" + s.HTTP + "/message/" + l.msgid
		check(t, "web .eml", l, fetch(t, base+"/message.eml", ""))
	}
	for i := 0; i < len(sent); i += 2 { // the page of each message opens
		fetch(t, "http://"+s.HTTP+"/message/"+sent[i].msgid, "")
	}
}

func byAPI(t *testing.T, s *harness.Server, a harness.Account, sent []letter) {
	base := "http://" + s.HTTP
	ids := map[uint32]string{}
	for next := ""; ; {
		url := base + "/v1/messages?limit=250"
		if next != "" {
			url += "&before=" + next
		}
		var page struct {
			Messages []struct {
				ID  string
				UID uint32
			}
			Next string
		}
		if err := json.Unmarshal(fetch(t, url, a.Token), &page); err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			ids[m.UID] = m.ID
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if len(ids) != len(sent) {
		t.Fatalf("API lists %d messages, sent %d", len(ids), len(sent))
	}
	uids := slices.Sorted(maps.Keys(ids))
	for i, l := range sent {
		id := ids[uids[i]]
		check(t, "API raw", l, fetch(t, base+"/v1/messages/"+id+"/raw", a.Token))
		if i%2 == 0 {
			fetch(t, base+"/v1/messages/"+id, a.Token) // parsed
		}
	}
}
