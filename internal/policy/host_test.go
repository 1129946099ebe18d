package policy_test

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/policy"
)

func TestHostAllowed(t *testing.T) {
	t.Parallel()
	dev := policy.New(policy.Options{AllowHost: []string{"Mail.Team.example"}})
	pub := policy.New(policy.Options{Public: true, PublicHost: "mail.example.com", AllowHost: []string{"alt.example"}})
	for _, c := range []struct {
		host     string
		dev, pub bool
	}{
		{"localhost", true, false}, {"localhost:8025", true, false}, {"LOCALHOST.", true, false},
		{"app.localhost:1", true, false},
		{"127.0.0.1", true, true}, {"127.0.0.1:8025", true, true}, {"[::1]:8025", true, true}, {"[::1]", true, true},
		{"10.1.2.3:80", true, true}, {"[fe80::1%25eth0]", true, true},
		{"mailbox", true, false}, {"mail_catcher:8025", true, false}, {"host.docker.internal:8025", true, false},
		{"mail.team.example", true, false}, {"mail.team.example.:80", true, false},
		{"mail.example.com", false, true}, {"MAIL.example.com:443", false, true}, {"alt.example", false, true},
		{"evil.example", false, false}, {"evil.example:8025", false, false}, {"127.0.0.1.evil.example", false, false},
		{"localhost.evil.example", false, false}, {"x.mail.example.com", false, false}, {"", false, false},
		{"1", false, false}, {"127.1", false, false}, {"2130706433", false, false}, {"a b", false, false},
		{"localhost:x", false, false}, {"localhost:1:2", false, false}, {"loc\u212Alhost", false, false},
		{"user@localhost", false, false}, {"localhost/x", false, false}, {".", false, false}, {":80", false, false},
		{strings.Repeat("a", 64), false, false}, {strings.Repeat("a", 400), false, false},
	} {
		if got := dev.HostAllowed(c.host); got != c.dev {
			t.Errorf("dev: HostAllowed(%q) = %v", c.host, got)
		}
		if got := pub.HostAllowed(c.host); got != c.pub {
			t.Errorf("public: HostAllowed(%q) = %v", c.host, got)
		}
	}
}
