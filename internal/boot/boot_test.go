package boot_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/boot"
	"github.com/eidermail/eider/internal/kv/pebblekv"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "store")
	m, err := boot.Open(t.Context(), "memory", boot.Options{})
	if err != nil || m.Local {
		t.Fatalf("memory: %v %v", m.Local, err)
	}
	defer m.KV.Close()
	p, err := boot.Open(t.Context(), "pebble:"+dir, boot.Options{})
	if err != nil || !p.Local {
		t.Fatalf("pebble: %v %v", p.Local, err)
	}
	if _, err := p.KV.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := boot.Open(t.Context(), "pebble:"+dir, boot.Options{}); !errors.Is(err, pebblekv.ErrLocked) {
		t.Errorf("a second time: %v", err)
	}
	if err := p.KV.Close(); err != nil {
		t.Error(err)
	}
	p, err = boot.Open(t.Context(), "pebble:"+dir, boot.Options{})
	if err != nil {
		t.Fatalf("again: %v", err)
	}
	p.KV.Close()
}

func TestSpecsThatAreRefused(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"": "pebble:DIR", "pebble": "directory", "pebble:": "directory", "memory:x": "nothing behind", "disk:/x": "disk",
		"mongodb://u:secret@127.0.0.1:1/db": "connection refused", "postgres://u:secret@127.0.0.1:1/db": "connection refused",
		"postgres://u:secret@h:port/db": "cannot be read", "postgres://u:secret@h/db?sslmode=sometimes": "sslmode",
		"mongodb+srv://u:secret@127.0.0.1/": "cannot be read", "mongodb://u:se/cret@h/db": "%2F",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := boot.Open(ctx, spec, boot.Options{})
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func TestBusSpecsThatAreRefused(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"memory": "redis://", "kafka://u:secret@h": "redis://", "redis+sentinel://:secret@a,b": "master",
		"redis://:secret@h?x=1": "\"x\"",
	} {
		_, err := boot.Open(t.Context(), "memory", boot.Options{Bus: spec})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--bus") ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", spec, err)
		}
	}
}
