package imapd

import "log/slog"

// For the tests.
const (
	MaxSearchHeader = maxSearchHeader
	AheadMessages   = aheadMessages
	AheadBytes      = aheadBytes
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
