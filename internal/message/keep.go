package message

// partCost is what one part takes of an index, without its strings.
const partCost = 44

// newPart makes a part with the defaults of RFC 2045 §5.2 and §6.1.
func (x *Indexer) newPart() *Part {
	x.parts++
	x.budget -= partCost
	return &Part{Type: "text", Subtype: "plain", Encoding: "7bit"}
}

// keep charges a string to the index, or drops it when the index is full.
func (x *Indexer) keep(s string) string {
	if s == "" {
		return s
	}
	if len(s)+3 > x.budget {
		x.defect("more header text than is kept")
		return ""
	}
	x.budget -= len(s) + 3
	return s
}

func (x *Indexer) keepBytes(v []byte) string {
	if len(v) > MaxString {
		x.defect("a header text longer than is kept")
	}
	return x.keep(keepString(v))
}

func (x *Indexer) keepParams(params []Param) []Param {
	for i, p := range params {
		cost := len(p.Name) + len(p.Value) + 8
		if cost > x.budget {
			x.defect("more parameters than are kept")
			return params[:i:i]
		}
		x.budget -= cost
	}
	return params
}

func (x *Indexer) addresses(v []byte) []Address {
	list, cut := parseAddresses(v, MaxAddresses)
	if cut {
		x.defect("more addresses than are kept")
	}
	for i, a := range list {
		cost := len(a.Name) + len(a.Mailbox) + len(a.Host) + 10
		if cost > x.budget {
			x.defect("more addresses than are kept")
			return list[:i:i]
		}
		x.budget -= cost
	}
	return list
}

// references joins References and In-Reply-To.
func (x *Indexer) references() []string {
	refs := cutReferences(x.refs)
	for _, id := range MessageIDs(x.ix.Envelope.InReplyTo) {
		seen := false
		for _, r := range refs {
			seen = seen || r == id
		}
		if !seen && len(refs) < 2*MaxReferences {
			refs = append(refs, id)
		}
	}
	refs = cutReferences(refs)
	for i, r := range refs {
		if x.keep(r) == "" {
			return refs[:i]
		}
	}
	return refs
}

// defect notes something odd, each kind once.
func (x *Indexer) defect(what string) {
	if len(x.ix.Defects) >= MaxDefects {
		return
	}
	for _, d := range x.ix.Defects {
		if d == what {
			return
		}
	}
	x.ix.Defects = append(x.ix.Defects, what)
}
