package e2e_test

import (
	"os"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// TestAccessible: axe on every page, light and dark, wide and narrow.
func TestAccessible(t *testing.T) {
	parts(t)
	s := harness.Start(t)
	if dir := os.Getenv("EIDER_SCREENSHOTS"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s, script{name: "look.mjs"})
}
