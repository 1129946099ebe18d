package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/netx"
)

// bound is one listener that is open.
type bound struct {
	name string
	l    net.Listener
	addr config.Listen // as it was asked for
}

// listenAll opens every listener that is wanted, or none.
func listenAll(ctx context.Context, c *config.Config) ([]bound, error) {
	var all []bound
	for _, w := range c.Listeners() {
		if !w.Addr.On() {
			continue
		}
		l, err := netx.Listen(ctx, w.Addr.String())
		if err != nil {
			closeAll(all)
			return nil, portError(w, err)
		}
		all = append(all, bound{w.Name, l, w.Addr})
	}
	return all, nil
}

func closeAll(all []bound) {
	for _, b := range all {
		b.l.Close()
	}
}

// holders says who is usually found on a port.
var holders = map[string]string{
	"25": "Postfix or Exim", "587": "Postfix or Exim", "465": "Postfix or Exim", "143": "Dovecot", "993": "Dovecot",
	"110": "Dovecot", "995": "Dovecot", "80": "nginx, Apache or Caddy", "443": "nginx, Apache or Caddy",
	"1025": "Mailpit, MailHog or MailCatcher", "8025": "Mailpit or MailHog", "1080": "MailDev or MailCatcher",
	"1143": "Proton Mail Bridge or GreenMail", "8026": "another Eider",
}

// portError says who may have the port, and which flag takes another.
func portError(w config.Listener, err error) error {
	_, port, _ := net.SplitHostPort(w.Addr.String())
	change := fmt.Sprintf("choose another address with --%s (or %s), or turn it off with --%s off",
		w.Name, config.EnvName(w.Name), w.Name)
	switch {
	case errors.Is(err, netx.ErrTaken):
		who := "another Eider"
		if h := holders[port]; h != "" && h != who {
			who = h + ", or another Eider"
		}
		return fmt.Errorf("%s: %w (perhaps %s); %s", strings.ToUpper(w.Name), err, who, change)
	case errors.Is(err, netx.ErrNotPermitted):
		return fmt.Errorf("%s: %w; grant the right (CAP_NET_BIND_SERVICE) or %s", strings.ToUpper(w.Name), err, change)
	}
	return fmt.Errorf("%s: %w; %s", strings.ToUpper(w.Name), err, change)
}

// reachable is an address that a client on this machine can dial: a listener
// on every address is named by loopback.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return a.String()
	}
	host := t.IP.String()
	if t.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(t.Port))
}

// Addrs are the addresses of all listeners by flag name; those that are off are absent.
func (s *Server) Addrs() map[string]string {
	out := map[string]string{}
	for _, b := range s.bound {
		out[b.name] = reachable(b.l.Addr())
	}
	return out
}

// port is a listener's port, 0 if it is off.
func portOf(all []bound, name string) int {
	for _, b := range all {
		if t, ok := b.l.Addr().(*net.TCPAddr); ok && b.name == name {
			return t.Port
		}
	}
	return 0
}
