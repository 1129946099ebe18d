// Package bench measures this server beside its peers: the same mail, in the
// same order, over the same number of connections, in the same run.
package bench

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/test/corpus"
)

// Connections is how many clients send at once.
const Connections = 20

// Limit: how long one delivery may take before the run is called broken.
const deliveryWithin = 2 * time.Minute

// Login is how a connection makes itself known; zero for none.
type Login struct{ User, Pass string }

// Target is a server to send to.
type Target struct {
	Addr  string
	LMTP  bool
	Login func(conn int) Login
	Rcpt  func(conn int) string
}

// Result is one run.
type Result struct {
	Messages int
	Bytes    int64
	Took     time.Duration
}

// Rate is messages and megabytes (10^6) a second.
func (r Result) Rate() (msgs, mb float64) {
	s := r.Took.Seconds()
	return float64(r.Messages) / s, float64(r.Bytes) / 1e6 / s
}

// Stuff prepares mail as it goes over the wire after DATA: CRLF line ends,
// dots stuffed, and the final dot.
func Stuff(msgs []corpus.Message) [][]byte {
	out := make([][]byte, len(msgs))
	for i, m := range msgs {
		b := bytes.ReplaceAll(corpus.CRLF(m.Data), []byte("\r\n."), []byte("\r\n.."))
		if b[0] == '.' {
			b = append([]byte("."), b...)
		}
		out[i] = append(b, ".\r\n"...)
	}
	return out
}

// Run sends every message once over Connections connections.
func Run(t Target, mail [][]byte) (Result, error) {
	var next atomic.Int64
	var total atomic.Int64
	errs := make(chan error, Connections)
	conns := make([]*conn, Connections)
	for i := range conns {
		c, err := dial(t, i)
		if err != nil {
			return Result{}, err
		}
		defer c.Close()
		conns[i] = c
	}
	var wg sync.WaitGroup
	start := time.Now()
	for i, c := range conns {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(mail) {
					return
				}
				if err := c.send(t.Rcpt(i), mail[n]); err != nil {
					errs <- fmt.Errorf("message %d: %w", n, err)
					return
				}
				total.Add(int64(len(mail[n]) - 3))
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return Result{}, err
	default:
		return Result{len(mail), total.Load(), took}, nil
	}
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial(t Target, i int) (*conn, error) {
	nc, err := net.DialTimeout("tcp", t.Addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &conn{nc, bufio.NewReader(nc)}
	if err := c.expect("220"); err != nil {
		return nil, err
	}
	hello := "EHLO bench.test"
	if t.LMTP {
		hello = "LHLO bench.test"
	}
	if err := c.cmd("250", hello); err != nil {
		return nil, err
	}
	if t.Login == nil {
		return c, nil
	}
	l := t.Login(i)
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + l.User + "\x00" + l.Pass))
	return c, c.cmd("235", "AUTH PLAIN "+plain)
}

// send makes one transaction, with the envelope pipelined as real senders do.
func (c *conn) send(rcpt string, data []byte) error {
	_ = c.SetDeadline(time.Now().Add(deliveryWithin))
	if _, err := fmt.Fprintf(c, "MAIL FROM:<bench@bench.test>\r\nRCPT TO:<%s>\r\nDATA\r\n", rcpt); err != nil {
		return err
	}
	for _, code := range []string{"250", "250", "354"} {
		if err := c.expect(code); err != nil {
			return err
		}
	}
	if _, err := c.Write(data); err != nil {
		return err
	}
	return c.expect("250")
}

func (c *conn) cmd(code, line string) error {
	if _, err := c.Write([]byte(line + "\r\n")); err != nil {
		return err
	}
	return c.expect(code)
}

func (c *conn) expect(code string) error {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || line[:3] != code {
			return fmt.Errorf("got %q, want %s", line, code)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}
