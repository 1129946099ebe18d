package imap

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleIdle: RFC 2177, RFC 9051 §6.3.13. While the client waits, a second
// goroutine writes what happens; this one reads until DONE, and waits for it.
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
	if c.state == selected {
		c.sync(r)
	}
	if err := c.enc.Flush(); err != nil || c.done {
		return err
	}
	c.enc.Release()
	c.in.Release()

	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { c.idle(r, stop) })
	c.in.Wait = nil // the other goroutine has the Encoder
	c.wait = waiting{limit: AutoLogout}
	line, err := d.ReadLine()
	close(stop)
	wg.Wait()
	c.in.Wait = c.beforeRead
	c.in.Resume()
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

// lineError makes an over-long line a syntax error: the connection goes on.
func (c *conn) lineError(err error) error {
	if errors.Is(err, imapwire.ErrLineTooLong) {
		return &Error{Bad: true, Text: "line too long"}
	}
	return &inputError{err}
}

// idle writes changes until stop closes.
func (c *conn) idle(r *request, stop <-chan struct{}) {
	var changed <-chan struct{}
	if c.state == selected {
		changed = c.session.Watch()
	}
	alive := time.NewTicker(IdleKeepAlive)
	defer alive.Stop()
	for {
		select {
		case <-stop:
			return
		case <-alive.C:
			c.enc.Raw("* OK still here").CRLF()
		case _, ok := <-changed:
			if !ok {
				changed = nil
				continue
			}
			c.sync(r)
		}
		if c.enc.Flush() != nil || c.done {
			c.woken.Store(true)
			c.interrupt() // the reader has nobody to read for any more
			return
		}
		c.enc.Release()
	}
}
