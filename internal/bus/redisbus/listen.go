package redisbus

import (
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/eidermail/eider/internal/bus"
)

// Pace: watched topics that are told to read again at once after a gap.
const ResyncBatch = 500

// resyncPause is between two batches, so that a gap is no stampede.
const resyncPause = 50 * time.Millisecond

var (
	errSilent  = errors.New("redis: the subscription is silent")
	errNoEcho  = errors.New("redis: own messages do not come back")
	errNoChan  = errors.New("redis: the subscription ended")
	everything = bus.Hint{Topic: bus.Everything, Resync: true}
)

// listen holds a subscription, and has everything read again whenever one begins:
// before it there was a gap, if anybody listened yet. first is called once there is one.
func (b *Bus) listen(first func()) {
	pause := pauseMin
	for b.ctx.Err() == nil {
		err := b.session(func() {
			b.subscribed(nil)
			pause = pauseMin
			b.deliver(everything)
			first()
		})
		b.subscribed(err)
		b.rest(pause)
		pause = min(2*pause, pauseMax)
	}
}

// session subscribes once and reads until that fails. It looks itself whether
// the connection lives: a frozen server takes a PING and never answers, and a
// server that is cut off from the others answers, but carries nothing.
func (b *Bus) session(ready func()) error {
	ps := b.client.Subscribe(b.ctx, b.channel)
	defer ps.Close()
	echo := echoWatch{last: b.echoed.Load()}
	asked := false
	for {
		m, err := ps.ReceiveTimeout(b.ctx, quietTime)
		var timeout net.Error
		switch {
		case b.ctx.Err() != nil:
			return b.ctx.Err()
		case errors.As(err, &timeout) && timeout.Timeout():
			if asked {
				return errSilent
			}
			if err := ps.Ping(b.ctx); err != nil {
				return err
			}
			asked = true
			continue
		case err != nil:
			return err
		}
		asked = false
		switch m := m.(type) {
		case *redis.Subscription:
			if m.Kind != "subscribe" {
				return errNoChan
			}
			ready()
		case *redis.Message:
			b.receive(m.Payload)
		}
		if echo.missing(b.number.Load(), b.echoed.Load(), time.Now()) {
			return errNoEcho
		}
	}
}

// echoWatch notices that own messages do not come back.
type echoWatch struct {
	last  uint64    // the echo seen last
	since time.Time // from when on one is missing; zero: none is
}

func (w *echoWatch) missing(sent, echoed uint64, now time.Time) bool {
	if sent <= echoed || echoed != w.last {
		w.last, w.since = echoed, time.Time{}
		return false
	}
	if w.since.IsZero() {
		w.since = now
	}
	return now.Sub(w.since) > echoTime
}

// receive hands on a message of another process.
func (b *Bus) receive(payload string) {
	m, err := decode(payload)
	if err != nil {
		b.deliver(everything) // it said something, and only reading again tells what
		return
	}
	if m.sender == b.id {
		b.echoed.Store(m.number)
		return
	}
	for _, h := range m.hints {
		b.deliver(h)
	}
}

// deliver hands a hint to its readers in this process.
func (b *Bus) deliver(h bus.Hint) {
	if h.Topic != bus.Everything {
		b.local.Publish(b.ctx, h)
		return
	}
	b.again.Store(true)
	if !b.resyncing.Swap(true) {
		b.wg.Go(b.resync)
	}
}

// resync tells all readers of this process, in batches, for as long as there was
// a reason after it had begun to.
func (b *Bus) resync() {
	for {
		for b.again.Swap(false) {
			for i, t := range b.local.Topics() {
				if i > 0 && i%ResyncBatch == 0 {
					b.rest(resyncPause)
				}
				b.local.Publish(b.ctx, bus.Hint{Topic: t, Resync: true})
			}
		}
		b.resyncing.Store(false)
		if !b.again.Load() || b.resyncing.Swap(true) {
			return
		}
	}
}
