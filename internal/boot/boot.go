// Package boot turns words of the configuration into engines: "memory" and
// "pebble:DIR" into a store with its bus. It is the only importer of engines
// and drivers, so that whoever does not import it links none of them.
//
// It promises an error that says what to do for every spec it does not know,
// and that what it returns is open and locked. It starts nothing.
package boot

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
)

// Options configure what is opened.
type Options struct {
	Log *slog.Logger
	// MessageLimit is the largest message in bytes; engines size their buffers by it.
	MessageLimit int64
}

// Opened is a store with the bus that fits it.
type Opened struct {
	KV  kv.Store
	Bus bus.Bus
	// Local tells that this process has the data to itself, so that commands
	// of other processes must ask it.
	Local bool
}

// Open opens what a spec names.
func Open(_ context.Context, spec string, o Options) (Opened, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	kind, rest, _ := strings.Cut(spec, ":")
	switch kind {
	case "memory":
		if rest != "" {
			return Opened{}, fmt.Errorf("--store %s: memory takes nothing behind it", spec)
		}
		return Opened{KV: memkv.New(), Bus: membus.New()}, nil
	case "pebble":
		return openPebble(spec, rest, o)
	case "mongodb", "mongodb+srv", "postgres", "postgresql":
		return Opened{}, fmt.Errorf("--store %s:…: this store is not in this build yet; use pebble:DIR or memory", kind)
	}
	return Opened{}, fmt.Errorf("--store %q: unknown kind of store; use pebble:DIR or memory", kind)
}

func openPebble(spec, dir string, o Options) (Opened, error) {
	if dir == "" {
		return Opened{}, fmt.Errorf("--store %s: name a directory, like pebble:/var/lib/eider/store", spec)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Opened{}, fmt.Errorf("--store %s: %w", spec, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Opened{}, fmt.Errorf("--store %s: %w", spec, err)
	}
	store, err := pebblekv.Open(pebblekv.Options{Dir: dir, Log: o.Log})
	if err != nil {
		return Opened{}, fmt.Errorf("--store %s: %w", spec, err)
	}
	return Opened{KV: store, Bus: membus.New(), Local: true}, nil
}
