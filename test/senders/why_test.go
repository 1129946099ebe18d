package senders_test

import (
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// mistake is a usual one, made by a real client.
type mistake struct {
	name  string
	needs []string
	// run is a shell script with $SMTP, $SMTPS, $MX, $IMAP, $IMAPS, $POP3 (ports on
	// 127.0.0.1), $USER and $PASS. It fails, as its user sees.
	run string
	// says are what /status says: the setting to change among it.
	says []string
	// sent: the client is happy, and only its user is not.
	sent bool
}

//rules:allow var a table, read only
var mistakes = []mistake{
	{name: "insists on STARTTLS (Nodemailer)", needs: []string{"node"},
		run:  `node "$DATA/send.cjs" '{"host":"127.0.0.1","port":'$SMTP',"requireTLS":true}'`,
		says: []string{"asked for STARTTLS, which is off here", "requireTLS: false", "--starttls on"}},
	{name: "insists on STARTTLS and says nothing (Python)", needs: []string{"python3"},
		run:  `python3 -c 'import smtplib,os; s=smtplib.SMTP("127.0.0.1",int(os.environ["SMTP"])); s.starttls()'`,
		says: []string{"left without sending anything", "EMAIL_USE_TLS = False", "--starttls on"}},
	{name: "TLS on the plain port (Nodemailer)", needs: []string{"node"},
		run:  `node "$DATA/send.cjs" '{"host":"127.0.0.1","port":'$SMTP',"secure":true}'`,
		says: []string{"began with TLS on the plain port", "secure: false", "$SMTPS"}},
	{name: "no TLS on the TLS port (curl)", needs: []string{"curl"},
		run:  `echo x | curl -sS -m 2 smtp://127.0.0.1:$SMTPS --mail-from a@b.test --mail-rcpt c@d.test -T -`,
		says: []string{"waited for a greeting, on the TLS port $SMTPS", "secure: true", "port $SMTP "}},
	{name: "does not trust the certificate (Nodemailer)", needs: []string{"node"},
		run:  `NODE_EXTRA_CA_CERTS= node "$DATA/send.cjs" '{"host":"127.0.0.1","port":'$SMTPS',"secure":true}'`,
		says: []string{"does not trust the self-signed certificate", "/ca.crt", "--tls-cert", "port $SMTP "}},
	{name: "does not trust the certificate (curl)", needs: []string{"curl"},
		run:  `echo x | env -u CURL_CA_BUNDLE -u SSL_CERT_FILE curl -sS smtps://127.0.0.1:$SMTPS --mail-from a@b.test --mail-rcpt c@d.test -T -`,
		says: []string{"does not trust the self-signed certificate", "SSL_CERT_FILE"}},
	{name: "HTTP to the mail port (curl)", needs: []string{"curl"}, run: `curl -sS http://127.0.0.1:$SMTP/`,
		says: []string{"spoke HTTP to the SMTP port", "port $HTTP"}},
	{name: "a message over the limit (curl)", needs: []string{"curl"},
		run: `head -c 3000000 /dev/zero | tr '\0' x | fold -w 70 |
			curl -sS smtp://127.0.0.1:$SMTP --mail-from a@b.test --mail-rcpt c@d.test -T -`,
		says: []string{"A message of 3", "over the 2 MB limit", "--message-limit 10MB"}},
	{name: "a message over the limit, declared (swaks)", needs: []string{"swaks"},
		run:  `swaks --server 127.0.0.1 --port $SMTP --from a@b.test --to c@d.test --body @<(head -c 3000000 /dev/zero | tr '\0' x | fold -w 70)`,
		says: []string{"over the 2 MB limit", "--message-limit"}},
	{name: "a wrong password (PHPMailer)", needs: []string{"php"}, run: `php -r 'require "/usr/share/php/libphp-phpmailer/autoload.php";
			$m = new PHPMailer\PHPMailer\PHPMailer(true); $m->isSMTP(); $m->Host = "127.0.0.1"; $m->Port = getenv("SMTP");
			$m->SMTPAuth = true; $m->Username = getenv("USER"); $m->Password = "wrong"; $m->setFrom("a@b.test");
			$m->addAddress("c@d.test"); $m->Body = "x"; $m->send();'`,
		says: []string{"$USER", "was refused: wrong password, or no such account", "from the account page"}},
	{name: "a login that is no account (msmtp)", needs: []string{"msmtp"}, sent: true,
		run: `echo x | msmtp --host=127.0.0.1 --port=$SMTP --auth=plain --user=nobody@elsewhere.test \
				--passwordeval='echo x' --from=a@b.test --tls=off c@d.test`,
		says: []string{`"nobody@elsewhere.test" names no account here`, "Create an account", "user name and password"}},
	{name: "another mechanism (Nodemailer)", needs: []string{"node"},
		run:  `node "$DATA/send.cjs" '{"host":"127.0.0.1","port":'$SMTP',"authMethod":"CRAM-MD5","auth":{"user":"'$USER'","pass":"x"}}'`,
		says: []string{"log in by CRAM-MD5, which is not offered", "authMethod: 'PLAIN'"}},
	{name: "from a network that is not trusted (curl)", needs: []string{"curl"},
		run:  `echo x | curl -sS --interface 127.0.0.9 smtp://127.0.0.1:$SMTP --mail-from a@b.test --mail-rcpt c@d.test -T -`,
		says: []string{"without a login from 127.0.0.9", "--trusted-nets 127.0.0.0/8,::1,127.0.0.0/24"}},
	{name: "a password from a network that is not trusted (Python)", needs: []string{"python3"},
		run: `python3 -c 'import smtplib,os
s=smtplib.SMTP("127.0.0.1",int(os.environ["SMTP"]),source_address=("127.0.0.10",0)); s.login(os.environ["USER"],os.environ["PASS"])'`,
		says: []string{"AUTH without TLS is not offered to its address", "--trusted-nets", "$SMTPS"}},
	{name: "to the port for other servers (swaks)", needs: []string{"swaks"},
		run:  `swaks --server 127.0.0.1 --port $MX --from a@b.test --to customer@d.test`,
		says: []string{"customer@d.test is no account", "port $MX takes mail for accounts", "port to $SMTP"}},
	{name: "a name where an address belongs (curl)", needs: []string{"curl"},
		run:  `echo x | curl -sS smtp://127.0.0.1:$SMTP --mail-from 'Our Shop' --mail-rcpt c@d.test -T -`,
		says: []string{"Our Shop", "names no address", "app@example.com"}},
	{name: "away in the midst of a message (Python)", needs: []string{"python3"}, sent: true,
		run: `python3 -c 'import smtplib,os
s=smtplib.SMTP("127.0.0.1",int(os.environ["SMTP"])); s.ehlo(); s.mail("a@b.test"); s.rcpt("c@d.test"); s.putcmd("data"); s.getreply(); s.send("x"); s.close()'`,
		says: []string{"in the midst of a message", "socketTimeout"}},
	{name: "a wrong password to read by IMAP (curl)", needs: []string{"curl"},
		run:  `curl -sS imap://127.0.0.1:$IMAP/INBOX --user "$USER:wrong2"`,
		says: []string{"IMAP", "was refused"}},
	{name: "a wrong password to read by POP3 (curl)", needs: []string{"curl"},
		run:  `curl -sS pop3://127.0.0.1:$POP3/ --user "$USER:wrong3"`,
		says: []string{"POP3", "was refused"}},
	{name: "TLS on the plain IMAP port (curl)", needs: []string{"curl"}, run: `curl -sS imaps://127.0.0.1:$IMAP/INBOX --user x:y`,
		says: []string{"TLS or HTTP to the plain IMAP port", "secure: false", "$IMAPS"}},
	{name: "TLS on the plain POP3 port (curl)", needs: []string{"curl"}, run: `curl -sS pop3s://127.0.0.1:$POP3/ --user x:y`,
		says: []string{"TLS on the plain port $POP3", "port $POP3S"}},
	{name: "no TLS on the TLS port of IMAP (curl)", needs: []string{"curl"}, run: `curl -sS -m 2 imap://127.0.0.1:$IMAPS/INBOX --user x:y`,
		says: []string{"on the TLS port $IMAPS", "port $IMAP "}},
	{name: "does not trust the certificate of IMAP (curl)", needs: []string{"curl"},
		run:  `env -u CURL_CA_BUNDLE -u SSL_CERT_FILE curl -sS imaps://127.0.0.1:$IMAPS/INBOX --user "$USER:$PASS"`,
		says: []string{"does not trust the self-signed certificate", "SSL_CERT_FILE", "port $IMAP "}},
	{name: "does not trust the certificate of POP3 (curl)", needs: []string{"curl"},
		run:  `env -u CURL_CA_BUNDLE -u SSL_CERT_FILE curl -sS pop3s://127.0.0.1:$POP3S/ --user "$USER:$PASS"`,
		says: []string{"does not trust the self-signed certificate", "SSL_CERT_FILE", "port $POP3 "}},
	{name: "insists on STARTTLS to read by IMAP (curl)", needs: []string{"curl"},
		run:  `curl -sS --ssl-reqd imap://127.0.0.1:$IMAP/INBOX --user "$USER:$PASS"`,
		says: []string{"left without logging in", "--ssl-reqd", "--starttls on"}},
	{name: "insists on STLS to read by POP3 (curl)", needs: []string{"curl"},
		run:  `curl -sS --ssl-reqd pop3://127.0.0.1:$POP3/ --user "$USER:$PASS"`,
		says: []string{"left without logging in", "--ssl-reqd", "--starttls on"}},
	{name: "STARTTLS to IMAP all the same (openssl)", needs: []string{"openssl"},
		run:  `openssl s_client -starttls imap -connect 127.0.0.1:$IMAP </dev/null`,
		says: []string{"asked for STARTTLS, which is off here", "--starttls on"}},
	{name: "STLS to POP3 all the same (openssl)", needs: []string{"openssl"},
		run:  `openssl s_client -starttls pop3 -connect 127.0.0.1:$POP3 </dev/null`,
		says: []string{"asked for STARTTLS, which is off here", "--starttls on"}},
	{name: "a password to IMAP from a network that is not trusted (Python)", needs: []string{"python3"},
		run: `python3 -c 'import imaplib,os,socket
class I(imaplib.IMAP4):
    def _create_socket(self, timeout): return socket.create_connection((self.host, self.port), source_address=("127.0.0.11", 0))
I("127.0.0.1",int(os.environ["IMAP"])).login(os.environ["USER"],os.environ["PASS"])'`,
		says: []string{"without TLS from 127.0.0.11", "--trusted-nets", "$IMAPS"}},
	{name: "a password to POP3 from a network that is not trusted (curl)", needs: []string{"curl"},
		run:  `curl -sS --interface 127.0.0.12 pop3://127.0.0.1:$POP3/ --user "$USER:$PASS"`,
		says: []string{"127.0.0.12", "--trusted-nets", "$POP3S"}},
	{name: "a name that is no account to IMAP (curl)", needs: []string{"curl"},
		run:  `curl -sS imap://127.0.0.1:$IMAP/INBOX --user "nobody:$PASS"`,
		says: []string{`as "nobody" was refused`, "whole address"}},
	{name: "HTTP to the POP3 port (curl)", needs: []string{"curl"}, run: `curl -sS http://127.0.0.1:$POP3/`,
		says: []string{"spoke HTTP to the POP3 port", "port $HTTP"}},
}

// TestWhyDidItFail makes each mistake and reads what /status says of it.
func TestWhyDidItFail(t *testing.T) {
	s := harness.Start(t, "--message-limit", "2MB", "--trusted-nets", "127.0.0.1/32,::1/128")
	a := open(t, s, "127.0.0.1")
	ports := map[string]string{"USER": a.user, "PASS": a.pass}
	for name, addr := range map[string]string{"SMTP": s.SMTP, "SMTPS": s.SMTPS, "MX": s.MX, "HTTP": s.HTTP, "IMAP": s.IMAP,
		"IMAPS": s.IMAPS, "POP3": s.POP3, "POP3S": s.POP3S} {
		_, ports[name], _ = net.SplitHostPort(addr)
	}
	for k, v := range ports {
		t.Setenv(k, v)
	}
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			harness.Need(t, m.needs...)
			out, err := sender{run: m.run}.script(t, t.TempDir(), a.ca, false)
			if (err == nil) != m.sent {
				t.Errorf("the client ended with %v\n%s", err, out)
			}
			m.look(t, "http://"+s.HTTP+"/status", ports)
		})
	}
}

// look waits for the newest connection on the page to say what it should.
func (m mistake) look(t *testing.T, page string, ports map[string]string) {
	t.Helper()
	var newest string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		newest = first(connections(t, http.DefaultClient, page))
		missing := ""
		for _, w := range m.says {
			for k, v := range ports {
				w = regexp.MustCompile(`\$`+k+`\b`).ReplaceAllLiteralString(w, v)
			}
			if !strings.Contains(newest, w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
	}
	t.Errorf("%s says\n%s\nwant %q", page, newest, m.says)
}

// connections are the texts of the connections on a page, newest first.
func connections(t *testing.T, c *http.Client, page string) []string {
	t.Helper()
	resp, err := c.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile(`(?s)<li class="conn.*?</li>`).FindAllString(string(b), -1) {
		out = append(out, html.UnescapeString(regexp.MustCompile(`<[^>]+>`).ReplaceAllString(m, "")))
	}
	return out
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// TestOwnConnections: an account sees what tried to log in as it, however the
// name was written, and nothing of others; a stranger sees nothing.
func TestOwnConnections(t *testing.T) {
	s := harness.Start(t, "--trusted-nets", "127.0.0.1/32")
	mine, theirs := open(t, s, "127.0.0.1"), open(t, s, "127.0.0.1")
	login := func(user, pass string) {
		_, _ = harness.TryRun(clientTime, "curl", "-sS", "pop3://"+s.POP3+"/", "--user", user+":"+pass)
	}
	login(strings.ToUpper(mine.user[:1])+mine.user[1:]+":", "") // a colon and no password
	login(strings.Replace(strings.ToUpper(mine.user), "@", "+x@", 1), "wrong")
	login(mine.user, mine.pass)
	_, _ = harness.TryRun(clientTime, "curl", "-sS", "smtp://"+s.SMTP, "--mail-from", "a@b.test", "--mail-rcpt", "no address", "-T", "-")
	var got []string
	for end := time.Now().Add(20 * time.Second); len(got) < 2 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		got = connections(t, mine.web, mine.base+"/account")
	}
	all := strings.Join(got, "\n")
	for _, w := range []string{"Nothing went wrong", "was refused: wrong password", strings.ToUpper(strings.Split(mine.user, "@")[0])} {
		if !strings.Contains(all, w) {
			t.Errorf("no %q in\n%s", w, all)
		}
	}
	if strings.Contains(all, "no address") || strings.Contains(all, mine.pass) {
		t.Errorf("too much in\n%s", all)
	}
	if got := connections(t, theirs.web, theirs.base+"/account"); len(got) != 0 {
		t.Errorf("another account sees %q", got)
	}
	stranger := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}}).DialContext}}
	if got := connections(t, stranger, mine.base+"/status"); len(got) != 0 {
		t.Errorf("a stranger sees %q", got)
	}
	if got := connections(t, http.DefaultClient, mine.base+"/status"); len(got) < 3 {
		t.Errorf("who is trusted sees %q", got)
	}
}
