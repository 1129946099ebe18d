// Command run shows a whole cluster on this machine: it starts one, prints
// where it serves and what each part is doing, and breaks what it is told to.
//
//	run                     start, and show the state until Ctrl-C
//	run kill NODE[/PART]    end it with SIGKILL
//	run freeze|thaw NODE[/PART]
//	run start NODE[/PART]   start what does not run
//	run wipe NODE           end it, empty its disks, and let it join anew
//
// NODE is 1, 2, 3, primary or standby; PART is one of etcd, redis, sentinel,
// postgres, eider, haproxy. Without PART the whole machine is meant.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/eidermail/eider/test/cluster/rig"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// socket is where the running cluster takes orders.
func socket() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("eider-cluster-%d.sock", os.Getuid()))
}

func run(args []string) error {
	switch len(args) {
	case 0:
		return serve()
	case 2:
		return order(args[0], args[1])
	}
	return errors.New("usage: run [kill|freeze|thaw|start|wipe NODE[/PART]]")
}

// order tells the running cluster what to do.
func order(what, whom string) error {
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket())
		}}}
	r, err := client.Post("http://cluster/"+what+"/"+whom, "", nil)
	if err != nil {
		return fmt.Errorf("is the cluster running (make cluster)? %w", err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(text)))
	}
	return err
}

func serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "eider-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	binary, err := build(dir)
	if err != nil {
		return err
	}
	_ = os.Remove(socket()) // of a run that was killed
	l, err := net.Listen("unix", socket())
	if err != nil {
		return err
	}
	fmt.Println("starting 3 × etcd, PostgreSQL with Patroni, Redis, Sentinel, eider and HAProxy in", dir)
	c, err := rig.Start(rig.Options{Dir: dir, Binary: binary, HAProxy: "deploy/haproxy/haproxy.cfg"})
	if err != nil {
		return err
	}
	defer c.Close()
	go func() { _ = http.Serve(l, orders(c)) }() // until the process ends
	defer l.Close()
	greet(c)
	show(ctx, c)
	return nil
}

func build(dir string) (string, error) {
	if b := os.Getenv("EIDER_BINARY"); b != "" {
		return b, nil
	}
	bin := filepath.Join(dir, "built")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/eider")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return bin, cmd.Run()
}

func greet(c *rig.Cluster) {
	for _, m := range c.Machines {
		fmt.Printf("machine %d   web https://%s   SMTP %s, with TLS %s   IMAP with TLS %s   (through its HAProxy)\n",
			m.N, m.Front("https"), m.Front("smtp"), m.Front("smtps"), m.Front("imaps"))
	}
	fmt.Printf("\nTLS is by the cluster's own authority, %s, for %s, localhost and 127.0.0.1\n",
		c.Machines[0].CAFile(), rig.Host)
	fmt.Println("\nbreak something:  make cluster-kill NODE=1     NODE=primary/postgres     NODE=2/eider")
	fmt.Println("and mend it:      make cluster-start NODE=1")
	fmt.Println()
}

// orders carries out what comes over the socket: POST /WHAT/NODE[/PART].
func orders(c *rig.Cluster) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		err := errors.New("no such order")
		if len(f) == 2 || len(f) == 3 {
			err = obey(c, f[0], f[1], append(f, "")[2])
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
}

func obey(c *rig.Cluster, what, node, part string) error {
	m, err := find(c, node)
	if err != nil {
		return err
	}
	if part != "" && m.Proc(part) == nil {
		return fmt.Errorf("a machine has no %q; it has %s", part, strings.Join(rig.Parts, ", "))
	}
	if part != "" {
		p := m.Proc(part)
		switch what {
		case "kill":
			p.Kill()
		case "freeze":
			p.Freeze()
		case "thaw":
			p.Thaw()
		case "start":
			return p.Start()
		default:
			return fmt.Errorf("no such order: %s a part", what)
		}
		return nil
	}
	switch what {
	case "kill":
		m.Kill()
		return nil
	case "start":
		return m.Start()
	case "wipe":
		m.Kill()
		return errors.Join(m.Wipe(), m.Start())
	case "freeze", "thaw":
		for _, name := range rig.Parts {
			if what == "freeze" {
				m.Proc(name).Freeze()
			} else {
				m.Proc(name).Thaw()
			}
		}
		return nil
	}
	return fmt.Errorf("no such order: %s", what)
}

func find(c *rig.Cluster, node string) (*rig.Machine, error) {
	var m *rig.Machine
	switch n, err := strconv.Atoi(node); {
	case node == "primary":
		m = c.Primary()
	case node == "standby":
		m = c.Standby()
	case err == nil && n >= 1 && n <= rig.Nodes:
		m = c.Machines[n-1]
	}
	if m == nil {
		return nil, fmt.Errorf("no machine %q at the moment: 1, 2, 3, primary, standby", node)
	}
	return m, nil
}

// show prints the state whenever it changes, until ctx ends.
func show(ctx context.Context, c *rig.Cluster) {
	last := ""
	for ctx.Err() == nil {
		if now := c.State(); now != last {
			fmt.Printf("%s\n%s\n", time.Now().Format("15:04:05"), now)
			last = now
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}
