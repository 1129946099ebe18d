package diag

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Facts are what the words depend on: how this server is set up. Ports are
// text, "" where the listener is off.
type Facts struct {
	Public       bool
	StartTLS     bool // offered on the plain ports
	SelfSigned   bool // there is a CA to download
	Ports        map[string]string
	Web          string // the web port
	MessageLimit int64
}

// Advice says what went wrong, and what changes it.
type Advice struct {
	What string `json:"what"`
	Cure string `json:"cure"`
}

// Explain gives each fault of a story its words.
func (f Facts) Explain(s Story) []Advice {
	var out []Advice
	for _, v := range s.Faults {
		if say, ok := words(v.Cause); ok {
			out = append(out, say(f, s, v))
		} else {
			out = append(out, Advice{"It failed: " + string(v.Cause) + ".", "See the log at --log-level debug."})
		}
	}
	return out
}

// Known tells whether there are words for a cause.
func Known(c Cause) bool { _, ok := words(c); return ok }

type sayer func(Facts, Story, Fault) Advice

// words is the one table of causes.
func words(c Cause) (sayer, bool) {
	say, ok := map[Cause]sayer{
		"http":                http,
		"foreign":             foreign,
		"tls-on-plain":        tlsOnPlain,
		"plain-on-tls":        plainOnTLS,
		"no-starttls":         noStartTLS,
		"left":                left,
		"certificate-refused": certRefused,
		"tls-version":         tlsVersion,
		"tls-handshake":       handshake,
		"injection":           injection,
		"auth-in-clear":       authInClear,
		"auth-failed":         authFailed,
		"no-account":          noAccount,
		"mechanism":           mechanism,
		"mail-refused":        mailRefused,
		"rcpt-refused":        rcptRefused,
		"bad-address":         badAddress,
		"too-large":           tooLarge,
		"data-refused":        dataRefused,
		"bad-commands":        badCommands,
		"timeout":             timeout,
		"dropped":             dropped,
	}[c]
	return say, ok
}

// protocol is what the listener speaks.
func (s Story) protocol() string {
	switch p := strings.TrimSuffix(s.Listener, "s"); p {
	case "mx", "smtp":
		return "SMTP"
	default:
		return strings.ToUpper(p)
	}
}

// port is the port of the story's listener, other that of the one with TLS, or without.
func (f Facts) port(s Story) string { return f.Ports[s.Listener] }

func (f Facts) other(s Story) string {
	if p, ok := strings.CutSuffix(s.Listener, "s"); ok {
		return f.Ports[p]
	}
	return f.Ports[s.Listener+"s"]
}

// orPort adds another way, where there is one.
func orPort(port, format string) string {
	if port == "" {
		return ""
	}
	return fmt.Sprintf(format, port)
}

func http(f Facts, s Story, _ Fault) Advice {
	cure := "This port takes mail only."
	if f.Web != "" {
		cure = "Point the browser, proxy or health check at port " + f.Web + ", which has the pages and the API."
	}
	return Advice{fmt.Sprintf("It spoke HTTP to the %s port %s.", s.protocol(), f.port(s)), cure}
}

func foreign(f Facts, s Story, _ Fault) Advice {
	return Advice{fmt.Sprintf("It spoke TLS or HTTP to the plain %s port %s.", s.protocol(), f.port(s)),
		"Turn TLS off for this port (secure: false)" + orPort(f.other(s), ", or use port %s, which speaks TLS") + "."}
}

func tlsOnPlain(f Facts, s Story, _ Fault) Advice {
	return Advice{fmt.Sprintf("It began with TLS on the plain port %s.", f.port(s)),
		"Turn SSL off for this port (secure: false, EMAIL_USE_SSL = False, ssl.enable=false, smtp:// for smtps://)" +
			orPort(f.other(s), ", or use port %s, which speaks TLS") + "."}
}

func plainOnTLS(f Facts, s Story, _ Fault) Advice {
	return Advice{fmt.Sprintf("It came without TLS, or waited for a greeting, on the TLS port %s.", f.port(s)),
		"Turn SSL on for this port (secure: true, EMAIL_USE_SSL = True, ssl.enable=true; STARTTLS is something else)" +
			orPort(f.other(s), ", or use port %s without TLS") + "."}
}

// startTLSOff is the way out for who insists on STARTTLS.
const startTLSOff = "Turn STARTTLS off in the client (requireTLS: false, EMAIL_USE_TLS = False, " +
	"starttls.required=false, no --ssl-reqd), or start this server with --starttls on, or with --tls-cert and --tls-key"

func noStartTLS(_ Facts, s Story, _ Fault) Advice {
	return Advice{"It asked for STARTTLS, which is off here.", startTLSOff + "."}
}

func left(f Facts, s Story, _ Fault) Advice {
	a := Advice{What: "It said hello and left without sending anything."}
	if s.protocol() == "IMAP" || s.protocol() == "POP3" {
		a.What = "It asked what is offered here and left without logging in."
	}
	switch {
	case !s.Trusted && !s.TLS && !f.StartTLS:
		a.Cure = "AUTH without TLS is not offered to its address: " + f.trust(s) + "."
	case !s.Trusted && !s.TLS:
		a.Cure = "AUTH is offered after STARTTLS only: turn STARTTLS on in the client."
	case !f.StartTLS && !s.TLS:
		a.Cure = "A health check looks like this, and so does a client that insists on STARTTLS, which is off here. " +
			startTLSOff + "."
	default:
		a.Cure = "A health check looks like this. Otherwise, see what the client says."
	}
	return a
}

// trust is the way out for a peer that dev mode does not trust.
func (f Facts) trust(s Story) string {
	if f.Public {
		return "turn STARTTLS on in the client" + orPort(f.secure(s), ", or use port %s, which speaks TLS")
	}
	return "start this server with --trusted-nets 127.0.0.0/8,::1," + network(s.Client) +
		orPort(f.secure(s), ", or use port %s, which speaks TLS")
}

// secure is the port with TLS beside the story's.
func (f Facts) secure(s Story) string {
	if s.Listener == "smtp" || s.Listener == "imap" || s.Listener == "pop3" {
		return f.Ports[s.Listener+"s"]
	}
	return ""
}

// network is a network that an operator would trust for an address: Docker's
// and home networks are of this size.
func network(a netip.Addr) string {
	bits := 24
	switch {
	case a.Is6():
		bits = 64
	case a.Is4() && a.As4()[0] == 172:
		bits = 16
	}
	p, err := a.Prefix(bits)
	if err != nil || !p.IsValid() {
		return "ITS-NETWORK"
	}
	return p.String()
}

func certRefused(f Facts, s Story, _ Fault) Advice {
	a := Advice{What: "It gave up right after the TLS handshake: it does not trust the server's certificate."}
	plain := "Let"
	switch {
	case f.Public:
	case !strings.HasSuffix(s.Listener, "s"):
		plain = "Turn STARTTLS off in the client, or let"
	case f.other(s) != "":
		plain = "Use port " + f.other(s) + " without TLS, or let"
	}
	if f.SelfSigned {
		a.What = "It gave up right after the TLS handshake: it does not trust the self-signed certificate."
		a.Cure = plain + " the client trust the CA from /ca.crt (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE, a trust store), " +
			"or give the server a certificate with --tls-cert and --tls-key."
		return a
	}
	a.Cure = plain + " the client use the host name that the certificate has, and trust its issuer (--tls-cert)."
	return a
}

func tlsVersion(f Facts, s Story, _ Fault) Advice {
	return Advice{"Client and server have no TLS version or cipher in common.",
		"Let the client use TLS 1.2 or 1.3" + orPort(f.other(s), ", or try port %s") + "."}
}

func handshake(f Facts, s Story, _ Fault) Advice {
	return Advice{"The TLS handshake failed.", "Look at the client's TLS settings" +
		orPort(f.other(s), ", or use port %s without TLS") + "."}
}

func injection(Facts, Story, Fault) Advice {
	return Advice{"It sent commands behind STARTTLS without waiting for the answer.",
		"That is a fault of the client, or somebody between: update the client."}
}

func authInClear(f Facts, s Story, _ Fault) Advice {
	return Advice{fmt.Sprintf("It sent a password without TLS from %s, which this server does not trust.", s.Client),
		capital(f.trust(s)) + "."}
}

func authFailed(_ Facts, s Story, v Fault) Advice {
	who := v.Text
	if who == "" {
		who = s.Login
	}
	switch {
	case v.Code/100 == 4:
		return Advice{fmt.Sprintf("The login as %q was put off: %s.", who, v.Reply),
			"Mend the password, then wait a minute."}
	case strings.Contains(v.Reply, "disabled"):
		return Advice{fmt.Sprintf("The account %q is disabled.", who), "Ask the operator of this server."}
	case !strings.Contains(who, "@"):
		return Advice{fmt.Sprintf("The login as %q was refused.", who),
			"The user name is the account's whole address: copy user name and password from its account page."}
	}
	return Advice{fmt.Sprintf("The login as %q was refused: wrong password, or no such account.", who),
		"Copy user name and password from the account page; 'New password' there makes another."}
}

func noAccount(_ Facts, _ Story, v Fault) Advice {
	return Advice{
		fmt.Sprintf("The login %q names no account here; mail is taken as without one, for the catch-all.", v.Text),
		"Create an account and set its user name and password in the client, or read the catch-all."}
}

func mechanism(_ Facts, _ Story, v Fault) Advice {
	return Advice{fmt.Sprintf("It wants to log in by %s, which is not offered.", v.Text),
		"Set the client's authentication to PLAIN or LOGIN (authMethod: 'PLAIN', authentication: :plain, auth plain)."}
}

func mailRefused(f Facts, s Story, v Fault) Advice {
	switch v.Code {
	case 530:
		if f.Public {
			return Advice{"It sent without a login.",
				"Set user name and password of an account in the client (SMTPAuth, auth: { user, pass })."}
		}
		return Advice{fmt.Sprintf("It sent without a login from %s, which this server does not trust.", s.Client),
			"Set user name and password of an account in the client; " + f.trust(s) + "."}
	case 452:
		return Advice{"Mail is refused: the disk is nearly full.", "Make room on the disk of --data, or lower --retention."}
	}
	return Advice{"The sender was refused: " + v.Reply + ".", "See what the reply says."}
}

func rcptRefused(f Facts, s Story, v Fault) Advice {
	switch {
	case v.Code == 550 && (s.Listener == "mx" || s.Listener == "lmtp"):
		cure := "Create that account."
		if p := f.Ports["smtp"]; p != "" {
			cure = "Set the client's port to " + p + ": applications send there, to any address."
		}
		return Advice{fmt.Sprintf(
			"%s is no account, and port %s takes mail for accounts of this server only.",
			v.Text, f.port(s)), cure}
	case v.Code == 452:
		return Advice{"A recipient was put off: " + v.Reply + ".",
			"Send to fewer recipients at once; raise --account-quota if a mailbox is full."}
	}
	return Advice{fmt.Sprintf("The recipient %s was refused: %s.", v.Text, v.Reply), "See what the reply says."}
}

func badAddress(_ Facts, _ Story, v Fault) Advice {
	return Advice{fmt.Sprintf("%q names no address.", v.Text),
		"Set one bare address in the client, like app@example.com: no display name, no list, not empty."}
}

func tooLarge(f Facts, _ Story, v Fault) Advice {
	limit := size(f.MessageLimit)
	return Advice{fmt.Sprintf("A message of %s is over the %s limit.", size(v.Size), limit),
		"Send less, or start this server with --message-limit " + enough(v.Size) + "."}
}

func dataRefused(_ Facts, _ Story, v Fault) Advice {
	switch {
	case v.Code == 552:
		return Advice{fmt.Sprintf("A message of %s does not fit into the account.", size(v.Size)),
			"Send less, or start this server with a larger --account-quota."}
	case strings.Contains(v.Reply, "full"):
		return Advice{"The account is full.", "Delete mail, or raise --account-quota."}
	}
	return Advice{"The message was refused: " + v.Reply + ".",
		"The server's log tells why; sent again later it may go through."}
}

func badCommands(f Facts, s Story, _ Fault) Advice {
	return Advice{fmt.Sprintf("It sent too much that is not %s.", s.protocol()),
		fmt.Sprintf("Check the port in the client: %s is for %s.", f.port(s), s.protocol())}
}

func timeout(Facts, Story, Fault) Advice {
	return Advice{"It was silent for too long.",
		"Close connections that are done with, or let the pool of the client reconnect."}
}

func dropped(Facts, Story, Fault) Advice {
	return Advice{"It went away in the midst of a message, which was not taken.",
		"Look at the client: it crashed, or its time-out (socketTimeout, EMAIL_TIMEOUT, mail.smtp.timeout) is short."}
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// size writes bytes as settings do: 64 MB.
func size(n int64) string {
	switch {
	case n >= 1e6:
		return strconv.FormatFloat(math.Ceil(float64(n)/1e5)/10, 'f', -1, 64) + " MB"
	case n >= 1e3:
		return strconv.FormatInt((n+999)/1000, 10) + " KB"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// enough is a limit under which n goes.
func enough(n int64) string {
	const step int64 = 10e6
	if n > 1e12 {
		return "SIZE"
	}
	return strconv.FormatInt((n/step+1)*10, 10) + "MB"
}
