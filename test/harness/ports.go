package harness

import (
	"bufio"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// FreePorts are ports of 127.0.0.1 that nobody listens on. They lie below those
// that the system gives out, so that no connection takes one meanwhile.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	var out []int
	for tries := 0; len(out) < n; tries++ {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(15_000+rand.IntN(15_000)))
		if err == nil {
			defer l.Close()
			out = append(out, l.Addr().(*net.TCPAddr).Port)
		} else if tries > 1000 {
			t.Fatal(err)
		}
	}
	return out
}

// Metric is one figure of a server's /metrics, by name and labels as they
// stand there; 0 where it is not there yet.
func Metric(t testing.TB, admin, name string) float64 {
	t.Helper()
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	for sc.Scan() {
		if rest, ok := strings.CutPrefix(sc.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(rest, 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return v
		}
	}
	return 0
}
