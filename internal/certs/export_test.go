package certs

import (
	"log/slog"

	"go.uber.org/zap"
)

// Private picks the addresses that a self-signed certificate names.
var Private = private

// LibraryLog is the log that the ACME library gets, over the server's.
func LibraryLog(log *slog.Logger) *zap.Logger { return zap.New(zapCore{&manager{log: log}}) }
