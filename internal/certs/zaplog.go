package certs

import (
	"strings"

	"go.uber.org/zap/zapcore"
)

// zapCore takes the errors that the ACME library logs, and tells the operator
// those that no event has told.
type zapCore struct{ m *manager }

// Enabled lets errors pass.
func (z zapCore) Enabled(l zapcore.Level) bool { return l >= zapcore.ErrorLevel }

// With drops fields: see Write.
func (z zapCore) With([]zapcore.Field) zapcore.Core { return z }

// Check asks for a write.
func (z zapCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) {
		return to.AddCore(e, z)
	}
	return to
}

// Write logs an error with the few fields that are known to hold no secret: the
// store itself, with its password, may be among the others.
func (z zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == "could not get certificate from issuer" { // the event follows
		return nil
	}
	args := []any{"what", e.Message}
	for _, f := range fields {
		switch f.Key {
		case "identifier", "identifiers", "subject", "error", "lock_key", "retrying_in":
			enc := zapcore.NewMapObjectEncoder()
			f.AddTo(enc)
			if text, ok := enc.Fields[f.Key].(string); ok && f.Key == "error" && z.known(text) {
				return nil
			}
			args = append(args, f.Key, enc.Fields[f.Key])
		}
	}
	z.m.log.Error("--acme", args...)
	return nil
}

// known tells whether an event has told that already.
func (z zapCore) known(text string) bool {
	told := z.m.told.Load()
	return told != nil && strings.Contains(text, *told)
}

// Sync has nothing to write.
func (z zapCore) Sync() error { return nil }
