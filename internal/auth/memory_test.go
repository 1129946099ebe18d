package auth

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// nth is a key for the tables.
func nth(i int) (k memoKey) {
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

// Whoever comes from many addresses, to many accounts, fills no memory.
func TestTables_Bounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	th, mem := newThrottle(), newMemory()
	victim := slot{acct: nth(1 << 40)}
	for i := range MaxThrottled + MaxThrottled/2 {
		th.take(slot{peer: netip.AddrFrom4([4]byte{1, 2, 3, 4}), acct: nth(i)}, now)
		mem.put(nth(i), verdict{until: now.Add(memoLife)}, now)
	}
	if len(th.until) > MaxThrottled || len(mem.m) > MaxMemos {
		t.Errorf("%d throttled, %d memos", len(th.until), len(mem.m))
	}
	if len(th.until) < MaxThrottled/2 || len(mem.m) < MaxMemos/2 {
		t.Errorf("%d throttled, %d memos: too many forgotten", len(th.until), len(mem.m))
	}
	// What is over goes first, and then nothing that counts is forgotten.
	later := now.Add(time.Hour)
	th.take(victim, later)
	for i := range MaxThrottled - 2 {
		th.take(slot{acct: nth(-i - 1)}, later)
	}
	if _, ok := th.until[victim]; !ok {
		t.Error("a counted failure was forgotten while old ones were there to go")
	}
}

func TestThrottle_GiveBack(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	th := newThrottle()
	s := slot{acct: nth(1)}
	for range 5 * FailBurst {
		if !th.take(s, now) {
			t.Fatal("throttled for what was given back")
		}
		th.giveBack(s)
	}
	for i := range FailBurst {
		if !th.take(s, now) {
			t.Fatalf("failure %d refused", i)
		}
	}
	if th.take(s, now) || !th.blocked(s, now) {
		t.Error("not throttled")
	}
	if now = now.Add(FailEvery); th.blocked(s, now) || !th.take(s, now) || th.take(s, now) {
		t.Error("one more each FailEvery")
	}
	th.clear(s)
	if th.blocked(s, now) {
		t.Error("not forgiven")
	}
}

// One peer that tries many accounts is slowed down as a whole, later.
func TestThrottle_Peer(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	th := newThrottle()
	s := slot{peer: netip.AddrFrom4([4]byte{1, 2, 3, 4})}
	for i := range PeerBurst {
		if !th.take(s, now) {
			t.Fatalf("failure %d refused", i)
		}
	}
	if th.take(s, now) {
		t.Error("not throttled")
	}
	if !th.take(s, now.Add(PeerEvery)) {
		t.Error("one more each PeerEvery")
	}
}
