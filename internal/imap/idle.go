package imap

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleIdle: RFC 2177, RFC 9051 §6.3.13.
func (c *conn) handleIdle(r *request) error {
	d := r.dec
	if !d.ExpectCRLF() {
		return nil
	}
	if err := d.Finish(); err != nil {
		return err
	}
	c.enc.Raw("+ idling").CRLF()
	r.force = true
	r.idle = true
	if c.state == selected {
		c.sync(r)
	}
	var line string
	c.wait = waiting{limit: AutoLogout}
	err := c.whileWaiting(r, func() (err error) {
		line, err = d.ReadLine()
		return err
	})
	switch {
	case c.done || c.enc.Err() != nil:
		return c.enc.Err()
	case err != nil:
		return c.lineError(err)
	case !strings.EqualFold(strings.TrimSpace(line), "DONE"):
		return &Error{Bad: true, Text: "expected DONE"}
	}
	r.text = "IDLE completed"
	return nil
}

// idler is a connection that waits for its client and tells it meanwhile what
// happens. It is the connection's own goroutine that does both: a hint ends its
// read by the deadline, and when all is told it reads on.
type idler struct {
	r     *request
	alive time.Time // when the client is told that we are there
}

// hints say what may have changed and was not told.
type hints struct{ chosen, others atomic.Bool }

// whileWaiting reads from the client and writes what happens meanwhile. The
// connection's buffers are given back before.
func (c *conn) whileWaiting(r *request, read func() error) error {
	if err := c.enc.Flush(); err != nil || c.done {
		return err
	}
	c.enc.Empty()
	c.packer.Release()
	c.in.Release()
	c.setIdler(&idler{r: r, alive: time.Now().Add(IdleKeepAlive)})
	if c.state == selected && (r.idle || c.notify.selected() != nil) {
		c.session.Watch(func() { c.wake(&c.hints.chosen) })
		defer c.session.Watch(nil)
	}
	c.in.Wait = nil // nothing is held back
	err := read()
	c.setIdler(nil)
	c.in.Wait = c.beforeRead
	c.in.Resume()
	return err
}

func (c *conn) setIdler(i *idler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idler = i
}

// wake takes a hint, and ends the read of an idler.
func (c *conn) wake(hint *atomic.Bool) {
	hint.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idler != nil {
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// errTold ends the read of an idler that has said goodbye, or cannot write.
var errTold = errors.New("imap: nobody is left to read for")

// readIdling reads until a time, and tells what happens.
func (c *conn) readIdling(p []byte, end time.Time) (int, error) {
	i := c.idler
	for {
		if err := c.tellNews(i); err != nil {
			return 0, err
		}
		until := end
		if i.r.idle && i.alive.Before(end) {
			until = i.alive
		}
		c.nc.SetReadDeadline(until)
		if c.hints.chosen.Load() || c.hints.others.Load() { // it came before the deadline was set
			continue
		}
		n, err := c.read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(end) {
			return n, err
		}
	}
}

// tellNews writes what has happened.
func (c *conn) tellNews(i *idler) error {
	if c.hints.chosen.Swap(false) {
		c.sync(i.r)
	}
	if c.hints.others.Swap(false) && c.notify != nil && !c.done {
		c.tellOthers(i.r)
	}
	if i.r.idle && !time.Now().Before(i.alive) {
		i.alive = time.Now().Add(IdleKeepAlive)
		c.enc.Raw("* OK still here").CRLF()
	}
	if c.enc.Flush() != nil || c.done {
		return errTold
	}
	c.enc.Empty()
	c.packer.Release()
	return nil
}

// lineError makes an over-long line a syntax error: the connection goes on.
func (c *conn) lineError(err error) error {
	if errors.Is(err, imapwire.ErrLineTooLong) {
		return &Error{Bad: true, Text: "line too long"}
	}
	return &inputError{err}
}
