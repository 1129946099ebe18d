package imapwire

import "slices"

// AppendInOrder writes numbers as a set whose order says which is which: that
// of the numbers, where they ascend (RFC 4315 §3).
func AppendInOrder(b []byte, ns []uint32) []byte {
	if slices.IsSorted(ns) {
		return SetOf(ns...).Append(b)
	}
	for i, n := range ns {
		if i > 0 {
			b = append(b, ',')
		}
		b = Set{{Start: n, Stop: n}}.Append(b)
	}
	return b
}
