// Package netx opens listeners and accepts connections, with bounds; nothing else.
package netx
