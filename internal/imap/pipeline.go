package imap

import (
	"errors"
	"os"
	"strings"
	"time"
)

// Limit: IMAP commands of one client that wait to be committed together.
const MaxPipelined = 100

// Limit: bytes of IMAP messages that wait to be committed together.
const MaxPipelinedBytes = 1 << 20

// Limit: messages that an IMAP command which waits for others may concern.
const maxPipelinedUIDs = 500

// pipeGrace is how long a command that has begun to arrive is waited for
// before those that wait for it are carried out.
const pipeGrace = 2 * time.Millisecond

// waitingTask is a command that was read and is carried out with those behind it.
type waitingTask struct {
	r    *request
	cmd  *command
	task Task
	// end writes what the client is told before the tagged response.
	end func(*request, *Task) error
}

// pipeline are the commands that wait, in their order. Nothing of theirs was
// written yet, and nothing of a later command is: whoever writes settles first.
type pipeline struct {
	waiting []waitingTask
	bytes   int64
}

// carry carries out a task, at once or with those that the client has sent
// behind it. Numbers of messages have been turned into UIDs by what the client
// was told when it sent them.
func (c *conn) carry(r *request, t Task, end func(*request, *Task) error) error {
	large, more := taskSize(&t), c.in.Buffered() > 0
	if len(c.pipe.waiting) == 0 && (!more || large < 0) {
		return c.single(r, &t, end)
	}
	if large < 0 {
		if err := c.settle(); err != nil {
			return &inputError{err}
		}
		return c.single(r, &t, end)
	}
	r.replied = true
	c.pipe.waiting = append(c.pipe.waiting, waitingTask{r, r.cmd, t, end})
	c.pipe.bytes += large
	if !more || len(c.pipe.waiting) >= MaxPipelined || c.pipe.bytes >= MaxPipelinedBytes {
		return c.settle()
	}
	return nil
}

func (c *conn) single(r *request, t *Task, end func(*request, *Task) error) error {
	one := []Task{*t}
	c.session.Do(r.ctx, one)
	err := end(r, &one[0])
	one[0].Close()
	return err
}

// taskSize is how many bytes of messages a task holds; -1: it does not go with others.
func taskSize(t *Task) (bytes int64) {
	switch {
	case t.Store != nil && t.Store.UIDs.Len() > maxPipelinedUIDs,
		t.Copy != nil && t.Copy.UIDs.Len() > maxPipelinedUIDs:
		return -1
	case t.Append != nil:
		for i := range t.Append.Messages {
			bytes += t.Append.Messages[i].Draft.Size()
		}
		if bytes > MaxPipelinedBytes {
			return -1
		}
	}
	return bytes
}

// settle carries out what waits, and answers each command by itself. What
// others did meanwhile is told with the last; a message that one of these
// commands put into the selected mailbox is told before its own response.
func (c *conn) settle() error {
	ws := c.pipe.waiting
	if len(ws) == 0 {
		return nil
	}
	c.pipe = pipeline{}
	tasks := make([]Task, len(ws))
	for i := range ws {
		tasks[i] = ws[i].task
	}
	last := ws[len(ws)-1].r
	c.session.Do(last.ctx, tasks)
	defer func() {
		for i := range tasks {
			tasks[i].Close()
		}
	}()
	var news *Update
	if c.state == selected {
		if u, err := c.session.Poll(last.ctx, true); err == nil {
			news = &u
		} else {
			c.log.Debug("imap changes could not be read", "err", err)
		}
	}
	for i := range ws {
		w := &ws[i]
		w.r.dec = nil
		err := w.end(w.r, &tasks[i])
		w.r.news = &Update{Partial: true}
		switch {
		case news == nil:
		case w.r == last:
			w.r.news = news
		default:
			w.r.hold = true
			w.r.news = news.Take(c.view.Next(), c.appendedHere(&tasks[i]))
		}
		if err := c.finish(w.r, w.cmd, err); err != nil {
			return err
		}
	}
	return c.enc.Err()
}

// appendedHere is the last UID that a task gave in the selected mailbox, 0 for none.
func (c *conn) appendedHere(t *Task) uint32 {
	switch {
	case t.Err != nil || !c.mayBeSelected(t):
	case t.Append != nil && len(t.Append.Done.UIDs) > 0:
		return t.Append.Done.UIDs[len(t.Append.Done.UIDs)-1]
	case t.Copy != nil && len(t.Copy.Done.Dest) > 0:
		return t.Copy.Done.Dest[len(t.Copy.Done.Dest)-1]
	}
	return 0
}

// mayBeSelected tells whether a task puts messages into the selected mailbox:
// it may say so of another with nearly the same name.
func (c *conn) mayBeSelected(t *Task) bool {
	to := ""
	switch {
	case c.state != selected:
		return false
	case t.Append != nil:
		to = t.Append.To
	case t.Copy != nil:
		to = t.Copy.To
	default:
		return false
	}
	to = strings.TrimSuffix(to, "/")
	return strings.EqualFold(to, strings.TrimSuffix(c.name, "/")) || !ascii(to) && !ascii(c.name)
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// settleFor carries out what waits if a command that names messages could not
// be understood before: it may name those that were put into the mailbox.
func (c *conn) settleFor() error {
	for i := range c.pipe.waiting {
		if c.mayBeSelected(&c.pipe.waiting[i].task) {
			if err := c.settle(); err != nil {
				return &inputError{err}
			}
			return nil
		}
	}
	return nil
}

// readSoon reads what comes at once, for commands wait. If nothing does they
// are carried out and answered.
func (c *conn) readSoon(p []byte) (int, error) {
	c.nc.SetReadDeadline(time.Now().Add(pipeGrace))
	if c.ctx.Err() == nil {
		n, err := c.nc.Read(p)
		if n > 0 || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
	if err := c.settle(); err != nil {
		return 0, err
	}
	return 0, c.beforeRead()
}

// drop forgets what waits, for its client is gone.
func (p *pipeline) drop() {
	for i := range p.waiting {
		p.waiting[i].task.Close()
	}
	p.waiting = nil
}
