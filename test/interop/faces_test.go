package interop_test

import (
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// The npm clients of Mailpit and MailHog, with the catch-all that needs no
// credentials, and with an account.
func TestOtherCatchersClients(t *testing.T) {
	for _, script := range []string{"mailhog.mjs", "mailpit.mjs"} {
		for _, login := range []bool{false, true} {
			name := script + "/catch-all"
			if login {
				name = script + "/account"
			}
			t.Run(name, func(t *testing.T) {
				s := harness.Start(t, "--store", "memory")
				t.Setenv("EIDER_TEST_HTTP", s.HTTP)
				t.Setenv("EIDER_TEST_SMTP", s.SMTP)
				if login {
					a := s.NewAccount(t)
					t.Setenv("EIDER_TEST_AUTH", a.User+":"+a.Pass)
				}
				t.Log(node(t, script))
			})
		}
	}
}
