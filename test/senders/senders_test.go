// Package senders_test takes the snippets of the account page as a reader
// would, unchanged, and runs them with the libraries and programs they are for.
// Where a snippet is a piece of configuration, a small application in testdata
// reads it and sends one mail.
package senders_test

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// clientTime bounds one run of one sender.
const clientTime = 90 * time.Second

// account is an account as its page shows it.
type account struct {
	api, user, pass string
	snippets        map[string]string
	ca              string       // file
	web             *http.Client // with the account's cookie
	base            string
}

// open makes an account with the button of the page and reads the page.
func open(t *testing.T, s *harness.Server, host string) *account {
	t.Helper()
	port := s.HTTP[strings.LastIndexByte(s.HTTP, ':'):]
	base := "http://" + host + port
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	resp, err := c.PostForm(base+"/create", url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %v", resp.StatusCode, err)
	}
	page := string(b)
	a := &account{api: base + "/v1", snippets: map[string]string{}, web: c, base: base}
	a.user = one(t, page, `<dt>Username</dt><dd><code>([^<]+)</code>`)
	a.pass = one(t, page, `<code data-secret>([^<]+)</code>`)
	for _, m := range regexp.MustCompile(`(?s)id="s-([a-z]+)".*?<code>(.*?)</code>`).FindAllStringSubmatch(page, -1) {
		a.snippets[m[1]] = html.UnescapeString(m[2])
	}
	ca, err := c.Get(base + "/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Body.Close()
	pem, err := io.ReadAll(ca.Body)
	if err != nil {
		t.Fatal(err)
	}
	a.ca = write(t, t.TempDir(), "ca.pem", string(pem))
	return a
}

func one(t *testing.T, page, expr string) string {
	t.Helper()
	m := regexp.MustCompile(expr).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no %s on the page\n%.3000s", expr, page)
	}
	return html.UnescapeString(m[1])
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// subjects lists what the account got, but for the welcome message.
func (a *account) subjects(t *testing.T) []string {
	t.Helper()
	req, err := http.NewRequest("GET", a.api+"/messages?limit=250", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(a.user, a.pass)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct {
		Messages []struct {
			Subject  string
			Envelope struct{ From, Protocol string }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range page.Messages {
		if m.Envelope.Protocol != "internal" {
			out = append(out, m.Subject)
		}
	}
	return out
}

// sender is one program or library and how a reader of the page would use its snippet.
type sender struct {
	id    string
	needs []string // programs
	have  string   // a file that must be there, for libraries
	file  string   // where the snippet goes
	// run is a shell script in the snippet's directory. $DATA is testdata, $CA
	// the certificate to trust, $TLS "1" where TLS is spoken.
	run string
}

//rules:allow var a table, read only
var senders = []sender{
	{id: "node", needs: []string{"node"}, file: "mailer.js", run: `node mailer.js`},
	{id: "python", needs: []string{"python3"}, file: "send.py", run: `python3 send.py`},
	{id: "django", needs: []string{"python3"}, have: "/usr/lib/python3/dist-packages/django/__init__.py", file: "settings.py",
		run: `DJANGO_SETTINGS_MODULE=settings PYTHONPATH=. /usr/bin/python3 -B "$DATA/django_app.py"`},
	{id: "laravel", needs: []string{"php"}, have: "/usr/share/php/Symfony/Component/Mailer/autoload.php", file: ".env",
		run: `php -d openssl.cafile="$CA" "$DATA/laravel.php"`},
	{id: "symfony", needs: []string{"php"}, have: "/usr/share/php/Symfony/Component/Mailer/autoload.php", file: ".env",
		run: `php -d openssl.cafile="$CA" "$DATA/symfony.php"`},
	{id: "phpmailer", needs: []string{"php"}, have: "/usr/share/php/libphp-phpmailer/autoload.php", file: "mail.php",
		run: `mkdir vendor; echo '<?php require "/usr/share/php/libphp-phpmailer/autoload.php";' > vendor/autoload.php
			php -d openssl.cafile="$CA" mail.php`},
	{id: "phpmail", needs: []string{"php"}, file: "php.ini", run: `EIDER_CA="$CA" php -c php.ini "$DATA/mail.php"`},
	{id: "rails", needs: []string{"ruby"}, have: "/usr/share/doc/ruby-railties/copyright", file: "development.rb",
		run: `ruby "$DATA/rails.rb"`},
	{id: "ruby", needs: []string{"ruby"}, have: "/usr/share/doc/ruby-mail/copyright", file: "send.rb", run: `ruby send.rb`},
	{id: "spring", needs: []string{"java", "keytool"}, have: "/usr/share/java/javax.mail.jar", file: "application.properties",
		run: `keytool -importcert -noprompt -alias ca -file "$CA" -keystore trust.p12 -storepass changeit 2>/dev/null
			java -Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit \
				-cp /usr/share/java/javax.mail.jar:/usr/share/java/javax.activation.jar "$DATA/Spring.java"`},
	{id: "go", needs: []string{"go"}, file: "main.go", run: `GO111MODULE=off go run main.go`},
	{id: "curl", needs: []string{"curl"}, file: "send.sh", run: `sh -e send.sh`},
	{id: "swaks", needs: []string{"swaks"}, file: "send.sh", run: `sh -e send.sh`},
	{id: "msmtp", needs: []string{"msmtp"}, file: "msmtprc",
		run: `printf 'Subject: Hello\n\nCaught by Eider.\n' | msmtp -C msmtprc ${TLS:+--tls-trust-file="$CA"} ada@example.com`},
	{id: "mutt", needs: []string{"mutt"}, file: "muttrc", run: `echo "Caught by Eider." |
			mutt -F muttrc -e "set ssl_ca_certificates_file=$CA" -e "set record=''" -s Hello ada@example.com </dev/stdin`},
	{id: "git", needs: []string{"git"}, have: "/usr/lib/git-core/git-send-email", file: "send.sh",
		run: `git init -q . && git add send.sh && git -c user.name=Ada -c user.email=ada@example.com commit -q -m Hello
			git config sendemail.smtpSSLCertPath "$CA"; sh -e send.sh`},
	{id: "env", needs: []string{"curl"}, file: ".env", run: `set -a; . ./.env
			scheme=smtp; test "$SMTP_SECURE" = false || scheme=smtps
			printf 'Subject: Hello\n\nCaught by Eider.\n' | curl -sS "$scheme://$SMTP_HOST:$SMTP_PORT" --user "$SMTP_USER:$SMTP_PASS" \
				--mail-from app@example.com --mail-rcpt ada@example.com --upload-file -`},
}

// notRun are the snippets that nothing here can run: their libraries are in no
// package of Debian or npm.
//
//rules:allow var a table, read only
var notRun = map[string]bool{"dotnet": true}

// send runs a snippet and looks for its mail.
func (s sender) send(t *testing.T, a *account, tls bool) {
	t.Helper()
	harness.Need(t, s.needs...)
	if _, err := os.Stat(s.have); s.have != "" && err != nil {
		harness.Missing(t, "%s; 'make test-setup' installs it", s.have)
	}
	text := a.snippets[s.id]
	if text == "" {
		t.Fatalf("the page has no snippet %q", s.id)
	}
	dir := t.TempDir()
	write(t, dir, s.file, text+"\n")
	out, err := s.script(t, dir, a.ca, tls)
	if err != nil {
		t.Fatalf("%v\n%s\n--- %s\n%s", err, out, s.file, text)
	}
	got := a.subjects(t)
	if len(got) != 1 || !strings.Contains(got[0], "Hello") {
		t.Errorf("the account has %q\n%s\n--- %s\n%s", got, out, s.file, text)
	}
}

func (s sender) script(t *testing.T, dir, ca string, tls bool) (string, error) {
	data, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(harness.Root(t), "test/node/node_modules")
	cmd := exec.Command("bash", "-eu", "-o", "pipefail", "-c", s.run)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DATA="+data, "CA="+ca, "HOME="+dir, "TLS="+map[bool]string{true: "1"}[tls],
		"GOPATH="+filepath.Join(dir, "go"), "GOCACHE="+goCache(t), "NODE_PATH="+modules, "LANG=C.UTF-8",
		"SSL_CERT_FILE="+ca, "NODE_EXTRA_CA_CERTS="+ca, "CURL_CA_BUNDLE="+ca,
		"PATH="+filepath.Dir(harness.Binary(t))+":"+filepath.Join(modules, ".bin")+":"+os.Getenv("PATH"))
	timer := time.AfterFunc(clientTime, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// goCache is kept, so that the standard library is not built for each run.
func goCache(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestSnippets runs every snippet to 127.0.0.1 and to localhost as the server
// is by default, and with STARTTLS and TLS only.
func TestSnippets(t *testing.T) {
	for _, m := range []struct {
		name, host string
		flags      []string
		tls        bool
	}{
		{"127.0.0.1", "127.0.0.1", nil, false},
		{"localhost", "localhost", nil, false},
		{"STARTTLS", "localhost", []string{"--starttls", "on"}, true},
		{"TLS", "localhost", []string{"--smtp", "off", "--imap", "off"}, true},
	} {
		t.Run(m.name, func(t *testing.T) {
			s := harness.Start(t, m.flags...)
			t.Run("all", func(t *testing.T) {
				for _, v := range senders {
					t.Run(v.id, func(t *testing.T) {
						t.Parallel()
						v.send(t, open(t, s, m.host), m.tls)
					})
				}
			})
		})
	}
}

// TestEverySnippetIsTried: the page offers none that is not in the table above.
func TestEverySnippetIsTried(t *testing.T) {
	a := open(t, harness.Start(t), "localhost")
	tried := map[string]bool{}
	for _, v := range senders {
		tried[v.id] = true
	}
	for id := range a.snippets {
		if !tried[id] && !notRun[id] {
			t.Errorf("the snippet %q is run by no test", id)
		}
	}
	if len(a.snippets) < len(senders) {
		t.Errorf("only %d snippets on the page", len(a.snippets))
	}
}

// TestGoToAnotherHost: net/smtp refuses a password in clear to all but
// "localhost"; the snippet for a server on another address knows.
func TestGoToAnotherHost(t *testing.T) {
	s := harness.Start(t, "--http", "127.0.0.2:0", "--smtp", "127.0.0.2:0")
	for _, v := range senders {
		if v.id == "go" {
			v.send(t, open(t, s, "127.0.0.2"), false)
		}
	}
}
