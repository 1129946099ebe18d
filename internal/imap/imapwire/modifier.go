package imapwire

// FetchModifiers are what may stand behind the items of FETCH.
type FetchModifiers struct {
	HasChangedSince bool
	ChangedSince    uint64        // RFC 7162 §3.1.4
	Vanished        bool          // RFC 7162 §3.2.6, of UID FETCH
	Partial         *PartialRange // RFC 9394 §3.3, of UID FETCH
}

// ExpectFetchModifiers reads a list of modifiers.
func (d *Decoder) ExpectFetchModifiers(m *FetchModifiers) bool {
	return d.ExpectList(func() bool {
		switch {
		case d.Word("CHANGEDSINCE"):
			m.HasChangedSince = true
			return d.ExpectSP() && d.ExpectNumber64(&m.ChangedSince)
		case d.Word("VANISHED"):
			m.Vanished = true
			return true
		case d.Word("PARTIAL"):
			m.Partial = new(PartialRange)
			return d.ExpectSP() && d.ExpectPartial(m.Partial)
		}
		return d.Fail("unknown FETCH modifier")
	})
}
