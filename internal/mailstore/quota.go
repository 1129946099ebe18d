package mailstore

import (
	"context"
	"time"

	"github.com/eidermail/eider/internal/mailstore/row"
)

// Forever as an account's retention keeps its mail for ever where the server
// has a default.
const Forever time.Duration = -1

// limits are an account's limits with the server's defaults filled in.
func (s *Store) limits(h *row.HeadRow) AccountLimits {
	l := s.defaults
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

func setLimits(h *row.HeadRow, l AccountLimits) {
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

// SetLimits sets the account's own limits; zero fields go back to the
// defaults, a Retention of Forever keeps mail for ever. A new retention holds
// for mail that arrives from then on.
func (s *Store) SetLimits(ctx context.Context, id AcctID, l AccountLimits) error {
	return s.update(ctx, "set limits", id, func(o *op) error {
		setLimits(&o.head, l)
		o.dirty = true
		return nil
	})
}

// over tells whether an account is full once it has so much more.
func (l AccountLimits) over(h *row.HeadRow, bytes, messages int64) bool {
	return l.Bytes > 0 && h.Bytes+bytes > l.Bytes || l.Messages > 0 && h.Messages+messages > l.Messages
}

// CheckQuota says whether the account could take size more bytes now: nil,
// Kind Quota or NotExist.
func (s *Store) CheckQuota(ctx context.Context, id AcctID, size int64) error {
	const name = "check quota"
	h, err := s.head(ctx, name, id)
	if err != nil {
		return err
	}
	if s.limits(&h).over(&h, size, 1) {
		return wrap(name, fail(Quota, "account is full"))
	}
	return nil
}
