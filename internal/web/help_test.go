package web_test

import (
	"fmt"
	"net/netip"
	"strings"
)

func num(v any) string { return fmt.Sprint(v) }

func (r *rig) peer() netip.Addr { return netip.MustParseAddr("127.0.0.1") }

func between(s, a, b string) string {
	_, s, ok := strings.Cut(s, a)
	if !ok {
		return ""
	}
	s, _, _ = strings.Cut(s, b)
	return s
}
