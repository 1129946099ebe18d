package mailstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// fail makes an error of a kind; its text never reaches clients.
func fail(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// wrap names the operation of an error and gives it a kind.
func wrap(op string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		if e.Op != "" {
			return err
		}
		return &Error{Op: op, Kind: e.Kind, Err: e.Err}
	}
	return &Error{Op: op, Kind: classify(err), Err: err}
}

func classify(err error) Kind {
	switch {
	case errors.Is(err, kv.ErrNoSpace):
		return NoSpace
	case errors.Is(err, kv.ErrCorrupt), errors.Is(err, row.ErrCorrupt), errors.Is(err, blob.ErrCorrupt):
		return Corrupt
	case errors.Is(err, kv.ErrUnavailable), errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrUnknown),
		errors.Is(err, kv.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Transient
	default:
		return Internal
	}
}
