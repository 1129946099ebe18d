package policy

import (
	"context"
	"sync"
	"time"
)

// aged is what the store said, which is believed for a while and then asked for
// again, by one caller at a time. The others wait for that, but none longer than
// its own context: a store that is away must not make them wait one after another.
type aged[T any] struct {
	asking chan struct{} // has an element while somebody asks

	mu    sync.Mutex
	at    time.Time // zero before the first answer
	value T
}

func newAged[T any]() *aged[T] { return &aged[T]{asking: make(chan struct{}, 1)} }

// refresh sees to it that the value is younger than age. With an error it is as
// old as it was.
func (a *aged[T]) refresh(ctx context.Context, age time.Duration, now func() time.Time,
	ask func(context.Context) (T, error)) error {
	if a.young(age, now()) {
		return nil
	}
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	at := now()
	if a.young(age, at) {
		return nil // somebody has asked meanwhile
	}
	v, err := ask(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at, a.value = at, v
	return nil
}

func (a *aged[T]) young(age time.Duration, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.at.IsZero() && now.Sub(a.at) < age
}

// use calls f with the value, which it may change, and with when it was asked for.
func (a *aged[T]) use(f func(value *T, at time.Time)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.value, a.at)
}
