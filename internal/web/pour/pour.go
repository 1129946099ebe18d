// Package pour copies a file to a client that downloads it.
package pour

import (
	"io"
	"log/slog"
	"net/http"
)

// Out copies from to the client, or nothing where it asks for the header only.
// Once it has begun, an error of from can only be shown by breaking off: Out
// panics then with http.ErrAbortHandler.
func Out(w io.Writer, r *http.Request, log *slog.Logger, from io.Reader) {
	if r.Method == http.MethodHead {
		return
	}
	src := &reading{r: from}
	if _, err := io.Copy(w, src); err != nil && src.err != nil && r.Context().Err() == nil {
		log.Error("download broke off", "route", r.Pattern, "err", src.err)
		panic(http.ErrAbortHandler) // the documented way to cut an answer short
	}
}

// reading remembers whether it was the source that failed.
type reading struct {
	r   io.Reader
	err error
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
