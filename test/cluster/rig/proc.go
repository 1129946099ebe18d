package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Proc is one program of a machine, which can be started, killed and frozen any
// number of times. Its output is appended to a log file.
type Proc struct {
	Name string
	// command makes the program anew for each start.
	command func() *exec.Cmd
	// pidFile names what the program leaves running beside itself (Patroni's postgres).
	pidFile string
	log     string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs the program; one that runs already is left alone.
func (p *Proc) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // a Ctrl-C at the terminal is for the rig
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(done)
	}()
	p.cmd, p.done = cmd, done
	return nil
}

func (p *Proc) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Running tells whether the program runs (or is frozen).
func (p *Proc) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// Pids are the program's processes, children included.
func (p *Proc) Pids() []int { return p.among(allProcesses()) }

// among finds the program's processes in a picture of all.
func (p *Proc) among(all processes) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var roots []int
	if p.running() {
		roots = append(roots, p.cmd.Process.Pid)
	}
	if pid := p.daemon(); pid > 0 {
		roots = append(roots, pid)
	}
	return all.family(roots)
}

// daemon is the process of the pid file, if it lives.
func (p *Proc) daemon() int {
	if p.pidFile == "" {
		return 0
	}
	b, err := os.ReadFile(p.pidFile)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || !strings.Contains(cmdline(pid), filepath.Dir(p.pidFile)) {
		return 0 // stale: another process has the number now
	}
	return pid
}

func cmdline(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(b)
}

// Signal sends a signal to all processes of the program.
func (p *Proc) Signal(sig syscall.Signal) {
	for _, pid := range p.Pids() {
		_ = syscall.Kill(pid, sig) // it may have ended by itself
	}
}

// Kill ends the program and its children with SIGKILL.
func (p *Proc) Kill() {
	p.Signal(syscall.SIGKILL)
	p.Signal(syscall.SIGKILL) // those that were born meanwhile
	p.await(5 * time.Second)
}

// Freeze stops the program without ending it; Thaw lets it go on.
func (p *Proc) Freeze() { p.Signal(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (p *Proc) Thaw() { p.Signal(syscall.SIGCONT) }

// Stop asks the program to end and waits for it.
func (p *Proc) Stop(within time.Duration) error {
	p.mu.Lock()
	if !p.running() {
		p.mu.Unlock()
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.mu.Unlock()
	if !p.await(within) {
		p.Kill()
		return fmt.Errorf("%s did not end within %v of SIGTERM", p.Name, within)
	}
	return nil
}

func (p *Proc) await(within time.Duration) bool {
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	if done == nil {
		return true
	}
	select {
	case <-done:
		return true
	case <-time.After(within):
		return false
	}
}

// processes is a picture of this machine's: children by parent, and times.
type processes struct {
	children map[int][]int
	cpu      map[int]time.Duration
}

// clockTick is the kernel's unit of processor time (USER_HZ).
const clockTick = 10 * time.Millisecond

// allProcesses walks /proc once.
func allProcesses() processes {
	all := processes{children: map[int][]int{}, cpu: map[int]time.Duration{}}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil || len(fields) < 13 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		all.children[parent] = append(all.children[parent], pid)
		all.cpu[pid] = time.Duration(user+system) * clockTick
	}
	return all
}

// family is the roots and everything below them.
func (all processes) family(roots []int) []int {
	seen := map[int]bool{}
	var out []int
	for len(roots) > 0 {
		pid := roots[0]
		roots = append(roots[1:], all.children[pid]...)
		if !seen[pid] {
			seen[pid] = true
			out = append(out, pid)
		}
	}
	return out
}

// Usage is what processes take: resident memory that is theirs alone plus their
// part of what is shared (PSS), and processor time since they started.
type Usage struct {
	Bytes int64
	CPU   time.Duration
}

// Usage adds up the program's processes.
func (p *Proc) Usage() (u Usage) {
	all := allProcesses()
	for _, pid := range p.among(all) {
		u.Bytes += pss(pid)
		u.CPU += all.cpu[pid]
	}
	return u
}

// CPU is the processor time of each program of each machine, by its name: to count
// memory takes long.
func (c *Cluster) CPU() map[string]time.Duration {
	all, out := allProcesses(), map[string]time.Duration{}
	for _, m := range c.Machines {
		for _, p := range m.procs {
			for _, pid := range p.among(all) {
				out[p.Name] += all.cpu[pid]
			}
		}
	}
	return out
}

func pss(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// errMissing: a program is not installed.
var errMissing = errors.New("not installed")
