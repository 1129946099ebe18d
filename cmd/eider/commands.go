package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/boot"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/control"
	"github.com/eidermail/eider/internal/server"
)

// with does a command: by the server that runs on the data, or, if none does,
// on the store itself.
func (p *process) with(ctx context.Context, f flags, running func(*control.Client) error,
	offline func(*server.Offline) error) error {
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	c, err := control.Dial(ctx, cfg.Data)
	if err == nil {
		return running(c)
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	if offline == nil {
		return fmt.Errorf("%w (%s)", err, cfg.Data)
	}
	st, err := p.open(ctx, cfg)
	if err != nil {
		return err
	}
	o, err := server.OpenOffline(ctx, server.Options{Config: cfg, KV: st.KV, Bus: st.Bus, Log: p.logger(cfg),
		Version: versionText()})
	if err != nil {
		return err
	}
	return errors.Join(offline(o), o.Close())
}

// open opens the store that no server runs on.
func (p *process) open(ctx context.Context, cfg *config.Config) (boot.Opened, error) {
	if _, err := os.Stat(cfg.Data); err != nil {
		return boot.Opened{}, fmt.Errorf("there is no data directory %s, and no server runs on it: "+
			"name one with --data", cfg.Data)
	}
	if cfg.LogLevel == "info" {
		cfg.LogLevel = "warn" // a command's own output is what matters
	}
	return boot.Open(ctx, cfg.Store, boot.Options{Log: p.logger(cfg), Bus: cfg.Bus})
}

// withStore is with for what needs the rows only, however damaged they are.
func (p *process) withStore(ctx context.Context, f flags, running func(*control.Client) error,
	offline func(boot.Opened) error) error {
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	c, err := control.Dial(ctx, cfg.Data)
	if err == nil {
		return running(c)
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	st, err := p.open(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(offline(st), st.Bus.Close(), st.KV.Close())
}

// Run makes an account.
func (c *createCmd) Run(p *process, f flags) error {
	ctx, cancel := context.WithTimeout(p.ctx, commandTime)
	defer cancel()
	n := server.NewAccount{Label: c.Label, Friendly: c.Friendly}
	return p.with(ctx, f,
		func(s *control.Client) error { return s.Call(ctx, http.MethodPost, "/account", n, p.stdout) },
		func(o *server.Offline) error {
			b, err := o.CreateAccount(ctx, n)
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(b)
			return err
		})
}

// Run checks the store.
func (c *fsckCmd) Run(p *process, f flags) error {
	return p.withStore(p.ctx, f,
		func(s *control.Client) error {
			last := &lastLine{w: p.stdout}
			path := "/fsck"
			if c.Repair {
				path += "?repair=true"
			}
			if err := s.Call(p.ctx, http.MethodPost, path, nil, last); err != nil {
				return err
			}
			if last.text() != server.FsckClean {
				return errQuiet
			}
			return nil
		},
		func(st boot.Opened) error {
			clean, err := c.offline(p, f, st)
			switch {
			case err != nil:
				return err
			case !clean:
				fmt.Fprintln(p.stdout, server.FsckDirty)
				return errQuiet
			}
			fmt.Fprintln(p.stdout, server.FsckClean)
			return nil
		})
}

// offline checks or mends a store that no server holds.
func (c *fsckCmd) offline(p *process, f flags, st boot.Opened) (clean bool, err error) {
	if !c.Repair {
		return server.Fsck(p.ctx, st.KV, p.stdout)
	}
	cfg, err := p.load(f)
	if err != nil {
		return false, err
	}
	return server.Repair(p.ctx, st.KV, cfg.Data, p.stdout)
}

// lastLine passes all on and remembers the end.
type lastLine struct {
	w   io.Writer
	end []byte
}

func (l *lastLine) Write(b []byte) (int, error) {
	l.end = append(l.end, b...)
	l.end = l.end[max(0, len(l.end)-1024):]
	return l.w.Write(b)
}

func (l *lastLine) text() string {
	b := bytes.TrimRight(l.end, "\n")
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}

// Run shows the running server's state.
func (c *statusCmd) Run(p *process, f flags) error {
	ctx, cancel := context.WithTimeout(p.ctx, commandTime)
	defer cancel()
	return p.with(ctx, f, func(s *control.Client) error {
		return s.Call(ctx, http.MethodGet, "/status", nil, p.stdout)
	}, nil)
}

// healthTime bounds a health check: whoever asks, asks again.
const healthTime = 5 * time.Second

// Run asks the running server whether it is ready.
func (c *healthCmd) Run(p *process, f flags) error {
	ctx, cancel := context.WithTimeout(p.ctx, healthTime)
	defer cancel()
	url := c.URL
	if url == "" {
		cfg, err := p.load(f)
		if err != nil {
			return err
		}
		if s, err := control.Dial(ctx, cfg.Data); err == nil {
			return s.Call(ctx, http.MethodGet, "/readyz", nil, p.stdout)
		}
		if url = healthURL(cfg); url == "" {
			return errors.New("no server answers on the control socket, and no plain HTTP port is set: use --url")
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{err}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", strings.TrimSpace(string(text)))
	}
	_, err = p.stdout.Write(text)
	return err
}

// healthURL is where a server with this configuration answers /readyz without TLS.
func healthURL(c *config.Config) string {
	for _, l := range []config.Listen{c.Admin, c.HTTP} {
		a := l.String()
		if l.On() && !strings.HasSuffix(a, ":0") {
			if strings.HasPrefix(a, ":") || strings.HasPrefix(a, "0.0.0.0:") || strings.HasPrefix(a, "[::]:") {
				a = "127.0.0.1" + a[strings.LastIndexByte(a, ':'):]
			}
			return "http://" + a + "/readyz"
		}
	}
	return ""
}
