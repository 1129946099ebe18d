package hostile_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/sanitize/hostile"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	groups := make(map[int]int)
	for _, v := range hostile.All() {
		if names[v.Name] || v.Acts == 0 || strings.ContainsAny(v.Name, " /\n") {
			t.Errorf("vector %q: twice, harmless or badly named", v.Name)
		}
		names[v.Name] = true
		groups[v.Group]++
		m := v.EML("beacon.test:1")
		if len(m) == 0 || bytes.Contains(m, []byte("{{B")) || bytes.Contains(m, []byte("BASE64}}")) || !bytes.Contains(m, []byte("Subject: ")) {
			t.Errorf("%s: no message with the beacon in place: %.200q", v.Name, m)
		}
		const calls = hostile.Script | hostile.Load | hostile.Navigate
		if v.Acts&calls != 0 && v.HTML != "" && !strings.Contains(v.HTML, hostile.Beacon) && v.Group != 24 &&
			!strings.HasPrefix(v.Name, "23e") {
			t.Errorf("%s tells no beacon", v.Name)
		}
	}
	for n := range 35 {
		if n > 0 && (groups[n] == 0 || hostile.Groups()[n] == "") {
			t.Errorf("group %d has %d vectors and is called %q", n, groups[n], hostile.Groups()[n])
		}
	}
	if len(hostile.Groups())+len(hostile.Service()) != 44 {
		t.Error("not 44 groups")
	}
	t.Logf("%d vectors", len(names))
}
