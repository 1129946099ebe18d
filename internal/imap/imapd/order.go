package imapd

import (
	"context"
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/order"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
)

// Order finds messages and reads what their order depends on (RFC 5256).
func (s *session) Order(ctx context.Context, uids imapwire.Set, key *imapwire.SearchKey) ([]order.Message, error) {
	found, err := s.Search(ctx, uids, key)
	if err != nil || found.UIDs.Empty() {
		return nil, err
	}
	out := make([]order.Message, 0, found.UIDs.Len())
	err = s.rows(ctx, found.UIDs, func(rows []mailstore.Entry) error {
		for group := range slices.Chunk(rows, infoBatch) {
			s.progress(len(out), found.UIDs.Len())
			if out, err = s.orderGroup(ctx, group, out); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// orderGroup reads what is not remembered of a group of messages.
func (s *session) orderGroup(ctx context.Context, rows []mailstore.Entry, out []order.Message,
) ([]order.Message, error) {
	known := make([]*order.Message, len(rows))
	var unknown []mailstore.Entry
	for i := range rows {
		if v, ok := s.b.recall(s.memoKey(rows[i].Msg, orderItem)); ok {
			known[i] = v.order
		} else {
			unknown = append(unknown, rows[i])
		}
	}
	var infos []mailstore.Info
	if len(unknown) > 0 {
		var err error
		if infos, err = s.infos(ctx, unknown); err != nil {
			return nil, err
		}
	}
	for i := range rows {
		if known[i] == nil {
			info := &infos[0]
			infos = infos[1:]
			if info.Msg == 0 {
				continue // expunged meanwhile
			}
			m := orderOf(&info.Index)
			s.b.remember(s.memoKey(info.Msg, orderItem), summary{order: &m})
			known[i] = &m
		}
		out = append(out, placed(&rows[i], known[i]))
	}
	return out, nil
}

// placed is a message in its mailbox.
func placed(e *mailstore.Entry, m *order.Message) order.Message {
	out := *m
	out.UID, out.Arrival, out.Size, out.ModSeq = uint32(e.UID), e.InternalDate.Unix(), e.Size, uint64(e.ModSeq)
	if !m.Dated {
		out.Sent = out.Arrival
	}
	return out
}

// orderOf is what never changes.
func orderOf(x *message.Index) order.Message {
	v := &x.Envelope
	m := order.Message{
		From: firstMailbox(v.From), To: firstMailbox(v.To), Cc: firstMailbox(v.Cc),
		ShownFrom: firstShown(v.From), ShownTo: firstShown(v.To), References: x.References,
	}
	if sent, ok := message.ParseDate(v.Date); ok {
		m.Sent, m.Dated = sent.Unix(), true
	}
	base, reply := message.BaseSubject(message.DecodeHeader(v.Subject))
	m.Subject, m.Reply = order.Key(base), reply
	if ids := message.MessageIDs(v.MessageID); len(ids) > 0 {
		m.ID = ids[0]
	}
	return m
}

// firstMailbox is the local part of the first address, or the name of a group.
func firstMailbox(list []message.Address) string {
	if len(list) == 0 {
		return ""
	}
	return order.Key(list[0].Mailbox)
}

// firstShown is what RFC 5957 §3 sorts by.
func firstShown(list []message.Address) string {
	if len(list) == 0 {
		return ""
	}
	a := &list[0]
	if name := strings.TrimSpace(message.DecodeHeader(a.Name)); name != "" {
		return order.Key(name)
	}
	if a.Host == "" {
		return order.Key(message.DecodeHeader(a.Mailbox))
	}
	return order.Key(a.Mailbox + "@" + a.Host)
}
