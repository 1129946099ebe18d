// Package boot turns words of the configuration into engines: "memory",
// "pebble:DIR", "postgres://…" and "mongodb://…" into a store,
// "redis+sentinel://…" into the bus between servers. It is the only importer of engines and drivers, so that
// whoever does not import it links none of them.
//
// It promises an error that says what to do for every spec it does not know,
// and that what it returns is open and locked. It starts nothing.
package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/bus/redisbus"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/kv/mongokv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/kv/pgkv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Options configure what is opened.
type Options struct {
	Log *slog.Logger
	// MessageLimit is the largest message in bytes; engines size their buffers by it.
	MessageLimit int64
	// Bus is the spec of the bus between servers, "redis+sentinel://…"; "" for one server.
	Bus string
}

// Opened is a store with the bus that fits it.
type Opened struct {
	KV  kv.Store
	Bus bus.Bus
	// Limiter counts for rates, as far as the bus reaches.
	Limiter bus.Limiter
	// Local tells that this process has the data to itself, so that commands
	// of other processes must ask it.
	Local bool
	// Shared tells that other processes may work on the same data.
	Shared bool
	// Snapshot runs a function on the store as it is at one moment, for backups;
	// nil where the store has ways of its own for them.
	Snapshot func(context.Context, func(kv.Reader) error) error
	// Compact gives back the space of rows that were replaced; nil where the
	// engine needs no word for that.
	Compact func(context.Context) error
}

// Open opens what a spec names, and the bus of Options.
func Open(ctx context.Context, spec string, o Options) (Opened, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	st, err := openStore(ctx, spec, o)
	if err != nil {
		return Opened{}, err
	}
	if st.Bus, err = openBus(ctx, o); err != nil {
		return Opened{}, errors.Join(err, st.KV.Close())
	}
	st.Limiter = membus.NewLimits(nil)
	if r, ok := st.Bus.(*redisbus.Bus); ok {
		st.Limiter = r.Limits(st.Limiter)
	}
	return st, nil
}

func openStore(ctx context.Context, spec string, o Options) (Opened, error) {
	kind, rest, _ := strings.Cut(spec, ":")
	switch kind {
	case "memory":
		if rest != "" {
			return Opened{}, fmt.Errorf("--store %s: memory takes nothing behind it", spec)
		}
		return Opened{KV: memkv.New()}, nil
	case "pebble":
		return openPebble(spec, rest, o)
	case "postgres", "postgresql":
		store, err := pgkv.Open(ctx, pgkv.Options{URI: spec, Log: o.Log})
		if err != nil {
			return Opened{}, fmt.Errorf("--store %s://…: %w", kind, err) // it may hold a password
		}
		return Opened{KV: store, Shared: true}, nil
	case "mongodb", "mongodb+srv":
		store, err := mongokv.Open(ctx, mongokv.Options{URI: spec, Log: o.Log})
		if err != nil {
			return Opened{}, fmt.Errorf("--store %s://…: %w", kind, err) // it may hold a password
		}
		return Opened{KV: store, Shared: true}, nil
	}
	return Opened{}, fmt.Errorf("--store %q: unknown kind of store; use pebble:DIR, postgres://…, mongodb://… or memory",
		kind)
}

// openBus opens the bus between servers, or that of one.
func openBus(ctx context.Context, o Options) (bus.Bus, error) {
	if o.Bus == "" {
		return membus.New(), nil
	}
	kind, _, _ := strings.Cut(o.Bus, ":")
	r, err := redisbus.ParseSpec(o.Bus)
	if err == nil {
		r.Log = o.Log
		var b *redisbus.Bus
		if b, err = redisbus.Open(ctx, r); err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("--bus %s:…: %w", kind, err) // it may hold a password
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
	store, err := pebblekv.Open(pebblekv.Options{Dir: dir, Dense: row.Dense(), Log: o.Log})
	if err != nil {
		return Opened{}, fmt.Errorf("--store %s: %w", spec, err)
	}
	return Opened{KV: store, Local: true, Snapshot: store.Snapshot, Compact: store.Compact}, nil
}
