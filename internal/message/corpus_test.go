package message_test

import (
	"slices"
	"testing"

	"github.com/eidermail/eider/test/corpus"
)

// allMail is the whole test corpus.
func allMail(t testing.TB) []corpus.Message {
	t.Helper()
	return slices.Concat(corpus.Everyday(t), corpus.Torture(t))
}
