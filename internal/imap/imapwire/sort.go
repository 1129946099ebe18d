package imapwire

// SortOp is a criterion of SORT (RFC 5256 §3, RFC 5957 §3).
type SortOp uint8

// The criteria of SORT.
const (
	SortArrival SortOp = iota
	SortCc
	SortDate
	SortDisplayFrom
	SortDisplayTo
	SortFrom
	SortSize
	SortSubject
	SortTo
)

var sortNames = [...]string{"ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "SIZE", "SUBJECT", "TO"}

// SortKey is a criterion with its direction.
type SortKey struct {
	Op      SortOp
	Reverse bool
}

// Limit: criteria of one IMAP SORT.
const MaxSortKeys = 20

// ExpectSort reads the arguments of SORT from the first to the last.
func (d *Decoder) ExpectSort(ret *SearchReturn, by *[]SortKey, key *SearchKey, charset Charset) bool {
	var keys []SortKey
	ok := d.SearchOptions(ret) && d.ExpectList(func() bool {
		var k SortKey
		if d.Word("REVERSE") {
			if k.Reverse = true; !d.ExpectSP() {
				return false
			}
		}
		name := d.upperName()
		for i, n := range sortNames {
			if n == string(name) {
				k.Op = SortOp(i)
				keys = append(keys, k)
				return len(keys) <= MaxSortKeys || d.Fail("too many sort criteria")
			}
		}
		return d.Fail("unknown sort criterion")
	})
	if ok && len(keys) == 0 {
		return d.Fail("no sort criteria")
	}
	*by = keys
	return ok && d.ExpectSP() && d.expectCharsetAndKeys(key, charset)
}

// expectCharsetAndKeys reads what SORT and THREAD have in common.
func (d *Decoder) expectCharsetAndKeys(key *SearchKey, charset Charset) bool {
	var name string
	return d.ExpectAstring(&name) && d.ExpectSP() && d.ExpectSearchKeys(key, name, charset)
}

// ThreadBy is an algorithm of THREAD (RFC 5256 §3).
type ThreadBy uint8

// The algorithms of THREAD.
const (
	ThreadSubject ThreadBy = iota
	ThreadReferences
)

// ExpectThread reads the arguments of THREAD from the first to the last.
func (d *Decoder) ExpectThread(by *ThreadBy, key *SearchKey, charset Charset) bool {
	switch {
	case d.Word("ORDEREDSUBJECT"):
		*by = ThreadSubject
	case d.Word("REFERENCES"):
		*by = ThreadReferences
	default:
		return d.Fail("unknown threading algorithm")
	}
	return d.ExpectSP() && d.expectCharsetAndKeys(key, charset)
}
