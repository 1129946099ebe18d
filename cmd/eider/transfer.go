package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"

	"github.com/eidermail/eider/internal/control"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/server"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/transfer"
	"github.com/eidermail/eider/internal/transfer/archive"
	"github.com/eidermail/eider/internal/transfer/mailfile"
)

// Limit: problems of an import or export that are printed; the rest are counted.
const MaxPrinted = 200

// errStopped ends the sending side of a transfer whose other side has ended.
var errStopped = errors.New("the other side has ended")

// Run writes mail.
func (c *exportCmd) Run(p *process, f flags) error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	q := server.ExportRequest{Account: c.Account, Copies: c.Format != mailfile.Eider}
	e := &exported{bar: p.bar("exported")}
	if c.Format == mailfile.Eider && c.To != "-" {
		var err error
		if e.part, err = openPart(ctx, c.To); err != nil {
			return err
		}
		defer e.part.Close()
		q.Have = e.part.have
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := p.with(ctx, f,
			func(s *control.Client) error { return askExport(ctx, s, q, w) },
			func(o *server.Offline) error { return o.Export(ctx, w, q) })
		w.CloseWithError(err) // nil: the end
		done <- err
	}()
	err := c.write(p, r, e)
	r.CloseWithError(errStopped)
	cancel()
	if sent := <-done; sent != nil && !errors.Is(sent, errStopped) && !errors.Is(sent, context.Canceled) {
		err = sent
	}
	if err != nil && e.part != nil {
		return e.part.advise(err)
	}
	return err
}

// askExport asks a running server. Only to go on there is something to say.
func askExport(ctx context.Context, s *control.Client, q server.ExportRequest, w io.Writer) error {
	path := "/stream/export" + q.Query()
	if q.Have == nil {
		return s.Stream(ctx, http.MethodGet, path, nil, w)
	}
	have, err := json.Marshal(q.Have)
	if err != nil {
		return err
	}
	return s.Stream(ctx, http.MethodPost, path, bytes.NewReader(have), w)
}

// write takes an archive to where it was wanted.
func (c *exportCmd) write(p *process, r io.Reader, e *exported) error {
	var err error
	switch {
	case c.Format != mailfile.Eider:
		var sink *mailfile.Sink
		if sink, err = mailfile.NewSink(c.To, c.Format, c.All, spool.New(spool.Options{})); err != nil {
			return err
		}
		err = e.each(archive.Read(r), sink.Add)
		err = errors.Join(err, sink.Close())
		e.present = sink.Present
	case e.part == nil:
		err = e.copy(r, p.stdout)
	default:
		err = e.part.fill(r, e.copy)
	}
	e.bar.end()
	p.problems(e.problems, e.failed)
	if err != nil && e.bar.messages == 0 {
		return err
	}
	fmt.Fprintf(p.stderr, "%d messages, %s exported", e.bar.messages-e.present, size(e.bar.bytes))
	if e.present > 0 {
		fmt.Fprintf(p.stderr, "; %d were there already", e.present)
	}
	if e.failed > 0 {
		fmt.Fprintf(p.stderr, "; %d could not be read", e.failed)
	}
	fmt.Fprintln(p.stderr)
	if err == nil && e.failed > 0 {
		return errQuiet
	}
	return err
}

// exported is an export under way.
type exported struct {
	bar      *bar
	part     *part // nil: no file is written
	present  int64
	failed   int64
	problems []transfer.Problem
}

func (e *exported) problem(where, what string) {
	if len(e.problems) < MaxPrinted {
		e.problems = append(e.problems, transfer.Problem{Where: where, What: what})
	}
}

// each hands the items of an archive on.
func (e *exported) each(items iter.Seq2[archive.Item, error], add func(archive.Item) error) error {
	for it, err := range items {
		if s := new(archive.Skipped); errors.As(err, &s) {
			e.failed++
			e.problem(s.Source, s.Err.Error())
			continue
		}
		if err != nil {
			return err
		}
		if it.Head != nil {
			e.bar.of = it.Head.Messages
		}
		if m := it.Message; m != nil && m.Error != "" {
			e.failed++
			e.problem(fmt.Sprintf("%s UID %d", m.Folder, m.UID), m.Error)
		} else if m != nil {
			e.bar.add(m.Size)
		}
		if err := add(it); err != nil {
			return err
		}
	}
	return nil
}

// copy writes the archive as it comes, and looks into it on the way.
func (e *exported) copy(r io.Reader, w io.Writer) error {
	tee := io.TeeReader(r, w)
	items := archive.Read(tee)
	if e.part != nil && e.part.have != nil {
		have := e.part.have
		items = archive.ReadOn(tee)
		e.bar.of, e.bar.messages, e.present, e.failed = have.Head.Messages, have.Messages, have.Messages, have.Failed
	}
	if err := e.each(items, func(archive.Item) error { return nil }); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, tee) // what stands behind the archive's end
	return err
}

// newFile writes a file that gets its name when it is whole.
func newFile(name string, write func(io.Writer) error) error {
	if _, err := os.Lstat(name); err == nil {
		return usageError{fmt.Errorf("%s is there already", name)}
	}
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there, from a command that is under way or was cut off: remove it", part)
	}
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, name)
}

// Run stores mail.
func (c *importCmd) Run(p *process, f flags) error {
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	var total transfer.Result
	b := p.bar("read")
	for _, path := range c.From {
		src := &mailfile.Source{Path: path, Format: c.Format, All: c.All, MessageLimit: int64(cfg.MessageLimit),
			Spool: spool.New(spool.Options{})}
		if path == "-" {
			src.Format = mailfile.Eider
		} else if err := src.Detect(); err != nil {
			return usageError{err}
		}
		src.CRLF = c.LineEnds == "crlf" || c.LineEnds == "auto" && src.Format != mailfile.Eml
		b.read, b.size = src.Read.Load, 0
		if path != "-" {
			b.size = src.Total()
		}
		res, err := c.one(p, f, src, b)
		add(&total, res)
		if err == nil && res.Broken != "" {
			err = errors.New(obs.Clean(res.Broken))
		}
		if err != nil {
			b.end()
			c.report(p, total)
			return fmt.Errorf("%w (run the same command again: it goes on where it was)", err)
		}
	}
	b.end()
	c.report(p, total)
	if total.Failed > 0 || len(total.Problems) > 0 {
		return errQuiet
	}
	return nil
}

// one imports one file or folder.
func (c *importCmd) one(p *process, f flags, src *mailfile.Source, b *bar) (res transfer.Result, err error) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	q := server.ImportRequest{Account: c.Account, Mailbox: c.Mailbox, Again: c.Again}
	r, w := io.Pipe()
	done := make(chan sent, 1)
	go func() {
		s := send(ctx, w, src, b)
		w.CloseWithError(s.err)
		done <- s
	}()
	err = p.with(ctx, f,
		func(s *control.Client) error {
			var answer bytes.Buffer
			if err := s.Stream(ctx, http.MethodPost, "/stream/import"+q.Query(), r, &answer); err != nil {
				return err
			}
			return json.Unmarshal(answer.Bytes(), &res)
		},
		func(o *server.Offline) error {
			res = o.Import(ctx, r, q)
			return nil
		})
	r.CloseWithError(errStopped)
	s := <-done
	res.Failed += int64(len(s.problems)) + s.more
	res.Problems = append(res.Problems, s.problems...)
	if s.err != nil && !errors.Is(s.err, errStopped) {
		err = s.err
	}
	return res, err
}

// sent is what became of the sending side of an import.
type sent struct {
	problems []transfer.Problem
	more     int64 // beyond those
	err      error
}

// send turns what is in files into an archive. Parts that cannot be read are
// told by this side, for the other never hears of them.
func send(ctx context.Context, w io.Writer, src *mailfile.Source, b *bar) (s sent) {
	a := archive.NewWriter(w)
	for it, err := range src.Items(ctx) {
		if sk := new(archive.Skipped); errors.As(err, &sk) {
			if len(s.problems) < transfer.MaxProblems {
				s.problems = append(s.problems, transfer.Problem{Where: sk.Source, What: sk.Err.Error()})
			} else {
				s.more++
			}
			continue
		}
		if err == nil {
			if it.Message != nil {
				b.add(it.Message.Size)
			}
			err = a.Add(it)
		}
		if err != nil {
			s.err = err
			return s
		}
	}
	if s.err = ctx.Err(); s.err == nil {
		s.err = a.Close()
	}
	return s
}

func add(t *transfer.Result, r transfer.Result) {
	t.Accounts += r.Accounts
	t.Mailboxes += r.Mailboxes
	t.Messages += r.Messages
	t.Bytes += r.Bytes
	t.Present += r.Present
	t.Failed += r.Failed
	t.Problems = append(t.Problems, r.Problems...)
	t.Made = append(t.Made, r.Made...)
}

// report prints what an import did: passwords of new accounts on the output,
// all else beside it.
func (c *importCmd) report(p *process, r transfer.Result) {
	p.problems(r.Problems, int64(r.Failed))
	e := json.NewEncoder(p.stdout)
	e.SetEscapeHTML(false)
	for _, m := range r.Made {
		_ = e.Encode(struct {
			User string `json:"user"`
			Pass string `json:"pass"`
		}{m.Address, m.Password})
	}
	fmt.Fprintf(p.stderr, "%d messages, %s imported", r.Messages, size(r.Bytes))
	if r.Present > 0 {
		fmt.Fprintf(p.stderr, "; %d were there already", r.Present)
	}
	if r.Failed > 0 {
		fmt.Fprintf(p.stderr, "; %d failed", r.Failed)
	}
	fmt.Fprintln(p.stderr)
}

// problems prints what was not carried over, safely on a terminal; failed is how
// many that are, if the list does not have them all.
func (p *process) problems(list []transfer.Problem, failed int64) {
	most := min(len(list), MaxPrinted)
	for _, x := range list[:most] {
		fmt.Fprintf(p.stderr, "eider: %s: %s\n", obs.Clean(x.Where), obs.Clean(x.What))
	}
	if left := max(int64(len(list)), failed) - int64(most); most == MaxPrinted && left > 0 {
		fmt.Fprintf(p.stderr, "eider: and %d more\n", left)
	}
}
