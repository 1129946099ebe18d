package redisbus

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/bus"
)

// Limit: topics whose hints wait for Redis; beyond it the others are told to read everything again.
const MaxWaiting = 65_536

// outbox is what waits to be published: the newest hint of each topic.
type outbox struct {
	mu    sync.Mutex
	hints map[bus.Topic]bus.Hint
	lost  bool          // hints were dropped: everybody must read again
	more  chan struct{} // holds one when there is something
}

func (o *outbox) init() {
	o.hints, o.more = map[bus.Topic]bus.Hint{}, make(chan struct{}, 1)
}

// add leaves a hint, joined with what waits for its topic.
func (o *outbox) add(h bus.Hint) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.put(h)
	o.wake()
}

func (o *outbox) put(h bus.Hint) {
	old, ok := o.hints[h.Topic]
	if !ok && len(o.hints) >= MaxWaiting {
		o.lost = true
		return
	}
	h.Modseq, h.Resync = max(h.Modseq, old.Modseq), h.Resync || old.Resync
	o.hints[h.Topic] = h
}

func (o *outbox) wake() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// take takes at most MaxBatch hints out. A lost hint is a resync of everything.
func (o *outbox) take() []bus.Hint {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]bus.Hint, 0, min(len(o.hints)+1, MaxBatch))
	if o.lost {
		o.lost = false
		out = append(out, bus.Hint{Topic: bus.Everything, Resync: true})
	}
	for t, h := range o.hints {
		if len(out) == MaxBatch {
			o.wake()
			break
		}
		out = append(out, h)
		delete(o.hints, t)
	}
	return out
}

// back puts hints back that could not be sent.
func (o *outbox) back(hints []bus.Hint) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range hints {
		if h.Topic == bus.Everything {
			o.lost = true
		} else {
			o.put(h)
		}
	}
	if len(hints) > 0 {
		o.wake()
	}
}

// publish sends what waits, and now and then an empty message: Err is right
// while nobody has anything to say, and the way there and back is tried.
func (b *Bus) publish() {
	idle := time.NewTicker(2 * quietTime)
	defer idle.Stop()
	pause := pauseMin
	for number := uint64(1); ; {
		select {
		case <-b.ctx.Done():
			b.last(number)
			return
		case <-idle.C:
		case <-b.out.more:
		}
		hints := b.out.take()
		err := b.call(b.send(number, hints))
		if b.ctx.Err() == nil {
			b.sent(err)
		}
		if err == nil {
			b.number.Store(number)
			number++
			pause = pauseMin
			continue
		}
		b.out.back(hints)
		b.rest(pause)
		pause = min(2*pause, pauseMax)
	}
}

// send is the request that publishes hints.
func (b *Bus) send(number uint64, hints []bus.Hint) func(context.Context) error {
	m := message{sender: b.id, number: number, hints: hints}
	return func(ctx context.Context) error { return b.client.Publish(ctx, b.channel, m.encode()).Err() }
}

// call bounds a request.
func (b *Bus) call(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(b.ctx, 2*CallTime)
	defer cancel()
	return f(ctx)
}

// last tries once more to send what waits when the bus is closed.
func (b *Bus) last(number uint64) {
	hints := b.out.take()
	if len(hints) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), CallTime)
	defer cancel()
	_ = b.send(number, hints)(ctx) // hints may be lost
}

// rest pauses, unless the bus is closed.
func (b *Bus) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-b.ctx.Done():
	case <-t.C:
	}
}

func newID() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
