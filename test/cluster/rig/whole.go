package rig

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// AwaitWhole waits until nothing is left of the last fault: both standbys follow,
// all of etcd and Redis are there, and every HAProxy passes on to every node.
func (c *Cluster) AwaitWhole(within time.Duration) error {
	end := time.Now().Add(within)
	left := func() time.Duration { return max(time.Second, time.Until(end)) }
	return errors.Join(
		c.allRun(),
		c.await("etcd", left(), c.etcdWhole),
		c.AwaitStandbys(Nodes-1, left()),
		c.await("Redis", left(), c.redisWhole),
		c.AwaitReady(left()),
		c.allRun())
}

// allRun: no part has ended by itself, which would be no fault of ours.
func (c *Cluster) allRun() error {
	for _, m := range c.Machines {
		for _, part := range Parts {
			if p := m.procs[part]; !p.Running() {
				return fmt.Errorf("%s has ended by itself\n%s", p.Name, c.Logs(20))
			}
		}
	}
	return nil
}

// etcdWhole: each member says that it is healthy, which takes a leader and a quorum.
func (c *Cluster) etcdWhole() bool {
	client := http.Client{Timeout: 500 * time.Millisecond}
	for _, m := range c.Machines {
		r, err := client.Get("http://" + m.at(portEtcd) + "/health")
		if err != nil {
			return false
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return false
		}
	}
	return true
}

// redisWhole: one primary, which another follows, and which each Sentinel names.
// The third may still take itself for a primary: Sentinel leaves it in that
// belief for ten seconds, and nothing rests on it.
func (c *Cluster) redisWhole() bool {
	p := c.RedisPrimary()
	if p == nil {
		return false
	}
	out, err := talk(p.at(portRedis), "INFO replication\r\n")
	if err != nil || !strings.Contains(out, "state=online") {
		return false
	}
	for _, m := range c.Machines {
		out, err := talk(m.at(portSentinel), "SENTINEL get-master-addr-by-name mail\r\n")
		_, port, _ := strings.Cut(p.at(portRedis), ":")
		if err != nil || !strings.Contains(out, port) || !strings.Contains(out, c.ip(p.N)) {
			return false
		}
	}
	return true
}
