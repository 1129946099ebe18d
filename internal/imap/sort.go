package imap

import (
	"strconv"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/order"
)

// handleSort: RFC 5256 §3, RFC 5957, with the results of ESORT (RFC 5267 §3).
func (c *conn) handleSort(r *request) error {
	var q search
	var by []imapwire.SortKey
	if !r.dec.ExpectSP() || !r.dec.ExpectSort(&q.ret, &by, &q.key, charset) {
		return nil
	}
	ms, err := c.ordered(r, &q)
	if err != nil {
		return err
	}
	order.Sort(ms, by)
	list := make(order.ListResult, len(ms))
	for i := range ms {
		list[i] = ms[i].UID
		if !r.uid {
			list[i] = c.view.Seq(ms[i].UID)
		}
		if q.hasModSeq {
			q.modseqs = append(q.modseqs, ms[i].ModSeq)
		}
	}
	if q.ret.Extended {
		c.writeESearch(r, &q, list)
		return nil
	}
	e := c.enc
	e.Raw("* SORT")
	for _, n := range list {
		e.SP().Number(n)
	}
	if len(q.modseqs) > 0 {
		e.Raw(" (MODSEQ ").Number64(returnedModSeq(&q.ret, q.modseqs)).Byte(')')
	}
	e.CRLF()
	return nil
}

// ordered finds the messages of a SORT or THREAD.
func (c *conn) ordered(r *request, q *search) ([]order.Message, error) {
	r.hold = !r.uid
	if err := c.resolve(r, q); err != nil {
		return nil, err
	}
	ms, err := c.session.Order(r.ctx, c.view.UIDs(), &q.key)
	if err != nil {
		c.saveNothing(q)
		return nil, err
	}
	if q.ret.Save {
		var found imapwire.Builder
		for i := range ms {
			found.Add(ms[i].UID)
		}
		c.save(q, found.Set())
	}
	return ms, nil
}

// handleThread: RFC 5256 §3.
func (c *conn) handleThread(r *request) error {
	var q search
	var by imapwire.ThreadBy
	if !r.dec.ExpectSP() || !r.dec.ExpectThread(&by, &q.key, charset) {
		return nil
	}
	ms, err := c.ordered(r, &q)
	if err != nil {
		return err
	}
	gather := order.BySubject
	if by == imapwire.ThreadReferences {
		gather = order.ByReferences
	}
	name := func(b []byte, uid uint32) []byte {
		if !r.uid {
			uid = c.view.Seq(uid)
		}
		return strconv.AppendUint(b, uint64(uid), 10)
	}
	c.enc.Raw("* THREAD")
	for i, t := range gather(ms) {
		if i == 0 {
			c.enc.SP()
		}
		c.enc.Bytes(t.Append(nil, name))
	}
	c.enc.CRLF()
	return nil
}
