package redisbus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/eidermail/eider/internal/bus"
)

// Pace: time that a question of rate waits for Redis before this process decides alone.
const LimitTime = 250 * time.Millisecond

// Pace: after a question that Redis did not answer, time in which it is not asked.
const LimitPause = time.Second

// Limits is a bus.Limiter of all processes together. While Redis does not
// answer each counts alone, from nothing.
type Limits struct {
	b      *Bus
	alone  bus.Limiter
	script *redis.Script

	mu    sync.Mutex
	again time.Time // when Redis is asked again
}

var _ bus.Limiter = (*Limits)(nil)

// Limits returns a Limiter over the bus's Redis; alone decides while that is away.
func (b *Bus) Limits(alone bus.Limiter) *Limits {
	return &Limits{b: b, alone: alone, script: redis.NewScript(gcra)}
}

// gcra is the generic cell rate algorithm for several keys, all or none. Each
// key holds when all is forgiven, in microseconds of the clock of Redis, and
// goes by itself then.
//
// KEYS: one for each hit. ARGV: for each hit its cost and the time in which its
// whole limit is forgiven, both in microseconds. It returns how long to wait
// and the number of the hit that is over; a wait of 0 means that all are counted.
const gcra = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local wait, over, after = 0, 0, {}
for i = 1, #KEYS do
  local cost, per = tonumber(ARGV[2*i-1]), tonumber(ARGV[2*i])
  local free = tonumber(redis.call('GET', KEYS[i]) or '0')
  if free < now then free = now end
  after[i] = free + cost
  local late = after[i] - now - per
  if cost > 0 and late > wait then wait, over = late, i - 1 end
end
if wait > 0 then return {math.ceil(wait), over} end
for i = 1, #KEYS do
  if after[i] > now then
    redis.call('SET', KEYS[i], string.format('%.0f', after[i]), 'PX', math.ceil((after[i] - now) / 1000))
  else
    redis.call('DEL', KEYS[i])
  end
end
return {0, 0}`

// Take counts all hits or none: in Redis, or alone.
func (l *Limits) Take(ctx context.Context, hits ...bus.Hit) (wait time.Duration, over int) {
	if !l.ask() {
		return l.alone.Take(ctx, hits...)
	}
	wait, over, err := l.take(ctx, hits)
	if err == nil {
		return wait, over
	}
	if ctx.Err() == nil {
		l.mu.Lock()
		l.again = time.Now().Add(LimitPause)
		l.mu.Unlock()
	}
	return l.alone.Take(ctx, hits...)
}

// ask tells whether Redis is worth asking now.
func (l *Limits) ask() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.again)
}

func (l *Limits) take(ctx context.Context, hits []bus.Hit) (wait time.Duration, over int, err error) {
	var keys []string
	var args []any
	var which []int
	for i, h := range hits {
		if !h.Rate.On() || h.N == 0 {
			continue
		}
		keys = append(keys, l.key(h))
		args = append(args, micros(min(h.N, h.Rate.Limit), h.Rate), h.Rate.Per.Microseconds())
		which = append(which, i)
	}
	if len(keys) == 0 {
		return 0, 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.b.o.patience, LimitTime))
	defer cancel()
	n, err := l.script.Run(ctx, l.b.client, keys, args...).Int64Slice()
	if err != nil || len(n) != 2 || n[1] < 0 || n[1] >= int64(len(which)) {
		return 0, 0, errorOr(err, errMessage)
	}
	if n[0] > 0 {
		return max(time.Duration(n[0])*time.Microsecond, time.Millisecond), which[n[1]], nil
	}
	return 0, 0, nil
}

// micros is what n of a rate cost; in floating point, for n × Per does not fit
// an integer for bytes and days.
func micros(n int64, r bus.Rate) string {
	return strconv.FormatFloat(float64(r.Per.Microseconds())*(float64(n)/float64(r.Limit)), 'f', 3, 64)
}

// key is a hit's key: what comes from outside is hashed, for it may be long,
// and who watches Redis need not read it.
func (l *Limits) key(h bus.Hit) string {
	sum := sha256.Sum256([]byte(h.Key))
	return l.b.o.Prefix + ":rate:" + h.Kind + ":" + base64.RawURLEncoding.EncodeToString(sum[:15])
}

func errorOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
