package imapd

import (
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// flagPairs say which flag of the store is which on the wire.
var flagPairs = [...]struct {
	store mailstore.Flags
	wire  imapwire.System
}{
	{mailstore.Seen, imapwire.Seen},
	{mailstore.Answered, imapwire.Answered},
	{mailstore.Flagged, imapwire.Flagged},
	{mailstore.Deleted, imapwire.Deleted},
	{mailstore.Draft, imapwire.Draft},
}

// system is the store's flags as the wire has them.
func system(f mailstore.Flags) (out imapwire.System) {
	for i := range flagPairs {
		if f&flagPairs[i].store != 0 {
			out |= flagPairs[i].wire
		}
	}
	return out
}

// stored is the wire's flags as the store has them.
func stored(f imapwire.System) (out mailstore.Flags) {
	for i := range flagPairs {
		if f&flagPairs[i].wire != 0 {
			out |= flagPairs[i].store
		}
	}
	return out
}

func flags(e *mailstore.Entry) imapwire.Flags {
	return imapwire.Flags{System: system(e.Flags), Keywords: e.Keywords}
}
