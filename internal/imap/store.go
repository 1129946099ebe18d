package imap

import (
	"github.com/eidermail/eider/internal/imap/imapwire"
)

// handleStore: RFC 9051 §6.4.6, with UNCHANGEDSINCE (RFC 7162 §3.1.3).
func (c *conn) handleStore(r *request) error {
	d := r.dec
	var set imapwire.SeqSet
	var ch StoreChange
	if !d.ExpectSP() || !d.ExpectSeqSet(&set) || !d.ExpectSP() || !storeArguments(d, &ch) || !d.ExpectCRLF() {
		return nil
	}
	r.hold = !r.uid
	if err := c.settleFor(); err != nil {
		return err
	}
	uids, err := c.uidsOf(r, set)
	if err != nil {
		return err
	}
	if c.readOnly {
		return errReadOnly
	}
	if ch.HasUnchangedSince && !c.on.condstore {
		if err := c.settle(); err != nil { // what waits was sent before
			return &inputError{err}
		}
		c.enableCondstore()
	}
	if uids.Empty() {
		return nil
	}
	r.force = true
	return c.carry(r, Task{Store: &StoreTask{UIDs: uids, Change: ch}}, c.stored)
}

// stored tells what a STORE did.
func (c *conn) stored(r *request, t *Task) error {
	for i := range t.Store.Done.Messages {
		m := &t.Store.Done.Messages[i]
		c.view.Tell(m.UID, m.ModSeq)
		switch {
		case !t.Store.Change.Silent:
			c.writeFlags(m, r.uid)
		case c.on.condstore:
			c.writeModSeq(m)
		}
	}
	if t.Err != nil {
		return t.Err
	}
	c.storeEnded(r, &t.Store.Done)
	return nil
}

// writeModSeq tells a message's new MODSEQ: a silent STORE still does (RFC 7162 §3.1.3).
func (c *conn) writeModSeq(m *Change) {
	if c.view.Seq(m.UID) == 0 {
		return
	}
	c.learn(m.Flags.Keywords)
	c.fetchHead(m.UID)
	if !c.on.uidOnly {
		c.enc.Raw("UID ").Number(m.UID).SP()
	}
	c.enc.Raw("MODSEQ (").Number64(m.ModSeq).Raw("))").CRLF()
}

// storeEnded sets the tagged response: what was not changed, and why.
func (c *conn) storeEnded(r *request, done *Stored) {
	switch {
	case !done.Modified.Empty():
		names := done.Modified
		if !r.uid {
			names = c.view.Seqs(names)
		}
		r.code, r.text = "MODIFIED "+names.String(), "some messages were changed meanwhile"
	case !done.Missing.Empty() && !r.uid:
		r.code, r.text = "EXPUNGEISSUED", "some messages were expunged meanwhile"
	}
}

func storeArguments(d *imapwire.Decoder, ch *StoreChange) bool {
	if d.List(func() bool {
		if !d.Word("UNCHANGEDSINCE") {
			return d.Fail("unknown STORE modifier")
		}
		ch.HasUnchangedSince = true
		return d.ExpectSP() && d.ExpectNumber64(&ch.UnchangedSince)
	}) && !d.ExpectSP() {
		return false
	}
	switch {
	case d.Byte('+'):
		ch.Op = StoreAdd
	case d.Byte('-'):
		ch.Op = StoreRemove
	}
	var name string
	if !d.ExpectAtom(&name) {
		return false
	}
	switch name {
	case "FLAGS":
	case "FLAGS.SILENT":
		ch.Silent = true
	default:
		return d.Fail("expected FLAGS")
	}
	return d.ExpectSP() && d.ExpectFlags(&ch.Flags)
}
