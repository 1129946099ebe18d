package mongokv

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/eidermail/eider/internal/kv"
)

func reply(code int32, text string, labels ...string) error {
	return fmt.Errorf("in the driver: %w", mongo.CommandError{Code: code, Message: text, Labels: labels})
}

// TestJudge: what servers and the driver say, and what that means.
func TestJudge(t *testing.T) {
	t.Parallel()
	selection := topology.ServerSelectionError{Wrapped: errors.New("server selection timeout, Last error: auth error: unable to authenticate")}
	for _, c := range []struct {
		err     error
		kind    kind
		is      error
		aborted bool
	}{
		{reply(112, "WriteConflict", labelTransient), conflict, kv.ErrConflict, true},
		{reply(112, "WriteConflict"), conflict, kv.ErrConflict, false}, // of one statement
		{reply(11000, "E11000"), conflict, kv.ErrConflict, false},
		{reply(251, "NoSuchTransaction", labelTransient), away, kv.ErrUnavailable, true},
		{reply(10107, "NotWritablePrimary", labelTransient), away, kv.ErrUnavailable, false},
		{reply(18, "AuthenticationFailed"), failed, kv.ErrUnavailable, false},
		{reply(8000, "user is not allowed"), failed, kv.ErrUnavailable, false},
		{reply(8000, "you are over your space quota"), failed, kv.ErrNoSpace, false},
		{reply(371, "User writes blocked"), failed, kv.ErrNoSpace, false},
		{reply(14031, "no space"), failed, kv.ErrNoSpace, false},
		{selection, away, kv.ErrUnavailable, false},
		{errors.New("auth error: unable to authenticate"), failed, kv.ErrUnavailable, false},
	} {
		v := judge(context.Background(), c.err)
		if v.kind != c.kind || !errors.Is(v.err, c.is) || v.aborted != c.aborted {
			t.Errorf("%v: %+v", c.err, v)
		}
	}
}

// TestJudgeCommit: what certainly did not happen may be tried again, and nothing else.
func TestJudgeCommit(t *testing.T) {
	t.Parallel()
	late := mongo.WriteException{WriteConcernError: &mongo.WriteConcernError{Code: 64}, Labels: []string{labelTransient}}
	for _, c := range []struct {
		n    int
		err  error
		kind kind
	}{
		{0, nil, done},
		{0, reply(251, "NoSuchTransaction", labelTransient), conflict},
		{3, reply(251, "NoSuchTransaction", labelTransient), conflict},
		{3, reply(251, "NoSuchTransaction"), unknown},
		{0, reply(112, "WriteConflict", labelTransient), conflict},
		{1, reply(112, "WriteConflict", labelTransient), unknown},
		{0, late, unknown},
		{0, reply(91, "ShutdownInProgress", labelUnknown), unknown},
		{0, reply(365, "aborted due to cache pressure"), conflict},
		{2, reply(365, "aborted due to cache pressure"), conflict},
		{0, reply(365, "TemporarilyUnavailable", labelUnknown), unknown},
		{0, errors.New("connection reset"), unknown},
	} {
		if v := judgeCommit(c.n, c.err); v.kind != c.kind {
			t.Errorf("commit %d, %v: %+v", c.n, c.err, v)
		}
	}
}
