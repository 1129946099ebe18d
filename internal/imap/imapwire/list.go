package imapwire

// ListOptions are the options of LIST (RFC 5258, RFC 5819, RFC 6154 §2).
type ListOptions struct {
	Reference string
	Patterns  []string
	Extended  bool // more than one pattern, or options: the answer's form is RFC 5258's

	Subscribed, Remote, Recursive, SpecialUse bool // selection

	ReturnChildren, ReturnSubscribed, ReturnSpecial bool
	Status                                          []string
}

// Matches tells whether a name fits one of the patterns.
func (o *ListOptions) Matches(name string) bool {
	for _, p := range o.Patterns {
		if p == "" {
			continue
		}
		if MatchPattern(o.Reference+p, name) {
			return true
		}
	}
	return false
}

// ExpectListOptions reads the arguments of LIST, extended or not.
func (d *Decoder) ExpectListOptions(o *ListOptions, status func(*Decoder, *[]string) bool) bool {
	if d.List(func() bool { return d.listSelection(o) }) {
		o.Extended = true
		if o.Recursive && !o.Subscribed {
			return d.Fail("RECURSIVEMATCH needs another option")
		}
		if !d.ExpectSP() {
			return false
		}
	}
	if !d.ExpectMailbox(&o.Reference) || !d.ExpectSP() {
		return false
	}
	bytes := len(o.Reference)
	pattern := func() bool {
		var p string
		if len(o.Patterns) >= maxListPatterns {
			return d.Fail("too many patterns")
		}
		if !d.ExpectListMailbox(&p) {
			return false
		}
		if bytes += len(p); bytes > maxListBytes {
			return d.Fail("patterns too long")
		}
		o.Patterns = append(o.Patterns, p)
		return true
	}
	if d.List(pattern) {
		o.Extended = true
	} else if !pattern() {
		return false
	}
	if !d.SP() {
		return true
	}
	o.Extended = true
	if !d.Word("RETURN") {
		return d.Fail("expected RETURN")
	}
	return d.ExpectSP() && d.ExpectList(func() bool { return d.listReturn(o, status) })
}

// Limit: patterns of one IMAP LIST (RFC 5258).
const maxListPatterns = 100

// Limit: bytes of all patterns of one IMAP LIST: matching costs in proportion.
const maxListBytes = 4 << 10

func (d *Decoder) listSelection(o *ListOptions) bool {
	switch {
	case d.Word("SUBSCRIBED"):
		o.Subscribed = true
	case d.Word("REMOTE"):
		o.Remote = true // there are none, so it changes nothing
	case d.Word("RECURSIVEMATCH"):
		o.Recursive = true
	case d.Word("SPECIAL-USE"):
		o.SpecialUse = true
	default:
		return d.Fail("unknown selection option")
	}
	return true
}

func (d *Decoder) listReturn(o *ListOptions, status func(*Decoder, *[]string) bool) bool {
	switch {
	case d.Word("CHILDREN"):
		o.ReturnChildren = true
	case d.Word("SUBSCRIBED"):
		o.ReturnSubscribed = true
	case d.Word("SPECIAL-USE"):
		o.ReturnSpecial = true
	case d.Word("STATUS"):
		return d.ExpectSP() && status(d, &o.Status)
	default:
		return d.Fail("unknown RETURN option")
	}
	return true
}
