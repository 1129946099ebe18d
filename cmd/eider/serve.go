package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/eidermail/eider/internal/boot"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/server"
)

// Run serves until a signal comes.
func (c *serveCmd) Run(p *process, f flags) error {
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	log := p.logger(cfg)
	for _, text := range cfg.Warnings() {
		log.Warn(text)
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	st, err := boot.Open(p.ctx, cfg.Store, boot.Options{Log: log, Bus: cfg.Bus})
	if err != nil {
		return err
	}
	o := server.Options{Config: cfg, KV: st.KV, Bus: st.Bus, Limiter: st.Limiter, Shared: st.Shared, Log: log,
		Version: versionText(), Snapshot: st.Snapshot, Compact: st.Compact}
	// A memory store has a socket only in a directory that was named: the
	// default one may be another server's.
	if st.Local || cfg.Origin("data") != "default" {
		o.ControlDir = cfg.Data
	}
	if isTerminal(p.stderr) {
		o.Banner = p.stderr
	}
	s, err := server.New(p.ctx, o)
	if err != nil {
		return err
	}
	return s.Run(p.ctx)
}

// logger writes for people on a terminal and JSON for everything else.
func (p *process) logger(cfg *config.Config) *slog.Logger {
	tty := isTerminal(p.stderr)
	asJSON := cfg.LogFormat == "json" || cfg.LogFormat == "auto" && !tty
	_, noColor := p.env("NO_COLOR")
	return obs.NewLogger(p.stderr, obs.LogOptions{Level: cfg.LogLevel.Level(), JSON: asJSON, Color: tty && !noColor})
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// Run prints the effective configuration.
func (c *configCmd) Run(p *process, f flags) error {
	if c.Markdown {
		return config.WriteMarkdown(p.stdout)
	}
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	return cfg.WriteTOML(p.stdout)
}

// commandTime bounds the commands that must be quick.
const commandTime = 30 * time.Second
