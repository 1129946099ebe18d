package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/transfer"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// ExportRequest asks for an archive.
type ExportRequest struct {
	Account string // its address; "": all accounts
	Copies  bool   // bytes of a message each time, also where it lies in two mailboxes
	// Have is what an archive has that was cut, to go on with; nil: a new one. It
	// is the request's body.
	Have *archive.Have
}

// Query is the request for the control socket.
func (q ExportRequest) Query() string {
	return "?" + url.Values{"account": {q.Account}, "copies": {fmt.Sprint(q.Copies)}}.Encode()
}

// Export writes an archive.
func (c *core) Export(ctx context.Context, w io.Writer, q ExportRequest) error {
	o := transfer.ExportOptions{Store: c.mail, Copies: q.Copies, Have: q.Have, Now: c.o.Now()}
	if q.Account != "" {
		id, err := c.mail.Lookup(ctx, q.Account)
		if err != nil {
			return fmt.Errorf("account %s: %w", q.Account, err)
		}
		o.Accounts = []mailstore.AcctID{id}
	}
	a := archive.NewWriter(w)
	if q.Have != nil {
		a.Continue(q.Have)
	}
	if _, err := transfer.Export(ctx, o, a.Add); err != nil {
		return err
	}
	return a.Close()
}

// ImportRequest asks for mail to be stored.
type ImportRequest struct {
	Account string // the address of who gets it; "": each account by its own address
	Mailbox string // gets everything; "": as in the archive
	Again   bool   // store what is there already, too
}

// Query is the request for the control socket.
func (q ImportRequest) Query() string {
	return "?" + url.Values{"account": {q.Account}, "mailbox": {q.Mailbox}, "again": {fmt.Sprint(q.Again)}}.Encode()
}

// errSeveral: whose mail would it be?
var errSeveral = errors.New("the archive holds several accounts: import all of them with --all, " +
	"or export one with --account")

// Import stores the mail of an archive. The result says what became of it, also
// where it ended early.
func (c *core) Import(ctx context.Context, r io.Reader, q ImportRequest) transfer.Result {
	items := archive.Read(r)
	if q.Account != "" {
		items = ofOne(items)
	}
	res, err := transfer.Import(ctx, transfer.ImportOptions{Store: c.mail, Spool: c.spool, Mailbox: q.Mailbox,
		Again: q.Again, MessageLimit: int64(c.o.Config.MessageLimit),
		Account: func(ctx context.Context, a *archive.Account) (mailstore.AcctID, string, error) {
			return c.accountFor(ctx, a, q.Account)
		}}, items)
	if err != nil {
		c.o.Log.Warn("import ended early", "err", err)
	}
	return res
}

// ofOne refuses an archive of several accounts before anything is stored, if its
// head tells, and in any case mail of a second one.
func ofOne(items iter.Seq2[archive.Item, error]) iter.Seq2[archive.Item, error] {
	return func(yield func(archive.Item, error) bool) {
		var one *archive.Account
		for it, err := range items {
			other := it.Account != nil && one != nil && it.Account.Address != one.Address
			if it.Account != nil && one == nil {
				first := *it.Account
				one = &first
			}
			if other || it.Head != nil && it.Head.Accounts > 1 {
				yield(archive.Item{}, errSeveral)
				return
			}
			if !yield(it, err) {
				return
			}
		}
	}
}

// accountFor finds the account that mail goes to, or makes it.
func (c *core) accountFor(ctx context.Context, a *archive.Account, address string) (mailstore.AcctID, string, error) {
	n := mailstore.NewAccount{Address: address, Label: "imported"}
	if address == "" {
		if a.CatchAll && c.catch.Acct != 0 {
			return c.catch.Acct, "", nil
		}
		n.Address, n.Name, n.Label = string(a.Address), string(a.Name), string(a.Label)
	}
	id, err := c.mail.Lookup(ctx, n.Address)
	if mailstore.KindOf(err) != mailstore.NotExist {
		return id, "", err
	}
	made, password, err := c.provision.CreateAs(ctx, n)
	if err == nil {
		a.Address = archive.Text(made.Address)
	}
	return made.ID, password, err
}

func (s *Server) serveExport(w http.ResponseWriter, r *http.Request) {
	q := ExportRequest{Account: r.URL.Query().Get("account"), Copies: r.URL.Query().Get("copies") == "true"}
	if r.Method == http.MethodPost {
		body := http.MaxBytesReader(w, r.Body, archive.MaxHave)
		if err := json.NewDecoder(body).Decode(&q.Have); err != nil {
			http.Error(w, "what the archive has could not be read", http.StatusBadRequest)
			return
		}
	}
	out := &started{ResponseWriter: w}
	err := s.Export(r.Context(), out, q)
	if err == nil {
		return
	}
	if !out.yes {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// The archive is cut, and says so itself: it has no end.
	s.o.Log.Warn("export ended early", "err", err)
}

// started notes that something was written.
type started struct {
	http.ResponseWriter
	yes bool
}

func (s *started) Write(b []byte) (int, error) {
	s.yes = true
	return s.ResponseWriter.Write(b)
}

// importRest is how long a client may go on sending after the answer was given.
const importRest = 5 * time.Second

func (s *Server) serveImport(w http.ResponseWriter, r *http.Request) {
	// The answer may come before the end of what the client sends.
	rc := http.NewResponseController(w)
	if err := rc.EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	q := r.URL.Query()
	res := s.Import(r.Context(), r.Body, ImportRequest{Account: q.Get("account"), Mailbox: q.Get("mailbox"),
		Again: q.Get("again") == "true"})
	writeJSON(w, res)
	if res.Broken != "" && rc.Flush() == nil && rc.SetReadDeadline(time.Now().Add(importRest)) == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}
