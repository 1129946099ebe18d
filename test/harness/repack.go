package harness

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// Repacked is what a server has packed anew since it started (repack of /status).
type Repacked struct {
	Idle                          bool
	Rows, BeforeBytes, AfterBytes int64
}

// AwaitRepacked waits until a server has nothing left to pack anew, and tells
// what it packed and how long that took.
func AwaitRepacked(t testing.TB, s *Server, within time.Duration) (r Repacked, took time.Duration) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		r = repackedNow(t, s)
		if took = time.Since(start); r.Idle {
			return r, took
		}
		if took > within {
			t.Fatalf("the janitor does not come to an end: %+v", r)
		}
	}
}

func repackedNow(t testing.TB, s *Server) Repacked {
	t.Helper()
	resp, err := http.Get("http://" + s.Admin + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var st struct{ Store struct{ Repack Repacked } }
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	return st.Store.Repack
}
