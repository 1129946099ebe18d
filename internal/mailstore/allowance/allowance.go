// Package allowance is what one account may hold, and for how long: its own
// limits, and the server's where it has none. It is pure.
package allowance

import (
	"time"

	"github.com/eidermail/eider/internal/mailstore/row"
)

// Forever as an account's retention keeps its mail for ever where the server
// has a default.
const Forever time.Duration = -1

// Limits are one account's limits with the server's defaults filled in.
type Limits struct {
	Retention time.Duration // 0: kept for ever
	Bytes     int64
	Messages  int64
}

// Of are the limits of an account.
func Of(h *row.HeadRow, defaults Limits) Limits {
	l := defaults
	switch {
	case h.LimitRetention < 0:
		l.Retention = 0
	case h.LimitRetention > 0:
		l.Retention = time.Duration(h.LimitRetention) * time.Second
	}
	if h.LimitBytes > 0 {
		l.Bytes = h.LimitBytes
	}
	if h.LimitMessages > 0 {
		l.Messages = h.LimitMessages
	}
	return l
}

// Set makes them an account's own; zero fields are the server's.
func (l Limits) Set(h *row.HeadRow) {
	h.LimitBytes, h.LimitMessages = max(l.Bytes, 0), max(l.Messages, 0)
	switch {
	case l.Retention < 0:
		h.LimitRetention = -1
	case l.Retention > 0:
		h.LimitRetention = max(int64(l.Retention/time.Second), 1)
	default:
		h.LimitRetention = 0
	}
}

// Over tells whether an account is full once it has so much more.
func (l Limits) Over(h *row.HeadRow, bytes, messages int64) bool {
	return l.Exceeded(h.Bytes+bytes, h.Messages+messages)
}

// Exceeded tells whether so much is more than an account may hold.
func (l Limits) Exceeded(bytes, messages int64) bool {
	return l.Bytes > 0 && bytes > l.Bytes || l.Messages > 0 && messages > l.Messages
}
