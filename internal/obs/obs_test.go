package obs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/obs"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain text", "plain text"},
		{"grüße 日本 🎉", "grüße 日本 🎉"},
		{"a\r\nlevel=ERROR", `a\r\nlevel=ERROR`},
		{"tab\there", `tab\there`},
		{"\x1b[31mred", `\x1b[31mred`},
		{"nul\x00", `nul\x00`},
		{"bad\xff\xfe", `bad\xff\xfe`},
		{"gpj.\u202eexe", `gpj.\u202eexe`},
		{"zero\u200bwidth", `zero\u200bwidth`},
		{"\u2028", `\u2028`},
		{"\U000e0001", `\U000e0001`},
	} {
		if got := obs.Clean(c.in); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCleanCuts(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"a", "é", "日", "🎉", "\xf0\x9f"} {
		got := obs.Clean(strings.Repeat(unit, 10_000))
		if !strings.HasSuffix(got, "…") || !utf8.ValidString(got) || len(got) > 4*obs.MaxOutside+3 {
			t.Errorf("%q: %d bytes, valid %v, ends %q", unit, len(got), utf8.ValidString(got), got[len(got)-8:])
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\r\nb\u202e")
	f.Add(strings.Repeat("\xf0\x9f\x98", 300))
	f.Fuzz(func(t *testing.T, s string) {
		got := obs.Clean(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\x1b\u202e\u2028") {
			t.Fatalf("Clean(%q) = %q", s, got)
		}
	})
}

func TestLoggerKeepsOneLine(t *testing.T) {
	t.Parallel()
	evil := "x\n{\"level\":\"ERROR\"}\x1b[2J\u202e"
	for _, asJSON := range []bool{true, false} {
		var b bytes.Buffer
		l := obs.NewLogger(&b, obs.LogOptions{JSON: asJSON})
		l.With("with", evil).WithGroup("g").Info("msg "+evil, "s", evil, "err", errors.New(evil),
			"bytes", []byte(evil), "any", []string{evil}, slog.Group("in", "deep", evil), "v", obs.Outside(evil))
		out := b.String()
		if strings.Count(out, "\n") != 1 || strings.ContainsAny(out, "\x1b\u202e") {
			t.Errorf("json=%v: %q", asJSON, out)
		}
		if asJSON && !json.Valid(b.Bytes()) {
			t.Errorf("not JSON: %s", out)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := obs.NewMetrics()
	m.Connections.WithLabelValues("smtp").Inc()
	if err := m.GaugeFunc("eider_test", "A test.", func() float64 { return 7 }); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`eider_connections_total{listener="smtp"} 1`, "eider_test 7", "go_goroutines"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
}
