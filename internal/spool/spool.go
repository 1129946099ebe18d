// Package spool holds a message while it is received: a little in memory, the
// rest in an unlinked temporary file, so that memory per connection does not
// grow with the size of messages.
package spool

import "io"

// Options configure a Pool.
type Options struct {
	Dir       string // for temporary files; os.TempDir if empty
	MemBytes  int    // kept in memory per message before a file is used; default 256 KiB
	PoolBytes int64  // all messages' memory together; beyond it files are used at once; default 32 MiB
}

// Pool makes Messages and bounds their memory together.
type Pool struct{}

// New returns a Pool.
func New(o Options) *Pool { panic("stub") }

// Message returns an empty message. Close it.
func (p *Pool) Message() *Message { panic("stub") }

// Message is written once, then read any number of times.
type Message struct{}

// Write appends; after an error nothing more can be written.
func (m *Message) Write(b []byte) (int, error) { panic("stub") }

// Size is the number of bytes written.
func (m *Message) Size() int64 { panic("stub") }

// ReadAt reads what was written; it may be called from several goroutines.
func (m *Message) ReadAt(b []byte, off int64) (int, error) { panic("stub") }

// Bytes returns the whole message if it is held in memory, else nil.
func (m *Message) Bytes() []byte { panic("stub") }

// Reader returns a reader of the whole message.
func (m *Message) Reader() io.Reader { panic("stub") }

// Close frees memory and file.
func (m *Message) Close() error { panic("stub") }
