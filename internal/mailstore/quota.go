package mailstore

import (
	"context"

	"github.com/eidermail/eider/internal/mailstore/allowance"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Forever as an account's retention keeps its mail for ever where the server
// has a default.
const Forever = allowance.Forever

// limits are an account's limits with the server's defaults filled in.
func (s *Store) limits(h *row.HeadRow) AccountLimits { return allowance.Of(h, s.defaults) }

// SetLimits sets the account's own limits; zero fields go back to the
// defaults, a Retention of Forever keeps mail for ever. A new retention holds
// for mail that arrives from then on.
func (s *Store) SetLimits(ctx context.Context, id AcctID, l AccountLimits) error {
	return s.update(ctx, "set limits", id, func(o *op) error {
		l.Set(&o.head)
		o.dirty = true
		return nil
	})
}

// CheckQuota says whether the account could take size more bytes now: nil,
// Kind Quota or NotExist.
func (s *Store) CheckQuota(ctx context.Context, id AcctID, size int64) error {
	const name = "check quota"
	h, err := s.head(ctx, name, id)
	if err != nil {
		return err
	}
	if s.limits(&h).Over(&h, size, 1) {
		return wrap(name, fail(Quota, "account is full"))
	}
	return nil
}
