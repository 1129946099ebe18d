// Package obs is what servers use to be observed: loggers that escape and cut
// outside text, and metrics in a registry of their own. It keeps no state of
// the package: who wants a logger or metrics makes one and hands it down.
//
// It promises that a line of the log is one line, whatever a stranger wrote
// into an address or a header, and that no label of a metric carries an
// account's name. It never decides what is worth a log line.
package obs
