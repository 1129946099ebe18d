// Package bus carries hints between the parts of a server, and between
// servers: "account A reached MODSEQ M". A hint is never the truth: it may be
// late, doubled or lost, and whoever gets one reads the store again. Everything
// is correct, only slower, with a dead bus.
package bus

import "context"

// Topic names what a hint is about: an account id, for mail.
type Topic uint64

// Topics of the bus's own.
const (
	// Everything is all topics at once: a Resync of it is one of each.
	Everything Topic = 0
	// Nodes is where servers tell each other that they can commit: Modseq is
	// when the last commit began, in milliseconds of the store's clock.
	Nodes Topic = 1<<64 - 1
)

// Hint says that Topic has reached Modseq. Resync says that hints may have
// been missed, so everything watched must be read again.
type Hint struct {
	Topic  Topic
	Modseq uint64
	Resync bool
}

// Bus publishes and subscribes to hints.
type Bus interface {
	// Publish sends a hint, best effort, never blocking for long.
	Publish(ctx context.Context, h Hint)
	// Subscribe returns a channel of hints about topic. The channel holds one
	// hint: a slow reader finds the newest, marked Resync if one was dropped
	// that it cannot make up by reading. cancel closes the channel.
	Subscribe(topic Topic) (ch <-chan Hint, cancel func())
	// Err tells why hints of other processes do not come now; nil if they do,
	// and where there are none.
	Err() error
	Close() error
}
