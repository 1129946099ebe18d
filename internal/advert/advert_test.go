package advert_test

import (
	"encoding/json"
	"testing"

	"github.com/eidermail/eider/internal/advert"
)

func devPorts() advert.Ports {
	return advert.Ports{HTTP: 8025, SMTP: 1025, SMTPS: 1465, MX: 1026, IMAP: 1143, IMAPS: 1993, POP3: 1110, POP3S: 1995}
}

func publicPorts() advert.Ports {
	return advert.Ports{HTTPS: 443, SMTP: 587, SMTPS: 465, IMAPS: 993, POP3S: 995}
}

func newAdvert(t *testing.T, o advert.Options) *advert.Advert {
	t.Helper()
	a, err := advert.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFor_Dev(t *testing.T) {
	t.Parallel()
	a := newAdvert(t, advert.Options{Ports: devPorts()})
	for _, c := range []struct {
		host string
		tls  bool
		web  string
		name string
	}{
		{"", false, "http://127.0.0.1:8025", "127.0.0.1"},
		{"localhost:8025", false, "http://localhost:8025", "localhost"},
		{"127.0.0.1:8025", false, "http://127.0.0.1:8025", "127.0.0.1"},
		{"[::1]:8025", false, "http://[::1]:8025", "::1"},
		{"[::1]", false, "http://[::1]", "::1"},
		{"mailbox", false, "http://mailbox", "mailbox"},
		{"mailbox:80", false, "http://mailbox", "mailbox"},
		{"host.docker.internal:9999", false, "http://host.docker.internal:9999", "host.docker.internal"},
		{"localhost:8443", true, "https://localhost:8443", "localhost"},
		{"0.0.0.0:8025", false, "http://127.0.0.1:8025", "127.0.0.1"},
	} {
		e := a.For(c.host, c.tls)
		if e.Web != c.web || e.API != c.web+"/v1" {
			t.Errorf("%q: web %q, api %q", c.host, e.Web, e.API)
		}
		for want, got := range map[advert.Service]advert.Service{
			{Host: c.name, Port: 1025, Security: "none"}: e.SMTP,
			{Host: c.name, Port: 1143, Security: "none"}: e.IMAP,
			{Host: c.name, Port: 1110, Security: "none"}: e.POP3,
			{Host: c.name, Port: 1026, Security: "none"}: e.MX,
		} {
			if got != want {
				t.Errorf("%q: %+v, want %+v", c.host, got, want)
			}
		}
	}
}

func TestFor_Public(t *testing.T) {
	t.Parallel()
	a := newAdvert(t, advert.Options{PublicHost: "mail.example.com", Ports: publicPorts(), StartTLS: true})
	for _, host := range []string{"", "127.0.0.1", "other.example:99"} {
		e := a.For(host, false)
		if e.Web != "https://mail.example.com" {
			t.Errorf("web %q", e.Web)
		}
		for want, got := range map[advert.Service]advert.Service{
			{Host: "mail.example.com", Port: 587, Security: "STARTTLS"}:          e.SMTP,
			{Host: "mail.example.com", Port: 993, Secure: true, Security: "TLS"}: e.IMAP,
			{Host: "mail.example.com", Port: 995, Secure: true, Security: "TLS"}: e.POP3,
		} {
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		if !e.MX.IsZero() {
			t.Error("MX is off")
		}
	}
}

func TestFor_OnePortOff(t *testing.T) {
	t.Parallel()
	a := newAdvert(t, advert.Options{Ports: advert.Ports{HTTPS: 8443, SMTPS: 1465, IMAP: 1143}})
	e := a.For("", false)
	if e.Web != "https://127.0.0.1:8443" || !e.SMTP.Secure || e.SMTP.Port != 1465 || !e.POP3.IsZero() {
		t.Errorf("%+v", e)
	}
	p := newAdvert(t, advert.Options{PublicHost: "x.example", Ports: advert.Ports{HTTP: 80, SMTP: 587, IMAP: 143}})
	e = p.For("", false)
	if e.Web != "http://x.example" || e.IMAP.Secure || e.IMAP.Port != 143 {
		t.Errorf("%+v", e)
	}
}

func TestAdvertise(t *testing.T) {
	t.Parallel()
	a := newAdvert(t, advert.Options{Ports: devPorts(), Advertise: map[string]string{
		"http": "https://catch.example/mail/", "smtp": "smtp.example:587", "imap": "imaps://imap.example:7993", "pop3": "pop.example",
	}})
	e := a.For("localhost:8025", false)
	if e.Web != "https://catch.example/mail" || e.API != "https://catch.example/mail/v1" {
		t.Errorf("web %q api %q", e.Web, e.API)
	}
	for want, got := range map[advert.Service]advert.Service{
		{Host: "smtp.example", Port: 587, Security: "none"}:               e.SMTP,
		{Host: "imap.example", Port: 7993, Secure: true, Security: "TLS"}: e.IMAP,
		{Host: "pop.example", Port: 1110, Security: "none"}:               e.POP3,
	} {
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	p := newAdvert(t, advert.Options{PublicHost: "x.example", Ports: publicPorts(), StartTLS: true,
		Advertise: map[string]string{"smtp": "s.example:465", "imap": "i.example:993", "pop3": "[2001:db8::1]:110"}})
	e = p.For("", true)
	if !e.SMTP.Secure || !e.IMAP.Secure || e.POP3.Secure || e.POP3.Addr() != "[2001:db8::1]:110" {
		t.Errorf("%+v", e)
	}
	for k, v := range map[string]string{
		"http": "catch.example", "smtp": "host:99999", "imap": "smtp://x:1", "pop3": ":110", "ftp": "x:21", "mx": "a b:25",
	} {
		if _, err := advert.New(advert.Options{Ports: devPorts(), Advertise: map[string]string{k: v}}); err == nil {
			t.Errorf("%s=%s is taken", k, v)
		}
	}
}

// The JSON of a service is exactly what createTestAccount's users read.
func TestService_JSON(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(advert.Service{Host: "h", Port: 587, Security: "STARTTLS"})
	if err != nil || string(b) != `{"host":"h","port":587,"secure":false}` {
		t.Errorf("%s %v", b, err)
	}
}
