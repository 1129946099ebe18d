package imapd

import (
	"context"
	"slices"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// searching is one SEARCH. A message is looked at in up to three steps, each
// dearer: its row, its index, its bytes; most keys are decided by the first.
type searching struct {
	s       *session
	key     *imapwire.SearchKey
	needs   step // the dearest step that the key has
	index   bool // a step needs the index
	m       matcher
	uids    imapwire.Builder
	modseqs []uint64
	hasMod  bool
	ahead   ahead

	done, goal int // messages looked at, and to be looked at
}

// Search finds messages (RFC 9051 §6.4.4).
func (s *session) Search(ctx context.Context, uids imapwire.Set, key *imapwire.SearchKey) (imap.Found, error) {
	if set, ok := algebra(key, uids); ok {
		return imap.Found{UIDs: set}, nil
	}
	x := &searching{s: s, key: key, ahead: ahead{s: s}, m: matcher{s: s, acct: s.acct(), now: s.b.o.Now()}}
	key.Walk(func(k *imapwire.SearchKey) {
		x.needs = max(x.needs, stepOf(k.Op))
		x.index = x.index || needsIndex(k.Op)
		x.hasMod = x.hasMod || k.Op == imapwire.SearchModSeq
	})
	x.m.prepare(key)
	narrowed := narrow(key, uids)
	x.goal = narrowed.Len()
	err := s.rows(ctx, narrowed, func(rows []mailstore.Entry) error { return x.batch(ctx, rows) })
	return imap.Found{UIDs: x.uids.Set(), ModSeqs: x.modseqs}, err
}

// algebra answers a search of sets alone.
func algebra(k *imapwire.SearchKey, all imapwire.Set) (set imapwire.Set, ok bool) {
	switch k.Op {
	case imapwire.SearchAll:
		return all, true
	case imapwire.SearchUID:
		return all.Intersect(k.Set), true
	case imapwire.SearchNot:
		set, ok = algebra(&k.Keys[0], all)
		return all.Subtract(set), ok
	case imapwire.SearchAnd, imapwire.SearchOr:
		for i := range k.Keys {
			sub, ok := algebra(&k.Keys[i], all)
			switch {
			case !ok:
				return nil, false
			case i == 0:
				set = sub
			case k.Op == imapwire.SearchAnd:
				set = set.Intersect(sub)
			default:
				set = set.Union(sub)
			}
		}
		return set, true
	}
	return nil, false
}

// narrow leaves out messages that a set in the search leaves out anyway.
func narrow(k *imapwire.SearchKey, uids imapwire.Set) imapwire.Set {
	switch k.Op {
	case imapwire.SearchUID:
		return uids.Intersect(k.Set)
	case imapwire.SearchAnd:
		for i := range k.Keys {
			uids = narrow(&k.Keys[i], uids)
		}
	}
	return uids
}

// found notes a message that matches.
func (x *searching) found(e *mailstore.Entry) {
	x.uids.Add(uint32(e.UID))
	if x.hasMod {
		x.modseqs = append(x.modseqs, uint64(e.ModSeq))
	}
}

// batch searches a batch of rows, keeping their order.
func (x *searching) batch(ctx context.Context, rows []mailstore.Entry) error {
	if x.needs == byRow {
		for i := range rows {
			x.m.at(byRow, &rows[i])
			if x.m.eval(x.key) == yes {
				x.found(&rows[i])
			}
		}
		return nil
	}
	for group := range slices.Chunk(rows, infoBatch) {
		if err := x.group(ctx, group); err != nil {
			return err
		}
		x.done += len(group)
		x.s.progress(x.done, x.goal)
	}
	return nil
}

// group decides what rows decide, and looks closer at the rest.
func (x *searching) group(ctx context.Context, rows []mailstore.Entry) error {
	verdicts := make([]verdict, len(rows))
	var open []mailstore.Entry
	for i := range rows {
		x.m.at(byRow, &rows[i])
		if verdicts[i] = x.m.eval(x.key); verdicts[i] == unknown {
			open = append(open, rows[i])
		}
	}
	var infos []mailstore.Info
	if x.index && len(open) > 0 {
		var err error
		if infos, err = x.s.infos(ctx, open); err != nil {
			return err
		}
	}
	closer := make([]verdict, len(open))
	x.ahead.forget()
	for i := range open {
		if closer[i] = x.byIndex(&open[i], infoAt(infos, i)); closer[i] == unknown {
			x.ahead.want(&open[i])
		}
	}
	n := 0
	for i := range rows {
		if verdicts[i] == unknown {
			v := closer[n]
			if v == unknown {
				var err error
				if v, err = x.byContent(ctx, &rows[i], infoAt(infos, n)); err != nil {
					return err
				}
			}
			verdicts[i] = v
			n++
		}
		if verdicts[i] == yes {
			x.found(&rows[i])
		}
	}
	return nil
}

func infoAt(infos []mailstore.Info, i int) *mailstore.Info {
	if infos == nil {
		return nil
	}
	return &infos[i]
}

// byIndex decides a message by its index, or by what is remembered of it.
func (x *searching) byIndex(e *mailstore.Entry, info *mailstore.Info) verdict {
	if info != nil && info.Msg == 0 {
		return no // expunged meanwhile
	}
	x.m.at(byIndex, e)
	x.m.info = info
	return x.m.eval(x.key)
}

// byContent decides a message by its bytes.
func (x *searching) byContent(ctx context.Context, e *mailstore.Entry, info *mailstore.Info) (verdict, error) {
	c, err := x.ahead.open(ctx, e.Msg)
	if gone(err) {
		return no, nil
	}
	if err != nil {
		return no, x.s.refusal(err)
	}
	defer c.Close()
	x.m.at(byContent, e)
	x.m.info, x.m.content = info, c
	v := x.m.eval(x.key)
	return v, x.s.refusal(x.m.err)
}
