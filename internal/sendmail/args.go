// Package sendmail is the sendmail command that programs call to send mail:
// its arguments, what it does to a message, and handing it to an SMTP server.
//
// It promises that every argument of sendmail is understood or ignored as its
// callers expect (PHP, cron, git send-email, Symfony), that Bcc does not leave
// with -t, that header fields a message lacks are added and nothing else is
// changed but line ends, and that memory does not grow with the message. It
// queues nothing: what the server did not take is an error with an exit code
// of sysexits.h, so that the caller can try again.
package sendmail

import (
	"fmt"
	"strings"
)

// Limit: recipients of one message given to sendmail.
const MaxRecipients = 10_000

// Mode is what sendmail is asked to be.
type Mode int

// The modes.
const (
	Deliver Mode = iota // send the message on standard input
	Talk                // -bs: speak SMTP on standard input and output
	Queue               // -bp, mailq: show the queue, which is always empty
	Aliases             // -bi, newaliases: nothing to do
	Help                // --help
)

// Command is a sendmail command line, read.
type Command struct {
	Mode Mode
	// FromHeader takes the recipients of To, Cc and Bcc, too (-t).
	FromHeader bool
	// KeepDots reads to the end of the input; else a line that is a dot ends it.
	KeepDots bool
	// Sender is the envelope's sender where SenderGiven (-f, -r): "" is the null sender.
	Sender      string
	SenderGiven bool
	FullName    string // -F
	Verbose     bool   // -v
	Recipients  []string
}

// withValue are the options that take a value, behind them or as the next
// argument; those that stand alone are in alone. All are those of sendmail
// and Postfix; most say nothing to a server that delivers nowhere.
const (
	withValue = "ABCDFLNORVXbdfhopqr"
	alone     = "GIUcimnstvxe"
)

// Parse reads the arguments that follow the program's name.
func Parse(args []string) (Command, error) {
	var c Command
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		switch {
		case a == "--":
			return c.recipients(args)
		case a == "--help":
			c.Mode = Help
			return c, nil
		case len(a) < 2 || a[0] != '-':
			return c.recipients(append([]string{a}, args...))
		}
		var err error
		if args, err = c.options(a[1:], args); err != nil {
			return c, err
		}
	}
	return c, nil
}

// options reads one argument of options: "t", "ti", "fada@example.com".
func (c *Command) options(opts string, rest []string) ([]string, error) {
	for i := range len(opts) {
		o := opts[i]
		switch {
		case o == 'e' || o == 'q' || o == 'o' && len(opts) > i+1:
			// -oi, -oem, -ep, -q1h: the value is never the next argument.
			return rest, c.attached(o, opts[i+1:])
		case strings.IndexByte(alone, o) >= 0:
			c.alone(o)
		case strings.IndexByte(withValue, o) >= 0:
			v := opts[i+1:]
			if v == "" {
				if len(rest) == 0 {
					return nil, fmt.Errorf("-%c needs a value", o)
				}
				v, rest = rest[0], rest[1:]
			}
			return rest, c.value(o, v)
		default:
			return nil, fmt.Errorf("there is no option -%c", o)
		}
	}
	return rest, nil
}

func (c *Command) alone(o byte) {
	switch o {
	case 't':
		c.FromHeader = true
	case 'i':
		c.KeepDots = true
	case 'v':
		c.Verbose = true
	}
}

func (c *Command) attached(o byte, v string) error {
	if o == 'o' && v == "i" {
		c.KeepDots = true
	}
	return nil
}

func (c *Command) value(o byte, v string) error {
	switch o {
	case 'f', 'r':
		c.Sender, c.SenderGiven = strings.TrimSuffix(strings.TrimPrefix(v, "<"), ">"), true
	case 'F':
		c.FullName = v
	case 'O':
		if k, _, _ := strings.Cut(v, "="); strings.EqualFold(k, "IgnoreDots") {
			c.KeepDots = true
		}
	case 'b':
		return c.mode(v)
	}
	return nil
}

func (c *Command) mode(v string) error {
	switch v {
	case "m":
		c.Mode = Deliver
	case "s":
		c.Mode = Talk
	case "p":
		c.Mode = Queue
	case "i":
		c.Mode = Aliases
	default:
		return fmt.Errorf("-b%s is not offered: a server is started with eider itself", v)
	}
	return nil
}

func (c Command) recipients(args []string) (Command, error) {
	if len(args) > MaxRecipients {
		return c, fmt.Errorf("%d recipients, at most %d are taken", len(args), MaxRecipients)
	}
	c.Recipients = args
	return c, nil
}
