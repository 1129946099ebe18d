package deploy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// generate writes the files of three machines and returns their folder.
func generate(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	generateIn(t, dir, nil, "192.0.2.9")
	return dir
}

// generateIn writes them into a folder: the form is one of the options and what
// follows the three addresses.
func generateIn(t *testing.T, dir string, options []string, after ...string) {
	t.Helper()
	harness.Need(t, "wg")
	args := append(options, dir, "mail.example.com", "192.0.2.1", "192.0.2.2", "192.0.2.3")
	harness.Run(t, 5*time.Minute, filepath.Join(harness.Root(t), "deploy/generate"), append(args, after...)...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGenerate: secrets are made once, differ, are for their owner only, and
// wrong arguments are told.
func TestGenerate(t *testing.T) {
	t.Parallel()
	dir := generate(t)
	before := read(t, dir+"/n2/etc/patroni/config.yml")
	generateIn(t, dir, nil, "192.0.2.9")
	if read(t, dir+"/n2/etc/patroni/config.yml") != before {
		t.Error("a second run made new secrets")
	}
	if read(t, generate(t)+"/secrets") == read(t, dir+"/secrets") {
		t.Error("two installations have the same secrets")
	}
	for _, f := range []string{"secrets", "n1/etc/eider/eider.env", "n1/etc/wireguard/wg0.conf", "n1/etc/patroni/config.yml"} {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", f, st.Mode(), err)
		}
	}
	for i, want := range map[string]string{"1": "10.77.0.1:2500", "2": "10.77.0.2:2500", "3": "10.77.0.3:2500"} {
		if !strings.Contains(read(t, dir+"/n"+i+"/etc/eider/eider.toml"), want) {
			t.Errorf("machine %s has no %s", i, want)
		}
		if n := strings.Count(read(t, dir+"/n"+i+"/etc/wireguard/wg0.conf"), "[Peer]"); n != 2 {
			t.Errorf("machine %s has %d peers", i, n)
		}
	}
	if strings.Contains(read(t, dir+"/n1/etc/redis/redis.conf"), "replicaof") ||
		!strings.Contains(read(t, dir+"/n3/etc/redis/redis.conf"), "replicaof") {
		t.Error("the first Redis is the primary, the others replicas")
	}
	for _, args := range [][]string{{}, {t.TempDir(), "mail.example.com", "1.2.3.4", "x", "1.2.3.6"},
		{t.TempDir(), "Mail", "1.2.3.4", "1.2.3.5", "1.2.3.6"}, {"--front"}, {"--other", "1.2.3.7"},
		{"--front", "x", t.TempDir(), "mail.example.com", "1.2.3.4", "1.2.3.5", "1.2.3.6"},
		{"--front", "1.2.3.7", t.TempDir(), "mail.example.com", "1.2.3.4", "1.2.3.5", "1.2.3.6", "1.2.3.8"}} {
		if out, err := harness.TryRun(time.Minute, filepath.Join(harness.Root(t), "deploy/generate"), args...); err == nil || out == "" {
			t.Errorf("%q: %v %s", args, err, out)
		}
	}
}

// TestFiles: each generated file is taken by the program that reads it.
func TestFiles(t *testing.T) {
	t.Parallel()
	n2 := generate(t) + "/n2"
	for name, check := range map[string]func(*testing.T, string){
		"systemd": checkUnits, "eider": checkSettings, "nftables": checkFirewall, "keepalived": checkKeepalived,
		"prometheus": checkAlerts, "redis": checkRedis, "patroni": checkPatroni, "haproxy": checkHAProxy,
		"wireguard": checkWireGuard, "scripts": checkScripts, "etcd": checkEtcd,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, n2)
		})
	}
}

func checkUnits(t *testing.T, n string) {
	harness.Need(t, "systemd-analyze")
	dir := t.TempDir()
	for _, u := range []string{"eider.service", "eider-probe.service", "eider-probe.timer"} {
		text := read(t, n+"/etc/systemd/system/"+u)
		// The programs are not installed here.
		text = strings.ReplaceAll(text, "/usr/local/bin/eider", harness.Binary(t))
		write(t, filepath.Join(dir, u), strings.ReplaceAll(text, "/usr/local/lib/eider/probe", n+"/usr/local/lib/eider/probe"))
	}
	for _, u := range []string{"eider.service", "eider-probe.timer", "eider-probe.service"} {
		out := harness.Run(t, time.Minute, "systemd-analyze", "verify", "--recursive-errors=no", filepath.Join(dir, u))
		if strings.TrimSpace(out) != "" {
			t.Errorf("%s: %s", u, out)
		}
	}
	// systemd's own measure of exposure, from 0 to 100.
	harness.Run(t, time.Minute, "systemd-analyze", "security", "--offline=true", "--threshold=15",
		filepath.Join(dir, "eider.service"))
	checkDropIns(t, n, "etcd", "patroni", "redis-sentinel", "redis-server")
	// Whoever listens on an address of WireGuard's waits for it, and never gives up.
	for _, u := range []string{"eider.service", "etcd.service.d/eider.conf"} {
		text := read(t, n+"/etc/systemd/system/"+u)
		for _, want := range []string{`(?m)^Wants=.*wg-quick@wg0\.service`, `(?m)^After=.*wg-quick@wg0\.service`,
			`(?m)^Restart=always$`, `(?m)^StartLimitIntervalSec=0$`} {
			if !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("%s has no %s", u, want)
			}
		}
	}
}

// checkSettings has eider read its configuration as the unit does.
func checkSettings(t *testing.T, n string) {
	c := exec.Command(harness.Binary(t), "config", "--config", n+"/etc/eider/eider.toml")
	c.Env = append(os.Environ(), strings.Fields(read(t, n+"/etc/eider/eider.env"))...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`public-host = "mail.example.com"`, `acme = "on"`, `drain-delay = "3s"`, "redis+sentinel://", "postgres://"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

func checkFirewall(t *testing.T, n string) {
	harness.Need(t, "nft")
	if os.Getuid() != 0 {
		harness.NoRight(t, "nft -c asks the kernel")
	}
	harness.Run(t, time.Minute, "nft", "-c", "-f", n+"/etc/nftables.conf")
}

func checkKeepalived(t *testing.T, n string) {
	harness.Need(t, "keepalived")
	out := harness.Run(t, time.Minute, "keepalived", "-t", "-f", n+"/etc/keepalived/keepalived.conf")
	if strings.Contains(out, "nknown") {
		t.Error(out)
	}
}

// checkRules: Prometheus takes its files, and asks for these parts and no others.
func checkRules(t *testing.T, n string, jobs ...string) {
	t.Helper()
	harness.Need(t, "promtool")
	conf := n + "/etc/prometheus/prometheus.yml"
	harness.Run(t, 5*time.Minute, "promtool", "check", "config", "--syntax-only", conf)
	harness.Run(t, 5*time.Minute, "promtool", "check", "rules", "--lint=all", "--lint-fatal",
		n+"/etc/prometheus/eider-alerts.yml")
	var have []string
	for _, m := range regexp.MustCompile(`job_name: (\w+)`).FindAllStringSubmatch(read(t, conf), -1) {
		have = append(have, m[1])
	}
	if strings.Join(have, " ") != strings.Join(jobs, " ") {
		t.Errorf("Prometheus asks %v, not %v", have, jobs)
	}
}

func checkAlerts(t *testing.T, n string) {
	checkRules(t, n, "eider", "node", "patroni", "etcd")
	dir := t.TempDir()
	write(t, dir+"/eider-alerts.yml", read(t, n+"/etc/prometheus/eider-alerts.yml"))
	tests := write(t, dir+"/alerts_test.yml", read(t, "testdata/alerts_test.yml"))
	harness.Run(t, 5*time.Minute, "promtool", "test", "rules", tests)
}

// checkRedis starts both with their files; only addresses and folders differ.
func checkRedis(t *testing.T, n string) {
	harness.Need(t, "redis-server", "redis-sentinel", "redis-cli")
	ports := harness.FreePorts(t, 2)
	dir := t.TempDir()
	for i, c := range []struct{ file, program, port, password string }{
		{"redis.conf", "redis-server", "port 6379", "requirepass"}, {"sentinel.conf", "redis-sentinel", "port 26379", "requirepass"},
	} {
		text := strings.NewReplacer("bind 10.77.0.2", "bind 127.0.0.1", c.port, fmt.Sprint("port ", ports[i]),
			"/var/lib/redis", dir).Replace(read(t, n+"/etc/redis/"+c.file))
		p := exec.Command(c.program, write(t, filepath.Join(dir, c.file), text))
		p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		var out strings.Builder
		p.Stdout = &out
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		pass := regexp.MustCompile(`requirepass (\S+)`).FindStringSubmatch(text)[1]
		ok := false
		for end := time.Now().Add(10 * time.Second); !ok && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			with, _ := harness.TryRun(5*time.Second, "redis-cli", "-p", fmt.Sprint(ports[i]), "--no-auth-warning", "-a", pass, "PING")
			without, _ := harness.TryRun(5*time.Second, "redis-cli", "-p", fmt.Sprint(ports[i]), "PING")
			ok = strings.Contains(with, "PONG") && strings.Contains(without, "NOAUTH")
		}
		_ = p.Process.Kill()
		_ = p.Wait()
		if !ok {
			t.Errorf("%s does not serve with a password only: %s", c.file, out.String())
		}
	}
}

// checkPatroni: what Patroni's own check may complain of is that the machine's
// address and folders are not those of the one that runs the test.
func checkPatroni(t *testing.T, n string) {
	harness.Need(t, "patroni")
	out, _ := harness.TryRun(time.Minute, "patroni", "--validate-config", n+"/etc/patroni/config.yml")
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "is already in use") && !strings.Contains(line, "data_dir") {
			t.Errorf("patroni: %s", line)
		}
	}
}

func checkHAProxy(t *testing.T, n string) {
	harness.Need(t, "haproxy")
	c := exec.Command("haproxy", "-c", "-f", n+"/etc/haproxy/haproxy.cfg")
	c.Env = append(os.Environ(), strings.Fields(read(t, n+"/etc/default/haproxy"))...)
	if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		t.Errorf("%v\n%s", err, out)
	}
}

func checkWireGuard(t *testing.T, n string) { checkPeers(t, n, 2) }

func checkPeers(t *testing.T, n string, peers int) {
	harness.Need(t, "wg-quick")
	out := harness.Run(t, time.Minute, "wg-quick", "strip", n+"/etc/wireguard/wg0.conf")
	if strings.Count(out, "AllowedIPs") != peers {
		t.Errorf("stripped: %s", regexp.MustCompile(`PrivateKey.*`).ReplaceAllString(out, ""))
	}
}

func checkScripts(t *testing.T, n string) {
	for s, shell := range map[string]string{"probe": "sh", "own": "sh", "bootstrap-database": "sh", "pg-backup": "bash"} {
		path := n + "/usr/local/lib/eider/" + s
		if st, err := os.Stat(path); err != nil || st.Mode()&0o100 == 0 {
			t.Errorf("%s cannot be run: %v", s, err)
		}
		harness.Run(t, time.Minute, shell, "-n", path)
	}
}

// checkEtcd starts one member with the generated environment, moved to
// loopback: alone it finds no leader, but it takes the settings and goes on, and
// where Prometheus asks it has figures and nothing else.
func checkEtcd(t *testing.T, n string) {
	harness.Need(t, "etcd")
	env := read(t, n+"/etc/default/etcd")
	ports := harness.FreePorts(t, 9)
	for i := 1; i <= 3; i++ {
		env = strings.ReplaceAll(env, fmt.Sprintf("10.77.0.%d:2380", i), fmt.Sprintf("127.0.0.1:%d", ports[i-1]))
		env = strings.ReplaceAll(env, fmt.Sprintf("10.77.0.%d:2379", i), fmt.Sprintf("127.0.0.1:%d", ports[i+2]))
		env = strings.ReplaceAll(env, fmt.Sprintf("10.77.0.%d:2381", i), fmt.Sprintf("127.0.0.1:%d", ports[i+5]))
	}
	figures := fmt.Sprint("http://127.0.0.1:", ports[2+5]) // of machine 2, whose files these are
	env = strings.ReplaceAll(env, "/var/lib/etcd/eider", t.TempDir()+"/data")
	c := exec.Command("etcd")
	c.Env = append(os.Environ(), strings.Fields(env)...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := os.Create(filepath.Join(t.TempDir(), "etcd.log"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	defer func() { _ = c.Process.Kill(); <-done }()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		text := read(t, out.Name())
		runs := strings.Contains(text, "starting a new election") || strings.Contains(text, "became follower")
		if runs && answer(figures+"/metrics") == http.StatusOK {
			if code := answer(figures + "/v2/keys/"); code != http.StatusNotFound {
				t.Errorf("where Prometheus asks, keys are answered %d", code)
			}
			return
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("etcd ended: %v\n%s", err, text)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("etcd does not start\n%s", text)
		}
	}
}

// answer is the status of a page, or 0 where nobody answers.
func answer(url string) int {
	r, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return 0
	}
	r.Body.Close()
	return r.StatusCode
}

// TestProbe runs the probe against a real server, and its file is one that
// Prometheus takes.
func TestProbe(t *testing.T) {
	t.Parallel()
	harness.Need(t, "curl", "promtool")
	s := harness.Start(t, "--store", "memory")
	n := generate(t) + "/n1"
	file := filepath.Join(t.TempDir(), "eider.prom")
	probe := func() (string, error) {
		c := exec.Command(n+"/usr/local/lib/eider/probe", "http://"+s.HTTP, "smtp://"+s.SMTP, "imap://"+s.IMAP, file)
		c.Env = append(os.Environ(), "STATE_DIRECTORY="+filepath.Dir(file))
		out, err := c.CombinedOutput()
		return string(out) + read(t, file), err
	}
	for range 2 { // the second time with the account of the first
		if text, err := probe(); err != nil || !strings.Contains(text, "eider_probe_success 1") {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(read(t, file))
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	s.Kill(t)
	if text, err := probe(); err == nil || !strings.Contains(text, "eider_probe_success 0") {
		t.Errorf("without a server: %v\n%s", err, text)
	}
}

// TestMetricsAreThere: alerts and dashboard ask only for figures that exist.
func TestMetricsAreThere(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "--store", "memory")
	have := map[string]bool{
		"eider_probe_success": true, "eider_probe_seconds": true, "eider_probe_time": true, // TestProbe
		"eider_backup_time": true, // TestPGBackup
	}
	harness.Need(t, "patroni")
	patroni := harness.Run(t, time.Minute, "/usr/bin/python3", "-c",
		"import inspect, patroni.api; print(inspect.getsource(patroni.api))")
	for _, m := range regexp.MustCompile(`# TYPE (patroni_\w+) `).FindAllStringSubmatch(patroni, -1) {
		have[m[1]] = true
	}
	resp, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		if f := strings.Fields(sc.Text()); len(f) > 3 && f[0] == "#" && f[1] == "TYPE" {
			have[f[2]] = true
			if f[3] == "histogram" {
				have[f[2]+"_bucket"] = true
			}
		}
	}
	// Figures with labels show only once they have happened.
	source := read(t, filepath.Join(harness.Root(t), "internal/obs/metrics.go"))
	dashboard := read(t, filepath.Join(harness.Root(t), "deploy/grafana/eider.json"))
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(dashboard), &d); err != nil || len(d.Panels) < 10 {
		t.Fatalf("%d panels, %v", len(d.Panels), err)
	}
	text := read(t, filepath.Join(harness.Root(t), "deploy/templates/etc/prometheus/eider-alerts.yml"))
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			text += target.Expr + "\n"
		}
	}
	found := regexp.MustCompile(`\b(eider|process|patroni)_[a-z_]+`).FindAllString(text, -1)
	if len(found) < 20 {
		t.Fatalf("only %d figures were found", len(found))
	}
	for _, m := range found {
		if !have[m] && !strings.Contains(source, `"`+strings.TrimSuffix(m, "_bucket")+`"`) {
			t.Errorf("there is no figure %s", m)
		}
	}
}

// TestCompose has docker-compose read the file of the whole cluster.
func TestCompose(t *testing.T) {
	t.Parallel()
	harness.Need(t, "docker-compose")
	out := harness.Run(t, time.Minute, "docker-compose", "-f",
		filepath.Join(harness.Root(t), "deploy/compose-cluster.yaml"), "config")
	settings := read(t, filepath.Join(harness.Root(t), "docs/settings.md"))
	for _, v := range regexp.MustCompile(`EIDER_[A-Z0-9_]+`).FindAllString(out, -1) {
		if !strings.Contains(settings, "`"+v+"`") {
			t.Errorf("there is no setting %s", v)
		}
	}
}
