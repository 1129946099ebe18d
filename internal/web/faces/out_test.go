package faces

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// written is what text writes, by readers that give much or one byte at a time.
func written(t testing.TB, s string, most int64) string {
	t.Helper()
	var all [2]string
	for i, r := range []io.Reader{strings.NewReader(s), iotest.OneByteReader(strings.NewReader(s))} {
		rec := httptest.NewRecorder()
		o := (&call{w: rec}).begin()
		o.text(r, most)
		if o.err != nil {
			t.Fatal(o.err)
		}
		_ = o.b.Flush()
		if all[i] = rec.Body.String(); o.n != int64(len(all[i])) {
			t.Errorf("%q: %d bytes counted, %d written", s, o.n, len(all[i]))
		}
	}
	if all[0] != all[1] {
		t.Errorf("%q: %s, byte by byte %s", s, all[0], all[1])
	}
	return all[0]
}

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": `""`, "a<b>&\"c\"\\": `"a<b>&\"c\"\\"`, "\r\n\t\x00\x1f\x7f": `"\r\n\t\u0000\u001f` + "\x7f\"",
		"\u2028ä€😀\u2029": `"\u2028ä€😀\u2029"`, "a\xffb\xe2\x82": "\"a\uFFFDb\uFFFD\uFFFD\"",
	} {
		if got := written(t, in, 1000); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if got := written(t, strings.Repeat("ab", 100), 7); got != `"abababa"` {
		t.Error(got)
	}
	if got := written(t, strings.Repeat("\x01", 100), 7); got != `"\u0001\u0001"` {
		t.Error(got)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\"\\\x00", "\xe2\x82", "ä\xff\u2028😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back, want string
		b, _ := json.Marshal(s)
		_ = json.Unmarshal(b, &want)
		if err := json.Unmarshal([]byte(written(t, s, 1<<30)), &back); err != nil || back != want {
			t.Errorf("%q: %q, want %q: %v", s, back, want, err)
		}
	})
}

// What cannot be read is told while that is possible; after that the answer
// breaks off, and is not taken for whole.
func TestBrokenMessage(t *testing.T) {
	t.Parallel()
	f, r, bad := New(Options{}), httptest.NewRequest("GET", "/", nil), errors.New("broken")
	for _, n := range []int{10, 3 * outBuffer} {
		o := (&call{w: httptest.NewRecorder(), r: r}).begin()
		o.text(io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(bad)), 1<<30)
		var err error
		func() {
			defer func() {
				if recover() != nil {
					err = io.ErrUnexpectedEOF
				}
			}()
			err = o.close(f, r)
		}()
		if want := map[bool]error{false: bad, true: io.ErrUnexpectedEOF}[n > outBuffer]; err != want {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// TestTurns: so many of one account and of all at once; the others wait, and
// who waits too long goes without.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(SendsAtOnce, AllSends)
		var now, most, refused atomic.Int32
		for i := range 20 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), StoreBudget)
				defer cancel()
				end, err := turns.take(ctx, 1)
				if i >= 10 {
					if err == nil {
						end()
					}
					end, err = turns.take(ctx, 2)
				}
				if err != nil {
					refused.Add(1)
					return
				}
				defer end()
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(2 * time.Second)
				now.Add(-1)
			}()
		}
		time.Sleep(time.Minute)
		turns.mu.Lock()
		defer turns.mu.Unlock()
		if most.Load() != AllSends || refused.Load() == 0 || len(turns.used) != 0 || turns.total != 0 {
			t.Errorf("%d at once, %d went without, %d are left", most.Load(), refused.Load(), turns.total)
		}
	})
}
