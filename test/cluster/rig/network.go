package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Network is three network namespaces behind a bridge, one for each machine.
// It is made inside a namespace of the caller's own (see InOwnNamespace), so
// that nothing of it is seen outside or stays behind.
type Network struct{}

// IP is the address of a machine.
func (*Network) IP(n int) string { return "10.77.0." + strconv.Itoa(n) }

// CIDR holds all machines, and the caller at .254.
func (*Network) CIDR() string { return "10.77.0.0/24" }

// Enter is put before a command to run it on a machine.
func (*Network) Enter(n int) []string {
	return []string{full("ip"), "netns", "exec", "m" + strconv.Itoa(n)}
}

// ErrNoRight: namespaces can be made by root only.
var ErrNoRight = errors.New("making network namespaces needs root")

// InOwnNamespace is a command that runs this program again with a network and
// a view of mounts of its own.
func InOwnNamespace(args ...string) (*exec.Cmd, error) {
	if os.Getuid() != 0 {
		return nil, ErrNoRight
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	namespaces := []string{"--net", "--mount", "--kill-child", "--fork", self}
	return exec.Command(full("unshare"), append(namespaces, args...)...), nil
}

// NewNetwork makes the namespaces and joins them.
func NewNetwork() (*Network, error) {
	script := `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
ip link set lo up
ip link add br0 type bridge
ip addr add 10.77.0.254/24 dev br0
ip link set br0 up
for n in 1 2 3; do
  ip netns add m$n
  ip link add v$n type veth peer name eth0 netns m$n
  ip link set v$n master br0 up
  ip -n m$n link set lo up
  ip -n m$n addr add 10.77.0.$n/24 dev eth0
  ip -n m$n link set eth0 up
  ip netns exec m$n nft 'add table inet cut; add chain inet cut out { type filter hook output priority 0; }'
done`
	return &Network{}, sh(script)
}

func sh(script string) error {
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Peers cuts a machine off from everybody, or joins it again.
func (*Network) Peers(n int, cut bool) error {
	state := "up"
	if cut {
		state = "down"
	}
	return sh(fmt.Sprintf("ip link set v%d %s", n, state))
}

// cutOff drops what the machine's eider sends to those ports.
func (m *Machine) cutOff(ports []int) error {
	var list []string
	for _, p := range ports {
		list = append(list, strconv.Itoa(p))
	}
	return sh(fmt.Sprintf("ip netns exec m%d nft add rule inet cut out meta skuid %d tcp dport '{ %s }' drop",
		m.N, EiderUID, strings.Join(list, ", ")))
}

// CutStore drops what the machine's eider sends to the databases.
func (m *Machine) CutStore() error {
	var ports []int
	for n := 1; n <= Nodes; n++ {
		ports = append(ports, m.c.base+(n-1)*portsEach+portPostgres)
	}
	return m.cutOff(ports)
}

// CutRedis drops what the machine's eider sends to Redis and Sentinel.
func (m *Machine) CutRedis() error {
	var ports []int
	for n := 1; n <= Nodes; n++ {
		ports = append(ports, m.c.base+(n-1)*portsEach+portRedis, m.c.base+(n-1)*portsEach+portSentinel)
	}
	return m.cutOff(ports)
}

// Join ends what CutStore and CutRedis began.
func (m *Machine) Join() error {
	return sh(fmt.Sprintf("ip netns exec m%d nft flush chain inet cut out", m.N))
}
