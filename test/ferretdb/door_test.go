package ferretdb_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// door stands before FerretDB and pretends what FerretDB has not: that it is a
// replica set, and that a transaction is committed. What a statement asks for
// is passed on as the driver sent it, without the mark of its transaction.
type door struct {
	addr, behind string
	l            net.Listener

	mu   sync.Mutex
	seen map[string]int // commands that FerretDB answered
}

// Operations of the wire protocol.
const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013
)

// maxMessage is the largest message that is passed on.
const maxMessage = 48_000_000

func openDoor(t testing.TB, behind string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{addr: l.Addr().String(), behind: behind, l: l, seen: map[string]int{}}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				if err := d.serve(c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
					t.Logf("door: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return d
}

// message is one of the wire protocol.
type message struct {
	id, to, op int32
	body       []byte
}

func read(r io.Reader) (m message, err error) {
	var head [16]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return m, err
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if n < 16 || n > maxMessage {
		return m, errors.New("a message of odd size")
	}
	m.id = int32(binary.LittleEndian.Uint32(head[4:]))
	m.to = int32(binary.LittleEndian.Uint32(head[8:]))
	m.op = int32(binary.LittleEndian.Uint32(head[12:]))
	m.body = make([]byte, n-16)
	_, err = io.ReadFull(r, m.body)
	return m, err
}

func (m message) write(w io.Writer) error {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(m.body)+16))
	for _, n := range []int32{m.id, m.to, m.op} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	_, err := w.Write(append(b, m.body...))
	return err
}

// serve is one connection of the driver, with one of its own to FerretDB.
func (d *door) serve(c net.Conn) error {
	defer c.Close()
	back, err := net.DialTimeout("tcp", d.behind, 5*time.Second)
	if err != nil {
		return err
	}
	defer back.Close()
	for {
		m, err := read(c)
		if err != nil {
			return err
		}
		answer, err := d.answer(m, back)
		if err == nil {
			err = answer.write(c)
		}
		if err != nil {
			return err
		}
	}
}

func (d *door) answer(m message, back net.Conn) (message, error) {
	if m.op == opQuery { // the first word of a driver
		doc, err := bson.Marshal(d.hello())
		b := make([]byte, 20)
		b[0], b[16] = 8, 1
		return message{to: m.id, op: opReply, body: append(b, doc...)}, err
	}
	if m.op != opMsg || len(m.body) < 10 || m.body[4] != 0 {
		return message{}, errors.New("a message that no driver sends")
	}
	n := int(binary.LittleEndian.Uint32(m.body[5:]))
	if n < 5 || n > len(m.body)-5 {
		return message{}, errors.New("a message that ends early")
	}
	var cmd bson.D
	if err := bson.Unmarshal(m.body[5:5+n], &cmd); err != nil {
		return message{}, err
	}
	switch name := cmd[0].Key; name {
	case "hello", "isMaster", "ismaster":
		return reply(m, d.hello())
	case "commitTransaction", "abortTransaction", "endSessions":
		return reply(m, bson.D{{Key: "ok", Value: 1.0}})
	default:
		d.mu.Lock()
		d.seen[name]++
		d.mu.Unlock()
	}
	doc, err := bson.Marshal(alone(cmd))
	if err != nil {
		return message{}, err
	}
	body := append(append([]byte{0, 0, 0, 0, 0}, doc...), m.body[5+n:]...)
	if err := (message{id: m.id, op: opMsg, body: body}).write(back); err != nil {
		return message{}, err
	}
	return read(back)
}

// alone is a command without the transaction that it is part of.
func alone(cmd bson.D) bson.D {
	var out bson.D
	for _, e := range cmd {
		switch e.Key {
		case "lsid", "txnNumber", "startTransaction", "autocommit", "readConcern", "$clusterTime":
		default:
			out = append(out, e)
		}
	}
	return out
}

func reply(m message, d bson.D) (message, error) {
	doc, err := bson.Marshal(d)
	return message{to: m.id, op: opMsg, body: append([]byte{0, 0, 0, 0, 0}, doc...)}, err
}

// hello is that of a replica set with one member.
func (d *door) hello() bson.D {
	return bson.D{{Key: "helloOk", Value: true}, {Key: "ismaster", Value: true}, {Key: "isWritablePrimary", Value: true},
		{Key: "setName", Value: "rs"}, {Key: "setVersion", Value: int32(1)}, {Key: "hosts", Value: bson.A{d.addr}},
		{Key: "me", Value: d.addr}, {Key: "primary", Value: d.addr}, {Key: "secondary", Value: false},
		{Key: "maxBsonObjectSize", Value: int32(16 << 20)}, {Key: "maxMessageSizeBytes", Value: int32(maxMessage)},
		{Key: "maxWriteBatchSize", Value: int32(100_000)}, {Key: "localTime", Value: time.Now()},
		{Key: "logicalSessionTimeoutMinutes", Value: int32(30)}, {Key: "minWireVersion", Value: int32(0)},
		{Key: "maxWireVersion", Value: int32(9)}, {Key: "readOnly", Value: false}, {Key: "ok", Value: 1.0}}
}
