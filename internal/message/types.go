package message

import "time"

// Strings of an Index never hold CR, LF or NUL. They may hold raw 8-bit bytes
// that are not UTF-8, where the sender wrote such.

// Span is a range of bytes of a message, [Start, End).
type Span struct{ Start, End int64 }

// Len is the number of bytes of s.
func (s Span) Len() int64 { return s.End - s.Start }

// Index is what one pass over a message learns: where each part lies, how it
// is built, and what a list of messages shows of it. Offsets count from the
// first byte of the message as it is stored.
type Index struct {
	Size     int64
	Root     *Part
	Envelope Envelope
	// References are the message ids of References and In-Reply-To, without
	// angle brackets, oldest first, each once, cut at MaxReferences.
	References []string
	// Preview is the start of the readable text, white space folded, at most
	// MaxPreview characters of UTF-8 (RFC 8970).
	Preview string
	// Attachments are the leaf parts that a reader would call attachments,
	// in order, numbered ATT00001 and so on.
	Attachments []Attachment
	// Defects says what was odd or cut by a limit, for people; at most MaxDefects.
	Defects []string
}

// Part is one node of the MIME tree (RFC 2045, RFC 9051 §7.5.2 BODYSTRUCTURE).
type Part struct {
	// Type and Subtype are lower case; text/plain where the header says nothing usable.
	Type, Subtype string
	Params        []Param // as BODYSTRUCTURE shows them; see Param
	ID            string  // Content-ID as written, with brackets
	Description   string  // as written
	Encoding      string  // Content-Transfer-Encoding, lower case, "7bit" by default
	MD5           string
	Disposition   string // lower case, "" if none
	DispParams    []Param
	Language      []string
	Location      string
	Header, Body  Span  // the header with its blank line; the body as it is encoded
	Lines         int64 // lines of the encoded body
	// Parts are the children of a multipart. A multipart whose boundary never
	// occurs has none, and is treated as its text.
	Parts []*Part
	// Message is set for message/rfc822 and message/global that were parsed:
	// its envelope, and its root part (whose Header lies in this part's Body).
	Message *Embedded
}

// Embedded is the message within a message/rfc822 part.
type Embedded struct {
	Envelope Envelope
	Root     *Part
}

// Param is one parameter of a header field, as BODYSTRUCTURE shows it: the name
// in lower case, quotes removed, RFC 2231 continuations joined. A value with a
// charset keeps its percent form under "name*" (RFC 9051 §7.5.2, RFC 2231 §4),
// one with encoded words stays so. ParamValue gives the text for people.
type Param struct{ Name, Value string }

// Envelope is the header of a message as IMAP's ENVELOPE wants it (RFC 9051
// §7.5.2). Strings are as they stand in the header, unfolded and still encoded
// (RFC 2047); use DecodeHeader to show them.
type Envelope struct {
	Date      string
	SentAt    time.Time // Date parsed; zero if it cannot be
	Subject   string
	From      []Address
	Sender    []Address // From if absent
	ReplyTo   []Address // From if absent
	To        []Address
	Cc        []Address
	Bcc       []Address
	InReplyTo string // as written
	MessageID string // as written, with brackets
}

// Address is one address of an envelope. Quoting is removed from its strings. A group starts with an entry whose
// Host is "" and Mailbox is the group's name, and ends with one that has
// neither (RFC 9051 §7.5.2).
type Address struct {
	Name    string // display name as written, still encoded
	Mailbox string // local part
	Host    string
	Group   bool // this entry starts or ends a group
}

// Attachment is a leaf part that people call a file.
type Attachment struct {
	ID          string // ATT00001, …: stable for one message
	Path        string // the IMAP part number, "1.2"
	Name        string // decoded file name, "" if none; never to be used as a path
	Type        string // "image/png", lower case, as declared
	ContentID   string // without brackets
	Inline      bool   // referred to by the HTML part or marked inline
	Size        int64  // bytes of the encoded body
	DecodedSize int64  // bytes after transfer decoding, counted, not guessed
}
