package e2e_test

import (
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// TestJourney: button, credentials, mail, row, message, attachment.
func TestJourney(t *testing.T) {
	parts(t)
	s := harness.Start(t)
	for _, way := range []string{"mouse", "keyboard", "plain", "names"} {
		t.Run(way, func(t *testing.T) { run(t, s, script{name: "journey.mjs", args: []string{way}}) })
	}
}
