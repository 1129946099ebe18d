package overlay

import "github.com/eidermail/eider/internal/kv"

// Stack lets several functions share one transaction, each as if those before
// it had been committed: it sees what they wrote, and what one wrote that
// failed is not part of it.
type Stack struct {
	all    Tx // the writes of those that joined, over the transaction
	one    Tx // the writes of the one that runs, over all
	guards []kv.Item
}

// Start puts an empty Stack over a transaction with so many guards.
func (s *Stack) Start(tx kv.Tx, guards int) {
	s.all.Start(tx, nil, tx.Epoch())
	s.guards = s.guards[:0]
	for i := range guards {
		s.guards = append(s.guards, tx.Guard(i))
	}
}

// Reset lets go of all keys and values.
func (s *Stack) Reset() {
	s.all.Start(nil, nil, 0)
	s.one.Start(nil, nil, 0)
	clear(s.guards)
	s.guards = s.guards[:0]
}

// Next is the Tx of the next function; what the one before wrote without
// joining is forgotten.
func (s *Stack) Next() *Tx {
	s.one.Start(&s.all, s.guards, s.all.Epoch())
	return &s.one
}

// Len is the number of keys, Bytes the size of what has joined.
func (s *Stack) Len() int { return s.all.Len() }

// Bytes is the size of all keys and values that have joined.
func (s *Stack) Bytes() int { return s.all.Bytes() }

// Fits tells whether the next one's writes go with the others within limits.
func (s *Stack) Fits(keys, bytes int) bool {
	return s.all.Len()+s.one.Len() <= keys && s.all.Bytes()+s.one.Bytes() <= bytes
}

// Join adds what the function that ran last wrote. What it expects of keys that
// were written before it is decided here: it does not join if that is not so.
func (s *Stack) Join() bool {
	open := s.one.Expects()[:0]
	for _, e := range s.one.Expects() {
		own, ok := s.all.Lookup(e.Key)
		switch {
		case !ok:
			open = append(open, e)
		case own.Rev != e.Rev:
			return false
		}
	}
	s.all.Merge(&s.one.Set, open)
	for i := range s.guards {
		if own, ok := s.all.Lookup(s.guards[i].Key); ok {
			s.guards[i] = own.item()
		}
	}
	return true
}

// HandOn hands all that has joined to the transaction.
func (s *Stack) HandOn(tx kv.Tx) {
	for w := range s.all.Writes {
		if w.Delete {
			tx.Delete(w.Key)
		} else {
			tx.Put(w.Key, w.Value)
		}
	}
	for _, e := range s.all.Expects() {
		tx.Expect(e.Key, e.Rev)
	}
}
