package rig

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/eidermail/eider/test/postgres"
)

// talk sends a line and returns what comes back at once.
func talk(addr, line string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond)) // a new connection takes it
	if _, err := io.WriteString(c, line); err != nil {
		return "", err
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func (m *Machine) patroniFile() string {
	bin, _ := postgres.Bin() // need() has found it
	var etcds []string
	for _, n := range []int{1, 2, 3} {
		etcds = append(etcds, m.c.at(n, portEtcd))
	}
	return fmt.Sprintf(`scope: mail
namespace: /service/
name: pg%[1]d
restapi: {listen: "%[2]s", connect_address: "%[2]s"}
# Not etcd3: with it this version of Patroni takes the leader's key back without
# asking when it wakes up after a freeze, and what the new primary has
# acknowledged meanwhile is lost. Through the older interface it compares first.
etcd: {hosts: "%[3]s"}
bootstrap:
  dcs:
    ttl: %[4]d
    loop_wait: %[5]d
    retry_timeout: %[6]d
    maximum_lag_on_failover: 1048576
    primary_start_timeout: 0
    synchronous_mode: true
    synchronous_mode_strict: true
    synchronous_node_count: 1
    failsafe_mode: true
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters:
        wal_level: replica
        hot_standby: "on"
        max_connections: 100
        max_wal_senders: 8
        max_replication_slots: 8
        wal_log_hints: "on"
        wal_keep_size: 128MB
        shared_buffers: 64MB
        synchronous_commit: "on"
        deadlock_timeout: 200ms
        wal_sender_timeout: 3s
        wal_receiver_timeout: 3s
        wal_receiver_status_interval: 1s
        wal_retrieve_retry_interval: 500ms
        tcp_user_timeout: 3000
        tcp_keepalives_idle: 2
        tcp_keepalives_interval: 1
        tcp_keepalives_count: 3
        wal_compression: lz4
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums, no-sync]
  pg_hba:
  - local all all trust
  - host replication repl %[11]s scram-sha-256
  - host all all %[11]s scram-sha-256
postgresql:
  listen: "%[7]s"
  connect_address: "%[7]s"
  data_dir: %[8]s/pg
  bin_dir: %[9]s
  pgpass: %[8]s/pgpass
  authentication:
    replication: {username: repl, password: %[10]s}
    superuser: {username: postgres, password: %[10]s}
    rewind: {username: rewind, password: %[10]s}
  basebackup: [{checkpoint: fast}]
  parameters: {unix_socket_directories: "%[8]s"}
watchdog: {mode: "off"}
tags: {nofailover: false, noloadbalance: false, clonefrom: false, nosync: false}
`, m.N, m.at(portPatroni), strings.Join(etcds, ","), m.c.o.TTL, m.c.o.Loop, m.c.o.Retry,
		m.at(portPostgres), m.dir, bin, superPassword, m.c.network())
}

// network is where the machines are, for rules of who may connect.
func (c *Cluster) network() string {
	if c.o.Network == nil {
		return "127.0.0.1/32"
	}
	return c.o.Network.CIDR()
}

// redisPrimary is the address of the first machine's Redis at first. A new
// machine follows whoever is the primary now.
func (m *Machine) redisPrimary() string {
	primary := m.c.at(1, portRedis)
	if m.c.Machines[Nodes-1] != nil { // not the first start
		if p := m.c.RedisPrimary(); p != nil && p != m {
			primary = p.at(portRedis)
		}
	}
	host, port, _ := strings.Cut(primary, ":")
	return host + " " + port
}

func (m *Machine) redisFile() string {
	text := fmt.Sprintf(`port %d
bind %s
protected-mode no
dir %s
save ""
appendonly no
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-backlog-size 16mb
maxmemory 128mb
maxmemory-policy volatile-lru
client-output-buffer-limit pubsub 32mb 8mb 60
`, m.port(portRedis), m.c.ip(m.N), filepath.Join(m.dir, "redis"))
	if p := m.redisPrimary(); strings.ReplaceAll(p, " ", ":") != m.at(portRedis) {
		text += "replicaof " + p + "\n"
	}
	return text
}

func (m *Machine) sentinelFile() string {
	return fmt.Sprintf(`port %d
bind %s
protected-mode no
dir %s
sentinel monitor mail %s 2
sentinel down-after-milliseconds mail 1000
sentinel failover-timeout mail 3000
sentinel parallel-syncs mail 2
`, m.port(portSentinel), m.c.ip(m.N), filepath.Join(m.dir, "redis"), m.redisPrimary())
}
