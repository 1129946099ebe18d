package mongokv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/eidermail/eider/internal/kv"
)

// The labels of errors that matter (MongoDB's specification of transactions).
const (
	labelTransient = "TransientTransactionError"
	labelUnknown   = "UnknownTransactionCommitResult"
)

// Codes of the server.
const (
	codeNamespaceExists   = 48
	codeWriteConflict     = 112
	codeNoSuchTransaction = 251
	codeDuplicateKey      = 11000
	codeOutOfDiskSpace    = 14031
	codeUnknownField      = 40415

	codeTemporarilyUnavailable = 365
	codeUserWritesBlocked      = 371
	codeAtlas                  = 8000 // all that MongoDB's own hosting says
)

// refusals are codes that waiting does not change.
var refusals = map[int]string{
	13: "not authorized", 18: "authentication failed", 8000: "authentication failed",
	20: "illegal operation", 72: "invalid options", 59: "no such command", 73: "invalid namespace", 303: "no such feature",
}

// errLasting marks an error that trying again does not mend.
var errLasting = errors.New("mongokv")

// kind is what an error means for the call that met it. All but done and unknown
// mean that nothing was written.
type kind int

const (
	done     kind = iota
	failed        // for good: the error goes to the caller
	conflict      // try again soon
	away          // try again on the primary that will be
	unknown       // the commit may have happened
)

// verdict is an error judged: its kind, and the error for a caller.
type verdict struct {
	kind    kind
	err     error
	aborted bool // the server has ended the transaction, for certain
}

// judge says what an error of the driver means, for all but a commit.
func judge(ctx context.Context, err error) verdict {
	var se mongo.ServerError
	switch {
	case err == nil:
		return verdict{}
	case ctx.Err() != nil:
		return verdict{kind: failed, err: fmt.Errorf("%w: %w (%w)", kv.ErrUnavailable, err, ctx.Err())}
	case errors.Is(err, kv.ErrCorrupt), errors.Is(err, kv.ErrClosed),
		errors.Is(err, ErrFormat), errors.Is(err, errLasting):
		return verdict{kind: failed, err: err}
	case errors.Is(err, kv.ErrConflict):
		return verdict{kind: conflict, err: err}
	case errors.Is(err, mongo.ErrClientDisconnected):
		return verdict{kind: failed, err: kv.ErrClosed}
	case errors.As(err, &se):
		return judgeServer(se, err)
	case errors.As(err, &topology.ServerSelectionError{}): // whatever it quotes of the last server
	case isAuth(err):
		return verdict{kind: failed, err: fmt.Errorf("%w: %w", kv.ErrUnavailable, err)}
	}
	return verdict{kind: away, err: fmt.Errorf("%w: %w", kv.ErrUnavailable, err)}
}

func judgeServer(se mongo.ServerError, err error) verdict {
	switch {
	case se.HasErrorCode(codeWriteConflict), se.HasErrorCode(codeDuplicateKey):
		return verdict{kind: conflict, err: fmt.Errorf("%w: %w", kv.ErrConflict, err),
			aborted: se.HasErrorCode(codeWriteConflict) && se.HasErrorLabel(labelTransient)}
	case se.HasErrorCode(codeOutOfDiskSpace), se.HasErrorCode(codeUserWritesBlocked),
		se.HasErrorCode(codeAtlas) && strings.Contains(err.Error(), "quota"):
		return verdict{kind: failed, err: fmt.Errorf("%w: %w", kv.ErrNoSpace, err)}
	case se.HasErrorLabel(labelTransient):
		return verdict{kind: away, err: fmt.Errorf("%w: %w", kv.ErrUnavailable, err),
			aborted: se.HasErrorCode(codeNoSuchTransaction)}
	}
	for code := range refusals {
		if se.HasErrorCode(code) {
			return verdict{kind: failed, err: fmt.Errorf("%w: %w", kv.ErrUnavailable, err)}
		}
	}
	return verdict{kind: away, err: fmt.Errorf("%w: %w", kv.ErrUnavailable, err)}
}

// isAuth tells whether the driver failed at the password: it wraps the server's
// answer in an error of its own that has no exported type.
func isAuth(err error) bool {
	text := err.Error()
	return strings.Contains(text, "auth error") || strings.Contains(text, "unable to authenticate")
}

// again runs a step until it succeeds, fails for good, or ctx ends. Each try has
// its own deadline.
func (s *Store) again(ctx context.Context, step func(context.Context) error) error {
	for n := 0; ; n++ {
		v := s.once(ctx, n, step)
		if v.kind == done || v.kind == failed {
			return v.err
		}
		if pause(ctx, n) != nil {
			return fmt.Errorf("%w: %w", v.err, ctx.Err())
		}
	}
}

// once runs a step with the deadline of one attempt.
func (s *Store) once(ctx context.Context, n int, step func(context.Context) error) verdict {
	try, cancel := s.attemptContext(ctx, n)
	defer cancel()
	return judge(ctx, step(try))
}

// attemptContext is ctx for the n-th attempt; it ends with the store too.
func (s *Store) attemptContext(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	try, cancel := context.WithTimeout(ctx, min(attemptTime<<min(max(n-1, 0), 8), maxAttemptTime))
	stop := context.AfterFunc(s.running, cancel)
	return try, func() { stop(); cancel() }
}

// Pace: longest pause before a call tries again, doubled from 2 ms.
const maxPause = 64 * time.Millisecond

// pause waits a short random time, longer with each try.
func pause(ctx context.Context, tries int) error {
	timer := time.NewTimer(1 + rand.N(min(2*time.Millisecond<<min(tries, 8), maxPause)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// redacted is an error of parsing without the password.
func redacted(uri string, err error) error {
	text := err.Error()
	u, bad := url.Parse(uri)
	if bad != nil {
		return errors.New("it is no URI; write mongodb://user:password@host1,host2,host3/database?replicaSet=NAME " +
			"and signs like / @ : in the password as %2F %40 %3A")
	}
	if pw, ok := u.User.Password(); ok && pw != "" {
		text = strings.ReplaceAll(text, pw, "…")
	}
	return errors.New(text)
}

// databaseOf is the database that the address names, or "eider".
func databaseOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	_, path, _ := strings.Cut(rest, "/")
	name, _, _ := strings.Cut(path, "?")
	if name, err := url.PathUnescape(name); err == nil && name != "" {
		return name
	}
	return "eider"
}
