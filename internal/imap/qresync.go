package imap

import "github.com/eidermail/eider/internal/imap/imapwire"

// resync tells a client that comes back what has changed since: what is gone,
// then new messages and flags.
func (c *conn) resync(r *request, q *imapwire.Resync) error {
	asked := imapwire.Set{{Start: 1, Stop: 1<<32 - 1}}
	if q.Known != nil {
		asked = q.Known.Resolve(0)
	}
	if q.ModSeq > c.modseq {
		// It saw what a power cut took back: nothing that it knows can be relied on.
		q.ModSeq, q.Seqs = 0, nil
	}
	if err := c.writeVanished(r, asked, q.ModSeq, c.matched(q)); err != nil {
		return err
	}
	known := c.view.UIDs().Intersect(asked)
	if q.ModSeq >= c.modseq || known.Empty() {
		return nil
	}
	o := FetchOptions{HasChangedSince: true, ChangedSince: q.ModSeq}
	return c.session.Fetch(r.ctx, known, o, func(m *Message) error {
		c.writeFlags(&Change{UID: m.UID, Flags: m.Flags, ModSeq: m.ModSeq}, true)
		return c.enc.Err()
	})
}

// matched is the highest UID that stands where the client says: no message at
// or below it is gone that the client does not know is gone (RFC 7162 §3.2.5.2).
func (c *conn) matched(q *imapwire.Resync) (uid uint32) {
	seqs, uids := q.Seqs.Resolve(0), q.UIDs.Resolve(0)
	for len(seqs) > 0 && len(uids) > 0 {
		s, u := &seqs[0], &uids[0]
		n := min(s.Stop-s.Start, u.Stop-u.Start)
		// Within a run of pairs the match ends where the first one fails.
		for ; n > 0 && c.view.Seq(u.Start) == s.Start && c.view.Seq(u.Start+n) != s.Start+n; n /= 2 {
		}
		if c.view.Seq(u.Start+n) != s.Start+n || c.view.Seq(u.Start) != s.Start {
			return uid
		}
		uid = u.Start + n
		if s.Start+n == s.Stop {
			seqs = seqs[1:]
		} else {
			s.Start += n + 1
		}
		if u.Start+n == u.Stop {
			uids = uids[1:]
		} else {
			u.Start += n + 1
		}
	}
	return uid
}

// writeVanished tells which of the asked UIDs were expunged since (RFC 7162
// §3.2.10.1). Where the change log does not reach back, those are all that are
// not there, but for those up to matched.
func (c *conn) writeVanished(r *request, asked imapwire.Set, since uint64, matched uint32) error {
	var gone imapwire.Set
	if since < c.modseq {
		var complete bool
		var err error
		if gone, complete, err = c.session.Vanished(r.ctx, since); err != nil {
			return err
		}
		if !complete {
			gone = imapwire.Set{{Start: matched + 1, Stop: 1<<32 - 1}}
		}
		gone = gone.Intersect(asked).Intersect(imapwire.Set{{Start: 1, Stop: c.view.Next() - 1}}).Subtract(c.view.UIDs())
	}
	if !gone.Empty() {
		c.enc.Raw("* VANISHED (EARLIER) ").Set(gone).CRLF()
	}
	return nil
}
