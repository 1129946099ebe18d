package web

import "github.com/eidermail/eider/internal/mailstore"

// EnterStreams opens event streams of accounts of their own until one is
// refused, at most n, and tells how many were opened and what ends one of them.
func EnterStreams(n int) (opened int, again func() bool) {
	s := &streams{}
	for opened < n && s.enter(mailstore.AcctID(opened+1)) {
		opened++
	}
	return opened, func() bool { s.leave(1); return s.enter(1) }
}
