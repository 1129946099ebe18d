package api

import "time"

// Address is a mail address with its display name, decoded.
type Address struct {
	Name    string `json:"name" doc:"Display name, decoded; may be empty"`
	Address string `json:"address" example:"ada@example.com"`
}

// Summary is a message in a list.
type Summary struct {
	ID          string    `json:"id" doc:"Names the message in this API; does not change" example:"17"`
	URL         string    `json:"url" doc:"The message's page, which needs no login"`
	Mailbox     string    `json:"mailbox" example:"INBOX"`
	UID         uint32    `json:"uid" doc:"IMAP UID in that mailbox"`
	Subject     string    `json:"subject"`
	From        []Address `json:"from"`
	To          []Address `json:"to"`
	Cc          []Address `json:"cc"`
	Bcc         []Address `json:"bcc"`
	ReplyTo     []Address `json:"replyTo"`
	Date        time.Time `json:"date" doc:"The Date field, or the time of receipt where it is missing or broken"`
	Received    time.Time `json:"received" doc:"When the server took the message"`
	Expires     time.Time `json:"expires,omitzero" doc:"When the message goes by itself"`
	Size        int64     `json:"size" doc:"Bytes of the raw message"`
	Preview     string    `json:"preview" doc:"The start of the text"`
	MessageID   string    `json:"messageId" doc:"Message-ID field without angle brackets"`
	ThreadID    string    `json:"threadId"`
	Seen        bool      `json:"seen"`
	Answered    bool      `json:"answered"`
	Flagged     bool      `json:"flagged"`
	Deleted     bool      `json:"deleted"`
	Draft       bool      `json:"draft"`
	Keywords    []string  `json:"keywords"`
	Attachments int       `json:"attachmentCount"`
	Envelope    Envelope  `json:"envelope"`
}

// Envelope is the SMTP transaction that brought the message.
type Envelope struct {
	From     string   `json:"from" doc:"MAIL FROM; empty for bounces"`
	To       []string `json:"to" doc:"RCPT TO"`
	ToCount  int      `json:"toCount" doc:"How many recipients there were, where the list is cut"`
	Helo     string   `json:"helo,omitempty"`
	Client   string   `json:"client,omitempty" doc:"The client's address"`
	Protocol string   `json:"protocol,omitempty" example:"ESMTPSA"`
	TLS      string   `json:"tls,omitempty"`
	User     string   `json:"user,omitempty" doc:"The login, if there was one"`
}

// Message is a message with all that a test looks at.
type Message struct {
	Summary
	Headers   []Header     `json:"headers" doc:"All fields in their order, decoded"`
	Text      string       `json:"text" doc:"The text, decoded to UTF-8"`
	HTML      string       `json:"html" doc:"The HTML as it was sent, decoded to UTF-8; not made safe"`
	Truncated bool         `json:"truncated,omitempty" doc:"Text or HTML are longer than shown here"`
	Files     []Attachment `json:"attachments"`
	Links     []Link       `json:"links" doc:"Links of text and HTML, in order, each once"`
	Codes     []string     `json:"codes" doc:"What looks like a one-time code, likeliest first"`
	Defects   []string     `json:"defects,omitempty" doc:"What is odd about the message's form"`
	RawURL    string       `json:"rawUrl" doc:"The message's bytes, by this API"`
}

// Header is one field.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Attachment is a file of a message.
type Attachment struct {
	ID        string `json:"id" example:"ATT00001"`
	Name      string `json:"name"`
	Type      string `json:"type" example:"application/pdf"`
	ContentID string `json:"contentId,omitempty"`
	Inline    bool   `json:"inline"`
	Size      int64  `json:"size" doc:"Bytes, decoded"`
	URL       string `json:"url" doc:"The file, by this API"`
}

// Link is a link of a message.
type Link struct {
	URL  string `json:"url"`
	Text string `json:"text" doc:"What stands there to be clicked; may be empty"`
}

// Mailbox is a mailbox with its counts.
type Mailbox struct {
	Name        string `json:"name" example:"INBOX"`
	SpecialUse  string `json:"specialUse,omitempty" example:"\\Sent"`
	Messages    uint32 `json:"messages"`
	Unseen      uint32 `json:"unseen"`
	Bytes       int64  `json:"bytes"`
	UIDValidity uint32 `json:"uidValidity"`
	UIDNext     uint32 `json:"uidNext"`
	Subscribed  bool   `json:"subscribed"`
}

// Account is the account that asks.
type Account struct {
	User     string    `json:"user" doc:"Address and login"`
	Name     string    `json:"name,omitempty"`
	Label    string    `json:"label,omitempty"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	CatchAll bool      `json:"catchAll,omitempty" doc:"Mail for unknown recipients comes here"`
	Messages int64     `json:"messages"`
	Bytes    int64     `json:"bytes"`
	Limits   Limits    `json:"limits"`
	Web      string    `json:"web" doc:"Where the pages are"`
	Cursor   string    `json:"cursor" doc:"Now, in INBOX: mail that comes later is after it"`
}

// Limits are an account's limits.
type Limits struct {
	RetentionSeconds int64 `json:"retentionSeconds" doc:"How long a message is kept; 0 for ever"`
	Bytes            int64 `json:"bytes"`
	Messages         int64 `json:"messages"`
}
