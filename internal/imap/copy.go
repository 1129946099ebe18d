package imap

import (
	"context"
	"slices"

	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleCopy: RFC 9051 §6.4.7, with COPYUID (RFC 4315 §3).
func (c *conn) handleCopy(r *request) error {
	uids, to, ok, err := c.readCopy(r)
	if !ok || err != nil {
		return err
	}
	done, err := c.copyTo(r, uids, to, c.session.Copy)
	if err == nil && len(done.Dest) > 0 {
		r.code, r.text = copyUID(&done), "COPY completed"
	}
	return err
}

// readCopy reads the arguments of COPY and MOVE.
func (c *conn) readCopy(r *request) (uids imapwire.Set, to string, ok bool, err error) {
	d := r.dec
	var set imapwire.SeqSet
	if !d.ExpectSP() || !d.ExpectSeqSet(&set) || !d.ExpectSP() || !d.ExpectMailbox(&to) || !d.ExpectCRLF() {
		return nil, "", false, nil
	}
	uids, err = c.uidsOf(r, set)
	return uids, to, err == nil, err
}

type copier func(context.Context, imapwire.Set, string) (Copied, error)

func (c *conn) copyTo(r *request, uids imapwire.Set, to string, f copier) (Copied, error) {
	r.force = true
	if uids.Empty() {
		return Copied{}, nil
	}
	return f(r.ctx, uids, to)
}

// uidsOf turns the set of a command into UIDs that the client knows.
func (c *conn) uidsOf(r *request, q imapwire.SeqSet) (imapwire.Set, error) {
	if r.uid {
		return c.view.byUID(q), nil
	}
	uids, ok := c.view.bySeq(q)
	if !ok {
		return nil, &Error{Bad: true, Text: "there is no message with that number"}
	}
	return uids, nil
}

// copyUID is the response code (RFC 4315 §3): sets in corresponding order,
// which is ascending on both sides.
func copyUID(d *Copied) string {
	e := make([]byte, 0, 64)
	e = append(e, "COPYUID "...)
	e = imapwire.Set{{Start: d.UIDValidity, Stop: d.UIDValidity}}.Append(e)
	e = append(e, ' ')
	e = appendInOrder(e, d.Source)
	e = append(e, ' ')
	return string(appendInOrder(e, d.Dest))
}

func appendInOrder(b []byte, ns []uint32) []byte {
	if slices.IsSorted(ns) {
		return imapwire.SetOf(ns...).Append(b)
	}
	for i, n := range ns {
		if i > 0 {
			b = append(b, ',')
		}
		b = imapwire.Set{{Start: n, Stop: n}}.Append(b)
	}
	return b
}
