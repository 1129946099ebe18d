package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct {
	w        io.Writer // nil: none
	verb     string
	messages int64
	bytes    int64
	of       int64        // messages there are; 0: not known
	size     int64        // bytes there are to read; 0: not known
	read     func() int64 // bytes that were read
	start    time.Time
	last     time.Time
}

// barEvery is how often the bar is drawn.
const barEvery = 200 * time.Millisecond

func (p *process) bar(verb string) *bar {
	b := &bar{verb: verb, start: time.Now()}
	if isTerminal(p.stderr) {
		b.w = p.stderr
	}
	return b
}

// add counts a message.
func (b *bar) add(size int64) {
	b.messages++
	b.bytes += size
	if now := time.Now(); b.w != nil && now.Sub(b.last) >= barEvery {
		b.last = now
		fmt.Fprintf(b.w, "\r%s\x1b[K", b.text(now))
	}
}

// part is how much is done, 0 to 1, or less than 0 if that is not known.
func (b *bar) part() float64 {
	switch {
	case b.of > 0:
		return min(float64(b.messages)/float64(b.of), 1)
	case b.size > 0 && b.read != nil:
		return min(float64(b.read())/float64(b.size), 1)
	}
	return -1
}

func (b *bar) text(now time.Time) string {
	rate := float64(b.messages) / max(now.Sub(b.start).Seconds(), 0.001)
	text := fmt.Sprintf("%d messages %s, %s, %.0f/s", b.messages, b.verb, size(b.bytes), rate)
	const width = 24
	if part := b.part(); part >= 0 {
		n := int(part * width)
		text = fmt.Sprintf("[%s%s] %3.0f%% %s", strings.Repeat("#", n), strings.Repeat(".", width-n), part*100, text)
	}
	return text
}

// end clears the bar away.
func (b *bar) end() {
	if b.w != nil && !b.last.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	for _, u := range []struct {
		name string
		n    int64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= u.n {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.n), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
