package config

// help says in one sentence what each setting is for.
var help = map[string]string{
	"config":     "TOML file to read.",
	"data":       "Directory of the store, the control socket and the CA certificate.",
	"store":      "Where mail is kept: memory, or pebble:DIR. Default is pebble in the data directory.",
	"ready-file": "Write the bound addresses there as JSON once serving; removed at exit.",
	"log-level":  "debug, info, warn or error.",
	"log-format": "json, text, or auto: text on a terminal.",
	"http": "Web pages and API without TLS. ADDR is host:port, :port for every interface, or off; port " +
		"0 takes a free one.",
	"https":            "Web pages and API with TLS.",
	"smtp":             "SMTP submission.",
	"smtps":            "SMTP submission with TLS from the first byte.",
	"mx":               "SMTP for mail from other servers, to known addresses only.",
	"lmtp":             "LMTP, for a mail server in front.",
	"imap":             "IMAP.",
	"imaps":            "IMAP with TLS from the first byte.",
	"pop3":             "POP3.",
	"pop3s":            "POP3 with TLS from the first byte.",
	"admin":            "Metrics and operator status; keep it private.",
	"retention":        "How long a message is kept; 0 for ever.",
	"account-quota":    "Bytes of mail per account.",
	"account-messages": "Messages per account.",
	"message-limit":    "Bytes of one message.",
	"account-idle":     "An account unused so long goes, with its mail; 0 never.",
	"domain":           "Domain of new accounts. Public mode: the public host.",
	"public-host": "Serve strangers under this name: passwords and TLS are required, other ports are the " +
		"default.",
	"trusted-nets": "Networks that need no password (not in public mode).",
	"allow-host":   "Further names under which the web pages may be asked for; may be repeated.",
	"advertise": "Addresses to name to users instead of the bound ones: " +
		"http=URL,smtp=HOST:PORT,imap=…,pop3=…,mx=….",
	"starttls": "Offer STARTTLS on the plain ports; auto only with a certificate that clients can trust.",
	"tls-cert": "Certificate chain, PEM. Default is a self-signed one.",
	"tls-key":  "Its key, PEM.",
}
