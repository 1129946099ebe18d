package mongofake

import (
	"time"

	"github.com/google/btree"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// space is a collection: its documents by _id, in the order of bytes.
type space struct{ tree *btree.BTreeG[*entry] }

func newSpace() *space {
	return &space{btree.NewG(16, func(a, b *entry) bool { return a.id < b.id })}
}

// stats are the sizes of all documents, as if nothing were compressed. A place
// whose document was removed is free.
func (s *Set) stats() bson.D {
	const place = 64.0
	total, free := 0.0, 0.0
	for _, sp := range s.spaces {
		sp.tree.Ascend(func(e *entry) bool {
			b, err := bson.Marshal(e.latest().doc)
			if err != nil || e.latest().doc == nil {
				free += place
			}
			total += place + float64(len(b))
			return true
		})
	}
	return bson.D{{Key: "storageSize", Value: total}, {Key: "indexSize", Value: 0.0},
		{Key: "freeStorageSize", Value: free}, {Key: "indexFreeStorageSize", Value: 0.0},
		{Key: "fsTotalSize", Value: 1e12}, {Key: "fsUsedSize", Value: 4e11}}
}

// entry is one document through time. A document that was removed is nil.
type entry struct {
	id       string
	versions []version // by rising time
	writer   *txn      // who has an uncommitted write
}

type version struct {
	at  uint64
	doc bson.D
}

func (e *entry) latest() version {
	if len(e.versions) == 0 {
		return version{}
	}
	return e.versions[len(e.versions)-1]
}

type state int

const (
	running state = iota
	committed
	aborted
)

// txn is a transaction, or one statement outside of any.
type txn struct {
	session *session
	number  int64
	at      uint64 // its snapshot
	started time.Time
	state   state
	writes  map[*entry]bson.D
	order   []*entry
}

// see is a document as the transaction sees it.
func (t *txn) see(e *entry) bson.D {
	if doc, own := t.writes[e]; own {
		return doc
	}
	for i := len(e.versions) - 1; i >= 0; i-- {
		if e.versions[i].at <= t.at {
			return e.versions[i].doc
		}
	}
	return nil
}

// write sets a document, unless somebody else has or had it since the snapshot:
// the first writer wins.
func (s *Set) write(t *txn, e *entry, doc bson.D) error {
	if w := e.writer; w != nil && w != t && time.Since(w.started) > s.Lifetime {
		s.end(w, aborted)
	}
	if e.writer != nil && e.writer != t || e.latest().at > t.at {
		return errConflict
	}
	e.writer = t
	if _, own := t.writes[e]; !own {
		t.order = append(t.order, e)
	}
	t.writes[e] = doc
	return nil
}

// begin makes a transaction at this moment.
func (s *Set) begin() *txn {
	t := &txn{at: s.clock, started: time.Now(), writes: map[*entry]bson.D{}}
	s.live[t] = struct{}{}
	return t
}

// end commits or aborts.
func (s *Set) end(t *txn, how state) {
	if t.state != running {
		return
	}
	t.state = how
	delete(s.live, t)
	if how == committed && len(t.order) > 0 {
		s.clock++
	}
	oldest := s.clock
	for o := range s.live {
		oldest = min(oldest, o.at)
	}
	for _, e := range t.order {
		e.writer = nil
		if how == committed {
			e.versions = append(e.versions, version{s.clock, t.writes[e]})
		}
		e.forget(oldest)
	}
	t.writes, t.order = nil, nil
}

// forget drops the versions that no snapshot from oldest on can see.
func (e *entry) forget(oldest uint64) {
	n := 0
	for n+1 < len(e.versions) && e.versions[n+1].at <= oldest {
		n++
	}
	e.versions = append([]version(nil), e.versions[n:]...)
}

// entry finds the place of a document, making it if asked.
func (sp *space) entry(id string, make bool) *entry {
	if e, ok := sp.tree.Get(&entry{id: id}); ok || !make {
		return e
	}
	e := &entry{id: id}
	sp.tree.ReplaceOrInsert(e)
	return e
}

// field of a document, nil if it has none.
func field(d bson.D, name string) any {
	for _, e := range d {
		if e.Key == name {
			return e.Value
		}
	}
	return nil
}

// filter is what a query asks for.
type filter struct {
	ids      []string // exactly these, if not nil
	from, to string
	bounded  bool // to counts
	last     bool // to is included
	rev      any
}

func parseFilter(q bson.D) (f filter) {
	f.rev = field(q, "r")
	switch id := field(q, "_id").(type) {
	case string:
		f.ids = []string{id}
	case bson.D:
		for _, e := range id {
			switch e.Key {
			case "$in":
				for _, v := range e.Value.(bson.A) {
					f.ids = append(f.ids, v.(string))
				}
			case "$gte":
				f.from = e.Value.(string)
			case "$lt", "$lte":
				f.to, f.bounded, f.last = e.Value.(string), true, e.Key == "$lte"
			}
		}
	}
	return f
}

// each calls visit for the documents of a filter, in order, until it returns false.
func (sp *space) each(t *txn, f filter, reverse bool, visit func(*entry, bson.D) bool) {
	look := func(e *entry) bool {
		doc := t.see(e)
		if doc == nil || f.rev != nil && field(doc, "r") != f.rev {
			return true
		}
		return visit(e, doc)
	}
	if f.ids != nil {
		for _, id := range f.ids {
			if e := sp.entry(id, false); e != nil && !look(e) {
				return
			}
		}
		return
	}
	within := func(e *entry) bool { return !f.bounded || e.id < f.to || f.last && e.id == f.to }
	if reverse {
		sp.tree.Descend(func(e *entry) bool {
			return !within(e) || e.id >= f.from && look(e)
		})
		return
	}
	sp.tree.AscendGreaterOrEqual(&entry{id: f.from}, func(e *entry) bool { return within(e) && look(e) })
}

// change applies the operators of an update to a copy of a document; nil means
// that it is made anew.
func change(doc bson.D, id string, update bson.D) bson.D {
	fresh := doc == nil
	out := append(bson.D(nil), doc...)
	if fresh {
		out = bson.D{{Key: "_id", Value: id}}
	}
	for _, op := range update {
		if op.Key == "$set" || op.Key == "$setOnInsert" && fresh {
			for _, e := range op.Value.(bson.D) {
				out = with(out, e)
			}
		}
	}
	return out
}

func with(doc bson.D, e bson.E) bson.D {
	for i := range doc {
		if doc[i].Key == e.Key {
			doc[i].Value = e.Value
			return doc
		}
	}
	return append(doc, e)
}
