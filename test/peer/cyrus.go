package peer

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// cyrusBin is where Debian's packages put what Cyrus's master starts.
const cyrusBin = "/usr/lib/cyrus/bin"

// Cyrus starts Debian's Cyrus. Its package of the IMAP server cannot be
// installed beside Dovecot's, so make test-setup unpacks it below test/.
func Cyrus(t testing.TB) *IMAP {
	t.Helper()
	harness.Need(t, "saslpasswd2")
	imapd := filepath.Join(harness.Root(t), "test/.unpacked/usr/lib/cyrus/bin/imapd")
	if _, err := os.Stat(imapd); err != nil {
		harness.Missing(t, "%s; 'make test-setup' unpacks it", imapd)
	}
	u, err := user.Lookup("cyrus")
	if err != nil {
		harness.Missing(t, "the user cyrus; 'make test-setup' installs cyrus-common, which makes it")
	}
	dir := folder(t, "cyrus")
	bin := filepath.Join(dir, "imapd") // where the user cyrus may read it
	raw, err := os.ReadFile(imapd)
	if err != nil || os.WriteFile(bin, raw, 0o755) != nil {
		t.Fatal("Cyrus's imapd cannot be copied")
	}
	port := freePort(t)
	imapConf := write(t, filepath.Join(dir, "imapd.conf"), fmt.Sprintf(cyrusImapConf, dir))
	masterConf := write(t, filepath.Join(dir, "cyrus.conf"), fmt.Sprintf(cyrusMasterConf, bin, imapConf, port))
	for _, sub := range []string{"conf", "conf/socket", "conf/proc", "conf/db", "conf/log", "spool", "meta", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	password(t, dir)
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	_ = filepath.WalkDir(dir, func(p string, _ os.DirEntry, _ error) error { return os.Chown(p, uid, gid) })
	s := &IMAP{Name: "cyrus", Addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir}
	s.login = func(user string) string {
		plain := base64.StdEncoding.EncodeToString([]byte(user + "\x00proxy\x00x"))
		return "AUTHENTICATE PLAIN " + plain
	}
	cmd := exec.Command(filepath.Join(cyrusBin, "master"), "-D", "-C", imapConf, "-M", masterConf,
		"-p", filepath.Join(dir, "run/master.pid"))
	cmd.Env = append(os.Environ(), "CYRUS_VERBOSE=0")
	s.PID = start(t, s.Addr, cmd)
	return s
}

// password gives the one user a password who may act for all others.
func password(t testing.TB, dir string) {
	t.Helper()
	cmd := exec.Command("saslpasswd2", "-p", "-c", "-f", filepath.Join(dir, "sasldb"), "-u", "test", "proxy")
	cmd.Stdin = strings.NewReader("x")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v\n%s", err, out)
	}
}

const cyrusImapConf = `
configdirectory: %[1]s/conf
defaultpartition: default
partition-default: %[1]s/spool
servername: test
defaultdomain: test
loginrealms: test
admins: admin
proxyservers: proxy
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: %[1]s/sasldb
sasl_mech_list: PLAIN
allowplaintext: yes
unixhierarchysep: yes
altnamespace: yes
autocreate_quota: 0
autocreate_inbox_folders: Drafts|Junk|Sent|Trash
autocreate_subscribe_folders: Drafts|Junk|Sent|Trash
xlist-drafts: Drafts
xlist-junk: Junk
xlist-sent: Sent
xlist-trash: Trash
conversations: yes
skiplist_unsafe: yes
syslog_prefix: eider-test
`

const cyrusMasterConf = `
START {
}
SERVICES {
  imap cmd="%[1]s -C %[2]s" listen="127.0.0.1:%[3]d" proto=tcp4 prefork=1
}
EVENTS {
}
`
