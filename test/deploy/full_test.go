package deploy_test

import (
	"crypto/rand"
	"encoding/hex"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

// TestStoreMax: a store on database servers that takes all it may refuses mail and
// accounts, and takes mail again when it may take more. MongoDB is a FAKE.
func TestStoreMax(t *testing.T) {
	t.Parallel()
	harness.Need(t, "curl")
	for name, uri := range map[string]string{
		"PostgreSQL":   postgres.Start(t, "fsync=off").URI(),
		"MongoDB fake": fakeSet(t).URI("db"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, "--store", uri, "--store-max-bytes", "4MB")
			a := s.NewAccount(t)
			send := func(s *harness.Server) error {
				noise := make([]byte, 200_000) // what no compression makes smaller
				_, _ = rand.Read(noise)
				return smtp.SendMail(s.SMTP, smtp.PlainAuth("", a.User, a.Pass, "127.0.0.1"), "a@b.test", []string{"c@d.test"},
					[]byte("Subject: noise\r\n\r\n"+hex.EncodeToString(noise)+"\r\n"))
			}
			var err error
			n := 0
			for end := time.Now().Add(time.Minute); err == nil; time.Sleep(500 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the store grows without end")
				}
				if err = send(s); err == nil {
					n++
				}
			}
			if !strings.HasPrefix(err.Error(), "452 ") || n < 10 {
				t.Errorf("after %d messages: %v", n, err)
			}
			out := harness.Run(t, 20*time.Second, "curl", "-sS", "-m", "10", "-d", "", "http://"+s.HTTP+"/user")
			if !strings.Contains(out, "no room") {
				t.Errorf("an account: %s", out)
			}
			s.Stop(t)
			larger := harness.Start(t, "--store", uri, "--store-max-bytes", "400MB")
			if err := send(larger); err != nil {
				t.Error(err)
			}
			list := harness.Run(t, 30*time.Second, "curl", "-sS", "-m", "20", "-u", a.User+":"+a.Pass, "http://"+larger.HTTP+"/v1/messages?limit=100")
			if got := strings.Count(list, `"noise"`); got != n+1 {
				t.Errorf("%d messages are there, %d were acknowledged: %.500s", got, n+1, list)
			}
		})
	}
}
