package rig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Host is the name under which the cluster serves.
const Host = "mail.cluster.test"

// doors are the listeners: eider's flags, and the variables of haproxy.cfg.
//
//rules:allow var a table
var doors = []struct{ flag, env string }{{"mx", "MX"}, {"smtp", "SMTP"}, {"smtps", "SMTPS"}, {"imap", "IMAP"},
	{"imaps", "IMAPS"}, {"pop3", "POP3"}, {"pop3s", "POP3S"}, {"http", "HTTP"}, {"https", "HTTPS"}}

func door(flag string) int {
	return slices.IndexFunc(doors, func(d struct{ flag, env string }) bool { return d.flag == flag })
}

// Front is the address of a door of the machine's HAProxy, named by eider's flag.
func (m *Machine) Front(flag string) string { return m.at(portFronts + door(flag)) }

// haproxyEnv are the addresses that the project's haproxy.cfg takes from its environment.
func (m *Machine) haproxyEnv() []string {
	self := m.c.ip(m.N)
	env := []string{"BIND=" + self, "SELF=" + self, "SOCKET=" + filepath.Join(m.dir, "haproxy.sock")}
	add := func(name string, port int) { env = append(env, fmt.Sprintf("%s=%d", name, port)) }
	add("PROBE_SMTP_PORT", m.port(portProbeSMTP))
	add("PROBE_IMAPS_PORT", m.port(portProbeIMAPS))
	add("SELF_SMTP_PORT", m.port(portDoors+door("smtp")))
	add("SELF_IMAPS_PORT", m.port(portDoors+door("imaps")))
	for i, d := range doors {
		add(d.env+"_PORT", m.port(portFronts+i))
	}
	for n := 1; n <= Nodes; n++ {
		env = append(env, fmt.Sprintf("NODE%d=%s", n, m.c.ip(n)))
		base := m.c.base + (n-1)*portsEach
		add("ADMIN_PORT"+strconv.Itoa(n), base+portAdmin)
		for i, d := range doors {
			add(fmt.Sprintf("%s_PORT%d", d.env, n), base+portDoors+i)
		}
	}
	return env
}

// Dial opens a door of the machine's own eider, past HAProxy, with the header
// that HAProxy would have sent.
func (m *Machine) Dial(ctx context.Context, flag string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", m.at(portDoors+door(flag)))
	if err != nil {
		return nil, err
	}
	header := "\r\n\r\n\x00\r\nQUIT\n" + "\x21\x11\x00\x0c" + // version 2, PROXY, TCP over IPv4, 12 bytes
		"\xc0\x00\x02\x01" + "\xc0\x00\x02\x02" + "\x04\xd2\x00\x19" // from 192.0.2.1:1234 to 192.0.2.2:25
	if _, err := io.WriteString(c, header); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Through opens a door of the machine's HAProxy.
func (m *Machine) Through(ctx context.Context, flag string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", m.Front(flag))
}

// TLS is how a client checks who it speaks with.
func (c *Cluster) TLS() *tls.Config { return &tls.Config{ServerName: Host, RootCAs: c.roots} }

// CAFile is the certificate of the authority that signs for the cluster.
func (m *Machine) CAFile() string { return filepath.Join(m.Data(), "ca.pem") }

// readRoots learns the authority that the nodes have agreed on in the store.
func (c *Cluster) readRoots() error {
	text, err := os.ReadFile(c.Machines[0].CAFile())
	if err != nil {
		return err
	}
	for _, m := range c.Machines[1:] {
		other, err := os.ReadFile(m.CAFile())
		if err != nil {
			return err
		}
		if string(other) != string(text) {
			return errors.New("the nodes have different certificate authorities")
		}
	}
	c.roots = x509.NewCertPool()
	if !c.roots.AppendCertsFromPEM(text) {
		return errors.New("no certificate in ca.pem")
	}
	return nil
}

// Readyz is what the machine's eider says of itself, asked as HAProxy asks.
func (m *Machine) Readyz() (code int, text string, err error) {
	client := http.Client{Timeout: 3 * time.Second}
	req, err := http.NewRequest(http.MethodGet, "http://"+m.at(portAdmin)+"/readyz", nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = "127.0.0.1"
	r, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, strings.TrimSpace(string(b)), err
}

// Ready tells whether the machine's eider says that it is ready.
func (m *Machine) Ready() bool {
	code, _, err := m.Readyz()
	return err == nil && code == http.StatusOK
}

// stats asks the machine's HAProxy on its socket.
func (m *Machine) stats(question string) ([]string, error) {
	c, err := net.DialTimeout("unix", filepath.Join(m.dir, "haproxy.sock"), time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // a new connection takes it
	if _, err := io.WriteString(c, question+"\n"); err != nil {
		return nil, err
	}
	out, err := io.ReadAll(c)
	return strings.Split(string(out), "\n"), err
}

// Passes tells whether the machine's HAProxy passes every door on to n nodes.
func (m *Machine) Passes(n int) bool {
	lines, err := m.stats("show stat")
	if err != nil {
		return false
	}
	up := 0
	for _, line := range lines {
		f := strings.Split(line, ",")
		if len(f) > 17 && strings.HasPrefix(f[1], "n") && strings.HasPrefix(f[17], "UP") {
			up++
		}
	}
	return up >= n*len(doors)
}

// NodeOf is the machine to which this one's HAProxy has passed the connection
// from the client's address.
func (m *Machine) NodeOf(client string) (*Machine, error) {
	lines, err := m.stats("show sess")
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		if !strings.Contains(line, " src="+client+" ") {
			continue
		}
		for _, o := range m.c.Machines {
			if strings.Contains(line, " srv=n"+strconv.Itoa(o.N)+" ") {
				return o, nil
			}
		}
	}
	return nil, fmt.Errorf("no session of %s", client)
}
