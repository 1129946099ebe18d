package diag

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func story(at time.Time, client, login string, causes ...Cause) Story {
	s := Story{At: at, Listener: "smtp", Client: netip.MustParseAddr(client), Login: login, Owner: login}
	for _, c := range causes {
		s.Faults = append(s.Faults, Fault{Cause: c})
	}
	return s
}

// TestMerge: what a client does again and again is one story, for a while.
func TestMerge(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	l := New(func() time.Time { return now })
	for range 5 {
		l.Add(story(now, "10.0.0.1", "a@b", "left"))
		now = now.Add(time.Minute)
	}
	l.Add(story(now, "10.0.0.1", "a@b", "timeout"))
	got := l.Recent(10)
	if len(got) != 2 || got[1].Count != 5 || got[0].Faults[0].Cause != "timeout" {
		t.Fatalf("%+v", got)
	}
	now = now.Add(MergeTime)
	l.Add(story(now, "10.0.0.1", "a@b", "left"))
	if got = l.Recent(10); len(got) != 3 || got[0].Count != 1 {
		t.Errorf("%+v", got)
	}
	now = now.Add(MaxAge + time.Second)
	if got = l.Recent(10); len(got) != 0 || len(l.byKey) != 0 {
		t.Errorf("after its time: %+v", got)
	}
}

// TestBounds: no client and no login pushes out the others, and there is an end.
func TestBounds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	l := New(func() time.Time { return now })
	l.Add(story(now, "10.9.9.9", "quiet@b", "left"))
	long := strings.Repeat("é", MaxText)
	for i := range 3 * MaxStories {
		s := story(now, "10.0.0.1", fmt.Sprintf("u%d@b", i), "auth-failed", "left", "timeout", "http", "dropped", "left")
		s.Helo, s.Faults[0].Text, s.Faults[0].Reply = long, long, long
		l.Add(s)
		l.Add(story(now, fmt.Sprintf("2001:db8::%x", i+1), "", Cause(fmt.Sprint(i))))
		l.Add(story(now, fmt.Sprintf("10.1.%d.%d", i/250, i%250), "one@b", Cause(fmt.Sprint(i))))
	}
	if got := l.Of("quiet@b", 10); len(got) != 1 {
		t.Errorf("the quiet one has %d", len(got))
	}
	if got := l.Of("one@b", 1000); len(got) != MaxOfOne {
		t.Errorf("one login has %d", len(got))
	}
	all := l.Recent(10 * MaxStories)
	of := map[netip.Addr]int{}
	for _, s := range all {
		of[s.net()]++
		for _, text := range []string{s.Helo, s.Faults[0].Text, s.Faults[0].Reply} {
			if len(text) > MaxText+2 || !strings.HasPrefix(long, strings.TrimSuffix(text, "?")) {
				t.Fatalf("text of %d bytes", len(text))
			}
		}
		if len(s.Faults) > MaxFaults {
			t.Fatalf("%d faults", len(s.Faults))
		}
	}
	if n := of[netip.MustParseAddr("10.0.0.1")]; n != MaxOfOne {
		t.Errorf("one client has %d", n)
	}
	if n := of[netip.MustParseAddr("2001:db8::")]; n != MaxOfOne {
		t.Errorf("one /64 has %d", n)
	}
	for i := range 2 * MaxStories {
		l.Add(story(now, fmt.Sprintf("10.2.%d.%d", i/250, i%250), "", "left"))
	}
	if n := len(l.Recent(10 * MaxStories)); n != MaxStories || l.all.Len() != n || len(l.byKey) > n {
		t.Errorf("%d stories, %d keys", n, len(l.byKey))
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	l := New(nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 500 {
				l.Add(story(time.Now(), fmt.Sprintf("10.0.%d.%d", i, j%50), "a@b", "left"))
				_, _ = l.Recent(10), l.Of("a@b", 5)
			}
		})
	}
	wg.Wait()
}

// TestWords: every cause has words that end as sentences do, in both modes and
// with listeners off, and the cure is not the complaint again.
func TestWords(t *testing.T) {
	t.Parallel()
	ports := map[string]string{"smtp": "1025", "smtps": "1465", "mx": "1026", "imap": "1143", "imaps": "1993", "http": "8025"}
	for _, f := range []Facts{{Ports: ports, Web: "8025", MessageLimit: 64e6, SelfSigned: true}, {Public: true, StartTLS: true,
		Ports: ports, MessageLimit: 64e6}, {Ports: map[string]string{}}} {
		for _, c := range []Cause{"http", "foreign", "tls-on-plain", "plain-on-tls", "no-starttls", "left", "certificate-refused",
			"tls-version", "tls-handshake", "injection", "auth-in-clear", "auth-failed", "no-account", "mechanism", "mail-refused",
			"rcpt-refused", "bad-address", "too-large", "data-refused", "bad-commands", "timeout", "dropped", "never heard of"} {
			for _, v := range []Fault{{Cause: c}, {Cause: c, Code: 452, Reply: "full"}, {Cause: c, Code: 530, Text: "x"},
				{Cause: c, Code: 552, Size: 70e6}, {Cause: c, Code: 535, Reply: "disabled"}, {Cause: c, Code: 550, Text: "a@b"}} {
				for _, listener := range []string{"smtp", "smtps", "mx", "imap"} {
					s := Story{Listener: listener, Client: netip.MustParseAddr("172.17.0.2"), Faults: []Fault{v}}
					for _, a := range f.Explain(s) {
						if !strings.HasSuffix(a.What, ".") || !strings.HasSuffix(a.Cure, ".") || a.What == a.Cure ||
							strings.Contains(a.What+a.Cure, "%!") || a.Cure[0] < 'A' || a.Cure[0] > 'Z' {
							t.Errorf("%s on %s: %q %q", c, listener, a.What, a.Cure)
						}
					}
				}
			}
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	got := []string{size(12), size(1500), size(64e6), size(70123456), enough(70123456), enough(1 << 62), network(netip.MustParseAddr("172.18.0.3")),
		network(netip.MustParseAddr("192.168.1.7")), network(netip.MustParseAddr("fd00::1:2")), network(netip.Addr{})}
	want := []string{"12 bytes", "2 KB", "64 MB", "70.2 MB", "80MB", "SIZE", "172.18.0.0/16", "192.168.1.0/24", "fd00::/64", "ITS-NETWORK"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
