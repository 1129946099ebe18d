package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/control"
	"github.com/eidermail/eider/internal/provision"
)

// NewAccount asks for an account on the command line.
type NewAccount struct {
	Label    string `json:"label,omitempty"`
	Friendly bool   `json:"friendly,omitempty"`
}

// CreateAccount makes an account; its answer is that of POST /user, as JSON.
func (c *core) CreateAccount(ctx context.Context, n NewAccount) ([]byte, error) {
	created, err := c.provision.Create(ctx, provision.Request{Requestor: "command line", Label: n.Label,
		Friendly: n.Friendly, Operator: true})
	if err != nil {
		return nil, err
	}
	c.o.Metrics.AccountsCreated.Inc()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(created); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Offline is what commands can do with a store that no server holds.
type Offline struct{ *core }

// OpenOffline builds what commands need, without listeners. It owns the store
// as New does.
func OpenOffline(ctx context.Context, o Options) (*Offline, error) {
	o.fill()
	c, err := openStore(ctx, o)
	if err == nil {
		err = c.people(ctx, configuredPorts(o.Config), false)
	}
	if err != nil {
		return nil, errors.Join(err, o.Bus.Close(), o.KV.Close())
	}
	return &Offline{c}, nil
}

// Close closes the store.
func (o *Offline) Close() error { return errors.Join(o.o.Bus.Close(), o.kv.Close()) }

// configuredPorts are the ports that a server with this configuration would have.
func configuredPorts(c *config.Config) advert.Ports {
	p := map[string]int{}
	for _, l := range c.Listeners() {
		if i := strings.LastIndexByte(l.Addr.String(), ':'); l.Addr.On() && i >= 0 {
			p[l.Name], _ = strconv.Atoi(l.Addr.String()[i+1:])
		}
	}
	return advert.Ports{HTTP: p["http"], HTTPS: p["https"], SMTP: p["smtp"], SMTPS: p["smtps"], MX: p["mx"],
		IMAP: p["imap"], IMAPS: p["imaps"], POP3: p["pop3"], POP3S: p["pop3s"]}
}

// openControl opens the socket by which commands reach this server.
func (s *Server) openControl(ctx context.Context) error {
	if s.o.ControlDir == "" {
		return nil
	}
	l, err := control.Listen(ctx, s.o.ControlDir)
	if err != nil {
		return err
	}
	s.control = l
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.Handle("GET /readyz", s.health)
	mux.HandleFunc("POST /account", s.serveAccount)
	mux.HandleFunc("POST /fsck", s.serveFsck)
	mux.HandleFunc("GET /stream/export", s.serveExport)
	mux.HandleFunc("POST /stream/export", s.serveExport)
	mux.HandleFunc("GET /stream/backup", s.serveBackup)
	mux.HandleFunc("POST /stream/import", s.serveImport)
	mux.HandleFunc("POST /operate", func(w http.ResponseWriter, r *http.Request) {
		s.serveOperate(w, r, "control socket")
	})
	s.addLate("control", func(ctx context.Context) error { return control.Serve(ctx, l, mux, DrainTime) })
	return nil
}

func (s *Server) serveAccount(w http.ResponseWriter, r *http.Request) {
	var n NewAccount
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		http.Error(w, "the request could not be read", http.StatusBadRequest)
		return
	}
	b, err := s.CreateAccount(r.Context(), n)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}
