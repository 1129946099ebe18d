package redisbus_test

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/bus/redisbus"
)

// TestSpec_Addresses: so many sentinels can be named.
func TestSpec_Addresses(t *testing.T) {
	t.Parallel()
	spec := func(n int) string {
		return "redis+sentinel://" + strings.TrimSuffix(strings.Repeat("s.example,", n), ",") + "/master"
	}
	if o, err := redisbus.ParseSpec(spec(redisbus.MaxAddrs)); err != nil || len(o.Addrs) != redisbus.MaxAddrs {
		t.Errorf("%d addresses: %v", len(o.Addrs), err)
	}
	if _, err := redisbus.ParseSpec(spec(redisbus.MaxAddrs + 1)); err == nil || !strings.Contains(err.Error(), "at most 16") {
		t.Errorf("one more: %v", err)
	}
}
