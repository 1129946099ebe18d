package ui

import "time"

// Shell is what every page has around its content.
type Shell struct {
	Title string
	Nonce string // of this answer's Content-Security-Policy
	Theme string // "light", "dark", or "" to follow the system
	Path  string // where this page lies, to come back to it
	Here  string // which entry of the navigation is current
	User  *User  // nil when nobody is logged in
	Note  *Note  // the outcome of the last action
	// Stream is where this page hears of changes, "" if nowhere.
	Stream string
	// Private keeps search engines away.
	Private bool
}

func (Shell) part() string { return "page" }

// User is who is logged in.
type User struct {
	Address string
	Name    string
	Unread  uint32
}

// Note tells the outcome of an action.
type Note struct {
	Text string
	Bad  bool
}

// Home is "/".
type Home struct {
	Shell
	Base      string // this server's address, "http://localhost:8025"
	SMTP      string // host:port
	Dev       bool   // this visitor is trusted: mail without a login is caught too
	CatchAll  bool   // there is a catch-all to open
	Keep      time.Duration
	Quota     int64
	MaxSize   int64
	CanCreate bool
}

func (Home) page() string { return "home" }

// Create is the one-button page.
type Create struct {
	Shell
	Keep time.Duration
	// Mode is who may make accounts: open, token or off.
	Mode string
}

func (Create) page() string { return "create" }

// Login is the login form.
type Login struct {
	Shell
	Address string
	Next    string
	Failed  string
}

func (Login) page() string { return "login" }

// Logout asks before it ends the session.
type Logout struct{ Shell }

func (Logout) page() string { return "logout" }

// Account is "/account".
type Account struct {
	Shell
	Address  string
	Name     string
	Password string // "" when it is not known any more
	Fresh    bool   // just made
	Reached  string // how to reach this server, for strangers to the set-up
	Services []Service
	Snippets []Snippet
	EnvFile  string
	Messages int64
	First    string // where the first message lies, "" while there is none
	Used     int64
	Quota    int64
	Keep     time.Duration
	Expires  time.Time
	CatchAll bool
	CAPath   string
	// Connections are the last ones of this account, nil if they are not kept.
	Connections *Connections
	// Others tells that /status lists the connections without a login.
	Others bool
	// LinksOff: permalinks open for the owner only.
	LinksOff bool
}

func (Account) page() string { return "account" }

// Service is one way in.
type Service struct {
	Name     string // SMTP, IMAP, POP3
	What     string
	Host     string
	Port     int
	Security string // "STARTTLS", "TLS", "none"
	URL      string
}

// Snippet is ready text for one stack.
type Snippet struct {
	ID, Name string
	File     string // where it belongs: "settings.py"
	Text     string
	Hint     string
}

// Help is "/help".
type Help struct {
	Shell
	Base     string
	Domain   string
	Services []Service
	Snippets []Snippet
	Keep     time.Duration
	Quota    int64
	MaxSize  int64
	Dev      bool
	API      bool
}

func (Help) page() string { return "help" }

// Status is "/status".
type Status struct {
	Shell
	OK       bool
	Checks   []Check
	Version  string
	Started  time.Time
	Now      time.Time
	Services []Service
	Keep     time.Duration
	Quota    int64
	MaxSize  int64
	Mode     string
	// Connections are the last ones, nil for who may not see them.
	Connections *Connections
}

func (Status) page() string { return "status" }

// Connections are the last connections, newest first.
type Connections struct {
	List   []Connection
	Failed int // how many of them went wrong
}

// Connection is one connection, or Count of them with the same course.
type Connection struct {
	At       time.Time
	Count    int
	Service  string // "SMTP", "IMAPS"
	Port     string
	Client   string // address
	Helo     string // what it called itself
	Login    string
	TLS      bool
	Messages int
	Advice   []Advice
}

// Advice says what went wrong and what changes it.
type Advice struct{ What, Cure string }

// Check is one line of the status page.
type Check struct {
	Name, Text string
	OK         bool
}

// Problem is an error page.
type Problem struct {
	Shell
	Code  int
	Text  string
	Retry bool
	// Mini is shown inside the mail frame: no navigation.
	Mini bool
}

func (Problem) page() string { return "problem" }

func (p Problem) part() string {
	if p.Mini {
		return "mini"
	}
	return "page"
}

// Mailbox is "/messages" and "/messages/{id}": the list, and the reader beside it.
type Mailbox struct {
	Shell
	Boxes    []Box
	Box      Box
	Query    string
	Bad      string // what of the query was not understood
	Rows     []Row
	Older    string // address of the next rows, "" at the end
	First    string // address of the newest rows, "" if these are they
	Scanned  int    // rows looked at by a search that ended early
	Reader   *Reader
	Services []Service
	Snippets []Snippet // curl and swaks, for an empty box
	// RowsOnly and ReaderOnly make a fragment.
	RowsOnly, ReaderOnly bool
}

func (Mailbox) page() string { return "mailbox" }

func (m Mailbox) part() string {
	switch {
	case m.RowsOnly:
		return "chunk"
	case m.ReaderOnly:
		return "readerpane"
	}
	return "page"
}

// Box is a mailbox as the list of mailboxes shows it.
type Box struct {
	Name    string
	Label   string
	ID      uint32
	URL     string
	Exists  uint32
	Unseen  uint32
	Current bool
}

// Row is one message of a list.
type Row struct {
	UID     uint32
	URL     string
	From    string // display name or address
	Addr    string
	To      string
	More    int // recipients beyond To
	Subject string
	Snippet string
	Codes   []string
	Files   int
	Size    int64
	Date    time.Time
	Unread  bool
	Flagged bool
	Deleted bool
	Current bool
	Expires time.Time // zero unless it is near
	Model   bool      // the empty row that scripts copy
}

// Person is an address of a header.
type Person struct{ Name, Addr, IDN string }

// Tab is one view of a message.
type Tab struct {
	Key, Label, URL string
	Current         bool
}

// File is an attachment.
type File struct {
	ID, Name, Type, URL string
	Size                int64
	Inline              bool
	Image               bool
}

// Field is a header field, or any named fact.
type Field struct{ Name, Value string }

// Node is a part of the MIME tree.
type Node struct {
	Path, Type, Name string
	Facts            []string
	URL              string
	Parts            []Node
}

// Doubt is a link that shows something else than where it leads.
type Doubt struct{ Text, URL, Why string }

// Page is a public message page: "/message/{MSGID}".
type Page struct {
	Shell
	Reader Reader
	// Report is where a stranger reports the message, "" if nowhere.
	Report string
}

func (Page) page() string { return "message" }

// Reader is one message.
type Reader struct {
	Public  bool
	Base    string // address of this message, the tabs below it
	Back    string
	Action  string // where its form goes, "" if nothing can be done
	UID     uint32
	Box     string
	Prev    string
	Next    string
	Subject string
	From    []Person
	Sender  []Person
	ReplyTo []Person
	To      []Person
	Cc      []Person
	Bcc     []Person
	Date    time.Time // as the sender says; zero if unreadable
	Came    time.Time
	Size    int64
	Expires time.Time
	Deleted bool
	Flagged bool
	Codes   []string
	Files   []File
	Defects []string
	Link    string // the permalink, for the owner to copy
	Tabs    []Tab
	Tab     string
	// HTML tab.
	Frame   string // address of the frame
	Width   int
	Widths  []Width
	Images  bool   // remote images were asked for
	Blocked int    // remote loads stopped
	LoadURL string // where they are loaded
	Removed []string
	Doubts  []Doubt
	// Text tab.
	Text []TextRun
	Cut  int64 // bytes not shown
	// Headers tab.
	Fields []Field
	// Source tab.
	Source  string
	Numbers string
	// Parts tab.
	Root *Node
	// Envelope tab.
	Envelope []Field
}

// Width is a preview width.
type Width struct {
	Label, URL string
	Current    bool
}

// TextRun is a piece of plain text: a link if URL is set.
type TextRun struct{ Text, URL string }

// Blank is the row that scripts copy for new mail.
func (Mailbox) Blank() Row { return Row{Model: true, Date: time.Unix(0, 0)} }
