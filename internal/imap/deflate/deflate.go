// Package deflate compresses what a server sends (RFC 4978). A compressor has
// some hundred KiB, so a Writer has one only while there is something to send:
// what the next one writes stands on its own, which is a valid stream too.
package deflate

import (
	"compress/flate"
	"io"
	"sync"
)

// Pool has the compressors of all connections.
type Pool struct{ free sync.Pool }

// Writer compresses to a connection.
type Writer struct {
	pool *Pool
	w    io.Writer
	z    *flate.Writer
}

// Writer returns one that compresses to w.
func (p *Pool) Writer(w io.Writer) *Writer { return &Writer{pool: p, w: w} }

// Write compresses b and sends all of it.
func (p *Writer) Write(b []byte) (int, error) {
	if p.z == nil {
		if z, ok := p.pool.free.Get().(*flate.Writer); ok {
			p.z = z
			p.z.Reset(p.w)
		} else {
			z, err := flate.NewWriter(p.w, flate.BestSpeed)
			if err != nil {
				return 0, err
			}
			p.z = z
		}
	}
	n, err := p.z.Write(b)
	if err == nil {
		err = p.z.Flush()
	}
	return n, err
}

// Release gives the compressor back before the connection waits. It may be
// called on nil.
func (p *Writer) Release() {
	if p != nil && p.z != nil {
		p.z.Reset(io.Discard)
		p.pool.free.Put(p.z)
		p.z = nil
	}
}
