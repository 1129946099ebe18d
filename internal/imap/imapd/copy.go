package imapd

import (
	"context"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// doCopy copies messages (RFC 9051 §6.4.7): all of them or none.
func (s *session) doCopy(ctx context.Context, uids imapwire.Set, to string) (imap.Copied, error) {
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	if err := s.b.o.Policy.Space(ctx); err != nil {
		return imap.Copied{}, s.refusal(err)
	}
	s.sel.dirty = true
	done, err := s.store.Copy(ctx, s.acct(), s.sel.id, uidList(uids), to)
	return copied(&done), s.target(err)
}

func copied(c *mailstore.Copied) imap.Copied {
	out := imap.Copied{
		UIDValidity: c.UIDValidity, Source: make([]uint32, len(c.Source)), Dest: make([]uint32, len(c.Dest)),
	}
	for i := range c.Source {
		out.Source[i], out.Dest[i] = uint32(c.Source[i]), uint32(c.Dest[i])
	}
	return out
}
