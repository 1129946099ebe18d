// Command eider catches mail: SMTP in, web, IMAP, POP3 and a JSON API out, in
// one process with no configuration. `eider --help` lists its commands.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the release build.
//
//rules:allow var -ldflags can only set a variable
var version = ""

// The exit codes.
const (
	exitFailed = 1 // the command could not do it, or found faults
	exitUsage  = 2 // the command line makes no sense
)

// process is what a command has of the world.
type process struct {
	ctx    context.Context
	stdout io.Writer
	stderr *os.File
	env    func(string) (string, bool)
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals // a second one means now
		fmt.Fprintln(os.Stderr, "eider: stopped at once")
		os.Exit(exitFailed)
	}()
	p := &process{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv}
	os.Exit(p.run(calledAs(os.Args)))
}
