package transfer_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eidermail/eider/internal/message/transfer"
)

func decode(t testing.TB, enc, in string) string {
	t.Helper()
	whole, err := io.ReadAll(transfer.NewReader(enc, strings.NewReader(in)))
	if err != nil {
		t.Fatal(err)
	}
	bits, err := io.ReadAll(transfer.NewReader(enc, iotest.OneByteReader(strings.NewReader(in))))
	if err != nil || !bytes.Equal(whole, bits) {
		t.Errorf("%s %q: %q at once, %q byte by byte", enc, in, whole, bits)
	}
	var c transfer.Base64Counter
	for i := range in {
		c.Add([]byte(in[i : i+1]))
	}
	if enc == "base64" && c.Size() != int64(len(whole)) {
		t.Errorf("%q counted as %d, decoded to %d", in, c.Size(), len(whole))
	}
	return string(whole)
}

func TestReader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ enc, in, want string }{
		{"BASE64", "aGVsbG8=", "hello"}, {"base64", "aGVs\r\nbG8", "hello"}, {"base64", "a GV*s\x00bG8==", "hello"},
		{"base64", "aGVsbG8=aGVsbG8=", "hellohello"}, {"base64", "====", ""}, {"base64", "a", ""},
		{"quoted-printable", "a=3Db=\r\nc", "a=bc"}, {"quoted-printable", "a  \r\nb\t\n", "a\r\nb\n"},
		{"quoted-printable", "a=  \r\nb", "ab"}, {"quoted-printable", "a=zz=4=", "a=zz=4"},
		{"quoted-printable", "a=c3=A4", "aä"}, {"quoted-printable", "a \rb", "a \rb"},
		{"quoted-printable", "a =\nb", "a b"}, {"quoted-printable", "a= b", "a= b"}, {"quoted-printable", "x ", "x"},
		{"quoted-printable", "=\r\r\n", "=\r\r\n"},
		{"x-uuencode", "begin 644 a\n#0V%T\n`\nend\nrest", "Cat"}, {"7bit", "a=3D", "a=3D"}, {"", "x", "x"},
	} {
		if got := decode(t, c.enc, c.in); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.enc, c.in, got, c.want)
		}
	}
}

// TestRandom compares with the encoders of the standard library.
func TestRandom(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		raw := make([]byte, r.IntN(3000))
		for i := range raw {
			raw[i] = "a \t=\r\n\x00\xff.z"[r.IntN(10)]
		}
		if got := decode(t, "base64", base64.StdEncoding.EncodeToString(raw)); got != string(raw) {
			t.Fatalf("base64 of %q gave %q", raw, got)
		}
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		w.Binary = true
		_, _ = w.Write(raw)
		_ = w.Close()
		if got := decode(t, "quoted-printable", b.String()); got != string(raw) {
			t.Fatalf("quoted-printable %q of %q gave %q", b.String(), raw, got)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("a=\r\n =c3")
	f.Add("begin 6 x\n#0V%T\n`\nend")
	f.Fuzz(func(t *testing.T, s string) {
		for _, enc := range []string{"base64", "quoted-printable", "uuencode"} {
			decode(t, enc, s)
		}
	})
}
