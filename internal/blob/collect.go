package blob

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Why no order of steps loses a linked blob. Two facts are enough: the last
// look at a blob's links comes at least the grace time after it was condemned,
// and a link is committed less than that after its maker looked at the blob
// (Fresh). Who looked before the condemnation has committed by then, and the
// last look sees the link. Who looked after it found a condemned blob and has
// revived it, which gives the header another revision, and the delete fails.
// The revision is the collector's own: it counts the time since it saw just
// that one itself, by a clock that nobody sets, so that neither a wrong clock
// nor another collector can shorten it. Where a process has the store for
// itself, what an earlier process condemned needs no wait: its makers of links
// are gone.
//
// Why no blob is forgotten. A blob is made and revived with a candidate in the
// same commit, a link goes with a candidate in the same commit, and candidates
// are dropped only under the blob's guard, by who has seen a link after reading
// them, or with the blob.

// Pace: candidates and uploads that are looked at in one step of a shard.
const SweepAtOnce = 1000

// Pace: blobs that one commit of the collector decides about.
const collectGroup = 64

// Limit: condemned blobs whose time one process counts at once; more wait.
const MaxMarks = 100_000

// Pace: chunks that are deleted in the commit that deletes their blob.
const fewChunks = 8

// Swept is what a sweep did.
type Swept struct {
	Condemned int   // blobs that nothing links, found now
	Blobs     int   // blobs deleted
	Bytes     int64 // that their chunks took
	Uploads   int   // uploads swept away
	Kept      int   // candidates that are linked
}

// Add sums.
func (a *Swept) Add(b Swept) {
	a.Condemned += b.Condemned
	a.Blobs += b.Blobs
	a.Bytes += b.Bytes
	a.Uploads += b.Uploads
	a.Kept += b.Kept
}

// collector is what this process knows of condemned blobs.
type collector struct {
	mu     sync.Mutex
	marks  map[row.BlobID]mark
	tidied time.Duration      // when marks were last looked through
	cursor [row.Shards][]byte // where to go on
}

// mark is since when this process has seen a condemned blob unchanged.
type mark struct {
	rev kv.Rev
	at  time.Duration
}

// garbage is a blob with its candidates that were read.
type garbage struct {
	id   row.BlobID
	keys [][]byte
	rev  kv.Rev // of the condemned header
}

// Collect looks at some of a shard's candidates, from where it was the last
// time; more says that there are others. Several collectors at once, in any
// number of processes, are harmless.
func (s *Store) Collect(ctx context.Context, shard byte) (sw Swept, more bool, err error) {
	all, more, err := s.candidates(ctx, shard)
	if err != nil {
		return sw, false, err
	}
	for group := range slices.Chunk(all, collectGroup) {
		fresh, due, err := s.sort(ctx, group)
		if err != nil {
			return sw, more, err
		}
		if err := s.condemn(ctx, fresh, &sw); err != nil {
			return sw, more, err
		}
		if err := s.erase(ctx, shard, due, &sw); err != nil {
			return sw, more, err
		}
	}
	return sw, more, nil
}

// candidates reads the next candidates of a shard, by blob, without those
// whose time is known not to have come.
func (s *Store) candidates(ctx context.Context, shard byte) (all []*garbage, more bool, err error) {
	s.gc.mu.Lock()
	from := s.gc.cursor[shard]
	s.gc.mu.Unlock()
	r := kv.Prefix(row.Garbages(shard))
	if from != nil {
		r.Start = from
	}
	r.Limit, r.KeysOnly = SweepAtOnce, true
	seen := make(map[row.BlobID]*garbage)
	n := 0
	var last []byte
	for it, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return nil, false, err
		}
		n++
		last = it.Key
		k, ok := row.ParseKey(it.Key)
		if !ok || s.waits(k.Blob) {
			continue
		}
		g := seen[k.Blob]
		if g == nil {
			g = &garbage{id: k.Blob}
			seen[k.Blob] = g
			all = append(all, g)
		}
		g.keys = append(g.keys, it.Key)
	}
	more = n == SweepAtOnce
	s.gc.mu.Lock()
	defer s.gc.mu.Unlock()
	if s.gc.cursor[shard] = nil; more {
		s.gc.cursor[shard] = append(slices.Clone(last), 0)
	}
	return all, more, nil
}

// waits tells whether a condemned blob's time has not come.
func (s *Store) waits(id row.BlobID) bool {
	s.gc.mu.Lock()
	defer s.gc.mu.Unlock()
	m, ok := s.gc.marks[id]
	return ok && s.o.Running()-m.at < s.o.Grace
}

// sort reads headers: fresh are the blobs that are live or gone, due those
// that were condemned long enough. The others wait.
func (s *Store) sort(ctx context.Context, all []*garbage) (fresh, due []*garbage, err error) {
	keys := make([][]byte, len(all))
	for i, g := range all {
		keys[i] = row.Blob(g.id)
	}
	items, err := s.kv.GetMulti(ctx, keys...)
	if err != nil {
		return nil, nil, err
	}
	s.gc.mu.Lock()
	defer s.gc.mu.Unlock()
	now := s.o.Running()
	for i, it := range items {
		g := all[i]
		b, err := row.DecodeBlob(it.Value)
		if it.Rev != 0 && err != nil {
			continue // for fsck
		}
		if it.Rev == 0 || b.State != row.BlobCondemned {
			delete(s.gc.marks, g.id)
			fresh = append(fresh, g)
			continue
		}
		m, known := s.gc.marks[g.id]
		switch {
		case s.o.Exclusive && b.By != s.process, known && m.rev == it.Rev && now-m.at >= s.o.Grace:
			g.rev = it.Rev
			due = append(due, g)
		case known && m.rev == it.Rev:
		case known || s.roomToMark(now):
			s.gc.marks[g.id] = mark{it.Rev, now}
		}
	}
	return fresh, due, nil
}

// roomToMark makes room, when there is none, among marks that nobody has come back
// to for long: another process has deleted their blobs. One that had is made again.
func (s *Store) roomToMark(now time.Duration) bool {
	if len(s.gc.marks) < MaxMarks {
		return true
	}
	if now-s.gc.tidied < s.o.Grace {
		return false
	}
	s.gc.tidied = now
	maps.DeleteFunc(s.gc.marks, func(_ row.BlobID, m mark) bool { return now-m.at >= 2*s.o.Grace })
	return len(s.gc.marks) < MaxMarks
}

func guardsOf(all []*garbage) [][]byte {
	guards := make([][]byte, len(all))
	for i, g := range all {
		guards[i] = row.Blob(g.id)
	}
	return guards
}

// condemn condemns those blobs that nothing links, and drops the candidates of
// the others.
func (s *Store) condemn(ctx context.Context, all []*garbage, sw *Swept) error {
	if len(all) == 0 {
		return nil
	}
	var done Swept
	err := s.kv.Update(ctx, guardsOf(all), func(tx kv.Tx) error {
		done = Swept{}
		for i, g := range all {
			if err := s.condemnOne(ctx, tx, i, g, &done); err != nil {
				return err
			}
		}
		return nil
	}, kv.Reclaim(), kv.Background())
	if err == nil {
		sw.Add(done)
	}
	return err
}

func (s *Store) condemnOne(ctx context.Context, tx kv.Tx, i int, g *garbage, done *Swept) error {
	head := tx.Guard(i)
	if head.Rev == 0 {
		g.drop(tx)
		return nil
	}
	b, err := row.DecodeBlob(head.Value)
	if err != nil || b.State == row.BlobCondemned {
		return err
	}
	linked, err := linked(ctx, tx, g.id)
	switch {
	case err != nil:
		return err
	case linked:
		g.drop(tx)
		done.Kept++
	default:
		b.State, b.By = row.BlobCondemned, s.process
		tx.Put(row.Blob(g.id), b.Append(nil))
		done.Condemned++
	}
	return nil
}

// drop deletes the candidates that were read.
func (g *garbage) drop(tx kv.Tx) {
	for _, k := range g.keys {
		tx.Delete(k)
	}
}

// linked tells whether any message links a blob.
func linked(ctx context.Context, rd kv.Reader, id row.BlobID) (bool, error) {
	links := kv.Prefix(row.Links(id))
	links.Limit, links.KeysOnly = 1, true
	for _, err := range rd.Scan(ctx, links) {
		return err == nil, err
	}
	return false, nil
}

// erase deletes blobs that were condemned long enough and that nothing links.
func (s *Store) erase(ctx context.Context, shard byte, all []*garbage, sw *Swept) error {
	if len(all) == 0 {
		return nil
	}
	// A commit of our own first: a link whose commit hung all the time, because
	// the store's other half was away, is visible when this one has returned.
	if err := s.barrier(ctx, shard); err != nil {
		return err
	}
	var done Swept
	var left []erased
	err := s.kv.Update(ctx, guardsOf(all), func(tx kv.Tx) error {
		done, left = Swept{}, nil
		for i, g := range all {
			e, err := s.eraseOne(ctx, tx, i, g, &done)
			if err != nil {
				return err
			}
			if e.journal != nil {
				left = append(left, e)
			}
		}
		return nil
	}, kv.Reclaim(), kv.Background())
	if err != nil {
		return err
	}
	sw.Add(done)
	s.gc.mu.Lock()
	for _, g := range all {
		delete(s.gc.marks, g.id)
	}
	s.gc.mu.Unlock()
	for _, e := range left {
		if err := s.dropUpload(ctx, e.id, e.up, e.journal); err != nil {
			return err
		}
	}
	return nil
}

// erased is a deleted blob whose chunks are still there.
type erased struct {
	id      row.BlobID
	up      row.UploadID
	journal []byte
}

func (s *Store) eraseOne(ctx context.Context, tx kv.Tx, i int, g *garbage, done *Swept) (e erased, err error) {
	head := tx.Guard(i)
	if head.Rev != g.rev {
		return e, nil // somebody revived it, or was faster
	}
	b, err := row.DecodeBlob(head.Value)
	if err != nil {
		return e, err
	}
	linked, err := linked(ctx, tx, g.id)
	if err != nil {
		return e, err
	}
	g.drop(tx)
	if linked {
		b.State, b.By = row.BlobLive, 0
		tx.Put(row.Blob(g.id), b.Append(nil))
		done.Kept++
		return e, nil
	}
	tx.Delete(row.Blob(g.id))
	done.Blobs++
	done.Bytes += b.Stored
	if b.Chunks <= fewChunks {
		for n := range b.Chunks {
			tx.Delete(row.Chunk(g.id, b.Upload, n))
		}
		return e, nil
	}
	// The chunks become an upload that nobody wants, so that a crash before
	// they are gone leaves them to the sweep.
	e = erased{g.id, b.Upload, row.Upload(uint32(b.Created), b.Upload, g.id)}
	tx.Put(e.journal, row.AppendUpload(nil, row.UploadDead))
	return e, nil
}

// barrierLease is added to a shard's number for the key of its barrier.
const barrierLease = 0x40

// barrier is one durable commit.
func (s *Store) barrier(ctx context.Context, shard byte) error {
	key := row.Lease(barrierLease + shard)
	now := binary.BigEndian.AppendUint64(nil, uint64(s.o.Now().UnixNano()))
	return s.kv.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
		tx.Put(key, now)
		return nil
	}, kv.Reclaim(), kv.NoCombine())
}

// dropUpload deletes the chunks of a dead upload and then its journal row.
func (s *Store) dropUpload(ctx context.Context, id row.BlobID, up row.UploadID, journal []byte) error {
	if err := s.kv.DeletePrefix(ctx, row.Chunks(id, up)); err != nil {
		return err
	}
	return s.kv.Update(ctx, [][]byte{row.Blob(id)}, func(tx kv.Tx) error {
		tx.Delete(journal)
		return nil
	}, kv.Reclaim(), kv.Background())
}

// Sweep removes a shard's uploads that were begun more than UploadLife before
// now and never committed, and those that are dead already.
func (s *Store) Sweep(ctx context.Context, shard byte, now time.Time) (sw Swept, err error) {
	var keys [][]byte
	r := kv.Prefix(row.Uploads(shard))
	r.Limit = SweepAtOnce
	for it, err := range s.kv.Scan(ctx, r) {
		if err != nil {
			return sw, err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok {
			continue
		}
		state, err := row.DecodeUpload(it.Value)
		if err != nil || state == row.UploadDead || int64(k.Time) < now.Add(-UploadLife).Unix() {
			keys = append(keys, it.Key)
		}
	}
	for _, journal := range keys {
		done, err := s.sweep(ctx, journal)
		if err != nil {
			return sw, err
		}
		if done {
			sw.Uploads++
		}
	}
	return sw, nil
}

func (s *Store) sweep(ctx context.Context, journal []byte) (done bool, err error) {
	k, _ := row.ParseKey(journal)
	err = s.kv.Update(ctx, [][]byte{row.Blob(k.Blob)}, func(tx kv.Tx) error {
		done = false
		items, err := tx.GetMulti(ctx, journal)
		if err != nil || items[0].Rev == 0 {
			return err // committed meanwhile, or another sweeper was here
		}
		done = true
		tx.Put(journal, row.AppendUpload(nil, row.UploadDead))
		return nil
	}, kv.Reclaim(), kv.Background())
	if err != nil || !done {
		return false, err
	}
	return true, s.dropUpload(ctx, k.Blob, k.Upload, journal)
}
