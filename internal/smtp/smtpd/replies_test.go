package smtpd

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/mailstore"
)

// Every kind has its reply, and trouble of ours is never the client's fault.
func TestReplyFor_Exhaustive(t *testing.T) {
	t.Parallel()
	want := map[mailstore.Kind]int{
		mailstore.Internal: 451, mailstore.NotExist: 550, mailstore.Exist: 451, mailstore.Invalid: 451,
		mailstore.Permission: 530, mailstore.Quota: 452, mailstore.TooLarge: 552, mailstore.Limit: 452,
		mailstore.Transient: 451, mailstore.NoSpace: 452, mailstore.Corrupt: 451,
	}
	n := 0
	for k := mailstore.Kind(0); !strings.HasPrefix(k.String(), "kind "); k++ {
		code, ok := want[k]
		if !ok {
			t.Errorf("kind %q has no reply in the table", k)
		}
		r := replyFor(k)
		if r.Code != code || r.Text == "" || r.Enhanced == "" || r.Enhanced[0] != '0'+byte(r.Code/100) {
			t.Errorf("kind %q: %+v", k, r)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d kinds, %d in the test", n, len(want))
	}
}
