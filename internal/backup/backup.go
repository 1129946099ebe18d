// Package backup writes all rows of a store as one stream, and makes a store of
// such a stream again. It knows no engine: what it needs is a consistent view.
//
// A backup is a line that names the format, and then frames: a kind, a length, a
// payload, and a checksum of these. The last frame counts the rows and has the
// SHA-256 of all before it, so a backup that was cut or changed is never taken
// for a whole one. It holds everything, keys and passwords' verifiers too: keep
// it as you keep the store.
//
// A restored store is the old one at an earlier time, and clients have seen
// later ones. So nothing may be given out a second time: see Restore.
package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// magic is the first line of a backup.
const magic = "eider-backup 1\n"

// Limit: bytes of the rows in one frame of a backup.
const MaxFrame = 8 << 20

// frameBytes is when a frame that is being written is full.
const frameBytes = 1 << 20

// The kinds of frames.
const (
	kindRows = 'R'
	kindEnd  = 'E'
)

// The errors of reading.
var (
	ErrNotBackup = errors.New("this is not an Eider backup, or one of another version")
	ErrCut       = errors.New("the backup ends early: it is not whole")
	ErrDamaged   = errors.New("the backup is damaged")
)

// Summary counts what is in a backup.
type Summary struct {
	Rows    int64     `json:"rows"`
	Bytes   int64     `json:"bytes"` // of keys and values
	Created time.Time `json:"created"`
	SHA256  string    `json:"sha256"` // of all frames before the last
}

// skipped are kinds of rows that say what processes do just now.
func skipped(tag byte) bool { return tag == row.TagLease || tag == row.TagNode }

// Writer writes a backup row by row.
type Writer struct {
	w   io.Writer
	sum hash.Hash
	buf []byte
	Summary
}

// Write writes a backup of what rd shows, which must be one moment of a store.
func Write(ctx context.Context, rd kv.Reader, w io.Writer, now time.Time) (Summary, error) {
	b, err := NewWriter(w, now)
	if err != nil {
		return Summary{}, err
	}
	for it, err := range rd.Scan(ctx, kv.Range{}) {
		if err != nil {
			return b.Summary, err
		}
		if skipped(it.Key[0]) {
			continue
		}
		if err := b.Add(it.Key, it.Value); err != nil {
			return b.Summary, err
		}
	}
	return b.Summary, b.Close()
}

// NewWriter begins a backup on w.
func NewWriter(w io.Writer, now time.Time) (*Writer, error) {
	_, err := io.WriteString(w, magic)
	return &Writer{w: w, sum: sha256.New(), Summary: Summary{Created: now.UTC()}}, err
}

// Add writes a row.
func (b *Writer) Add(key, value []byte) error {
	b.buf = binary.AppendUvarint(b.buf, uint64(len(key)))
	b.buf = append(b.buf, key...)
	b.buf = binary.AppendUvarint(b.buf, uint64(len(value)))
	b.buf = append(b.buf, value...)
	b.Rows++
	b.Bytes += int64(len(key) + len(value))
	if len(b.buf) < frameBytes {
		return nil
	}
	return b.flush()
}

func (b *Writer) flush() error {
	if len(b.buf) == 0 {
		return nil
	}
	err := b.frame(kindRows, b.buf)
	b.buf = b.buf[:0]
	return err
}

// Close writes the end; it does not close what the backup is written to.
func (b *Writer) Close() error {
	if err := b.flush(); err != nil {
		return err
	}
	b.SHA256 = hex.EncodeToString(b.sum.Sum(nil))
	last, err := json.Marshal(b.Summary)
	if err != nil {
		return err
	}
	return b.frame(kindEnd, last)
}

func (b *Writer) frame(kind byte, payload []byte) error {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	crc := crc32.Update(crc32.Checksum(head, castagnoli()), castagnoli(), payload)
	for _, part := range [][]byte{head, payload, binary.BigEndian.AppendUint32(nil, crc)} {
		b.sum.Write(part)
		if _, err := b.w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Read calls f for each row of a backup, in the order of the keys, and returns
// what its end says. Rows that f has seen are worth nothing if Read fails.
func Read(r io.Reader, f func(key, value []byte) error) (Summary, error) {
	var s Summary
	in := bufio.NewReaderSize(r, 64<<10)
	first := make([]byte, len(magic))
	if _, err := io.ReadFull(in, first); err != nil || string(first) != magic {
		return s, ErrNotBackup
	}
	sum := sha256.New()
	for {
		before := hex.EncodeToString(sum.Sum(nil))
		kind, payload, err := readFrame(in, sum)
		if err != nil {
			return s, err
		}
		switch kind {
		case kindRows:
			n, bytes, err := rows(payload, f)
			if s.Rows, s.Bytes = s.Rows+n, s.Bytes+bytes; err != nil {
				return s, err
			}
		case kindEnd:
			var last Summary
			if err := json.Unmarshal(payload, &last); err != nil || last.Rows != s.Rows || last.SHA256 != before {
				return s, fmt.Errorf("%w: its end does not fit what stands before it", ErrDamaged)
			}
			return last, nil
		default:
			return s, fmt.Errorf("%w: a frame of an unknown kind", ErrDamaged)
		}
	}
}

func readFrame(in io.Reader, sum hash.Hash) (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, short(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes", ErrDamaged, n)
	}
	var b bytes.Buffer // grows with what really comes
	if _, err := io.CopyN(&b, in, int64(n)+4); err != nil {
		return 0, nil, short(err)
	}
	payload = b.Bytes()[:n]
	crc := crc32.Update(crc32.Checksum(head[:], castagnoli()), castagnoli(), payload)
	if crc != binary.BigEndian.Uint32(b.Bytes()[n:]) {
		return 0, nil, fmt.Errorf("%w: the checksum of a frame differs", ErrDamaged)
	}
	sum.Write(head[:])
	sum.Write(b.Bytes())
	return head[0], payload, nil
}

// short makes the end of a stream an error.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}

// rows takes a frame apart.
func rows(b []byte, f func(key, value []byte) error) (n, size int64, err error) {
	field := func() []byte {
		v, k := binary.Uvarint(b)
		if k <= 0 || v > uint64(len(b)-k) {
			err = fmt.Errorf("%w: a row that cannot be read", ErrDamaged)
			return nil
		}
		out := b[k : k+int(v) : k+int(v)]
		b = b[k+int(v):]
		return out
	}
	for len(b) > 0 {
		key := field()
		if err != nil {
			return n, size, err
		}
		value := field()
		if err != nil {
			return n, size, err
		}
		if len(key) == 0 || len(key) > kv.MaxKey || len(value) > kv.MaxValue {
			return n, size, fmt.Errorf("%w: a row of an impossible size", ErrDamaged)
		}
		n++
		size += int64(len(key) + len(value))
		if err := f(key, value); err != nil {
			return n, size, err
		}
	}
	return n, size, nil
}
