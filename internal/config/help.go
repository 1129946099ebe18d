package config

// help says in one sentence what each setting is for.
var help = map[string]string{
	"config": "TOML file to read.",
	"data":   "Directory of the store, the control socket and the CA certificate.",
	"store": "Where mail is kept: memory, pebble:DIR, or for a cluster " +
		"postgres://USER:PASSWORD@HOST,…/DB or mongodb://…. " +
		"Default is pebble in the data directory.",
	"bus": "How several servers tell each other of new mail: redis://HOST:PORT or " +
		"redis+sentinel://HOST:PORT,HOST:PORT/MASTER. Default is none.",
	"node":       "Name of this server among several. Default is the host's name.",
	"ready-file": "Write the bound addresses there as JSON once serving; removed at exit.",
	"log-level":  "debug, info, warn or error.",
	"log-format": "json, text, or auto: text on a terminal.",
	"http": "Web pages and API without TLS. ADDR is host:port, :port for every interface, or off; port " +
		"0 takes a free one.",
	"https": "Web pages and API with TLS.",
	"smtp":  "SMTP submission.",
	"smtps": "SMTP submission with TLS from the first byte.",
	"mx":    "SMTP for mail from other servers, to known addresses only.",
	"lmtp":  "LMTP, for a mail server in front.",
	"imap":  "IMAP.",
	"imaps": "IMAP with TLS from the first byte.",
	"pop3":  "POP3.",
	"pop3s": "POP3 with TLS from the first byte.",
	"admin": "Metrics and operator status; keep it private.",
	"proxy": "Listeners, by name, that stand behind a proxy: they take only connections that begin with a " +
		"PROXY header of version 2.",
	"proxy-from": "Networks of the proxies; others are refused at those listeners.",
	"drain-delay": "When stopping, keep serving so long with /readyz turned off, for load balancers to notice. " +
		"With --proxy: 3s.",
	"retention":        "How long a message is kept; 0 for ever.",
	"account-quota":    "Bytes of mail per account.",
	"account-messages": "Messages per account.",
	"message-limit":    "Bytes of one message.",
	"dedup":            "Which accounts share equal parts of mail: all, or each alone (account).",
	"part-grace":       "How long a part that no mail needs is kept; 0 the default, 30m, or 6h with several servers.",
	"repack":           "Mail of this age is packed anew, smaller, with dictionaries trained on stored mail; 0 never.",
	"account-idle":     "An account unused so long goes, with its mail; 0 never.",
	"create": "Who may make accounts: everyone, who sends the token (eider admin token), or nobody; " +
		"eider admin create changes it while servers run.",
	"max-accounts": "Accounts of all servers together; 0 no limit.",
	"store-max-bytes": "Bytes of the store, of all servers together, beyond which no mail and no accounts are " +
		"taken; 0 no limit.",
	"create-rate":      "Accounts made from one IPv4 address or IPv6 /64; N at once, refilled over TIME; 0 no limit.",
	"create-rate-net":  "Accounts made from one IPv4 /24 or IPv6 /48.",
	"create-rate-all":  "Accounts made from everywhere.",
	"send-rate":        "Messages that one account submits.",
	"mx-rate":          "Messages that one account gets from other servers, at the MX.",
	"mx-unknown-rate":  "Recipients that do not exist, asked for at the MX from one IPv4 address or IPv6 /64.",
	"link-daily-bytes": "Bytes a day that strangers read of one account by permalinks; 0 no limit.",
	"address-conns":    "Connections of one IPv4 address or IPv6 /64 at once, per listener; 0 no limit.",
	"abuse-contact":    "Where a stranger reports a message: a mail address or a URL; shown on permalink pages.",
	"domain":           "Domain of new accounts. Public mode: the public host.",
	"public-host": "Serve strangers under this name: passwords and TLS are required, other ports are the " +
		"default.",
	"trusted-nets": "Networks that need no password (not in public mode).",
	"allow-host":   "Further names under which the web pages may be asked for; may be repeated.",
	"advertise": "Addresses to name to users instead of the bound ones: " +
		"http=URL,smtp=HOST:PORT,imap=…,pop3=…,mx=….",
	"starttls": "Offer STARTTLS on the plain ports; auto only with a certificate that clients can trust.",
	"tls-cert": "Certificate chain, PEM. Default is a self-signed one.",
	"acme": "Get certificates for --public-host and --allow-host by ACME: on for Let's Encrypt, or the URL of " +
		"another server's directory.",
	"acme-email": "Where the ACME server may write to.",
	"acme-ca":    "PEM file of roots to trust the ACME server by. Default is the system's.",
	"tls-key":    "Its key, PEM.",
}
