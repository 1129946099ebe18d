package imap

import (
	"context"
	"errors"
	"strconv"
	"time"

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
	highest     bool // tell where the mailbox is, after EXPUNGE and MOVE (RFC 7162 §3.2.7)
	idle        bool // an IDLE is what waits
	replied     bool // the handler has written the tagged response, or another will
	cmd         *command
	news        *Update // what happened to the mailbox, if that was read already
}

// command is an entry of the table of commands.
type command struct {
	name   string
	states int
	uid    bool // may follow UID
	piped  bool // may wait for those behind it; all others come when nothing waits
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
	{"FETCH", selected, true, false, (*conn).handleFetch},
	{"NOOP", anyState, false, false, (*conn).handleNoop},
	{"STORE", selected, true, true, (*conn).handleStore},
	{"IDLE", loggedIn, false, false, (*conn).handleIdle},
	{"SEARCH", selected, true, false, (*conn).handleSearch},
	{"SORT", selected, true, false, (*conn).handleSort},
	{"THREAD", selected, true, false, (*conn).handleThread},
	{"SELECT", loggedIn, false, false, (*conn).handleSelect},
	{"EXAMINE", loggedIn, false, false, (*conn).handleExamine},
	{"APPEND", loggedIn, false, true, (*conn).handleAppend},
	{"COPY", selected, true, true, (*conn).handleCopy},
	{"MOVE", selected, true, false, (*conn).handleMove},
	{"REPLACE", selected, true, false, (*conn).handleReplace},
	{"EXPUNGE", selected, true, false, (*conn).handleExpunge},
	{"STATUS", loggedIn, false, false, (*conn).handleStatus},
	{"LIST", loggedIn, false, false, (*conn).handleList},
	{"LSUB", loggedIn, false, false, (*conn).handleLsub},
	{"CLOSE", selected, false, false, (*conn).handleClose},
	{"UNSELECT", selected, false, false, (*conn).handleUnselect},
	{"CHECK", selected, false, false, (*conn).handleCheck},
	{"CREATE", loggedIn, false, false, (*conn).handleCreate},
	{"DELETE", loggedIn, false, false, (*conn).handleDelete},
	{"RENAME", loggedIn, false, false, (*conn).handleRename},
	{"SUBSCRIBE", loggedIn, false, false, (*conn).handleSubscribe},
	{"UNSUBSCRIBE", loggedIn, false, false, (*conn).handleUnsubscribe},
	{"NAMESPACE", loggedIn, false, false, (*conn).handleNamespace},
	{"NOTIFY", loggedIn, false, false, (*conn).handleNotify},
	{"GETQUOTA", loggedIn, false, false, (*conn).handleGetQuota},
	{"GETQUOTAROOT", loggedIn, false, false, (*conn).handleGetQuotaRoot},
	{"SETQUOTA", loggedIn, false, false, (*conn).handleSetQuota},
	{"ENABLE", loggedIn, false, false, (*conn).handleEnable},
	{"COMPRESS", loggedIn, false, false, (*conn).handleCompress},
	{"CAPABILITY", anyState, false, false, (*conn).handleCapability},
	{"ID", anyState, false, false, (*conn).handleID},
	{"LOGIN", notAuthenticated, false, false, (*conn).handleLogin},
	{"AUTHENTICATE", notAuthenticated, false, false, (*conn).handleAuthenticate},
	{"UNAUTHENTICATE", loggedIn, false, false, (*conn).handleUnauthenticate},
	{"STARTTLS", notAuthenticated, false, false, (*conn).handleStartTLS},
	{"LOGOUT", anyState, false, false, (*conn).handleLogout},
}

// command runs the command that the decoder holds.
func (c *conn) command() error {
	d := c.dec
	tag, ok := d.Tag()
	if !ok {
		return c.badCommand("*", &imapwire.SyntaxError{Text: "a command starts with a tag"})
	}
	if !d.SP() {
		return c.badCommand(tag, &imapwire.SyntaxError{Text: "a command follows the tag"})
	}
	r := c.newRequest(tag)
	name := d.AtomUpper()
	if string(name) == "UID" && d.ExpectSP() {
		r.uid = true
		name = d.AtomUpper()
	}
	c.running, c.told = tag, time.Now()
	cmd := commandNamed(name)
	switch {
	case cmd == nil || r.uid && !cmd.uid:
		return c.badCommand(tag, &imapwire.SyntaxError{Text: "unknown command"})
	case cmd.states&c.state == 0:
		return c.badCommand(tag, &imapwire.SyntaxError{Text: wrongState(c.state, cmd.states)})
	}
	r.cmd = cmd
	if !cmd.piped {
		if err := c.settle(); err != nil {
			return err
		}
	}
	err := cmd.handle(c, r)
	if r.replied {
		return err
	}
	return c.finish(r, cmd, err)
}

func (c *conn) newRequest(tag string) *request {
	return &request{ctx: netx.Work(c.ctx), tag: tag, dec: c.dec}
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
	if r.dec != nil { // it has not waited itself
		if err == nil {
			err = r.dec.Err()
		}
		if err := c.settle(); err != nil {
			return err
		}
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
		if r.dec != nil && r.dec.Err() != nil || c.enc.Err() != nil || errors.Is(err, errBroken) {
			return err
		}
		c.log.Error("imap command failed", "command", cmd.name, "err", err)
		refusal = &Error{Code: "SERVERBUG", Text: "internal error"}
	}
	if refusal != nil && refusal.Bad {
		return c.bad(r.tag, refusal)
	}
	c.bads = 0
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
	if r.highest && c.on.qresync && c.state == selected {
		r.code = "HIGHESTMODSEQ " + strconv.FormatUint(c.modseq, 10)
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
