package harness

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The ports that tests give out lie below those that the system does, so that no
// connection takes one meanwhile. Each process of tests takes a block of them for
// itself, by a lock that ends with it: two must not give out the same while the
// program that it is for has not listened yet.
const (
	firstPort  = 15_000
	portBlocks = 30
	blockPorts = 500
)

// portBlock is the block of this process.
type portBlock struct {
	mu   sync.Mutex
	lock *os.File // open for as long as the process lives
	base int
	next int
}

// FreePorts are ports of 127.0.0.1 that nobody listens on, and that no other test
// is given soon.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	out, err := shared.ports.take(n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *portBlock) take(n int) (out []int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lock == nil {
		if err := b.claim(); err != nil {
			return nil, err
		}
	}
	for tries := 0; len(out) < n; tries++ {
		port := b.base + b.next%blockPorts
		b.next++
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			defer l.Close()
			out = append(out, port)
		} else if tries > blockPorts {
			return nil, err
		}
	}
	return out, nil
}

// claim takes a block that no other process has.
func (b *portBlock) claim() error {
	for range 1000 {
		n := rand.IntN(portBlocks)
		name := filepath.Join(os.TempDir(), fmt.Sprintf("eider-test-ports-%d", n))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o666)
		if err != nil {
			return err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			b.lock, b.base = f, firstPort+n*blockPorts
			return nil
		}
		f.Close()
	}
	return errors.New("harness: all blocks of ports are taken")
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
