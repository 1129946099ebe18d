package pgkv_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/kvtest"
	"github.com/eidermail/eider/internal/kv/pgkv"
	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

// server is shared by all tests that do not hurt it; each has a schema of its own.
var (
	server    *postgres.Server
	serverErr error
	schemas   atomic.Int64
)

func TestMain(m *testing.M) {
	server, serverErr = postgres.Run("fsync=off", "shared_buffers=64MB", "deadlock_timeout=200ms")
	code := m.Run()
	if server != nil {
		server.Close()
	}
	os.Exit(code)
}

// fresh is the URI of an empty store.
func fresh(t testing.TB) string {
	t.Helper()
	if serverErr != nil {
		harness.Missing(t, "%v", serverErr)
	}
	return inSchema(server.URI())
}

func inSchema(uri string) string { return fmt.Sprintf("%s&search_path=s%d", uri, schemas.Add(1)) }

func schemaOf(uri string) string { return uri[strings.LastIndex(uri, "=")+1:] }

func open(t testing.TB, uri string) *pgkv.Store {
	t.Helper()
	s, err := pgkv.Open(t.Context(), pgkv.Options{URI: uri})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // most tests have closed it
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	kvtest.RunHandles(t, func(t testing.TB, n int) []kv.Store {
		uri := fresh(t) + "&pool_max_conns=7"
		out := make([]kv.Store, n)
		for i := range out {
			out[i] = open(t, uri)
		}
		return out
	})
}
