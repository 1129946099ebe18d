package imapd_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/eidermail/eider/internal/imap/imapd"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
)

// watched notes what is read at once, and fails to read damaged keys.
type watched struct {
	kv.Store
	mu      sync.Mutex
	calls   int
	most    int // bytes of one call
	last    []byte
	damaged []byte
}

func (w *watched) GetMulti(ctx context.Context, keys ...[]byte) ([]kv.Item, error) {
	items, err := w.Store.GetMulti(ctx, keys...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	n := 0
	for i, k := range keys {
		n += len(items[i].Value)
		if w.damaged != nil && bytes.Equal(k, w.damaged) {
			return nil, kv.ErrCorrupt
		}
	}
	w.most = max(w.most, n)
	w.last = bytes.Clone(keys[len(keys)-1])
	return items, err
}

// begin starts to count.
func (w *watched) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls, w.most = 0, 0
}

func (w *watched) counts() (calls, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls, w.most
}

// TestReadAhead: the rows of messages that are read whole come aheadMessages at
// once, but few at once if they are large; and one that is damaged takes no
// other with it.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	db := &watched{Store: memkv.New()}
	w, c := filled(t, options{engine: db}, 10*imapd.AheadMessages)
	for _, cmd := range []string{"FETCH 1:* BODY.PEEK[]", "FETCH 1:* (UID BODY.PEEK[1])", "SEARCH TEXT nowhere"} {
		c.ok("NOOP")
		db.begin()
		lines := c.ok(cmd)
		if n, _ := db.counts(); n > 30 {
			t.Errorf("%s: %d reads for %d messages", cmd, n, 10*imapd.AheadMessages)
		}
		for i := range 10 * imapd.AheadMessages {
			if text := fmt.Sprintf("Hello %d.", i); cmd[0] == 'F' && !has(lines, text) {
				t.Errorf("%s: no %q", cmd, text)
			}
		}
	}

	c.ok("FETCH 3 BODY.PEEK[]")
	db.mu.Lock()
	db.damaged = db.last // the row of the third
	db.mu.Unlock()
	lines := c.run("FETCH 1:5 BODY.PEEK[]")
	for i, want := range []bool{true, true, false, true, true} {
		if has(lines, fmt.Sprintf("Hello %d.", i)) != want {
			t.Errorf("message %d: %v is wanted of %q", i+1, want, lines)
		}
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "NO ") {
		t.Errorf("%q", last)
	}

	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var b strings.Builder // a header, for that is not a part
		for b.Len() < 50_000 {
			fmt.Fprintf(&b, "X-%x: %x\r\n", r.Uint64(), r.Uint64())
		}
		w.deliver("Sent", b.String()+"\r\nx\r\n", 0)
	}
	c.ok("SELECT Sent")
	db.begin()
	c.ok("FETCH 1:* BODY.PEEK[]")
	calls, most := db.counts()
	if most > imapd.AheadBytes || calls > 20 || most < mailstore.MaxMessageRow/4 {
		t.Errorf("%d reads, of up to %d bytes", calls, most)
	}
}
