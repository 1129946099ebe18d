package storage_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

// TestUsage: what a server tells of its mail is what was sent to it, and what
// became of that.
func TestUsage(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	a, b := s.NewAccount(t), s.NewAccount(t)
	if u := status(t, s); u.Messages != 0 || u.LogicalBytes != 0 || u.Parts != 0 || u.GarbageParts != 0 {
		t.Errorf("before any mail: %+v", u)
	}
	const copies, size = 5, 300_000
	file := noise(1, size)
	sent := int64(0)
	for i := range copies {
		for _, to := range []harness.Account{a, b} {
			text := mail(fmt.Sprintf("the same file, %d", i), file)
			submit(t, s, to, text)
			sent += int64(len(prepended) + len(text))
		}
	}
	plain := []byte("Subject: plain\r\n\r\n" + strings.Repeat("Nothing new in this line of text.\r\n", 100))
	submit(t, s, a, plain)
	sent += int64(len(prepended) + len(plain))

	u := await(t, s, time.Minute, "what was sent", func(u usage) bool { return u.Messages == 2*copies+1 })
	t.Logf("after delivery: %+v", u)
	if u.LogicalBytes != sent {
		t.Errorf("%d bytes of mail are told, %d were sent", u.LogicalBytes, sent)
	}
	if want := int64((2*copies - 1) * size); u.DedupSavedBytes != want || u.Parts != 1 || u.PartBytes != size {
		t.Errorf("dedup saves %d, want %d; %d parts of %d bytes", u.DedupSavedBytes, want, u.Parts, u.PartBytes)
	}
	if u.StoredBytes < size || u.StoredBytes > sent/2 {
		t.Errorf("%d bytes are stored, of %d", u.StoredBytes, sent)
	}
	// What is not stored was saved in one way or the other.
	if sum := u.StoredBytes + u.DedupSavedBytes + u.CompressionSavedBytes; sum != u.LogicalBytes {
		t.Errorf("stored and saved bytes are %d, of %d", sum, u.LogicalBytes)
	}
	m := metrics(t, s)
	for name, want := range map[string]int64{"messages": u.Messages, "logical_bytes": u.LogicalBytes,
		"dedup_saved_bytes": u.DedupSavedBytes, "garbage_bytes": 0, "garbage_parts": 0} {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("/metrics: %s is %d, want %d", name, got, want)
		}
	}
	if m["stored_bytes"] <= 0 || m["compression_saved_bytes"] <= 0 {
		t.Errorf("/metrics: %v", m)
	}

	// The file is needed as long as one account has it, and then it is garbage.
	empty(t, s, a)
	u = await(t, s, time.Minute, "one account is emptied", func(u usage) bool { return u.Messages == copies })
	if want := int64((copies - 1) * size); u.DedupSavedBytes != want || u.GarbageParts != 0 {
		t.Errorf("half of it is deleted: %+v", u)
	}
	empty(t, s, b)
	u = await(t, s, time.Minute, "both are emptied", func(u usage) bool { return u.Messages == 0 })
	if u.LogicalBytes != 0 || u.GarbageParts != 1 || u.GarbageBytes < size || u.DedupSavedBytes != 0 {
		t.Errorf("all of it is deleted: %+v", u)
	}
}

// prepended is what submission puts before a message.
const prepended = "Return-Path: <s@example.test>\r\n"

// empty deletes all messages of an account.
func empty(t *testing.T, s *harness.Server, a harness.Account) {
	t.Helper()
	req, err := http.NewRequest("DELETE", "http://"+s.HTTP+"/v1/messages?all=true", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+a.Token)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("DELETE: %s", resp.Status)
	}
}
