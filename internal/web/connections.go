package web

import (
	"strings"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/diag"
	"github.com/eidermail/eider/internal/web/ui"
)

// Limit: connections that one page lists.
const MaxConnections = 25

// everyConnection lists the last connections of all, for those who may see
// them: the peers that dev mode trusts. nil means "not for you".
func (s *Site) everyConnection(c *call) *ui.Connections {
	if s.o.Stories == nil || !s.trusted(c) {
		return nil
	}
	return s.connections(s.o.Stories.Recent(MaxConnections))
}

// ownConnections lists those that logged in, or tried to, as an account.
func (s *Site) ownConnections(address string) *ui.Connections {
	a, err := addr.Parse(address)
	if s.o.Stories == nil || err != nil {
		return nil
	}
	return s.connections(s.o.Stories.Of(a.Key(), MaxConnections))
}

func (s *Site) connections(stories []diag.Story) *ui.Connections {
	out := &ui.Connections{}
	for _, v := range stories {
		c := ui.Connection{At: v.At, Count: v.Count, Service: strings.ToUpper(v.Listener), Port: s.o.Facts.Ports[v.Listener],
			Client: v.Client.String(), Helo: v.Helo, Login: v.Login, TLS: v.TLS, Messages: v.Messages}
		for _, a := range s.o.Facts.Explain(v) {
			c.Advice = append(c.Advice, ui.Advice{What: a.What, Cure: a.Cure})
		}
		if len(c.Advice) > 0 {
			out.Failed++
		}
		out.List = append(out.List, c)
	}
	return out
}
