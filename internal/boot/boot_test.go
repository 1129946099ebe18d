package boot_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

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
		"mongodb://u:secret@h/db": "not in this build yet", "postgres://u:secret@h/db": "not in this build yet",
		"mongodb+srv://u:secret@h/": "not in this build yet",
	} {
		_, err := boot.Open(t.Context(), spec, boot.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", spec, err)
		}
	}
}
