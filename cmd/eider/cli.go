package main

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/transfer/mailfile"
)

// cli is the command line. Commands other than serve and config take the few
// settings that tell them where the data is; the rest they read from file and
// environment like the server.
type cli struct {
	Serve      serveCmd      `cmd:"" default:"withargs" help:"Run the server (the default command)."`
	Account    accountCmd    `cmd:"" help:"Make accounts."`
	Import     importCmd     `cmd:"" help:"Store mail from archives, mbox files, maildirs and .eml files."`
	Export     exportCmd     `cmd:"" help:"Write mail as an archive, mbox files, maildirs or .eml files."`
	Admin      adminCmd      `cmd:"" help:"Operate the running server: who may make accounts, blocks, accounts, messages."`
	Backup     backupCmd     `cmd:"" help:"Write a backup of the embedded store, also while the server runs."`
	Restore    restoreCmd    `cmd:"" help:"Make the embedded store again from a backup."`
	Fsck       fsckCmd       `cmd:"" help:"Check every invariant of the stored data. Exit code 1 if there are faults."`
	Status     statusCmd     `cmd:"" help:"Show the state of the running server as JSON."`
	Config     configCmd     `cmd:"" help:"Print the effective configuration as a commented TOML file."`
	Health     healthCmd     `cmd:"" help:"Exit code 0 if the running server is ready, else 1; for containers."`
	Exec       execCmd       `cmd:"" help:"Run a command, like a test suite, beside a server of its own."`
	Sendmail   sendmailCmd   `cmd:"" passthrough:"" help:"Send the message on standard input, in place of sendmail."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a shell's completions: source <(eider completion bash)."`
}

// where are the settings that find a server's data.
type where struct {
	Config string           `placeholder:"FILE"`
	Data   string           `placeholder:"DIR"`
	Store  string           `placeholder:"SPEC"`
	Level  *config.LogLevel `name:"log-level" placeholder:"LEVEL"`
}

type serveCmd struct {
	Settings config.Config `embed:""`
}

type configCmd struct {
	Markdown bool          `help:"Print the table of all settings for the documentation instead."`
	Settings config.Config `embed:""`
}

type accountCmd struct {
	Create createCmd `cmd:"" help:"Make an account and print it as JSON, like POST /user."`
}

type createCmd struct {
	where    `embed:""`
	Label    string `placeholder:"TEXT" help:"A note to find the account by."`
	Friendly bool   `help:"Take a name that people can say, and put a welcome message into the inbox."`
}

type fsckCmd struct {
	where  `embed:""`
	Repair bool `help:"Mend what can be mended, and say what was lost."`
}

// whose mail a command is about.
type whose struct {
	Account string `placeholder:"ADDRESS" xor:"whose" required:"" help:"The account."`
	All     bool   `xor:"whose" required:"" help:"All accounts, each by its own address."`
}

type exportCmd struct {
	where  `embed:""`
	whose  `embed:""`
	Format mailfile.Format `enum:"eider,mbox,maildir,eml" default:"eider" help:"One of ${enum}."`
	To     string          `arg:"" name:"to" help:"A file (- is standard output), or a folder for mbox, maildir and eml."`
}

// Help is what `eider export --help` tells more.
func (exportCmd) Help() string {
	return "An export that was cut off goes on when the same command is run again. An archive is " +
		"named ….part until it is whole; one on standard output begins anew."
}

type backupCmd struct {
	where `embed:""`
	To    string `arg:"" name:"to" help:"A new file; - is standard output."`
}

type restoreCmd struct {
	where `embed:""`
	From  string `arg:"" name:"from" help:"A backup; - is standard input."`
}

type importCmd struct {
	where    `embed:""`
	whose    `embed:""`
	Format   mailfile.Format `enum:"auto,eider,mbox,maildir,eml" default:"auto" help:"One of ${enum}."`
	Mailbox  string          `placeholder:"NAME" help:"Put everything into this mailbox."`
	LineEnds string          `enum:"auto,keep,crlf" default:"auto" help:"LF as it is, or CRLF; auto: CRLF but for .eml."`
	Again    bool            `help:"Store messages that the mailbox has already, too."`
	From     []string        `arg:"" name:"from" help:"Files and folders; - is an archive on standard input."`
}

type statusCmd struct {
	where `embed:""`
}

type healthCmd struct {
	where `embed:""`
	URL   string `placeholder:"URL" help:"Ask this address instead, like http://127.0.0.1:8025/readyz."`
}

type versionCmd struct{}

// run parses the command line, runs the command, and returns the exit code.
func (p *process) run(args []string) int {
	code := -1
	parser, err := kong.New(&cli{},
		kong.Name("eider"),
		kong.Description("Catch mail: SMTP in; web, IMAP, POP3 and a JSON API out."),
		kong.FlagNamer(flagName),
		kong.PostBuild(describeFlags),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(c int) { code = c }),
	)
	if err != nil {
		return p.fail(exitFailed, err)
	}
	ctx, err := parser.Parse(args)
	if code >= 0 { // --help was printed
		return code
	}
	if err != nil {
		return p.fail(exitUsage, fmt.Errorf("%w (see eider --help)", err))
	}
	if err := ctx.Run(p, given(ctx), ctx.Model); err != nil {
		var exit exitError
		if errors.As(err, &exit) {
			return int(exit)
		}
		var u usageError
		if errors.As(err, &u) {
			return p.fail(exitUsage, err)
		}
		return p.fail(exitFailed, err)
	}
	return 0
}

// usageError is a mistake in what the user said.
type usageError struct{ error }

// errQuiet ends a command with exitFailed when it has said all itself.
var errQuiet = errors.New("")

func (p *process) fail(code int, err error) int {
	if err != errQuiet {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(p.stderr, "eider: %s\n", strings.TrimRight(line, "\n"))
		}
	}
	return code
}

// flags are the settings that the command line gave, as text.
type flags map[string]string

// given collects the flags that were really given: kong has filled in defaults
// for the others, which would hide file and environment.
func given(ctx *kong.Context) flags {
	out := flags{}
	for _, el := range ctx.Path {
		if el.Flag != nil && !el.Resolved && config.Help(el.Flag.Name) != "" {
			out[el.Flag.Name] = flagText(el.Flag.Target)
		}
	}
	return out
}

func flagText(v reflect.Value) string {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch t := v.Interface().(type) {
	case encoding.TextMarshaler:
		b, err := t.MarshalText()
		if err != nil {
			return ""
		}
		return string(b)
	case int64:
		return strconv.FormatInt(t, 10)
	}
	return v.String()
}

// flagName names a flag after its setting, where it is one.
func flagName(field string) string {
	if n := config.FlagName(field); n != "" {
		return n
	}
	return strings.ToLower(field)
}

// describeFlags gives the flags of settings their help and variables.
func describeFlags(k *kong.Kong) error {
	return kong.Visit(k.Model, func(n kong.Visitable, next kong.Next) error {
		if f, ok := n.(*kong.Flag); ok {
			if h := config.Help(f.Name); h != "" {
				f.Help = h + " ($" + config.EnvName(f.Name) + ")"
			}
		}
		return next(nil)
	})
}

// load makes the effective configuration.
func (p *process) load(f flags) (*config.Config, error) {
	cfg, err := config.Load(config.Sources{Env: p.env, Flags: f})
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// Run prints the version.
func (versionCmd) Run(p *process) error {
	_, err := fmt.Fprintf(p.stdout, "eider %s %s %s/%s\n", versionText(), runtime.Version(),
		runtime.GOOS, runtime.GOARCH)
	return err
}

func versionText() string {
	if version != "" {
		return version
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "dev"
}
