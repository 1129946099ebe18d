package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/config"
)

func env(m map[string]string) func(string) (string, bool) {
	return func(k string) (string, bool) { v, ok := m[k]; return v, ok }
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "eider.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const set = "retention = \"2d\"\n"
	for _, c := range []struct {
		name, file, env, flag string
		want                  time.Duration
		origin                string
	}{
		{"default", "", "", "", 7 * 24 * time.Hour, "default"},
		{"file", set, "", "", 48 * time.Hour, "FILE"},
		{"env over file", set, "3d", "", 72 * time.Hour, "$EIDER_RETENTION"},
		{"flag over env", set, "3d", "4d", 96 * time.Hour, "--retention"},
		{"flag over file", set, "", "4d", 96 * time.Hour, "--retention"},
		{"env over default", "", "3d", "", 72 * time.Hour, "$EIDER_RETENTION"},
		{"zero is a setting", "retention = \"0\"\n", "", "", 0, "FILE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			flags, vars, name := map[string]string{}, map[string]string{"HOME": "/home/u"}, ""
			if c.file != "" {
				name = file(t, c.file)
				flags["config"] = name
			}
			if c.env != "" {
				vars["EIDER_RETENTION"] = c.env
			}
			if c.flag != "" {
				flags["retention"] = c.flag
			}
			cfg, err := config.Load(config.Sources{Env: env(vars), Flags: flags})
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Retention.Std() != c.want {
				t.Errorf("retention %v, want %v", cfg.Retention.Std(), c.want)
			}
			if want := strings.Replace(c.origin, "FILE", name, 1); cfg.Origin("retention") != want {
				t.Errorf("origin %q, want %q", cfg.Origin("retention"), want)
			}
		})
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	dev, err := config.Load(config.Sources{Env: env(nil)})
	if err != nil {
		t.Fatal(err)
	}
	pub, err := config.Load(config.Sources{Env: env(map[string]string{"EIDER_PUBLIC_HOST": "mail.example.com"})})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][2]string{
		{"localhost:8025", "off"}, {"off", ":443"}, {"localhost:1025", ":587"}, {"localhost:1465", ":465"},
		{"localhost:1026", "off"}, {"off", "off"}, {"localhost:1143", "off"}, {"localhost:1993", ":993"},
		{"localhost:1110", "off"}, {"localhost:1995", ":995"}, {"localhost:8026", "localhost:8026"},
	} {
		d, p := dev.Listeners()[i], pub.Listeners()[i]
		if d.Addr.String() != want[0] || p.Addr.String() != want[1] {
			t.Errorf("%s: dev %s public %s, want %s and %s", d.Name, d.Addr, p.Addr, want[0], want[1])
		}
	}
	if dev.Domain != "eider.test" || pub.Domain != "mail.example.com" {
		t.Errorf("domains %q %q", dev.Domain, pub.Domain)
	}
	if len(dev.TrustedNets) != 2 || len(pub.TrustedNets) != 0 {
		t.Errorf("trusted %v %v", dev.TrustedNets, pub.TrustedNets)
	}
	if dev.AccountIdle != 0 || pub.AccountIdle.Std() != 30*24*time.Hour {
		t.Errorf("idle %v %v", dev.AccountIdle, pub.AccountIdle)
	}
	if dev.AccountQuota != 100e6 || dev.MessageLimit != 64e6 || dev.AccountMessages != 50_000 {
		t.Errorf("limits %v %v %v", dev.AccountQuota, dev.MessageLimit, dev.AccountMessages)
	}
}

func TestMistakesNameTheirPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		env, flags map[string]string
		want       []string
	}{
		{name: "unknown key", file: "\n\nretention = \"1d\"\nretenton = \"2d\"\n", want: []string{":4:", "retenton"}},
		{name: "another case", file: "smtp = \"off\"\n  Create = \"off\"\n", want: []string{":2:", `"Create"`, `did you mean "create"`}},
		{name: "table in capitals", file: "[ADVERTISE]\nhttp = \"http://x\"\n", want: []string{":1:", `did you mean "advertise"`}},
		{name: "nearly a key", file: "retenton = \"2d\"\n", want: []string{`did you mean "retention"`}},
		{name: "seconds?", file: "\ndrain-delay = 30\n", want: []string{":2:", "drain-delay", "has no unit", "30s"}},
		{name: "past", file: "retention = -1\n", want: []string{":1:", "retention", "not a time span"}},
		{name: "less than nothing", file: "store-max-bytes = -1\n", want: []string{":1:", "store-max-bytes", "not a size"}},
		{name: "no unit", env: map[string]string{"EIDER_DRAIN_DELAY": "30"}, want: []string{"EIDER_DRAIN_DELAY", "30s"}},
		{name: "unknown table", file: "[smtp2]\nx = 1\n", want: []string{":1:", "smtp2"}},
		{name: "bad value", file: "smtp = \":1\"\nretention = \"soon\"\n", want: []string{":2:", "soon"}},
		{name: "bad type", file: "account-messages = \"many\"\n", want: []string{":1:"}},
		{name: "syntax", file: "a = \n", want: []string{":1:"}},
		{name: "no file", flags: map[string]string{"config": "/no/such/file"}, want: []string{"/no/such/file"}},
		{name: "env", env: map[string]string{"EIDER_ACCOUNT_QUOTA": "much"}, want: []string{"EIDER_ACCOUNT_QUOTA", "much"}},
		{name: "flag", flags: map[string]string{"smtp": "nowhere"}, want: []string{"--smtp", "nowhere"}},
		{name: "port", flags: map[string]string{"smtp": ":70000"}, want: []string{"--smtp", "70000"}},
		{name: "cert alone", flags: map[string]string{"tls-cert": "x"}, want: []string{"--tls-cert", "--tls-key"}},
		{name: "same port", flags: map[string]string{"smtp": ":25", "mx": ":25"}, want: []string{"--smtp", "--mx"}},
		{name: "advertise key", flags: map[string]string{"advertise": "ftp=x:1"}, want: []string{"ftp"}},
		{name: "advertise url", flags: map[string]string{"advertise": "http=x"}, want: []string{"http=x"}},
		{name: "host", flags: map[string]string{"public-host": "https://x/"}, want: []string{"--public-host"}},
		{name: "net", flags: map[string]string{"trusted-nets": "10.0.0.0/99"}, want: []string{"--trusted-nets"}},
		{name: "starttls", flags: map[string]string{"starttls": "maybe"}, want: []string{"--starttls", "auto"}},
		{name: "acme of whom", flags: map[string]string{"acme": "on"}, want: []string{"--acme", "--public-host"}},
		{name: "acme where", flags: map[string]string{"acme": "http://x", "public-host": "m.example"}, want: []string{"--acme", "https"}},
		{name: "acme and files", flags: map[string]string{"acme": "on", "public-host": "m.example", "tls-cert": "a", "tls-key": "b"},
			want: []string{"--acme", "--tls-cert"}},
		{name: "proxy of whom", flags: map[string]string{"proxy": "smtp"}, want: []string{"--proxy", "--proxy-from"}},
		{name: "proxy of what", flags: map[string]string{"proxy-from": "10.0.0.1"}, want: []string{"--proxy", "--proxy-from"}},
		{name: "proxied ftp", flags: map[string]string{"proxy": "ftp", "proxy-from": "::/0"}, want: []string{"--proxy", "ftp"}},
		{name: "proxied off", flags: map[string]string{"proxy": "lmtp", "proxy-from": "::/0"}, want: []string{"lmtp", "off"}},
		{name: "small limit", flags: map[string]string{"message-limit": strconv.Itoa(config.MinMessage - 1)},
			want: []string{"--message-limit"}},
		{name: "large limit", flags: map[string]string{"message-limit": strconv.Itoa(config.MaxMessage + 1)},
			want: []string{"--message-limit"}},
		{name: "long drain", flags: map[string]string{"drain-delay": (config.MaxDrainDelay + time.Second).String()},
			want: []string{"--drain-delay"}},
		{name: "large file", file: strings.Repeat("# nothing\n", config.MaxFile/10+1), want: []string{"is over"}},
		{name: "short retention", flags: map[string]string{"retention": "1ms"}, want: []string{"--retention"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.flags == nil {
				c.flags = map[string]string{}
			}
			if c.file != "" {
				c.flags["config"] = file(t, c.file)
			}
			_, err := config.Load(config.Sources{Env: env(c.env), Flags: c.flags})
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not name %q", err, w)
				}
			}
		})
	}
}

func TestFileForms(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Sources{Env: env(nil), Flags: map[string]string{"config": file(t, `
smtp = "off"
trusted-nets = ["10.1.2.3/8", "fd00::/8"]
allow-host = ["a.example", "b.example"]
account-messages = 7
account-quota = 12345
retention = 0
[advertise]
http = "https://x.example"
`)}})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.SMTP.On() || len(cfg.TrustedNets) != 2 || len(cfg.AllowHost) != 2 || cfg.AccountMessages != 7 ||
		cfg.AccountQuota != 12345 || cfg.Retention != 0 || cfg.Origin("retention") == "default" || cfg.Advertise["http"] != "https://x.example" {
		t.Errorf("%+v", cfg)
	}
}

// TestMisspeltVariables: who sets nearly a setting is told, and nobody else.
func TestMisspeltVariables(t *testing.T) {
	for name, want := range map[string]string{
		"EIDER_RETENTOIN": "EIDER_RETENTION", "EIDER_PUBLICHOST": "EIDER_PUBLIC_HOST", "EIDER_SMPT": "EIDER_SMTP",
		"EIDER_TLS_KEYS": "EIDER_TLS_KEY", "EIDER_Create": "EIDER_CREATE", "EIDER_ACOUNT_QOUTA": "EIDER_ACCOUNT_QUOTA",
		"EIDER_TRUSTED_NET": "EIDER_TRUSTED_NETS",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "1")
			cfg, err := config.Load(config.Sources{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(cfg.Warnings(), "\n"); !strings.Contains(got, name+",") || !strings.Contains(got, "did you mean "+want+"?") {
				t.Errorf("%q", got)
			}
			if cfg, err = config.Load(config.Sources{Env: env(nil)}); err != nil || len(cfg.Warnings()) > 0 {
				t.Errorf("where variables are not heeded: %v %v", cfg.Warnings(), err)
			}
		})
	}
	// Kubernetes', the tests', and what commands are told.
	for _, name := range strings.Fields(`EIDER_PORT EIDER_PORT_25_TCP EIDER_PORT_443_TCP_ADDR EIDER_SERVICE_HOST
		EIDER_SERVICE_PORT_HTTPS EIDER_SMTP_PORT EIDER_SMTP_SERVICE_HOST EIDER_TEST_SMTP EIDER_TEST_HTTP EIDER_CORPUS
		EIDER_BINARY EIDER_CA EIDER_USER EIDER_PASS EIDER_API EIDER_WEB EIDER_TOKEN EIDER_ADMIN_KEY EIDER_SOAK EIDER_SEED
		EIDER_OLD EIDER_KEEP EIDER_IDLE EIDER_PART EIDER_KILLS EIDER_ACCOUNTS EIDER_ATTACKS EIDER_SCRIPT EIDER_CHROMIUM
		EIDER_DOVECOT EIDER_BENCH_BASE EIDER_MAKE_FORMAT EIDER_SCREENSHOTS EIDER_FILL_DISK EIDER_SMTP EIDER_CONFIG`) {
		t.Setenv(name, "") // which sets nothing
	}
	cfg, err := config.Load(config.Sources{})
	if err != nil || len(cfg.Warnings()) > 0 {
		t.Errorf("%q %v", cfg.Warnings(), err)
	}
}

func TestWriteTOMLReadsBack(t *testing.T) {
	t.Parallel()
	for _, flags := range []map[string]string{
		{},
		{"public-host": "mail.example.com", "allow-host": "a,b", "advertise": "smtp=x:1,http=http://y", "mx": ":25"},
		{"data": "C:\\Users\\\"x\"", "trusted-nets": "", "retention": "36h", "account-quota": "1.5GiB", "smtp": "off"},
	} {
		a, err := config.Load(config.Sources{Env: env(nil), Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		var one, two bytes.Buffer
		if err := a.WriteTOML(&one); err != nil {
			t.Fatal(err)
		}
		b, err := config.Load(config.Sources{Env: env(nil), Flags: map[string]string{"config": file(t, one.String())}})
		if err != nil {
			t.Fatalf("%v in\n%s", err, one.String())
		}
		if err := b.WriteTOML(&two); err != nil {
			t.Fatal(err)
		}
		if x, y := values(one.String()), values(two.String()); x != y {
			t.Errorf("read back differs:\n%s\n---\n%s", x, y)
		}
	}
}

func values(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		if !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "")
}

func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	var md bytes.Buffer
	if err := config.WriteMarkdown(&md); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(md.String()) {
		if strings.HasPrefix(l, "| `--") {
			if strings.HasSuffix(l, "|  |\n") || strings.Contains(l, "` ` ") {
				t.Errorf("not described: %s", l)
			}
		}
	}
	for _, f := range strings.Fields(`data store http https smtp smtps mx lmtp imap imaps pop3 pop3s admin retention
		account-quota account-messages message-limit account-idle dedup part-grace repack domain starttls tls-cert tls-key trusted-nets
		public-host advertise allow-host config ready-file log-level log-format`) {
		if !strings.Contains(md.String(), "| `--"+f+" ") || config.Help(f) == "" {
			t.Errorf("--%s is missing", f)
		}
	}
}

func TestDefaultData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		goos string
		env  map[string]string
		want string
	}{
		{"linux", map[string]string{"HOME": "/home/u"}, "/home/u/.local/share/eider"},
		{"linux", map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "/x"}, "/x/eider"},
		{"linux", map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "rel"}, "/home/u/.local/share/eider"},
		{"linux", nil, "/var/lib/eider"},
		{"darwin", map[string]string{"HOME": "/Users/u"}, "/Users/u/Library/Application Support/eider"},
		{"windows", map[string]string{"LOCALAPPDATA": "/L"}, "/L/eider"},
	} {
		if got := filepath.ToSlash(config.DefaultData(c.goos, env(c.env))); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.goos, c.env, got, c.want)
		}
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"100MB": "100MB", "64MiB": "64MiB", "4096": "4KiB", "1.5gb": "1500MB",
		"1 kib": "1KiB", "7": "7", "0": "0", "10M": "10MB"} {
		var s config.Size
		if err := s.UnmarshalText([]byte(in)); err != nil || s.String() != want {
			t.Errorf("size %q: %s %v, want %s", in, s, err, want)
		}
	}
	for _, in := range []string{"", "MB", "-1", "1PB", "1e30", "NaN", "x"} {
		var s config.Size
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("size %q: %d", in, s)
		}
	}
	for in, want := range map[string]string{"7d": "7d", "1d12h": "36h", "30s": "30s", "0": "0", "never": "0", "90m": "1h30m",
		"0.5d": "12h"} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.String() != want {
			t.Errorf("duration %q: %s %v, want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"", "d", "-1d", "7", "1e9d", "xd", "1d-2h", "NaNd"} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("duration %q: %s", in, d)
		}
	}
	for in, want := range map[string]string{"off": "off", "": "off", "localhost:1": "localhost:1", ":0": ":0",
		"1025": "localhost:1025", "[::1]:25": "[::1]:25", "OFF": "off"} {
		var l config.Listen
		if err := l.UnmarshalText([]byte(in)); err != nil || l.String() != want {
			t.Errorf("listen %q: %s %v, want %s", in, l, err, want)
		}
	}
}
