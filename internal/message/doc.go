// Package message reads mail that people really send. One streaming pass over
// any bytes gives an Index: the tree of parts with their offsets, the envelope,
// what IMAP's BODYSTRUCTURE wants, a preview and the attachments. It decodes
// headers, parameters, addresses, dates, transfer encodings and charsets.
//
// It promises: any input has an Index, no input panics, the time is linear in
// the input, memory is bounded by the named limits and not by the message, and
// the same bytes give the same Index however they are cut into writes. What a
// limit cuts is still stored and returned; it is only not described.
//
// It never changes a message, never opens anything outside it, and never uses
// a name out of it as a path.
//
// RFCs: 5322 and 6532 (headers), 2045, 2046, 2047, 2231, 2183 (MIME), 3501 and
// 9051 (envelope, body structure, part numbers), 8970 (preview), 5256 §2.1
// (base subject).
package message
