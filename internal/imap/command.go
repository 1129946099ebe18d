package imap

import (
	"context"
	"errors"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/netx"
)

// request is one command that runs.
type request struct {
	ctx context.Context
	tag string
	dec *imapwire.Decoder
	uid bool // UID FETCH and so on: numbers are UIDs
	// What the handler has to say in the tagged OK.
	code, text string
	// hold keeps expunges back (RFC 9051 §7.5.1); force asks for the newest changes.
	hold, force bool
	replied     bool // the handler has written the tagged response
}

// command is an entry of the table of commands.
type command struct {
	name   string
	states int
	uid    bool // may follow UID
	handle func(*conn, *request) error
}

// commands are all commands, by name. "UID x" is a variant of x, except for
// UID EXPUNGE.
func commandNamed(name []byte) *command {
	for i := range commandTable {
		if commandTable[i].name == string(name) {
			return &commandTable[i]
		}
	}
	return nil
}

// The most frequent come first.
var commandTable = [...]command{
	{"FETCH", selected, true, (*conn).handleFetch},
	{"NOOP", anyState, false, (*conn).handleNoop},
	{"STORE", selected, true, (*conn).handleStore},
	{"IDLE", loggedIn, false, (*conn).handleIdle},
	{"SEARCH", selected, true, (*conn).handleSearch},
	{"SELECT", loggedIn, false, (*conn).handleSelect},
	{"EXAMINE", loggedIn, false, (*conn).handleExamine},
	{"APPEND", loggedIn, false, (*conn).handleAppend},
	{"COPY", selected, true, (*conn).handleCopy},
	{"MOVE", selected, true, (*conn).handleMove},
	{"EXPUNGE", selected, true, (*conn).handleExpunge},
	{"STATUS", loggedIn, false, (*conn).handleStatus},
	{"LIST", loggedIn, false, (*conn).handleList},
	{"LSUB", loggedIn, false, (*conn).handleLsub},
	{"CLOSE", selected, false, (*conn).handleClose},
	{"UNSELECT", selected, false, (*conn).handleUnselect},
	{"CHECK", selected, false, (*conn).handleCheck},
	{"CREATE", loggedIn, false, (*conn).handleCreate},
	{"DELETE", loggedIn, false, (*conn).handleDelete},
	{"RENAME", loggedIn, false, (*conn).handleRename},
	{"SUBSCRIBE", loggedIn, false, (*conn).handleSubscribe},
	{"UNSUBSCRIBE", loggedIn, false, (*conn).handleUnsubscribe},
	{"NAMESPACE", loggedIn, false, (*conn).handleNamespace},
	{"ENABLE", loggedIn, false, (*conn).handleEnable},
	{"CAPABILITY", anyState, false, (*conn).handleCapability},
	{"ID", anyState, false, (*conn).handleID},
	{"LOGIN", notAuthenticated, false, (*conn).handleLogin},
	{"AUTHENTICATE", notAuthenticated, false, (*conn).handleAuthenticate},
	{"STARTTLS", notAuthenticated, false, (*conn).handleStartTLS},
	{"LOGOUT", anyState, false, (*conn).handleLogout},
}

// command runs the command that the decoder holds.
func (c *conn) command() error {
	d := c.dec
	tag, ok := d.Tag()
	if !ok {
		return c.badCommand("*", &imapwire.SyntaxError{Text: "a command starts with a tag"})
	}
	if !d.ExpectSP() {
		return c.badCommand(tag, &imapwire.SyntaxError{Text: "a command follows the tag"})
	}
	r := &request{ctx: netx.Work(c.ctx), tag: tag, dec: d}
	name := d.AtomUpper()
	if string(name) == "UID" && d.ExpectSP() {
		r.uid = true
		name = d.AtomUpper()
	}
	cmd := commandNamed(name)
	switch {
	case cmd == nil || r.uid && !cmd.uid:
		return c.badCommand(tag, &imapwire.SyntaxError{Text: "unknown command"})
	case cmd.states&c.state == 0:
		return c.badCommand(tag, &imapwire.SyntaxError{Text: wrongState(c.state, cmd.states)})
	}
	err := cmd.handle(c, r)
	if r.replied {
		return err
	}
	return c.finish(r, cmd, err)
}

func wrongState(state, states int) string {
	switch {
	case state == notAuthenticated:
		return "log in first"
	case states == notAuthenticated:
		return "you are logged in already"
	}
	return "select a mailbox first"
}

// finish tells the client what has changed and how its command ended.
func (c *conn) finish(r *request, cmd *command, err error) error {
	if err == nil {
		err = r.dec.Err()
	}
	var input *inputError
	if errors.As(err, &input) {
		return input.error
	}
	var syntax *imapwire.SyntaxError
	if errors.As(err, &syntax) {
		return c.badCommand(r.tag, syntax)
	}
	var refusal *Error
	if err != nil && !errors.As(err, &refusal) {
		if r.dec.Err() != nil || c.enc.Err() != nil || errors.Is(err, errBroken) {
			return err
		}
		c.log.Error("imap command failed", "command", cmd.name, "err", err)
		refusal = &Error{Code: "SERVERBUG", Text: "internal error"}
	}
	if refusal != nil && refusal.Bad {
		return c.badCommand(r.tag, &imapwire.SyntaxError{Text: refusal.Text})
	}
	c.bad = 0
	if c.state == selected {
		c.sync(r)
	}
	if c.done {
		return nil
	}
	if refusal != nil {
		c.enc.Raw(r.tag).Raw(" NO ")
		c.writeText(refusal.Code, refusal.Text)
		return nil
	}
	c.enc.Raw(r.tag).Raw(" OK ")
	if r.text == "" {
		if r.code != "" {
			c.enc.Byte('[').Raw(r.code).Raw("] ")
		}
		if r.uid {
			c.enc.Raw("UID ")
		}
		c.enc.Raw(cmd.name).Raw(" completed").CRLF()
		return nil
	}
	c.writeText(r.code, r.text)
	return nil
}

// inputError is an error of reading from the client within a command.
type inputError struct{ error }

// errBroken means that a response was begun that cannot be ended.
var errBroken = errors.New("imap: a response broke off")
