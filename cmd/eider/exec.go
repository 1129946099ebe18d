package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/boot"
	"github.com/eidermail/eider/internal/config"
	"github.com/eidermail/eider/internal/server"
)

type execCmd struct {
	Show    bool     `help:"Print what was caught in any case, not only when the command fails."`
	Command []string `arg:"" passthrough:"" placeholder:"COMMAND" help:"The command and its arguments."`
}

// Help is shown by eider exec --help.
func (execCmd) Help() string {
	return `It starts a server in memory on free ports, makes an account, and tells the
command by its environment where to send and to read: ETHEREAL_API (Nodemailer), SMTP_HOST, SMTP_PORT,
SMTP_USER, SMTP_PASS, SMTP_SECURE, SMTP_URL, the same for IMAP_ and POP3_, EIDER_WEB, EIDER_API, EIDER_TOKEN,
EIDER_USER, EIDER_PASS, EIDER_SMTP, EIDER_CA, and what frameworks read by themselves: MAILER_DSN (Symfony), MAIL_…
(Laravel), SPRING_MAIL_… (Spring Boot), EMAIL_URL (django-environ). The exit code is the command's. If it is not 0,
what was caught is printed.

Of EIDER_ variables that set up a server it heeds those of limits: EIDER_RETENTION, EIDER_ACCOUNT_QUOTA,
EIDER_ACCOUNT_MESSAGES, EIDER_MESSAGE_LIMIT, and EIDER_DOMAIN, EIDER_LOG_LEVEL.`
}

// The exit codes of shells for a command that cannot be run.
const (
	exitNotRun   = 126
	exitNotFound = 127
	exitSignal   = 128 // and the number of the signal
)

// exitError ends the program with the code of a command that spoke for itself.
type exitError int

func (e exitError) Error() string { return "exit code " + strconv.Itoa(int(e)) }

// Pace: time for the server of eider exec to start, and to tell what it caught.
const execTime = 30 * time.Second

// Run runs the command beside a server of its own.
func (c *execCmd) Run(p *process) error {
	args := c.Command
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return usageError{errors.New("name a command: eider exec -- npm test")}
	}
	dir, err := os.MkdirTemp("", "eider-exec-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The server outlives a signal: the command may have mail to send until it ends.
	ctx := context.WithoutCancel(p.ctx)
	s, err := p.execServer(ctx, dir)
	if err != nil {
		return err
	}
	env, err := execEnv(ctx, s, dir)
	if err != nil {
		return err
	}
	code, err := p.runChild(args, env)
	if err != nil || code != 0 || c.Show {
		ctx, cancel := context.WithTimeout(ctx, execTime)
		defer cancel()
		err = errors.Join(err, p.showCaught(ctx, s, args[0], code))
	}
	if err != nil {
		fmt.Fprintf(p.stderr, "eider: %v\n", err)
		code = max(code, exitFailed)
	}
	if code != 0 {
		return exitError(code)
	}
	return nil
}

func (p *process) showCaught(ctx context.Context, s *server.Server, name string, code int) error {
	if code == exitNotFound || code == exitNotRun {
		return nil // it never ran
	}
	var b strings.Builder
	if err := s.WriteCaught(ctx, &b); err != nil {
		return err
	}
	if code != 0 {
		fmt.Fprintf(p.stderr, "eider: %s ended with exit code %d\n", filepath.Base(name), code)
	}
	if err := s.WriteTroubles(&b); err != nil {
		return err
	}
	_, err := fmt.Fprint(p.stderr, "eider: ", b.String())
	return err
}

// execServer starts a server that nobody else can mistake for theirs.
func (p *process) execServer(ctx context.Context, dir string) (*server.Server, error) {
	f := flags{"store": "memory", "data": dir, "public-host": "", "log-level": "warn"}
	for l := range strings.FieldsSeq("http smtp smtps mx imap imaps pop3 pop3s") {
		f[l] = "localhost:0"
	}
	f["admin"], f["https"], f["lmtp"] = "off", "off", "off"
	heeded := func(name string) (string, bool) {
		switch name {
		case "EIDER_RETENTION", "EIDER_ACCOUNT_QUOTA", "EIDER_ACCOUNT_MESSAGES", "EIDER_MESSAGE_LIMIT", "EIDER_DOMAIN":
			return p.env(name)
		}
		return "", false
	}
	if v, ok := p.env("EIDER_LOG_LEVEL"); ok && v != "" {
		f["log-level"] = v
	}
	cfg, err := config.Load(config.Sources{Env: heeded, Flags: f})
	if err != nil {
		return nil, usageError{err}
	}
	log := p.logger(cfg)
	st, err := boot.Open(ctx, cfg.Store, boot.Options{Log: log})
	if err != nil {
		return nil, err
	}
	s, err := server.New(ctx, server.Options{Config: cfg, KV: st.KV, Bus: st.Bus, Log: log, Version: versionText()})
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Run(ctx) }()
	select {
	case <-s.Ready():
		return s, nil
	case err := <-failed:
		return nil, fmt.Errorf("the server did not start: %w", err)
	case <-time.After(execTime):
		return nil, errors.New("the server did not start")
	}
}

// login is what POST /user answers.
type login struct {
	User, Pass, Web, API, Token string
	SMTP, IMAP, POP3            advert.Service
}

// execEnv makes the account and names everything as the usual stacks read it.
func execEnv(ctx context.Context, s *server.Server, dir string) ([]string, error) {
	b, err := s.CreateAccount(ctx, server.NewAccount{Label: "eider exec"})
	if err != nil {
		return nil, err
	}
	var a login
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, err
	}
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, s.CAPEM(), 0o600); err != nil {
		return nil, err
	}
	host, port := a.SMTP.Host, strconv.Itoa(a.SMTP.Port)
	at := net.JoinHostPort(host, port)
	dsn := (&url.URL{Scheme: "smtp", User: url.UserPassword(a.User, a.Pass), Host: at}).String()
	env := []string{
		"ETHEREAL_API=" + a.Web,
		"EIDER_WEB=" + a.Web, "EIDER_API=" + a.API, "EIDER_TOKEN=" + a.Token,
		"EIDER_USER=" + a.User, "EIDER_PASS=" + a.Pass, "EIDER_SMTP=" + at, "EIDER_CA=" + ca,
		"SMTP_URL=" + dsn,
		"MAILER_DSN=" + dsn,                                            // Symfony
		"MAIL_MAILER=smtp", "MAIL_SCHEME=smtp", "MAIL_ENCRYPTION=null", // Laravel
		"MAIL_HOST=" + host, "MAIL_PORT=" + port, "MAIL_USERNAME=" + a.User, "MAIL_PASSWORD=" + a.Pass,
		"SPRING_MAIL_HOST=" + host, "SPRING_MAIL_PORT=" + port, // Spring Boot
		"SPRING_MAIL_USERNAME=" + a.User, "SPRING_MAIL_PASSWORD=" + a.Pass,
		"EMAIL_URL=" + dsn, // django-environ
	}
	for prefix, v := range map[string]advert.Service{"SMTP": a.SMTP, "IMAP": a.IMAP, "POP3": a.POP3} {
		env = append(env, prefix+"_HOST="+v.Host, prefix+"_PORT="+strconv.Itoa(v.Port), prefix+"_USER="+a.User,
			prefix+"_PASS="+a.Pass, prefix+"_SECURE="+strconv.FormatBool(v.Secure))
	}
	return env, nil
}

// runChild runs the command to its end, whatever signal comes, and returns
// its exit code. An error says why it could not be run.
func (p *process) runChild(args, env []string) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, p.stdout, p.stderr
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return exitNotFound, err
		}
		return exitNotRun, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			// A terminal gives Ctrl-C to the command itself.
			if sig != os.Interrupt || !isTerminal(p.stderr) {
				_ = cmd.Process.Signal(sig) // it may be over already
			}
		case err := <-ended:
			return childCode(cmd, err)
		}
	}
}

func childCode(cmd *exec.Cmd, err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return exitFailed, err
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	if w, ok := cmd.ProcessState.Sys().(interface{ Signal() syscall.Signal }); ok {
		return exitSignal + int(w.Signal()), nil
	}
	return exitFailed, nil
}
