package imapd

import (
	"context"
	"slices"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
)

// Pace: messages whose rows an IMAP command reads at once, to open them one
// after the other.
const aheadMessages = 32

// Pace: bytes of these rows, as far as the sizes of the messages tell.
const aheadBytes = 256 << 10

// ahead opens messages in the order in which they were wanted. It reads the
// rows of several in one round trip, so that only their parts cost one each.
type ahead struct {
	s      *session
	wanted []want // not read yet
	read   []mailstore.MessageRow
	msgs   []mailstore.MsgID // of read, not opened yet
	since  time.Time         // when they were read
}

type want struct {
	msg  mailstore.MsgID
	most int64 // bytes of its row
}

// want says that a message is to be opened behind the others.
func (a *ahead) want(e *mailstore.Entry) {
	a.wanted = append(a.wanted, want{e.Msg, min(e.Size, mailstore.MaxMessageRow)})
}

// forget starts with other messages.
func (a *ahead) forget() { a.wanted, a.read, a.msgs = a.wanted[:0], nil, nil }

// open opens the next message. When a client takes its time over those before,
// what was read ahead is read again.
func (a *ahead) open(ctx context.Context, msg mailstore.MsgID) (mailstore.Content, error) {
	return a.s.opening(ctx, func(ctx context.Context) (mailstore.Content, error) {
		i := slices.Index(a.msgs, msg)
		if i < 0 || time.Since(a.since) > a.s.b.o.CommandBudget {
			if err := a.fill(ctx, msg); err != nil && ctx.Err() != nil {
				return nil, err
			} else if err != nil { // maybe of another one, which is damaged
				return a.s.store.Content(ctx, a.s.acct(), msg)
			}
			i = 0
		}
		r := a.read[i]
		a.read, a.msgs = a.read[i+1:], a.msgs[i+1:]
		c, err := a.s.store.OpenRow(ctx, r)
		if err != nil && r != nil { // it may have been packed anew meanwhile
			return a.s.store.Content(ctx, a.s.acct(), msg)
		}
		return c, err
	})
}

// fill reads the row of a message, and of those that are wanted after it.
func (a *ahead) fill(ctx context.Context, msg mailstore.MsgID) (err error) {
	msgs, bytes := []mailstore.MsgID{msg}, int64(0)
	if at := slices.IndexFunc(a.wanted, func(w want) bool { return w.msg == msg }); at >= 0 {
		a.wanted = a.wanted[at:]
		for i, w := range a.wanted {
			if bytes += w.most; i > 0 && (i == aheadMessages || bytes > aheadBytes) {
				break
			} else if i > 0 {
				msgs = append(msgs, w.msg)
			}
		}
	}
	a.since, a.read, a.msgs = time.Now(), nil, nil
	if a.read, err = a.s.store.MessageRows(ctx, a.s.acct(), msgs...); err == nil {
		a.msgs = msgs
	}
	return err
}
