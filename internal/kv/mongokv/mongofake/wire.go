package mongofake

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The operations of the wire protocol that a driver of today sends: the first
// hello may come as a query.
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013
)

// maxMessage is the largest message that is read.
const maxMessage = 48_000_000

// moreToCome marks a message that wants no answer.
const moreToCome = 2

// listen opens the port: the same one after a restart.
func (m *member) listen() error {
	addr := m.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if m.addr == "" {
		m.addr = ln.Addr().String()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ln = ln
	return nil
}

// start serves whoever connects until the listener is closed.
func (m *member) start(ln net.Listener) {
	m.set.conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			if m.ln != ln {
				c.Close()
			} else {
				m.conns[c] = struct{}{}
				m.set.conns.Go(func() { m.serve(c) })
			}
			m.mu.Unlock()
		}
	})
}

// kill closes the listener and cuts all connections.
func (m *member) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ln != nil {
		m.ln.Close()
	}
	m.ln = nil
	for c := range m.conns {
		c.Close()
	}
}

func (m *member) freeze() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.thawed = make(chan struct{})
}

func (m *member) thaw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.thawed:
	default:
		close(m.thawed)
	}
}

// wait is where a frozen member stands still.
func (m *member) wait() {
	m.mu.Lock()
	ch := m.thawed
	m.mu.Unlock()
	<-ch
}

func (m *member) serve(c net.Conn) {
	defer func() {
		c.Close()
		m.mu.Lock()
		delete(m.conns, c)
		m.mu.Unlock()
	}()
	for {
		head, body, err := readMessage(c)
		if err != nil {
			return
		}
		m.wait()
		reply, more, drop := m.answer(head, body)
		m.wait()
		if drop {
			return
		}
		if more {
			continue
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

// header is that of every message.
type header struct{ Length, Request, Response, Op int32 }

func readMessage(r io.Reader) (header, []byte, error) {
	var h header
	if err := binary.Read(r, binary.LittleEndian, &h); err != nil {
		return h, nil, err
	}
	if h.Length < 16 || h.Length > maxMessage {
		return h, nil, fmt.Errorf("message of %d bytes", h.Length)
	}
	body := make([]byte, h.Length-16)
	_, err := io.ReadFull(r, body)
	return h, body, err
}

// answer runs one message and makes its reply.
func (m *member) answer(h header, body []byte) (reply []byte, more, drop bool) {
	cmd, flags, err := parse(h.Op, body)
	if err != nil {
		return nil, false, true
	}
	out, drop := m.run(cmd)
	doc, err := bson.Marshal(out)
	if err != nil || drop {
		return nil, false, true
	}
	var b bytes.Buffer
	if h.Op == opQuery {
		le(&b, header{int32(16 + 20 + len(doc)), 0, h.Request, opReply}, int32(8), int64(0), int32(0), int32(1))
	} else {
		le(&b, header{int32(16 + 5 + len(doc)), 0, h.Request, opMsg}, uint32(0), uint8(0))
	}
	b.Write(doc)
	return b.Bytes(), flags&moreToCome != 0, false
}

func le(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		_ = binary.Write(b, binary.LittleEndian, v)
	}
}

var errShort = errors.New("message ends early")

// parse takes a command out of a message, with its document sequences as arrays.
func parse(op int32, b []byte) (cmd bson.D, flags uint32, err error) {
	switch op {
	case opQuery:
		end := bytes.IndexByte(b[min(4, len(b)):], 0)
		if end < 0 || len(b) < 4+end+1+8 {
			return nil, 0, errShort
		}
		err = bson.Unmarshal(b[4+end+1+8:], &cmd)
		return cmd, 0, err
	case opMsg:
		if len(b) < 5 {
			return nil, 0, errShort
		}
		flags = binary.LittleEndian.Uint32(b)
		b = b[4:]
		for len(b) > 4 && err == nil {
			cmd, b, err = section(cmd, b)
		}
		return cmd, flags, err
	}
	return nil, 0, fmt.Errorf("operation %d", op)
}

// section reads one section: the command itself, or a sequence of documents.
func section(cmd bson.D, b []byte) (bson.D, []byte, error) {
	kind, b := b[0], b[1:]
	n := int(binary.LittleEndian.Uint32(b))
	if n < 5 || n > len(b) {
		return nil, nil, errShort
	}
	in, rest := b[:n], b[n:]
	if kind == 0 {
		var body bson.D
		err := bson.Unmarshal(in, &body)
		return append(body, cmd...), rest, err
	}
	in = in[4:]
	end := bytes.IndexByte(in, 0)
	if end < 0 {
		return nil, nil, errShort
	}
	name, in := string(in[:end]), in[end+1:]
	var docs bson.A
	for len(in) >= 4 {
		n := int(binary.LittleEndian.Uint32(in))
		if n < 5 || n > len(in) {
			return nil, nil, errShort
		}
		var d bson.D
		if err := bson.Unmarshal(in[:n], &d); err != nil {
			return nil, nil, err
		}
		docs, in = append(docs, d), in[n:]
	}
	return append(cmd, bson.E{Key: name, Value: docs}), rest, nil
}
