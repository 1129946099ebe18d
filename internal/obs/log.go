package obs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

// LogOptions configure a logger.
type LogOptions struct {
	Level slog.Level
	// JSON writes one JSON object a line; else text for people.
	JSON bool
	// Color is for text on a terminal.
	Color bool
}

// NewLogger returns a logger on w that cleans every string it is given.
func NewLogger(w io.Writer, o LogOptions) *slog.Logger {
	var h slog.Handler
	if o.JSON {
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.Level})
	} else {
		h = tint.NewHandler(w, &tint.Options{Level: o.Level, NoColor: !o.Color, TimeFormat: time.TimeOnly})
	}
	return slog.New(Guard(h))
}

// Discard returns a logger that writes nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Guard wraps a handler so that no string, error or message reaches it uncleaned.
func Guard(h slog.Handler) slog.Handler { return guard{h} }

type guard struct{ h slog.Handler }

func (g guard) Enabled(ctx context.Context, l slog.Level) bool { return g.h.Enabled(ctx, l) }

func (g guard) Handle(ctx context.Context, r slog.Record) error {
	c := slog.NewRecord(r.Time, r.Level, Clean(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		c.AddAttrs(cleanAttr(a, 0))
		return true
	})
	return g.h.Handle(ctx, c)
}

func (g guard) WithAttrs(as []slog.Attr) slog.Handler {
	c := make([]slog.Attr, len(as))
	for i, a := range as {
		c[i] = cleanAttr(a, 0)
	}
	return guard{g.h.WithAttrs(c)}
}

func (g guard) WithGroup(name string) slog.Handler { return guard{g.h.WithGroup(name)} }

// maxGroups bounds the nesting of groups of one attribute.
const maxGroups = 8

func cleanAttr(a slog.Attr, depth int) slog.Attr {
	a.Key = Clean(a.Key)
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Clean(v.String()))
	case slog.KindAny:
		a.Value = slog.StringValue(Clean(anyText(v.Any())))
	case slog.KindGroup:
		if depth >= maxGroups {
			a.Value = slog.StringValue("…")
			break
		}
		as := v.Group()
		c := make([]slog.Attr, len(as))
		for i := range as {
			c[i] = cleanAttr(as[i], depth+1)
		}
		a.Value = slog.GroupValue(c...)
	default:
		a.Value = v
	}
	return a
}

func anyText(v any) string {
	switch v := v.(type) {
	case nil:
		return "<nil>"
	case error:
		return v.Error()
	case []byte:
		return string(v)
	default:
		return fmt.Sprint(v)
	}
}
