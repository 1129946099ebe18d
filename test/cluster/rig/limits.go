package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// NodeMemory is what a limited eider may take.
const NodeMemory = 256 << 20

// group is the machine's memory cgroup: version 1 where it is mounted, else 2.
func (m *Machine) group() (dir, limit string) {
	name := fmt.Sprintf("eider-test-%d-m%d", os.Getpid(), m.N)
	if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err == nil {
		return filepath.Join("/sys/fs/cgroup/memory", name), "memory.limit_in_bytes"
	}
	return filepath.Join("/sys/fs/cgroup", name), "memory.max"
}

// limits is put before eider's command.
func (m *Machine) limits() []string {
	if !m.c.o.Limited {
		return nil
	}
	core := strconv.Itoa((m.N - 1) % runtime.NumCPU())
	pin := []string{full("taskset"), "-c", core}
	procs, err := m.makeGroup()
	if err != nil {
		return pin
	}
	return append([]string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, procs}, pin...)
}

// makeGroup makes the cgroup and returns the file that takes processes in.
func (m *Machine) makeGroup() (procs string, err error) {
	dir, limit := m.group()
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, limit), []byte(strconv.Itoa(NodeMemory)), 0o644); err != nil {
		return "", err
	}
	procs = filepath.Join(dir, "cgroup.procs")
	if c := m.c.user.cred; c != nil {
		err = os.Chown(procs, int(c.Uid), int(c.Gid))
	}
	return procs, err
}

// dropGroups removes what makeGroup made.
func (c *Cluster) dropGroups() {
	for _, m := range c.Machines {
		if dir, _ := m.group(); c.o.Limited {
			_ = os.Remove(dir) // there may be none
		}
	}
}

// MemoryLimited tells whether the kernel holds the machine's eider to NodeMemory.
func (m *Machine) MemoryLimited() bool {
	dir, limit := m.group()
	b, err := os.ReadFile(filepath.Join(dir, limit))
	return err == nil && strings.TrimSpace(string(b)) == strconv.Itoa(NodeMemory)
}

// Peak is the most memory that the machine's eider has had since it started.
func (m *Machine) Peak() int64 {
	var most int64
	for _, pid := range m.procs["eider"].Pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				most = max(most, n<<10)
			}
		}
	}
	return most
}
