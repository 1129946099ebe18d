package codec

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/codec/attach"
)

// TestWrongEncoder: what an encoder makes wrong is not kept. Here it believes in
// a dictionary whose content is another than that of the decoder.
func TestWrongEncoder(t *testing.T) {
	t.Parallel()
	c := New()
	other := slices.Clone(shipped)
	for i := len(other) - 64<<10; i < len(other); i++ {
		other[i] ^= byte(i % 7)
	}
	e, err := attach.New(other)
	if err != nil {
		t.Fatal(err)
	}
	c.small[Shipped] = func() *attach.Encoder { return e }
	src := []byte(strings.Repeat("Subject: "+string(other[len(other)-3000:]), 2))
	if wrong := e.Encode(nil, src); c.gives(wrong, src) {
		t.Fatal("the encoder is right: nothing is tried")
	}
	head := []byte("before")
	out, ok := c.Encode(slices.Clone(head), src, Shipped)
	if !ok || !bytes.HasPrefix(out, head) {
		t.Fatalf("%v, %d bytes", ok, len(out))
	}
	got, err := c.Decode(nil, out[len(head):], int64(len(src)))
	if err != nil || !bytes.Equal(got, src) {
		t.Errorf("%d bytes come back as %d: %v", len(src), len(got), err)
	}
}
