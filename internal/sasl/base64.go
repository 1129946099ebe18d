package sasl

import "encoding/base64"

// Limit: bytes of one base64 line of an exchange, without CRLF (RFC 4954 §4).
const MaxLine = 12_288

// Decode reads a response line as SMTP, IMAP and POP3 carry it: base64, where
// "=" alone is the empty initial response and "*" cancels the exchange. What
// it returns is never nil without an error.
func Decode(line string) ([]byte, error) {
	switch {
	case line == "*":
		return nil, ErrCancelled
	case line == "" || line == "=":
		return []byte{}, nil
	case len(line) > MaxLine:
		return nil, ErrTooLong
	}
	for i := range len(line) {
		// The decoder would skip line ends.
		if line[i] == '\r' || line[i] == '\n' {
			return nil, ErrMalformed
		}
	}
	b, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, ErrMalformed
	}
	return b, nil
}

// Encode writes a challenge for the line "334 …" or "+ …".
func Encode(challenge []byte) string { return base64.StdEncoding.EncodeToString(challenge) }
