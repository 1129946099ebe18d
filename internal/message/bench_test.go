package message_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/message"
)

func base64Mail(size int) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@a.test\r\nTo: b@b.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nhello\r\n" +
		"--=_b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	raw := bytes.Repeat([]byte("0123456789abcdef\xff\xfe\x00"), size/19/4*3)
	enc := base64.StdEncoding.EncodeToString(raw)
	for len(enc) > 76 {
		b.WriteString(enc[:76] + "\r\n")
		enc = enc[76:]
	}
	b.WriteString(enc + "\r\n--=_b--\r\n")
	return b.Bytes()
}

func smallMail() []byte {
	return []byte("Received: from x by y; Mon, 2 Jan 2006 15:04:05 +0000\r\nFrom: Ada <ada@a.test>\r\nTo: b@b.test\r\n" +
		"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nDate: Mon, 2 Jan 2006 15:04:05 +0000\r\nMessage-ID: <1@a.test>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + strings.Repeat("Hello, this is a line of text.\r\n", 50))
}

func index(b []byte) *message.Index {
	x := message.NewIndexer(message.Limits{})
	for len(b) > 0 {
		n := min(len(b), 32<<10)
		_, _ = x.Write(b[:n])
		b = b[n:]
	}
	return x.Index()
}

func BenchmarkIndex(b *testing.B) {
	for _, c := range []struct {
		name string
		mail []byte
	}{{"base64-4MB", base64Mail(4 << 20)}, {"small-2KB", smallMail()}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.mail)))
			b.ReportAllocs()
			for b.Loop() {
				index(c.mail)
			}
		})
	}
	b.Run("corpus", func(b *testing.B) {
		all := allMail(b)
		var n int64
		for _, m := range all {
			n += int64(len(m.Data))
		}
		b.SetBytes(n)
		b.ReportAllocs()
		for b.Loop() {
			for _, m := range all {
				index(m.Data)
			}
		}
	})
}

func BenchmarkTransfer(b *testing.B) {
	m := base64Mail(1 << 20)
	for _, enc := range []string{"base64", "quoted-printable"} {
		b.Run(enc, func(b *testing.B) {
			b.SetBytes(int64(len(m)))
			for b.Loop() {
				_, _ = io.Copy(io.Discard, message.DecodeTransfer(enc, bytes.NewReader(m)))
			}
		})
	}
}
