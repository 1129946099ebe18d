package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// nobody owns Dovecot's mail.
const nobody = 65534

// Dovecot starts Debian's Dovecot with mail in a format ("maildir", "mdbox",
// "sdbox"), every extension of Debian's packages switched on, the mailboxes
// that this server makes for an account, a quota of so much ("100M"), and no
// fsync: what it is compared with is its answers, or its speed at its best.
func Dovecot(t testing.TB, format, quota string) *IMAP {
	t.Helper()
	harness.Need(t, "dovecot")
	dir := folder(t, "dovecot")
	mail := filepath.Join(dir, "mail")
	if err := os.Mkdir(mail, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(mail, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	conf := write(t, filepath.Join(dir, "dovecot.conf"), fmt.Sprintf(dovecotConf, dir, port, nobody, format, quota))
	s := &IMAP{Name: "dovecot " + format, Addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir}
	s.login = func(user string) string { return "LOGIN " + user + " x" }
	s.PID = start(t, s.Addr, exec.Command("dovecot", "-F", "-c", conf))
	return s
}

const dovecotConf = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = %[4]s:%[1]s/mail/%%u
mail_fsync = never
mail_max_userip_connections = 100000
mail_plugins = quota
mailbox_list_index = yes
auth_mechanisms = plain login
userdb {
  driver = static
  args = uid=%[3]d gid=%[3]d home=%[1]s/mail/%%u
}
passdb {
  driver = static
  args = nopassword=y
}
plugin {
  quota = count:User quota
  quota_rule = *:storage=%[5]s
  quota_vsizes = yes
}
protocol imap {
  mail_plugins = quota imap_quota imap_zlib
}
namespace inbox {
  inbox = yes
  separator = /
  mailbox INBOX {
    auto = subscribe
  }
  mailbox Drafts {
    auto = subscribe
    special_use = \Drafts
  }
  mailbox Junk {
    auto = subscribe
    special_use = \Junk
  }
  mailbox Sent {
    auto = subscribe
    special_use = \Sent
  }
  mailbox Trash {
    auto = subscribe
    special_use = \Trash
  }
}
service anvil {
  client_limit = 40000
}
service auth {
  client_limit = 40000
}
service imap-login {
  service_count = 0
  client_limit = 20000
  process_min_avail = 1
  inet_listener imap {
    address = 127.0.0.1
    port = %[2]d
  }
  inet_listener imaps {
    port = 0
  }
}
service imap {
  process_limit = 20000
  service_count = 0
  process_min_avail = 2
}
`
