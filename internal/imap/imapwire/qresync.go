package imapwire

// Resync is what a client knows of a mailbox that it comes back to (RFC 7162 §3.2.5).
type Resync struct {
	Validity uint32
	ModSeq   uint64
	Known    SeqSet // UIDs; nil: all
	// Seqs and UIDs are some of the message numbers and UIDs that it knows, pair by pair.
	Seqs, UIDs SeqSet
}

// ExpectResync reads QRESYNC's (uidvalidity modseq [known-uids] [(seqs uids)]).
func (d *Decoder) ExpectResync(q *Resync) bool {
	if !d.ExpectByte('(') || !d.ExpectNumber(&q.Validity) || !d.ExpectSP() || !d.ExpectNumber64(&q.ModSeq) {
		return false
	}
	if q.Validity == 0 || q.ModSeq == 0 {
		return d.Fail("UIDVALIDITY and MODSEQ are not 0")
	}
	more := d.SP()
	if more && d.SeqSet(&q.Known) {
		if !plainSet(q.Known) {
			return d.Fail("known UIDs are plain numbers")
		}
		more = d.SP()
	}
	if more && (!d.ExpectByte('(') || !d.ExpectSeqSet(&q.Seqs) || !d.ExpectSP() || !d.ExpectSeqSet(&q.UIDs) ||
		!d.ExpectByte(')') || !plainSet(q.Seqs) || !plainSet(q.UIDs)) {
		return d.Fail("bad sequence match data")
	}
	return d.ExpectByte(')')
}

// plainSet tells that a set has neither "*" nor "$".
func plainSet(q SeqSet) bool {
	_, star := q.Max()
	return !star && !q.Saved()
}
