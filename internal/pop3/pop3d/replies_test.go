package pop3d

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/mailstore"
)

// Every kind has its reply.
func TestReplyFor_Exhaustive(t *testing.T) {
	t.Parallel()
	want := map[mailstore.Kind]string{
		mailstore.Internal: "SYS/TEMP", mailstore.NotExist: "", mailstore.Exist: "SYS/TEMP", mailstore.Invalid: "SYS/TEMP",
		mailstore.Permission: "SYS/TEMP", mailstore.Quota: "SYS/TEMP", mailstore.TooLarge: "SYS/TEMP",
		mailstore.Limit: "SYS/TEMP", mailstore.Transient: "SYS/TEMP", mailstore.NoSpace: "SYS/TEMP", mailstore.Corrupt: "SYS/PERM",
	}
	n := 0
	for k := mailstore.Kind(0); !strings.HasPrefix(k.String(), "kind "); k++ {
		code, ok := want[k]
		if r := replyFor(k); !ok || r.Code != code || r.Text == "" {
			t.Errorf("kind %q: %+v", k, r)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d kinds, %d in the test", n, len(want))
	}
}
