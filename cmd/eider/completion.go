package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a shell's completions of this program's commands and flags.
func (c *completionCmd) Run(p *process, model *kong.Application) error {
	all := completions(model.Node, "")
	var b bytes.Buffer
	switch c.Shell {
	case "bash":
		bashCompletion(&b, all)
	case "zsh":
		zshCompletion(&b, all)
	case "fish":
		fishCompletion(&b, all)
	}
	_, err := p.stdout.Write(b.Bytes())
	return err
}

// completion is one command: its path of names, each with a space before it,
// and what may follow.
type completion struct {
	path     string
	commands []*kong.Node
	flags    []*kong.Flag
}

// completions lists a command and those below it, in the order of the help.
// The flags of the default command are those of the program, too.
func completions(n *kong.Node, path string) []completion {
	c := completion{path: path, flags: n.Flags}
	if n.DefaultCmd != nil {
		c.flags = append(c.flags[:len(c.flags):len(c.flags)], n.DefaultCmd.Flags...)
	}
	var below []completion
	for _, child := range n.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			c.commands = append(c.commands, child)
			below = append(below, completions(child, path+" "+child.Name)...)
		}
	}
	return append([]completion{c}, below...)
}

// words are all that may be typed.
func (c completion) words() string {
	var out []string
	for _, n := range c.commands {
		out = append(out, n.Name)
	}
	for _, f := range c.flags {
		if !f.Hidden {
			out = append(out, "--"+f.Name)
		}
	}
	return strings.Join(out, " ")
}

// paths is a pattern of all commands, for a shell's case.
func paths(all []completion) string {
	var out []string
	for _, c := range all[1:] {
		out = append(out, `"`+c.path+`"`)
	}
	return strings.Join(out, "|")
}

func bashCompletion(b *bytes.Buffer, all []completion) {
	fmt.Fprintf(b, `# bash completion of eider
_eider() {
	local cur=${COMP_WORDS[COMP_CWORD]} at= word
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case "$at $word" in
		%s) at="$at $word" ;;
		esac
	done
	case "$at" in
`, paths(all))
	for _, c := range all {
		fmt.Fprintf(b, "\t%q) COMPREPLY=($(compgen -W %q -- \"$cur\")) ;;\n", c.path, c.words())
	}
	b.WriteString("\tesac\n}\ncomplete -o default -F _eider eider\n")
}

func zshCompletion(b *bytes.Buffer, all []completion) {
	fmt.Fprintf(b, `#compdef eider
_eider() {
	local at= word
	for word in ${words[2,CURRENT-1]}; do
		case "$at $word" in
		%s) at="$at $word" ;;
		esac
	done
	case "$at" in
`, paths(all))
	for _, c := range all {
		fmt.Fprintf(b, "\t%q) compadd -- %s ;;\n", c.path, c.words())
	}
	b.WriteString("\tesac\n\t_files\n}\ncompdef _eider eider\n")
}

func fishCompletion(b *bytes.Buffer, all []completion) {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
	b.WriteString("# fish completion of eider\n")
	for _, c := range all {
		when := "__fish_use_subcommand"
		if names := strings.Fields(c.path); len(names) > 0 {
			when = "__fish_seen_subcommand_from " + names[len(names)-1]
		}
		for _, n := range c.commands {
			fmt.Fprintf(b, "complete -c eider -f -n %s -a %s -d %s\n", quote(when), n.Name, quote(n.Help))
		}
		for _, f := range c.flags {
			if !f.Hidden {
				fmt.Fprintf(b, "complete -c eider -n %s -l %s -d %s\n", quote(when), f.Name, quote(f.Help))
			}
		}
	}
}
