package pop3

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// number reads a message number; if it names no message the reply is given.
func (c *conn) number(arg string) (i int, ok bool) {
	n, err := strconv.ParseUint(arg, 10, 31)
	if err != nil || arg[0] == '+' {
		c.wrong("A message number is wanted")
		return 0, false
	}
	i = int(n) - 1
	if i < 0 || i >= len(c.sizes) || c.gone[i] {
		c.err("", "No such message")
		return 0, false
	}
	return i, true
}

// none refuses parameters.
func (c *conn) none(arg string) bool {
	if arg != "" {
		c.wrong("No parameters allowed")
	}
	return arg == ""
}

// RFC 1939 §5.
func (c *conn) stat(arg string) {
	if c.none(arg) {
		c.ok(strconv.Itoa(len(c.sizes)-len(c.gone)) + " " + strconv.FormatInt(c.bytes, 10))
	}
}

// RFC 1939 §5.
func (c *conn) list(arg string) {
	c.table(arg, func(b []byte, i int) []byte { return strconv.AppendInt(b, c.sizes[i], 10) })
}

// RFC 1939 §7.
func (c *conn) uidl(arg string) {
	c.table(arg, func(b []byte, i int) []byte { return append(b, c.session.UID(i)...) })
}

// table sends one line for a message, or for each, as it is made: the list of
// a full mailbox needs no more memory than that of an empty one.
func (c *conn) table(arg string, value func([]byte, int) []byte) {
	var buf [96]byte
	line := func(prefix string, i int) []byte {
		b := strconv.AppendInt(append(buf[:0], prefix...), int64(i)+1, 10)
		return append(value(append(b, ' '), i), "\r\n"...)
	}
	if arg != "" {
		if i, ok := c.number(arg); ok {
			c.w.Write(line("+OK ", i))
		}
		return
	}
	c.ok(strconv.Itoa(len(c.sizes)-len(c.gone)) + " messages")
	for i := range c.sizes {
		if !c.gone[i] {
			if _, err := c.w.Write(line("", i)); err != nil {
				c.closing = true
				return
			}
		}
	}
	c.w.WriteString(".\r\n")
}

// RFC 1939 §5.
func (c *conn) retr(arg string) {
	if i, ok := c.number(arg); ok && c.send(i, -1) {
		c.taken[i] = true
		c.record.Retrieved++
	}
}

// RFC 1939 §7.
func (c *conn) top(arg string) {
	num, lines, _ := strings.Cut(arg, " ")
	n, err := strconv.ParseUint(strings.TrimLeft(lines, " "), 10, 31)
	if err != nil {
		c.wrong("A number of lines is wanted")
		return
	}
	if i, ok := c.number(num); ok {
		c.send(i, int(n))
	}
}

// send sends a message, or its header and some lines; it tells whether all of
// it went out. After the first byte nothing but closing can say that the rest
// cannot be had.
func (c *conn) send(i, lines int) bool {
	r, err := c.session.Open(c.work(), i)
	if err != nil {
		c.fail(err)
		return false
	}
	defer r.Close()
	c.ok(strconv.FormatInt(c.sizes[i], 10) + " octets")
	t := stuffer{w: c.w, top: lines, header: true}
	if err := t.copy(r, c.sizes[i]); err != nil {
		if !errors.Is(err, errWrite) {
			c.s.o.Log.Warn("a message broke off while it was sent", "err", err)
		}
		c.w.Flush()
		c.closing = true
		return false
	}
	return true
}

// RFC 1939 §5. It deletes nothing yet.
func (c *conn) dele(arg string) {
	if i, ok := c.number(arg); ok {
		c.gone[i] = true
		c.bytes -= c.sizes[i]
		c.ok("Marked")
	}
}

// RFC 1939 §5.
func (c *conn) rset(arg string) {
	if c.none(arg) {
		clear(c.gone)
		c.count()
		c.ok("Unmarked")
	}
}

// RFC 1939 §6: the only way into the UPDATE state.
func (c *conn) quit(arg string) {
	if !c.none(arg) {
		return
	}
	c.closing = true
	if c.in && len(c.gone)+len(c.taken) > 0 {
		maps.DeleteFunc(c.taken, func(i int, _ bool) bool { return c.gone[i] })
		taken, gone := slices.Sorted(maps.Keys(c.taken)), slices.Sorted(maps.Keys(c.gone))
		if err := c.session.Update(c.work(), taken, gone); err != nil {
			c.fail(err)
			return
		}
		c.record.Deleted = len(gone)
	}
	c.ok("Bye")
}
