package server

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/obs"
)

// Limit: messages that WriteCaught shows, the newest.
const MaxCaught = 20

// caught is one message in the list.
type caught struct {
	at   time.Time
	info mailstore.Info
}

// WriteCaught tells a person what mail came, in all accounts: for `eider exec`
// when a test suite failed. It reads every account.
func (s *Server) WriteCaught(ctx context.Context, w io.Writer) error {
	var all []caught
	var ids []mailstore.AcctID
	err := s.mail.Accounts(ctx, func(a mailstore.Account) bool {
		if a.Messages > 0 {
			ids = append(ids, a.ID)
		}
		return true
	})
	total := 0
	for _, id := range ids {
		if err != nil {
			break
		}
		var some []caught
		var n int
		if some, n, err = s.caughtBy(ctx, id); err == nil {
			all, total = append(all, some...), total+n
		}
	}
	if err != nil {
		return fmt.Errorf("list what was caught: %w", err)
	}
	slices.SortFunc(all, func(a, b caught) int { return a.at.Compare(b.at) })
	all = all[max(0, len(all)-MaxCaught):]
	var b strings.Builder
	switch {
	case total == 0:
		b.WriteString("no mail was caught\n")
	case total > len(all):
		fmt.Fprintf(&b, "caught %d messages, the last %d:\n", total, len(all))
	default:
		fmt.Fprintf(&b, "caught %d %s:\n", total, choose(total == 1, "message", "messages"))
	}
	for _, c := range all {
		c.write(&b)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// caughtBy reads the newest messages of an account, and how many there are;
// the welcome message is none of them.
func (s *Server) caughtBy(ctx context.Context, id mailstore.AcctID) ([]caught, int, error) {
	box, err := s.mail.Mailbox(ctx, id, "INBOX")
	if err != nil {
		return nil, 0, err
	}
	rows, err := s.mail.Entries(ctx, id, box.ID, mailstore.Rows{Reverse: true, Limit: MaxCaught + 1})
	if err != nil {
		return nil, 0, err
	}
	msgs := make([]mailstore.MsgID, len(rows))
	for i, r := range rows {
		msgs[i] = r.Msg
	}
	infos, err := s.mail.Infos(ctx, id, msgs...)
	if err != nil {
		return nil, 0, err
	}
	var out []caught
	total := int(box.Exists)
	for _, in := range infos {
		if in.Envelope.Protocol == "internal" {
			total--
			continue
		}
		out = append(out, caught{in.Envelope.Received, in})
	}
	return out, total, nil
}

func (c caught) write(b *strings.Builder) {
	e, x := c.info.Envelope, c.info.Index
	from := e.From
	if from == "" {
		from = "<>"
	}
	to := strings.Join(e.To[:min(len(e.To), 5)], ", ")
	if more := e.ToCount - 5; more > 0 {
		to += fmt.Sprintf(" and %d more", more)
	}
	fmt.Fprintf(b, "  %s  %s → %s\n", c.at.Local().Format("15:04:05"), obs.Clean(from), obs.Clean(to))
	subject := message.DecodeHeader(x.Envelope.Subject)
	fmt.Fprintf(b, "            %s\n", choose(subject == "", "(no subject)", obs.Clean(subject)))
	if x.Preview != "" {
		fmt.Fprintf(b, "            %s\n", obs.Clean(x.Preview))
	}
	for _, a := range x.Attachments {
		fmt.Fprintf(b, "            + %s (%s, %d bytes)\n", choose(a.Name == "", a.ID, obs.Clean(a.Name)), obs.Clean(a.Type),
			a.DecodedSize)
	}
}

func choose(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}
