package control_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/control"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"short", strings.Repeat("long", 40)} {
		t.Run(name[:4], func(t *testing.T) {
			t.Parallel()
			base, err := os.MkdirTemp("", "ctl")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(base) })
			dir := filepath.Join(base, name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			roundTrip(t, dir)
		})
	}
}

func roundTrip(t *testing.T, dir string) {
	ctx, stop := context.WithCancel(t.Context())
	if _, err := control.Dial(ctx, dir); !errors.Is(err, control.ErrNotRunning) {
		t.Fatalf("dial with no server: %v", err)
	}
	l, err := control.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(l.Addr().String()); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v, %v", st.Mode(), err)
	}
	if l2, err := control.Listen(t.Context(), dir); err == nil {
		l2.Close()
		t.Error("two servers on one directory")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("POST /all", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		}
	})
	mux.HandleFunc("GET /no", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "not today", 409) })
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, mux, time.Second) }()
	c, err := control.Dial(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Call(ctx, "POST", "/echo", map[string]int{"a": 1}, &out); err != nil || out.String() != `{"a":1}` {
		t.Errorf("echo: %q %v", out.String(), err)
	}
	var f *control.Failure
	if err := c.Call(ctx, "GET", "/no", nil, io.Discard); !errors.As(err, &f) || f.Status != 409 || f.Text != "not today" {
		t.Errorf("failure: %v", err)
	}
	for n, ok := range map[int]bool{control.MaxRequest: true, control.MaxRequest + 1: false} {
		out.Reset() // a JSON text of n bytes
		if err := c.Call(ctx, "POST", "/all", strings.Repeat("a", n-2), &out); (err == nil) != ok {
			t.Errorf("a request of %d bytes: %v", n, err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestLeftOverSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	dead, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrNotRunning) {
		t.Fatalf("dial of a dead socket: %v", err)
	}
	l, err := control.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
