package bench

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// Limit is the bare loop that no catcher on the same store can beat: read
// SMTP, hash, one synced Pebble commit of the same bytes, 250. It knows no
// accounts, no MIME, no index.
func Limit(dir string, ready func(addr string)) error {
	db, err := pebble.Open(dir, &pebble.Options{
		FormatMajorVersion: pebble.FormatValueSeparation,
		MemTableSize:       8 << 20,
	})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ready(ln.Addr().String())
	var seq atomic.Uint64
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go limitConn(c, db, &seq)
	}
}

func limitConn(c net.Conn, db *pebble.DB, seq *atomic.Uint64) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	w := bufio.NewWriter(c)
	say := func(s string) { _, _ = w.WriteString(s + "\r\n") }
	say("220 limit")
	for {
		if r.Buffered() == 0 {
			_ = w.Flush()
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(line)); {
		case verb == "DATA":
			say("354 go")
			_ = w.Flush()
			if err := limitData(r, db, seq); err != nil {
				return
			}
			say("250 Accepted")
		case strings.HasPrefix(verb, "AUTH"):
			say("235 ok")
		default:
			say("250 ok")
		}
	}
}

func limitData(r *bufio.Reader, db *pebble.DB, seq *atomic.Uint64) error {
	var body bytes.Buffer
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		if len(line) == 3 && string(line) == ".\r\n" {
			break
		}
		body.Write(line)
	}
	sum := sha256.Sum256(body.Bytes())
	key := binary.BigEndian.AppendUint64(sum[:8:8], seq.Add(1))
	if err := db.Set(key, body.Bytes(), pebble.Sync); err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	return nil
}
