// Package janitor is the background work of the mail store: it removes mail
// whose deadline has come, accounts that nobody used, what is left of deleted
// mailboxes and accounts, and blobs that nothing links. It finds all of it by
// index rows, never by looking through accounts. It promises that whatever it
// was in the midst of when it was stopped is taken up again, and that two
// janitors at once do no harm. It never decides what expires: that stands in
// the rows.
package janitor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/blob"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Limit: deadlines of one shard that are read at once.
const Batch = 2000

// Pace: accounts that expiry works on at once: they share the wait for the disk.
const Workers = 32

const (
	// DefaultPoll is how long deadlines wait at most that were not foreseen.
	DefaultPoll = 5 * time.Second
	// SweepEvery is how often blobs and uploads are looked after.
	SweepEvery = 30 * time.Second
	// FullEvery is how often all deadlines are read from the first: between
	// that, from a low-water mark, so that what was deleted is not passed again.
	FullEvery = 24 * time.Hour
	// Slack is how far before the mark reading starts: for a deadline whose
	// commit took long, or was made by a clock that is behind.
	Slack = 10 * time.Minute
	// Overdue is how late a deadline must be to be doubted (Options.Doubt).
	Overdue = 24 * time.Hour
	// MaxSkew is how far a clock may be from the store's for a janitor to work by it.
	MaxSkew = 60 * time.Second
	// callTime bounds the work on one account or one shard.
	callTime = 2 * time.Minute
)

// Options configure a Janitor.
type Options struct {
	Store *mailstore.Store
	KV    kv.Store
	Log   *slog.Logger
	Now   func() time.Time // time.Now if nil
	Poll  time.Duration    // DefaultPoll if 0
	// Doubt is how long after its start a janitor leaves alone what is overdue by more
	// than Overdue: a machine that starts with a wrong clock gets the right one within
	// minutes, and one that was off for long can wait. 0: not at all.
	Doubt time.Duration
	// Others tells how many commits were made so far that are not background
	// work: while there are any, expiry gives way. Nil: it never does.
	Others func() int64
	// Done is called after each pass that did something: for counters.
	Done func(Report)
}

// Report is what a pass did.
type Report struct {
	mailstore.Expired
	blob.Swept
	Failed int // accounts or shards that could not be dealt with
}

// Janitor does the background work.
type Janitor struct {
	o     Options
	began time.Time // by a clock that nobody sets
	doubt bool      // whether what is long overdue is left alone still
	said  bool
	blobs *blob.Store
	pace  pacer
	mark  [row.Shards]uint32 // deadlines before it are gone
	full  time.Time          // when all deadlines were read last
	swept time.Time
}

// New returns a Janitor.
func New(o Options) *Janitor {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Poll <= 0 {
		o.Poll = DefaultPoll
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Janitor{o: o, began: time.Now(), doubt: o.Doubt > 0, blobs: o.Store.Blobs(), pace: pacer{others: o.Others}}
}

// Run works until ctx ends.
func (j *Janitor) Run(ctx context.Context) error {
	skewed := false
	for {
		wait := j.o.Poll
		if j.skewed(ctx) {
			if !skewed {
				j.o.Log.Error("this machine's clock is too far from the store's: nothing expires here until it is set")
			}
			skewed = true
		} else {
			skewed = false
			var r Report
			r, wait = j.Pass(ctx)
			if j.o.Done != nil && r != (Report{}) {
				j.o.Done(r)
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// skewed compares this machine's clock with the store's, by which deadlines are meant.
func (j *Janitor) skewed(ctx context.Context) bool {
	h, err := j.o.KV.Ping(ctx)
	if err != nil || h.Time.IsZero() {
		return false // the pass will find out
	}
	d := time.Since(h.Time)
	return d > MaxSkew || d < -MaxSkew
}

// Pass does all that is due now, and tells how long nothing else is.
func (j *Janitor) Pass(ctx context.Context) (r Report, wait time.Duration) {
	now := j.o.Now()
	if j.doubt && time.Since(j.began) >= j.o.Doubt {
		j.doubt, j.full = false, time.Time{} // and all is read from the first
	}
	if now.Sub(j.full) >= FullEvery {
		j.full = now
		j.mark = [row.Shards]uint32{}
	}
	wait = j.o.Poll
	for shard := byte(0); shard < row.Shards && ctx.Err() == nil; shard++ {
		next, err := j.shard(ctx, shard, now, &r)
		if err != nil {
			j.failed(ctx, &r, "deadlines", err)
			continue
		}
		if next != 0 {
			wait = min(wait, max(time.Unix(int64(next), 0).Sub(j.o.Now()), 0))
		}
	}
	if now.Sub(j.swept) >= SweepEvery {
		j.swept = now
		for shard := byte(0); shard < row.Shards && ctx.Err() == nil; shard++ {
			j.sweep(ctx, shard, now, &r)
		}
	}
	return r, max(wait, 10*time.Millisecond)
}

func (j *Janitor) failed(ctx context.Context, r *Report, what string, err error) {
	if ctx.Err() == nil {
		r.Failed++
		j.o.Log.Warn("janitor could not finish, tries again", "what", what, "err", err)
	}
}

// shard does what is due in one shard; next is the first deadline that is not.
func (j *Janitor) shard(ctx context.Context, shard byte, now time.Time, r *Report) (next uint32, err error) {
	limit := uint32(now.Unix())
	from := row.Deadlines(shard, j.mark[shard])
	if j.doubt {
		if from, err = j.doubted(ctx, shard, limit); err != nil {
			return 0, err
		}
	}
	for {
		j.pace.begin()
		due, after, last, err := j.due(ctx, shard, from, limit)
		if err != nil {
			return 0, err
		}
		clean := j.expire(ctx, due, r)
		if len(due) > 0 {
			j.pace.rest(ctx, j.o.Now().Sub(time.Unix(int64(due[0].At), 0)))
		}
		if ctx.Err() != nil {
			return 0, nil
		}
		if after != 0 || len(due) < Batch {
			if clean {
				j.mark[shard] = limit - min(limit, uint32(Slack/time.Second))
			}
			return after, nil
		}
		from = append(last, 0)
	}
}

// doubted is where to begin while what is long overdue is left alone. It is said
// once if there is any.
func (j *Janitor) doubted(ctx context.Context, shard byte, limit uint32) (from []byte, err error) {
	since := limit - min(limit, uint32(Overdue/time.Second))
	from = row.Deadlines(shard, since)
	if j.said {
		return from, nil
	}
	first := kv.Range{Start: row.Deadlines(shard, 0), End: from, Limit: 1, KeysOnly: true}
	for _, err := range j.o.KV.Scan(ctx, first) {
		if err != nil {
			return nil, err
		}
		j.said = true
		j.o.Log.Warn("mail should have gone more than a day ago: if this machine's clock is wrong, set it now",
			"it goes in", (j.o.Doubt - time.Since(j.began)).Round(time.Second).String())
	}
	return from, nil
}

// due reads a batch of deadlines up to limit; after is the first beyond it.
func (j *Janitor) due(ctx context.Context, shard byte, from []byte, limit uint32,
) (due []mailstore.Due, after uint32, last []byte, err error) {
	r := kv.Range{Start: from, End: kv.PrefixEnd([]byte{row.TagDeadline, shard}), Limit: Batch, KeysOnly: true}
	for it, err := range j.o.KV.Scan(ctx, r) {
		if err != nil {
			return nil, 0, nil, err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok {
			continue
		}
		if k.Time > limit {
			return due, k.Time, nil, nil
		}
		last = append([]byte(nil), it.Key...)
		due = append(due, mailstore.Due{
			At: k.Time, Acct: mailstore.AcctID(k.Acct),
			Mailbox: mailstore.MailboxID(k.Mbox), UID: mailstore.UID(k.UID)})
	}
	return due, 0, last, nil
}

// expire does what deadlines are for, account by account; clean says that all was done.
func (j *Janitor) expire(ctx context.Context, due []mailstore.Due, r *Report) (clean bool) {
	due, clean = j.unused(ctx, due, r)
	byAcct := make(map[mailstore.AcctID][]mailstore.Due)
	var order []mailstore.AcctID
	for _, d := range due {
		if byAcct[d.Acct] == nil {
			order = append(order, d.Acct)
		}
		byAcct[d.Acct] = append(byAcct[d.Acct], d)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, Workers)
	for _, id := range order {
		if ctx.Err() != nil {
			clean = false
			break
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			call, cancel := context.WithTimeout(ctx, callTime)
			defer cancel()
			done, err := j.o.Store.Expire(call, id, byAcct[id])
			mu.Lock()
			defer mu.Unlock()
			r.Messages += done.Messages
			r.Mailboxes += done.Mailboxes
			r.Accounts += done.Accounts
			if err != nil {
				clean = false
				j.failed(ctx, r, "expiry", err)
			}
		})
	}
	wg.Wait()
	return clean && ctx.Err() == nil
}

// unused ends the accounts that nobody ever used, and returns what else is due.
func (j *Janitor) unused(ctx context.Context, due []mailstore.Due, r *Report) (left []mailstore.Due, clean bool) {
	call, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	ended, left, err := j.o.Store.ExpireUnused(call, due)
	r.Accounts += ended
	if err != nil {
		j.failed(ctx, r, "expiry", err)
	}
	return left, err == nil
}

// sweep collects a shard's unlinked blobs and dead uploads.
func (j *Janitor) sweep(ctx context.Context, shard byte, now time.Time, r *Report) {
	call, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	for more := true; more && call.Err() == nil; {
		var done blob.Swept
		var err error
		done, more, err = j.blobs.Collect(call, shard)
		r.Swept.Add(done)
		if err != nil {
			j.failed(ctx, r, "blobs", err)
			break
		}
	}
	done, err := j.blobs.Sweep(call, shard, now)
	r.Swept.Add(done)
	if err != nil {
		j.failed(ctx, r, "uploads", err)
	}
}
