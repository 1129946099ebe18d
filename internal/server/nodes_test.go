package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/server"
)

// TestDrainOrder: load balancers see that a server is going before its doors
// close, and can ask it until its last transaction is over.
func TestDrainOrder(t *testing.T) {
	t.Parallel()
	const drainDelay = 2 * time.Second
	r := start(t, server.Options{Config: settings(t, "drain-delay", drainDelay.String())})
	a := r.Addrs()
	c, err := smtp.Dial(a["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("a@b.test"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("c@d.test"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	r.stop()
	for {
		if code, _ := get(t, "http://"+a["admin"]+"/readyz"); code == 503 {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("readyz does not turn")
		}
	}
	// Who did not see it yet is served, while the delay lasts.
	late, err := smtp.Dial(a["smtp"])
	if err == nil {
		late.Close()
	} else if time.Since(begin) < drainDelay { // this machine may be slower than that
		t.Fatalf("within the delay: %v", err)
	}
	d, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	open := time.Now() // the door was open then
	for time.Since(begin) < time.Minute {
		n, err := net.Dial("tcp", a["smtp"])
		if err != nil {
			break
		}
		n.Close()
		open = time.Now()
		time.Sleep(20 * time.Millisecond)
	}
	if d := time.Since(begin); d < drainDelay || open.Sub(begin) > 30*time.Second {
		t.Errorf("the door was open after %v, and closed after %v", open.Sub(begin), d)
	}
	if code, body := get(t, "http://"+a["admin"]+"/readyz"); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("while a transaction finishes: %d %q", code, body)
	}
	fmt.Fprint(d, "Subject: x\r\n\r\nx\r\n")
	if err := d.Close(); err != nil {
		t.Errorf("the message under way: %v", err)
	}
	r.end(t)
}

// ahead is a store's time as a machine sees it whose clock is behind.
type ahead struct{ kv.Store }

func (s ahead) Ping(ctx context.Context) (kv.Health, error) {
	h, err := s.Store.Ping(ctx)
	h.Time = h.Time.Add(2 * time.Hour)
	return h, err
}

// TestNodes_Clock: a server whose clock is off expires nothing and says so, and
// leaves the work to one whose clock is right.
func TestNodes_Clock(t *testing.T) {
	t.Parallel()
	store := memkv.New()
	off := start(t, server.Options{Config: settings(t, "retention", "1s"), KV: ahead{store.Handle()}, Shared: true})
	if err := smtp.SendMail(off.Addrs()["smtp"], nil, "a@b.test", []string{"c@d.test"}, []byte("Subject: old\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	// Who reads is not shown what has expired: the rows tell.
	there := func() bool {
		for it, err := range store.Scan(t.Context(), kv.Prefix([]byte{row.TagEntry})) {
			if err != nil {
				t.Fatal(err)
			}
			e, err := row.DecodeEntry(it.Value)
			if left := time.Until(time.Unix(int64(e.Expire), 0)); err != nil || left < time.Hour {
				t.Errorf("mail is not dated by the store's time: it goes in %v (%v)", left, err)
			}
			return true
		}
		return false
	}
	time.Sleep(4 * time.Second)
	if !there() {
		t.Error("a server whose clock is off expired mail")
	}
	if items, err := store.GetMulti(t.Context(), row.Lease(0xff)); err != nil || items[0].Rev != 0 {
		t.Errorf("it holds the lease of the background work: %v %v", items, err)
	}
	if code, text := get(t, "http://"+off.Addrs()["admin"]+"/readyz"); code != 200 || !strings.Contains(text, "clock") {
		t.Errorf("readyz: %d %q", code, text)
	}
	if log := off.log.String(); !strings.Contains(log, "clock is too far") {
		t.Errorf("the operator is not told: %s", log)
	}
	start(t, server.Options{Config: settings(t, "retention", "1s"), KV: store.Handle(), Shared: true,
		Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}) // the store's
	for end := time.Now().Add(time.Minute); there(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server whose clock is right does not expire it either")
		}
	}
}

// TestNodes: servers on one store know of each other, and one is missed when it ends.
func TestNodes(t *testing.T) {
	t.Parallel()
	store := memkv.New()
	one := start(t, server.Options{Config: settings(t, "node", "first"), KV: store.Handle(), Shared: true})
	two := start(t, server.Options{Config: settings(t, "node", "second"), KV: store.Handle(), Shared: true})
	names := func() string {
		var st server.Status
		_, body := get(t, "http://"+one.Addrs()["admin"]+"/status")
		if err := json.Unmarshal([]byte(body), &st); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, n := range st.Nodes {
			seen[n.Name] = time.Since(n.Beat) < 10*time.Second
		}
		return fmt.Sprint(len(st.Nodes), seen["first"], seen["second"], st.Bus.OK)
	}
	if got := names(); got != "2 true true true" {
		t.Errorf("both: %s", got)
	}
	two.end(t)
	if got := names(); got != "1 true false true" {
		t.Errorf("after one ended: %s", got)
	}
}
