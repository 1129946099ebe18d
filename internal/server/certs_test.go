package server

import (
	"slices"
	"testing"

	"github.com/eidermail/eider/internal/config"
)

// TestCertNames: clients that name nobody are shown the first name's certificate.
func TestCertNames(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{AllowHost: config.Names{"a.example", "b.example"}}
	if got := certNames(cfg); !slices.Equal(got, []string{"a.example", "b.example"}) {
		t.Errorf("not public: %q", got)
	}
	cfg.PublicHost = "mail.example"
	if got := certNames(cfg); !slices.Equal(got, []string{"mail.example", "a.example", "b.example"}) {
		t.Errorf("public: %q", got)
	}
}
