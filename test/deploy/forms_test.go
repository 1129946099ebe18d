package deploy_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/mongokv"
	"github.com/eidermail/eider/test/harness"
)

// publicPorts finds the rule that opens the mail ports to everybody.
var publicPorts = regexp.MustCompile(`(?m)^\s*tcp dport \{ 25,.* accept$`)

// TestFront: the 3+1 form. Machine 4 has HAProxy and Prometheus and leads to the
// three through WireGuard; they open no mail port, and it reaches no database.
// Secrets made before stay.
func TestFront(t *testing.T) {
	t.Parallel()
	dir := generate(t)
	before := read(t, dir+"/secrets")
	generateIn(t, dir, []string{"--front", "192.0.2.4"})
	if after := read(t, dir+"/secrets"); !strings.HasPrefix(after, before) || !strings.Contains(after, "WG_KEY4=") {
		t.Error("the secrets of before are not those of after")
	}
	n1, n4 := dir+"/n1", dir+"/n4"
	if !publicPorts.MatchString(read(t, n4+"/etc/nftables.conf")) || publicPorts.MatchString(read(t, n1+"/etc/nftables.conf")) {
		t.Error("the mail ports must be open on machine 4 alone")
	}
	wireguard := read(t, n1+"/etc/nftables.conf")
	if regexp.MustCompile(`10\.77\.0\.4[^\n]*(5432|2379|6379)`).MatchString(wireguard) || strings.Contains(wireguard, "10.77.0.0/24") {
		t.Error("machine 4 reaches databases")
	}
	checkDoorsOpen(t, n1, wireguard, read(t, n4+"/etc/prometheus/prometheus.yml"))
	if d := read(t, n4+"/etc/default/haproxy"); !strings.Contains(d, "BIND=*") || strings.Contains(d, "SELF") {
		t.Errorf("HAProxy of machine 4: %s", d)
	}
	if d := read(t, n1+"/etc/default/haproxy"); !strings.Contains(d, "BIND=127.0.0.1") || !strings.Contains(d, "SELF=10.77.0.1") {
		t.Errorf("HAProxy of machine 1: %s", d)
	}
	cfg := read(t, n4+"/etc/haproxy/haproxy.cfg")
	if n := strings.Count(cfg, " send-proxy-v2 check"); n != 27 || strings.Contains(cfg, "SELF_") {
		t.Errorf("%d servers behind the 9 doors of machine 4", n)
	}
	for _, n := range []string{n1, n4} {
		checkPeers(t, n, 3)
		checkHAProxy(t, n)
		checkFirewall(t, n)
		harness.Run(t, time.Minute, "sh", "-n", n+"/usr/local/lib/eider/own")
	}
	checkAlerts(t, n4)
	checkSettings(t, n1)
	checkUnits(t, n1)
	if f, _ := filepath.Glob(n4 + "/etc/*"); len(f) != 5 {
		t.Errorf("machine 4 has %v", f)
	}
	generateIn(t, dir, nil)
	if f, _ := filepath.Glob(dir + "/n4"); len(f) > 0 {
		t.Error("machine 4 stays when it is not asked for any more")
	}
}

// checkDoorsOpen: the firewall lets machine 4 to every door of Eider's own file and
// to whatever its Prometheus asks, and to no other.
func checkDoorsOpen(t *testing.T, n, firewall, prometheus string) {
	t.Helper()
	rule := regexp.MustCompile(`ip saddr 10\.77\.0\.4 tcp dport \{([^}]*)\} accept`).FindStringSubmatch(firewall)
	doors := regexp.MustCompile(`"10\.77\.0\.1:(\d+)"`).FindAllStringSubmatch(read(t, n+"/etc/eider/eider.toml"), -1)
	if rule == nil || len(doors) != 10 {
		t.Fatalf("rule %q, %d doors", rule, len(doors))
	}
	wanted := map[string]bool{}
	asked := regexp.MustCompile(`'10\.77\.0\.1:(\d+)'`).FindAllStringSubmatch(prometheus, -1)
	for _, d := range append(doors, asked...) {
		wanted[d[1]] = true
		if !strings.Contains(rule[1], " "+d[1]+",") && !strings.Contains(rule[1], " "+d[1]+" ") {
			t.Errorf("machine 4 does not reach port %s", d[1])
		}
	}
	if n := len(strings.Split(rule[1], ",")); n != len(wanted) || n != 13 {
		t.Errorf("machine 4 reaches %d ports and needs %d", n, len(wanted))
	}
}

// ipv6Door finds a public door that is open on both.
var ipv6Door = regexp.MustCompile(`(?m)^    bind "\$\{BIND-\*\}:(.*)"\n    bind ":::(.*)" v6only$`)

// TestIPv6: with the option HAProxy listens on IPv6, too, at each public door, but
// for the three behind a fourth machine; without it nowhere. It is never root.
func TestIPv6(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, form := range []struct {
		options []string
		doors   map[string]int
	}{
		{nil, map[string]int{"n1": 0, "n3": 0}},
		{[]string{"--ipv6"}, map[string]int{"n1": 9, "n3": 9}},
		{[]string{"--ipv6", "--front", "192.0.2.4"}, map[string]int{"n1": 0, "n3": 0, "n4": 9}},
	} {
		generateIn(t, dir, form.options)
		for n, want := range form.doors {
			cfg := read(t, dir+"/"+n+"/etc/haproxy/haproxy.cfg")
			got := ipv6Door.FindAllStringSubmatch(cfg, -1)
			if len(got) != want || strings.Count(cfg, ":::") != want {
				t.Errorf("%v: %s listens on IPv6 at %d doors, not %d", form.options, n, len(got), want)
			}
			for _, d := range got {
				if d[1] != d[2] {
					t.Errorf("%v: %s listens at %s and on IPv6 at %s", form.options, n, d[1], d[2])
				}
			}
			if !regexp.MustCompile(`(?m)^global\n    user haproxy\n    group haproxy$`).MatchString(cfg) {
				t.Errorf("%v: HAProxy of %s stays root", form.options, n)
			}
			checkHAProxy(t, dir+"/"+n)
		}
	}
}

// checkUnit: systemd takes a unit, and finds it little exposed; program is one
// that is not installed here.
func checkUnit(t *testing.T, n, unit, program string) {
	t.Helper()
	harness.Need(t, "systemd-analyze")
	path := write(t, filepath.Join(t.TempDir(), unit),
		strings.ReplaceAll(read(t, n+"/etc/systemd/system/"+unit), program, n+program))
	if out := harness.Run(t, time.Minute, "systemd-analyze", "verify", "--recursive-errors=no", path); strings.TrimSpace(out) != "" {
		t.Errorf("%s: %s", unit, out)
	}
	harness.Run(t, time.Minute, "systemd-analyze", "security", "--offline=true", "--threshold=20", path)
}

// TestMongoDB: what can be known of the MongoDB form without a MongoDB. Each of
// its files says that it is untested, the YAML and the scripts parse, the driver
// and Eider take the URI, and nothing of PostgreSQL is left.
func TestMongoDB(t *testing.T) {
	t.Parallel()
	harness.Need(t, "node", "systemd-analyze", "patroni")
	dir := t.TempDir()
	generateIn(t, dir, []string{"--mongodb"})
	n := dir + "/n2"
	for _, f := range []string{"etc/mongod.conf", "etc/systemd/system/mongod.service.d/eider.conf", "etc/eider/mongo-initiate.js",
		"etc/eider/mongo-backup.yaml", "etc/eider/mongo-restore.yaml", "usr/local/lib/eider/mongo-backup"} {
		if !strings.Contains(read(t, n+"/"+f), "UNTESTED") {
			t.Errorf("%s does not say that it is untested", f)
		}
	}
	for _, f := range []string{"etc/mongod.key", "etc/eider/mongo-initiate.js", "etc/eider/mongo-backup.yaml", "etc/eider/mongo-restore.yaml"} {
		if st, err := os.Stat(n + "/" + f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, st.Mode(), err)
		}
	}
	// The alphabet and length that a key file may have (6 to 1,024).
	if key := read(t, n+"/etc/mongod.key"); !regexp.MustCompile(`^[A-Za-z0-9+/]{6,1000}\n$`).MatchString(key) ||
		key != read(t, dir+"/n1/etc/mongod.key") {
		t.Error("the key file")
	}
	harness.Run(t, time.Minute, "node", "--check", n+"/etc/eider/mongo-initiate.js")
	harness.Run(t, time.Minute, "sh", "-n", n+"/usr/local/lib/eider/mongo-backup")
	harness.Run(t, time.Minute, "sh", "-n", n+"/usr/local/lib/eider/own")
	checkMongod(t, n)
	checkMongoURI(t, n)
	checkDropIns(t, n, "mongod", "redis-sentinel", "redis-server")
	checkRules(t, n, "eider", "node")
	left, _ := exec.Command("grep", "-rliE", "postgres|patroni|5432", n+"/etc/eider", n+"/etc/systemd", n+"/usr").Output()
	if _, err := os.Stat(n + "/etc/default/etcd"); err == nil || len(left) > 0 {
		t.Errorf("PostgreSQL is left: %s", left)
	}
}

// checkMongod parses mongod.conf with the YAML reader that Patroni brings, and
// has systemd read the drop-in beside a unit like that of MongoDB's package.
func checkMongod(t *testing.T, n string) {
	t.Helper()
	out := harness.Run(t, time.Minute, "/usr/bin/python3", "-c",
		"import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))", n+"/etc/mongod.conf")
	var conf struct {
		Net          struct{ BindIP string }
		Security     struct{ Authorization, KeyFile string }
		Replication  struct{ ReplSetName string }
		SetParameter map[string]int
	}
	if err := json.Unmarshal([]byte(out), &conf); err != nil {
		t.Fatal(err)
	}
	if conf.Net.BindIP != "127.0.0.1,10.77.0.2" || conf.Security.Authorization != "enabled" || conf.Security.KeyFile != "/etc/mongod.key" ||
		conf.Replication.ReplSetName != "eider" || conf.SetParameter["transactionLifetimeLimitSeconds"] != 5 {
		t.Errorf("mongod.conf says %+v", conf)
	}
	dir := t.TempDir()
	unit := write(t, dir+"/mongod.service", "[Unit]\nDescription=MongoDB\n[Service]\nExecStart=/bin/true\n")
	if err := os.Mkdir(unit+".d", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, unit+".d/eider.conf", read(t, n+"/etc/systemd/system/mongod.service.d/eider.conf"))
	if out := harness.Run(t, time.Minute, "systemd-analyze", "verify", "--recursive-errors=no", unit); strings.TrimSpace(out) != "" {
		t.Error(out)
	}
}

// checkMongoURI: eider takes the store's URI as a setting, and the driver as a
// set of three that is not there.
func checkMongoURI(t *testing.T, n string) {
	t.Helper()
	env := strings.Fields(read(t, n+"/etc/eider/eider.env"))
	c := exec.Command(harness.Binary(t), "config", "--config", n+"/etc/eider/eider.toml")
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "mongodb://") {
		t.Errorf("%v\n%s", err, out)
	}
	uri := strings.TrimPrefix(env[0], "EIDER_STORE=")
	if strings.Count(uri, ":27017") != 3 {
		t.Errorf("not three servers")
	}
	uri = regexp.MustCompile(`10\.77\.0\.\d:27017`).ReplaceAllString(uri, "127.0.0.1:1")
	_, err = mongokv.Open(t.Context(), mongokv.Options{URI: uri, OpenWithin: 2 * time.Second})
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("the driver: %v", err)
	}
}
