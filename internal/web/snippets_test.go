package web

import (
	"go/parser"
	"go/token"
	"os/exec"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web/ui"
)

var set = map[string]advert.Service{
	"none":     {Host: "127.0.0.1", Port: 1025, Security: advert.None},
	"starttls": {Host: "mail.example.com", Port: 587, Security: advert.StartTLS},
	"tls":      {Host: "mail.example.com", Port: 465, Secure: true, Security: advert.TLS},
	"ipv6":     {Host: "::1", Port: 1025, Security: advert.None},
}

func byID(t *testing.T, list []ui.Snippet) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, s := range list {
		if out[s.ID] != "" || s.Name == "" || s.Text == "" {
			t.Errorf("snippet %q is empty or there twice", s.ID)
		}
		out[s.ID] = s.Text
	}
	return out
}

func TestSnippetsSayTheMode(t *testing.T) {
	t.Parallel()
	want := map[string]map[string][]string{
		"none": {
			"node": {"secure: false", "port: 1025"}, "python": {"smtplib.SMTP("}, "django": {"EMAIL_USE_TLS = False", "EMAIL_USE_SSL = False"},
			"laravel": {"MAIL_SCHEME=smtp\n", "MAIL_ENCRYPTION=null"}, "symfony": {"MAILER_DSN=smtp://ada%40eider.test:pw1@127.0.0.1:1025"},
			"phpmailer": {"SMTPSecure = ''", "SMTPAutoTLS = false"}, "rails": {"enable_starttls_auto: false"},
			"spring": {"starttls.enable=false", "ssl.enable=false"}, "go": {`"127.0.0.1:1025"`}, "dotnet": {"SecureSocketOptions.None"},
			"curl": {"smtp://127.0.0.1:1025 "}, "swaks": {"--port 1025 \\"}, "msmtp": {"tls off", "tls_starttls off"}},
		"starttls": {
			"node": {"secure: false", "port: 587"}, "python": {"smtp.starttls()"}, "django": {"EMAIL_USE_TLS = True", "EMAIL_USE_SSL = False"},
			"laravel": {"MAIL_SCHEME=smtp\n", "MAIL_ENCRYPTION=tls"}, "phpmailer": {"ENCRYPTION_STARTTLS", "SMTPAutoTLS = true"},
			"rails": {"enable_starttls: true"}, "spring": {"starttls.enable=true"}, "dotnet": {"SecureSocketOptions.StartTls"},
			"curl": {"--ssl-reqd"}, "swaks": {"--tls "}, "msmtp": {"tls on", "tls_starttls on"}},
		"tls": {
			"node": {"secure: true", "port: 465"}, "python": {"SMTP_SSL"}, "django": {"EMAIL_USE_TLS = False", "EMAIL_USE_SSL = True"},
			"laravel": {"MAIL_SCHEME=smtps"}, "symfony": {"smtps://"}, "phpmailer": {"ENCRYPTION_SMTPS"}, "rails": {"tls: true"},
			"spring": {"ssl.enable=true"}, "dotnet": {"SslOnConnect"}, "curl": {"smtps://"}, "swaks": {"--tlsc"},
			"msmtp": {"tls on", "tls_starttls off"}},
		"ipv6": {"symfony": {"@[::1]:1025"}, "curl": {"smtp://[::1]:1025"}, "go": {`"[::1]:1025"`}},
	}
	for mode, smtp := range set {
		got := byID(t, snippets(advert.Endpoints{Web: "http://x", SMTP: smtp}, "ada@eider.test", "pw1"))
		for id, words := range want[mode] {
			for _, w := range words {
				if !strings.Contains(got[id], w) {
					t.Errorf("%s, %s: no %q in\n%s", mode, id, w, got[id])
				}
			}
		}
		if strings.Contains(got["python"], "starttls()") != (mode == "starttls") {
			t.Errorf("%s: python\n%s", mode, got["python"])
		}
	}
	if s := snippets(advert.Endpoints{}, "a", "b"); s != nil {
		t.Error("snippets for a server without SMTP")
	}
}

// TestSnippetsParse gives the snippets, with awkward values in them, to what
// can read them here.
func TestSnippetsParse(t *testing.T) {
	t.Parallel()
	var python, node, sh, ruby strings.Builder
	for mode, smtp := range set {
		got := byID(t, snippets(advert.Endpoints{Web: "http://x", SMTP: smtp}, `a"d'a\@eider.test`, `p'w"$x\y`))
		if _, err := parser.ParseFile(token.NewFileSet(), "main.go", got["go"], parser.AllErrors); err != nil {
			t.Errorf("%s, go: %v\n%s", mode, err, got["go"])
		}
		python.WriteString(got["python"] + "\n" + got["django"] + "\n")
		node.WriteString("{\n" + got["node"] + "\n}\n")
		sh.WriteString(got["curl"] + "\n" + got["swaks"] + "\n" + got["env"] + "\n")
		ruby.WriteString(got["rails"] + "\n")
	}
	tool(t, python.String(), "python3", "-c", "import ast,sys; ast.parse(sys.stdin.read())")
	tool(t, node.String(), "node", "--check", "-")
	tool(t, sh.String(), "sh", "-n")
	tool(t, ruby.String(), "ruby", "-c")
	one := byID(t, snippets(advert.Endpoints{Web: "http://x", SMTP: set["tls"]}, `a"d'a\@eider.test`, `p'w"$x\y`))
	tool(t, one["phpmailer"], "php", "-l")
}

func tool(t *testing.T, text, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Logf("%s is not installed: its snippets were not tried", name)
		return
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", name, err, out, text)
	}
}

func TestCredentialsCSV(t *testing.T) {
	t.Parallel()
	e := advert.Endpoints{
		SMTP: advert.Service{Host: "smtp.example.com", Port: 587, Security: advert.StartTLS},
		IMAP: advert.Service{Host: "imap.example.com", Port: 993, Secure: true, Security: advert.TLS},
		POP3: advert.Service{Host: "pop3.example.com", Port: 995, Secure: true, Security: advert.TLS},
	}
	got := credentialsCSV(e, mailstore.Account{Name: `=cmd|"x"`, Address: "tom.hamill@example.com"}, "pw")
	want := `"Service","Name","Username","Password","Hostname","Port","Security"
"SMTP","'=cmd|""x""","tom.hamill@example.com","pw","smtp.example.com","587","STARTTLS"
"IMAP","'=cmd|""x""","tom.hamill@example.com","pw","imap.example.com","993","TLS"
"POP3","'=cmd|""x""","tom.hamill@example.com","pw","pop3.example.com","995","TLS"
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestEveryKindHasAnAnswer(t *testing.T) {
	t.Parallel()
	for k := mailstore.Internal; k <= mailstore.Corrupt; k++ {
		if a := answers[k]; a.code < 400 || a.title == "" || a.text == "" {
			t.Errorf("kind %v has no answer", k)
		}
	}
	if len(answers) != int(mailstore.Corrupt)+1 {
		t.Error("a kind without a name has an answer")
	}
}

func TestImageType(t *testing.T) {
	t.Parallel()
	for magic, want := range map[string]string{"\x89PNG\r\n\x1a\nxx": "image/png", "GIF89a": "image/gif",
		"\xff\xd8\xff\xe0": "image/jpeg", "RIFFxxxxWEBP": "image/webp", "xxxxftypavif": "image/avif", "BMxx": "image/bmp",
		"<svg xmlns=": "", "<html>": "", "": "", "RIFFxxxxWAVE": "", "%PDF-1.4": ""} {
		if got := imageType([]byte(magic)); got != want {
			t.Errorf("%q is %q, want %q", magic, got, want)
		}
	}
}
