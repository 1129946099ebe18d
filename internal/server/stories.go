package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/diag"
	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/netx"
	"github.com/eidermail/eider/internal/obs"
	"github.com/eidermail/eider/internal/pop3"
	"github.com/eidermail/eider/internal/smtp"
)

// facts are what the words of a diagnosis depend on.
func (s *Server) facts() diag.Facts {
	f := diag.Facts{Public: s.o.Config.Public(), StartTLS: s.startTLS, SelfSigned: !s.certs.Trusted(),
		MessageLimit: int64(s.o.Config.MessageLimit), Ports: map[string]string{}}
	for _, b := range s.bound {
		f.Ports[b.name] = strconv.Itoa(portOf(s.bound, b.name))
	}
	if f.Web = f.Ports["http"]; f.Web == "" {
		f.Web = f.Ports["https"]
	}
	return f
}

// owner is the address that a login names, in the form of lookups.
func (s *Server) owner(login string) string {
	a, err := addr.Parse(strings.TrimSpace(login))
	if err != nil {
		return ""
	}
	if a.Domain == "" {
		a.Domain = s.o.Config.Domain
	}
	return a.Key()
}

func (s *Server) tell(v diag.Story, peer netip.Addr, trusted bool) {
	v.Client, v.Trusted, v.Owner = peer, trusted, s.owner(v.Login)
	s.stories.Add(v)
}

// smtpDone takes the story of an SMTP connection of a listener.
func (s *Server) smtpDone(listener string) func(smtp.Record) {
	return func(r smtp.Record) {
		c := r.Client
		v := diag.Story{At: r.End, Listener: listener, Helo: c.Helo, Login: c.User, LoggedIn: c.User != "" && !c.Nobody,
			TLS: c.TLS != nil, Messages: r.Messages}
		for _, e := range r.Events {
			v.Faults = append(v.Faults, diag.Fault{Cause: diag.Cause(e.Cause), Code: e.Reply.Code, Reply: e.Reply.Text,
				Text: e.Text, Size: e.Size})
			if e.Cause == smtp.CauseAuthFailed && v.Login == "" {
				v.Login = e.Text
			}
		}
		s.tell(v, c.Addr.Addr(), s.policy.Trusted(c.Addr.Addr(), c.Proxied))
	}
}

func (s *Server) pop3Done(listener string) func(pop3.Record) {
	return func(r pop3.Record) {
		v := diag.Story{At: r.End, Listener: listener, Login: r.Login, LoggedIn: r.Client.User != "",
			TLS: r.Client.TLS != nil}
		for _, c := range r.Causes {
			v.Faults = append(v.Faults, diag.Fault{Cause: diag.Cause(c)})
		}
		s.tell(v, r.Client.Addr.Addr(), s.policy.Trusted(r.Client.Addr.Addr(), r.Client.Proxied))
	}
}

// silent is what it means that an IMAP client went after what it did last.
//
//rules:allow var a table, read only
var silent = map[string]diag.Cause{"asked": "left", "secured": "certificate-refused"}

// serveIMAP serves a connection and takes its story.
func (s *Server) serveIMAP(ctx context.Context, srv *imap.Server, nc net.Conn, info imap.ConnInfo) {
	v := diag.Story{Listener: "imap", TLS: info.TLS}
	fault := func(c diag.Cause) { v.Faults = append(v.Faults, diag.Fault{Cause: c, Text: v.Login}) }
	last := ""
	defer func() {
		v.At = s.o.Now()
		if c, ok := silent[last]; ok && v.Login == "" && len(v.Faults) == 0 {
			fault(c)
		}
		s.tell(v, info.Remote, info.Trusted)
	}()
	info.Note = func(what, login string) {
		switch last = what; what {
		case "asked":
		case "secured":
			v.TLS = true
		case "login":
			v.Login, v.LoggedIn = login, true
		case "denied":
			v.Login = login
			fault("auth-failed")
		default:
			fault(diag.Cause(what))
		}
		v.Faults = v.Faults[:min(len(v.Faults), diag.MaxFaults)]
	}
	if t, ok := nc.(*tls.Conn); ok {
		v.Listener = "imaps"
		ctx, cancel := context.WithTimeout(ctx, imap.HandshakeTime)
		err := t.HandshakeContext(ctx)
		cancel()
		if err != nil {
			fault(diag.Cause(netx.TLSFaultOf(t, err)))
			return
		}
	}
	srv.ServeConn(ctx, nc, info)
}

// WriteTroubles tells a person which connections failed, and what mends them.
func (s *Server) WriteTroubles(w io.Writer) error {
	var b strings.Builder
	f := s.facts()
	for _, v := range s.stories.Recent(MaxCaught) {
		for _, a := range f.Explain(v) {
			fmt.Fprintf(&b, "  %s  %s: %s %s\n", v.At.Local().Format("15:04:05"), strings.ToUpper(v.Listener),
				obs.Clean(a.What), obs.Clean(a.Cure))
		}
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(w, "connections that failed:\n"+b.String())
	return err
}
