package smtp

import (
	"errors"
	"strconv"
	"strings"
)

// Reply is an SMTP reply. Sessions return one as an error, too.
type Reply struct {
	Code int
	// Enhanced is the status code of RFC 3463, "5.1.1". It is sent where
	// ENHANCEDSTATUSCODES is on offer.
	Enhanced string
	// Text is for people, ASCII; several lines are divided by "\n".
	Text string
}

// Error makes a Reply an error.
func (r Reply) Error() string {
	return "smtp: " + strconv.Itoa(r.Code) + " " + r.Text
}

// Temporary tells whether the client may try again.
func (r Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }

// replyOf is the reply that stands for err. What is no Reply is our trouble.
func replyOf(err error) Reply {
	var r Reply
	if errors.As(err, &r) && r.Code >= 200 && r.Code <= 599 {
		return r
	}
	return Reply{451, "4.3.0", "Trouble on our side, please try again later"}
}

// appendReply writes r as it goes over the wire (RFC 5321 §4.2).
func appendReply(b []byte, r Reply, enhanced bool) []byte {
	text := r.Text
	for {
		line, rest, more := strings.Cut(text, "\n")
		b = strconv.AppendInt(b, int64(r.Code), 10)
		if more {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if enhanced && r.Enhanced != "" {
			b = append(b, r.Enhanced...)
			b = append(b, ' ')
		}
		for i := range len(line) {
			if c := line[i]; c < ' ' || c > '~' {
				b = append(b, '?') // a reply is one line of ASCII, whatever got into it
			} else {
				b = append(b, c)
			}
		}
		b = append(b, "\r\n"...)
		if !more {
			return b
		}
		text = rest
	}
}
