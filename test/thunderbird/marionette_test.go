package thunderbird_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Limit: how long Thunderbird may take over one command.
const commandTime = 3 * time.Minute

// Limit: bytes of one answer; a screenshot is the largest.
const maxAnswer = 64 << 20

// marionette is the protocol by which Mozilla's programs are driven: each
// message is its length, a colon, and JSON.
type marionette struct {
	c  net.Conn
	r  *bufio.Reader
	id int
}

func dialMarionette(port int) (*marionette, error) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), time.Second)
	if err != nil {
		return nil, err
	}
	m := &marionette{c: c, r: bufio.NewReader(c)}
	_ = c.SetDeadline(time.Now().Add(commandTime))
	if _, err := m.read(); err != nil { // its greeting
		c.Close()
		return nil, err
	}
	if err := m.do("WebDriver:NewSession", map[string]any{}, nil); err != nil {
		c.Close()
		return nil, err
	}
	return m, m.do("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
}

func (m *marionette) read() ([]byte, error) {
	head, err := m.r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(head[:len(head)-1])
	if err != nil || n > maxAnswer {
		return nil, fmt.Errorf("an answer of %q bytes", head)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(m.r, b)
	return b, err
}

// do sends a command and reads its answer into out.
func (m *marionette) do(name string, params any, out any) error {
	m.id++
	b, err := json.Marshal([]any{0, m.id, name, params})
	if err != nil {
		return err
	}
	_ = m.c.SetDeadline(time.Now().Add(commandTime))
	if _, err := fmt.Fprintf(m.c, "%d:%s", len(b), b); err != nil {
		return err
	}
	if b, err = m.read(); err != nil {
		return err
	}
	var answer []json.RawMessage
	if err := json.Unmarshal(b, &answer); err != nil || len(answer) != 4 {
		return fmt.Errorf("%s: %.200s", name, b)
	}
	if string(answer[2]) != "null" {
		return fmt.Errorf("%s: %.2000s", name, answer[2])
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer[3], out)
}

// script runs JavaScript with the rights of the program; what it returns is
// waited for, and read into out.
func (m *marionette) script(out any, js string, args ...any) error {
	var answer struct{ Value json.RawMessage }
	err := m.do("WebDriver:ExecuteScript", map[string]any{"script": js, "args": append([]any{}, args...),
		"newSandbox": false, "sandbox": "system"}, &answer)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer.Value, out)
}

// screenshot is the window as PNG.
func (m *marionette) screenshot() ([]byte, error) {
	var answer struct{ Value string }
	if err := m.do("WebDriver:TakeScreenshot", map[string]any{"full": true}, &answer); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(answer.Value)
}
