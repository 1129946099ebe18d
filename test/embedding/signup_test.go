package signup_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	signup "example.test/signup"
	"github.com/eidermail/eider/eidertest"
)

func TestConfirm(t *testing.T) {
	srv := eidertest.New(t)
	inbox := srv.Account(t)
	m := signup.Mailer{Addr: srv.SMTPAddr(), User: inbox.User, Pass: inbox.Pass}
	if err := m.Confirm("ada@example.com", "482913"); err != nil {
		t.Fatal(err)
	}
	msg := inbox.Wait(t, eidertest.Match{To: "ada@example.com", Subject: "Confirm"})
	if !slices.Contains(msg.Codes, "482913") {
		t.Errorf("codes %q in %q", msg.Codes, msg.Text)
	}
	if len(msg.Links) != 1 {
		t.Errorf("links %v", msg.Links)
	}
}

// TestNoDrivers: a user of eidertest links no database driver.
func TestNoDrivers(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-test", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, driver := range []string{"cockroachdb/pebble", "mongo-driver", "jackc/pgx", "go-redis"} {
		if strings.Contains(string(out), driver) {
			t.Errorf("%s is linked in", driver)
		}
	}
}
