// Package redisbus is the bus between servers: hints over Redis Pub/Sub, and
// rates that all servers count together. Redis is lossy by design, and so is
// this: it promises that a hint comes to its own process at once and to the
// others as soon as Redis carries it, that publishing never waits for Redis,
// and that whoever may have missed hints is told to read everything again
// (bus.Hint.Resync). With all of Redis gone mail flows, watchers look by
// themselves, and each process counts rates alone.
//
// All accounts share one channel, so that connections and subscriptions do not
// grow with watchers; what is published while a message is under way goes with
// the next one.
package redisbus

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/membus"
)

// Limit: time for Redis to take a connection, a request or an answer.
const CallTime = time.Second

// Pace: connections of one process to Redis, beside the subscription.
const MaxConns = 8

const (
	// quietTime is after how long without a message the subscription is tried
	// with a PING, and after how long without its answer it is made anew.
	quietTime = time.Second
	// echoTime is how long an own message may take to come back.
	echoTime = 5 * time.Second
	// pauseMin and pauseMax are between attempts while Redis is away.
	pauseMin = 50 * time.Millisecond
	pauseMax = time.Second
	// firstTime is how long Open waits for Redis before it goes on without.
	firstTime = 2 * time.Second
)

// Options say where Redis is.
type Options struct {
	// Addrs are the server's address, or those of the sentinels.
	Addrs []string
	// Master is the name by which sentinels know the primary; "" without sentinels.
	Master string
	// User and Password are those of the servers; SentinelPassword of the sentinels.
	User, Password, SentinelPassword string
	DB                               int
	TLS                              *tls.Config // nil: no TLS
	// Prefix stands before every key and channel; "eider" if empty.
	Prefix string
	Log    *slog.Logger

	patience time.Duration // instead of CallTime and LimitTime, for tests on a busy machine; 0: those
}

// Bus is a bus.Bus.
type Bus struct {
	o       Options
	local   *membus.Bus
	client  *redis.Client
	channel string
	id      uint64 // of this process, to know its own messages

	out    outbox
	number atomic.Uint64 // of the last message that Redis took
	echoed atomic.Uint64 // of the last own message that came back

	resyncing, again atomic.Bool // readers are being told; and must be once more

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	sendErr error // of the last message or PING
	subErr  error // nil while subscribed
	told    bool  // that Redis is away
}

var _ bus.Bus = (*Bus)(nil)

// errStarting is the state before the first answer.
var errStarting = errors.New("redis has not answered yet")

// Open connects. A Redis that does not answer is no error: the bus begins
// without. One that refuses the password is.
func Open(ctx context.Context, o Options) (*Bus, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Prefix == "" {
		o.Prefix = "eider"
	}
	redis.SetLogger(&quietLog{o.Log})
	b := &Bus{o: o, local: membus.New(), client: o.client(), id: newID(),
		channel: fmt.Sprintf("%s:%d:hints", o.Prefix, o.DB), sendErr: errStarting, subErr: errStarting}
	b.out.init()
	b.ctx, b.cancel = context.WithCancel(context.Background())
	first, done := context.WithTimeout(ctx, firstTime)
	defer done()
	err := b.client.Ping(first).Err()
	if refused(err) {
		b.cancel()
		return nil, errors.Join(fmt.Errorf("redis refuses this login: %w", err), b.client.Close())
	}
	b.sent(err)
	subscribed := make(chan struct{})
	b.wg.Go(b.publish)
	b.wg.Go(func() { b.listen(sync.OnceFunc(func() { close(subscribed) })) })
	if err == nil {
		select {
		case <-subscribed: // so that a server that is ready misses nothing
		case <-first.Done():
		}
	}
	return b, nil
}

// client makes the client of the servers, or of the primary that sentinels name.
func (o Options) client() *redis.Client {
	callTime := cmp.Or(o.patience, CallTime)
	if o.Master == "" {
		return redis.NewClient(&redis.Options{Addr: o.Addrs[0], Username: o.User, Password: o.Password, DB: o.DB,
			TLSConfig: o.TLS, DialTimeout: callTime, ReadTimeout: callTime, WriteTimeout: callTime,
			DialerRetries: 1, MaxRetries: 1, PoolSize: MaxConns, ContextTimeoutEnabled: true})
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: o.Master, SentinelAddrs: o.Addrs,
		Username: o.User, Password: o.Password, SentinelPassword: o.SentinelPassword, DB: o.DB, TLSConfig: o.TLS,
		DialTimeout: callTime, ReadTimeout: callTime, WriteTimeout: callTime, DialerRetries: 1, MaxRetries: 1,
		PoolSize: MaxConns, ContextTimeoutEnabled: true})
}

// refused tells an answer that will not change by waiting.
func refused(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	for _, p := range []string{"WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "invalid password", "invalid DB", "DB index"} {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// Publish hands the hint to this process at once, and to others soon.
func (b *Bus) Publish(ctx context.Context, h bus.Hint) {
	b.local.Publish(ctx, h)
	b.out.add(h)
}

// Subscribe returns a channel of hints about topic.
func (b *Bus) Subscribe(topic bus.Topic) (<-chan bus.Hint, func()) { return b.local.Subscribe(topic) }

// Err tells why hints of other processes do not come now; nil if they do.
func (b *Bus) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sendErr != nil {
		return b.sendErr
	}
	return b.subErr
}

// sent notes how the last request to Redis went, and tells the operator of changes.
func (b *Bus) sent(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sendErr = err
	b.tell()
}

func (b *Bus) subscribed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subErr = err
	b.tell()
}

// tell logs that Redis went or came back, once each.
func (b *Bus) tell() {
	err := b.sendErr
	if err == nil && b.subErr != nil && !errors.Is(b.subErr, errStarting) {
		err = b.subErr
	}
	switch {
	case b.ctx.Err() != nil:
	case err != nil && !b.told:
		b.told = true
		b.o.Log.Warn("redis is away: hints by looking every 30 s, rates counted here alone", "err", err.Error())
	case err == nil && b.told && b.subErr == nil:
		b.told = false
		b.o.Log.Info("redis is back")
	}
}

// Close ends all subscriptions. What waits to be published is tried once more.
func (b *Bus) Close() error {
	b.cancel()
	b.wg.Wait()
	return errors.Join(b.local.Close(), b.client.Close())
}

// quietLog takes what the client library would print.
type quietLog struct{ log *slog.Logger }

// Printf logs at debug level: what matters is told by tell.
func (l *quietLog) Printf(ctx context.Context, format string, v ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.Debug("redis client", "text", fmt.Sprintf(format, v...))
	}
}
