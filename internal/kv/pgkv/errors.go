package pgkv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/eidermail/eider/internal/kv"
)

// errMoved: a server is not the primary any more that it was.
var errMoved = errors.New("pgkv: primary moved")

// kind is what an error of the server means for the call that met it. All but
// done and unknown mean that nothing was written.
type kind int

const (
	done     kind = iota
	failed        // for good: the error goes to the caller
	conflict      // try again soon
	away          // try again on the primary that will be
	unknown       // the commit may have happened
)

// SQLSTATEs and what they mean; classes by their first two characters.
var states = map[string]kind{
	"KV001": conflict, // kv_apply1: a revision is not the expected one
	"40001": conflict, // serialization failure
	"40P01": conflict, // deadlock
	"55P03": conflict, // lock timeout
	"25006": away,     // read only: it was demoted
	"25P03": away,     // idle in transaction for too long
	"53300": away,     // too many connections
	"57P01": away,     // shutdown by an administrator
	"57P02": away,     // crash of a neighbour process
	"57P03": away,     // starting up
	"57014": away,     // cancelled
	"08":    away,     // connection
}

// judge says what err means, and makes it the error for a caller.
func judge(ctx context.Context, err error) (kind, error) {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return done, nil
	case ctx.Err() != nil:
		return failed, unavailable(ctx, err)
	case errors.As(err, &pg):
		k, ok := states[pg.Code]
		if !ok {
			k, ok = states[pg.Code[:min(2, len(pg.Code))]]
		}
		if ok {
			return k, fmt.Errorf("%w: %w", map[kind]error{conflict: kv.ErrConflict, away: kv.ErrUnavailable}[k], err)
		}
		return failed, fmt.Errorf("%w: %w", lasting(pg.Code), err)
	case errors.Is(err, kv.ErrClosed):
		return failed, err
	}
	return away, fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
}

// lasting is the error of a SQLSTATE that trying again does not mend.
func lasting(code string) error {
	switch code {
	case "53100": // disk full
		return kv.ErrNoSpace
	case "XX001", "XX002": // damaged data, damaged index
		return kv.ErrCorrupt
	}
	return kv.ErrUnavailable
}

// unavailable is the error of a call whose context ended before its commit began.
func unavailable(ctx context.Context, why error) error {
	return fmt.Errorf("%w: %w (%w)", kv.ErrUnavailable, why, ctx.Err())
}

// hopeless tells whether an error of connecting will not go away by waiting.
func hopeless(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "28P01", "28000", "3D000", "42501", "3F000": // password, role, database, rights, schema
			return true
		}
	}
	return errors.Is(err, ErrFormat)
}

// plain is an error's text on one line without what was repeated.
func plain(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		err = e
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// redacted is an error of parsing without any part of the URI that is secret.
func redacted(uri string, err error) error {
	text := err.Error()
	if _, why, ok := strings.Cut(text, "`: "); ok {
		text = why // behind the quoted URI
	}
	if u, bad := url.Parse(uri); bad == nil {
		if pw, ok := u.User.Password(); ok && pw != "" {
			text = strings.ReplaceAll(text, pw, "…")
		}
		return errors.New(text)
	}
	return errors.New("it is no URI; write postgres://user:password@host1,host2/database " +
		"and signs like / @ : in the password as %2F %40 %3A")
}

// poolSize is the URI's own pool_max_conns.
func poolSize(uri string) (int, bool) {
	u, err := url.Parse(uri)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(u.Query().Get("pool_max_conns"))
	return n, err == nil && n > readConns
}

// Pace: longest pause before a call tries again, doubled from 2 ms.
const maxPause = 128 * time.Millisecond

// pause waits a short random time, longer with each try.
func pause(ctx context.Context, tries int) error {
	return sleep(ctx, 1+rand.N(min(2*time.Millisecond<<min(tries, 8), maxPause)))
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
