package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// raw is GET /v1/messages/{id}/raw: the bytes as they were sent.
func (a *API) raw(w http.ResponseWriter, r *http.Request) {
	_, content, ok := a.content(w, r)
	if !ok {
		return
	}
	defer content.Close()
	h := w.Header()
	h.Set("Content-Type", "message/rfc822")
	h.Set("Content-Length", strconv.FormatInt(content.Size(), 10))
	h.Set("Content-Disposition", `attachment; filename="message.eml"`)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	a.stream(w, io.NewSectionReader(content, 0, content.Size()))
}

// part is GET /v1/messages/{id}/parts/{part}: a file by its id, or any leaf by
// its number, decoded. It is never shown by a browser, only saved.
func (a *API) part(w http.ResponseWriter, r *http.Request) {
	row, content, ok := a.content(w, r)
	if !ok {
		return
	}
	defer content.Close()
	number, kind := r.PathValue("part"), "application/octet-stream"
	for _, at := range row.Index.Attachments {
		if at.ID == number {
			number, kind = at.Path, at.Type
		}
	}
	p := findPart(&row.Index, number)
	if p == nil {
		WriteProblem(w, http.StatusNotFound, "The message has no such part.")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Part-Type", headerSafe(kind))
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	body := io.NewSectionReader(content, p.Body.Start, p.Body.Len())
	a.stream(w, message.DecodeTransfer(p.Encoding, body))
}

// content opens the message that the path names, or answers the request itself.
func (a *API) content(w http.ResponseWriter, r *http.Request) (row, mailstore.Content, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), StoreBudget)
	defer cancel()
	c := callerOf(ctx)
	_, found, err := a.open(ctx, c, r.PathValue("id"))
	if err != nil {
		a.writeError(w, "raw", err)
		return row{}, nil, false
	}
	// The content is read while it is written, longer than the budget of a look-up.
	content, err := a.o.Store.Content(r.Context(), c.Acct, found.Entry.Msg)
	if err != nil {
		a.writeError(w, "raw", err)
		return row{}, nil, false
	}
	return found, content, true
}

// stream copies to the client; one that takes nothing for writeTime is dropped.
func (a *API) stream(w http.ResponseWriter, r io.Reader) {
	rc := http.NewResponseController(w)
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			_ = rc.SetWriteDeadline(a.o.Now().Add(writeTime))
			if _, werr := w.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err == io.EOF {
			_ = rc.SetWriteDeadline(a.o.Now().Add(writeTime))
			return
		}
		if err != nil {
			a.o.Log.Error("message could not be read to its end", "err", err)
			// Break the connection, so that a part is not taken for the whole.
			panic(http.ErrAbortHandler)
		}
	}
}

// headerSafe makes a declared type fit for a header of ours.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, s[:min(len(s), 128)])
}
