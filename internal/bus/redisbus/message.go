package redisbus

import (
	"encoding/binary"
	"errors"

	"github.com/eidermail/eider/internal/bus"
)

// Limit: hints in one message of the channel.
const MaxBatch = 2048

// The form of a message: version, sender (8 bytes), number of the message (8),
// then for each hint flags (1), topic (8) and MODSEQ (8), all big-endian.
const (
	messageVersion = 1
	headBytes      = 17
	hintBytes      = 17
	flagResync     = 1
)

// message is what one process tells the others at once.
type message struct {
	sender, number uint64
	hints          []bus.Hint
}

// errMessage is a message that is not of this form: a newer one, or not ours.
var errMessage = errors.New("redisbus: unreadable message")

func (m message) encode() []byte {
	b := make([]byte, 0, headBytes+hintBytes*len(m.hints))
	b = append(b, messageVersion)
	b = binary.BigEndian.AppendUint64(b, m.sender)
	b = binary.BigEndian.AppendUint64(b, m.number)
	for _, h := range m.hints {
		var flags byte
		if h.Resync {
			flags = flagResync
		}
		b = append(b, flags)
		b = binary.BigEndian.AppendUint64(b, uint64(h.Topic))
		b = binary.BigEndian.AppendUint64(b, h.Modseq)
	}
	return b
}

// decode reads a message; hints beyond MaxBatch make it unreadable.
func decode(b string) (message, error) {
	if len(b) < headBytes || b[0] != messageVersion || (len(b)-headBytes)%hintBytes != 0 {
		return message{}, errMessage
	}
	n := (len(b) - headBytes) / hintBytes
	if n > MaxBatch {
		return message{}, errMessage
	}
	raw := []byte(b)
	m := message{sender: binary.BigEndian.Uint64(raw[1:]), number: binary.BigEndian.Uint64(raw[9:]),
		hints: make([]bus.Hint, n)}
	for i := range m.hints {
		r := raw[headBytes+i*hintBytes:]
		m.hints[i] = bus.Hint{Resync: r[0]&flagResync != 0, Topic: bus.Topic(binary.BigEndian.Uint64(r[1:])),
			Modseq: binary.BigEndian.Uint64(r[9:])}
	}
	return m, nil
}
