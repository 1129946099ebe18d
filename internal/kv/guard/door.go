package guard

import (
	"context"
	"fmt"

	"github.com/eidermail/eider/internal/kv"
)

// Door is where calls enter a handle on a store that lies outside this process.
// Updates of one guard wait here for each other, not with a connection in hand.
type Door struct {
	gate       *Gate
	locks      *Locks
	writers    chan struct{}
	background chan struct{}
}

// NewDoor returns an open Door for so many updates at once, and so many in the
// background among them.
func NewDoor(writers, background int) *Door {
	return &Door{gate: NewGate(), locks: NewLocks(), writers: make(chan struct{}, writers),
		background: make(chan struct{}, background)}
}

// Enter counts a call in. Whoever has entered must Leave.
func (d *Door) Enter(ctx context.Context) error {
	if !d.gate.Enter() {
		return kv.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		d.gate.Leave()
		return err
	}
	return nil
}

// Leave ends what Enter began.
func (d *Door) Leave() { d.gate.Leave() }

// Close is as that of a Gate.
func (d *Door) Close() bool { return d.gate.Close() }

// Update runs do, which writes, when its guards and one of the connections are
// free. If ctx ends before, do was not run.
func (d *Door) Update(ctx context.Context, guards [][]byte, background bool, do func() error) error {
	if err := d.Enter(ctx); err != nil {
		return err
	}
	defer d.Leave()
	if background {
		if err := take(ctx, d.background); err != nil {
			return err
		}
		defer func() { <-d.background }()
	}
	held, err := d.locks.Lock(ctx, guards)
	if err != nil {
		return err
	}
	defer held.Unlock()
	if err := take(ctx, d.writers); err != nil {
		return fmt.Errorf("%w: all connections are busy (%w)", kv.ErrUnavailable, err)
	}
	defer func() { <-d.writers }()
	return do()
}

func take(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
