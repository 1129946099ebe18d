package deploy_test

import (
	"fmt"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
	"github.com/eidermail/eider/test/postgres"
)

// TestBackup_PostgreSQL: a pg_basebackup taken while mail comes in, put back as
// docs/cluster.md says, has every mail that was acknowledged before it, and is
// a sound store that takes mail.
func TestBackup_PostgreSQL(t *testing.T) {
	t.Parallel()
	harness.Need(t, "curl")
	db := postgres.Start(t, "fsync=off")
	s := harness.Start(t, "--store", db.URI())
	a := s.NewAccount(t)
	send := func(s *harness.Server, subject string) error {
		return smtp.SendMail(s.SMTP, smtp.PlainAuth("", a.User, a.Pass, "127.0.0.1"), "a@b.test", []string{"c@d.test"},
			[]byte("Subject: "+subject+"\r\n\r\nbody\r\n"))
	}
	list := func(s *harness.Server) string {
		t.Helper()
		return harness.Run(t, 30*time.Second, "curl", "-sS", "-m", "20", "-u", a.User+":"+a.Pass, "http://"+s.HTTP+"/v1/messages?limit=100")
	}
	for i := range 10 {
		if err := send(s, fmt.Sprintf("before-%d-", i)); err != nil {
			t.Fatal(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { // mail goes on while the copy is made
		var err error
		for err == nil {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
				err = send(s, "meanwhile")
				time.Sleep(500 * time.Millisecond) // the list below shows 100
			}
		}
		stopped <- err
	}()
	copied := db.Backup(t)
	close(stop)
	if err := <-stopped; err != nil {
		t.Errorf("mail during the backup: %v", err)
	}
	s.Stop(t)
	if err := copied.ExecIn("eider", "set search_path to eider; select kv_raise_epoch()"); err != nil {
		t.Fatalf("the epoch of the recipe: %v", err)
	}
	back := harness.Start(t, "--store", copied.URI())
	text := list(back)
	for i := range 10 {
		if !strings.Contains(text, fmt.Sprintf("before-%d-", i)) {
			t.Errorf("message %d is not in the backup", i)
		}
	}
	if err := send(back, "after"); err != nil || !strings.Contains(list(back), "after") {
		t.Errorf("the restored store takes no mail: %v", err)
	}
	back.Stop(t)
	out, err := harness.TryRun(2*time.Minute, harness.Binary(t), "fsck", "--data", t.TempDir(), "--store", copied.URI())
	if err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
}
