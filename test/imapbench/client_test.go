package imapbench_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Limit: how long one command of a benchmark may take.
const commandTime = 5 * time.Minute

// client is a connection that costs as little as it can: it counts responses
// and passes over literals.
type client struct {
	nc net.Conn
	r  *bufio.Reader
	n  int
}

func dial(addr string) (*client, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc, r: bufio.NewReaderSize(nc, 256<<10)}
	_, err = c.line()
	return c, err
}

// login opens a logged-in connection.
func (s *server) login() (*client, error) {
	c, err := dial(s.addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.run(s.cmd); err != nil {
		c.nc.Close()
		return nil, err
	}
	return c, nil
}

// line reads a line, without what literals it has behind it.
func (c *client) line() ([]byte, error) {
	l, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return l, nil // the rest of a long line comes as a line of its own
	}
	return l, err
}

// run sends a command and reads to its end; n is how many untagged responses came.
func (c *client) run(cmd string) (n int, err error) {
	c.n++
	tag := "b" + strconv.Itoa(c.n) + " "
	_ = c.nc.SetDeadline(time.Now().Add(commandTime))
	if _, err := io.WriteString(c.nc, tag+cmd+"\r\n"); err != nil {
		return 0, err
	}
	return c.until(tag)
}

// until reads responses up to a tagged one.
func (c *client) until(tag string) (n int, err error) {
	start := true // of a response
	for {
		l, err := c.line()
		if err != nil {
			return n, err
		}
		if start && bytes.HasPrefix(l, []byte(tag)) {
			if !bytes.HasPrefix(l[len(tag):], []byte("OK")) {
				return n, fmt.Errorf("%s", bytes.TrimSpace(l))
			}
			return n, nil
		}
		if start && l[0] == '*' {
			n++
		}
		if start && l[0] == '+' {
			return n, nil
		}
		start = true
		if m := literal(l); m >= 0 {
			if _, err := c.r.Discard(m); err != nil {
				return n, err
			}
			start = false
		}
	}
}

// literal is how long the literal behind a line is, -1 for none.
func literal(l []byte) int {
	l = bytes.TrimRight(l, "\r\n")
	i := bytes.LastIndexByte(l, '{')
	if i < 0 || l[len(l)-1] != '}' {
		return -1
	}
	n, err := strconv.Atoi(string(l[i+1 : len(l)-1]))
	if err != nil {
		return -1
	}
	return n
}
