// Package control is how commands reach a running server: HTTP on a Unix
// socket in the data directory, which only the directory's owner may open. It
// carries requests and knows none of them: the server brings the handler.
//
// It promises that a command either talks to the server that holds the data,
// or learns that there is none (ErrNotRunning). It never listens on a network.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// socketName is the socket's name in the data directory.
const socketName = "control.sock"

// pathName is the file that names the socket's place where the directory's own
// path is too long for a socket.
const pathName = "control.path"

// maxSocketPath is what the smallest sun_path in use leaves for a path (macOS: 104 bytes).
const maxSocketPath = 100

// Limit: bytes of a command's request, and of an error's text.
const MaxRequest = 1 << 20

// StreamPath begins the paths of commands whose requests have any length.
const StreamPath = "/stream/"

// ErrNotRunning: no server answers for this data directory.
var ErrNotRunning = errors.New("no server is running on this data directory")

// Listen opens the socket of a data directory. A socket that is left over from
// a killed server is removed, one of a living server is an error.
func Listen(ctx context.Context, dir string) (net.Listener, error) {
	if _, err := Dial(ctx, dir); !errors.Is(err, ErrNotRunning) {
		return nil, fmt.Errorf("control: another server is running on the data directory %s", dir)
	}
	path := filepath.Join(dir, socketName)
	remove := func() { os.Remove(path) }
	if len(path) > maxSocketPath {
		short, err := os.MkdirTemp("", "eider-")
		if err != nil {
			return nil, fmt.Errorf("control: %w", err)
		}
		path = filepath.Join(short, socketName)
		note := filepath.Join(dir, pathName)
		if err := os.WriteFile(note, []byte(path), 0o600); err != nil {
			os.RemoveAll(short)
			return nil, fmt.Errorf("control: %w", err)
		}
		remove = func() { os.Remove(note); os.RemoveAll(short) }
	} else {
		os.Remove(filepath.Join(dir, pathName))
		os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		remove()
		return nil, fmt.Errorf("control: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		remove()
		return nil, fmt.Errorf("control: %w", err)
	}
	return &socket{Listener: l, remove: remove}, nil
}

type socket struct {
	net.Listener
	remove func()
}

// Close removes the socket, too.
func (s *socket) Close() error {
	err := s.Listener.Close()
	s.remove()
	return err
}

// Serve answers commands until ctx ends, and then those under way for at most grace.
func Serve(ctx context.Context, l net.Listener, h http.Handler, grace time.Duration) error {
	bounded := http.MaxBytesHandler(h, MaxRequest)
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, StreamPath) {
				h.ServeHTTP(w, r)
			} else {
				bounded.ServeHTTP(w, r)
			}
		})}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("control: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if srv.Shutdown(end) != nil {
		srv.Close()
	}
	<-done
	return nil
}

// Client talks to a running server.
type Client struct{ http *http.Client }

// Dial finds the server that runs on a data directory.
func Dial(ctx context.Context, dir string) (*Client, error) {
	path := filepath.Join(dir, socketName)
	if b, err := os.ReadFile(filepath.Join(dir, pathName)); err == nil && len(b) < 4096 {
		path = strings.TrimSpace(string(b))
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("control: %w", err)
		}
		return nil, ErrNotRunning
	}
	c.Close()
	return &Client{&http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}}}}, nil
}

// Call sends in (nil: nothing) as JSON and copies the answer to out.
func (c *Client) Call(ctx context.Context, method, path string, in any, out io.Writer) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	return c.Stream(ctx, method, path, body, out)
}

// Stream sends body (nil: nothing) as it comes and copies the answer to out. The
// answer may come before the end of body; the rest is not read then.
func (c *Client) Stream(ctx context.Context, method, path string, body io.Reader, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://eider"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the server did not answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, MaxRequest))
		return &Failure{Status: resp.StatusCode, Text: strings.TrimSpace(string(text))}
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("the server's answer broke off: %w", err)
	}
	return nil
}

// Failure is a command that the server refused or could not do.
type Failure struct {
	Status int
	Text   string
}

func (f *Failure) Error() string { return f.Text }
