// Command dictionary writes generated mail as package recipe leaves it, one
// file for each message, for `zstd --train`: see "make dictionary".
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/recipe"
	"github.com/eidermail/eider/test/genmail"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dictionary:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: dictionary DIRECTORY COUNT")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	g, p := genmail.New(1), recipe.NewPlanner()
	for i := range n {
		mail := g.Message()
		pl, err := p.Plan(bytes.NewReader(mail), int64(len(mail)), message.Parse(mail), sha256.New())
		if err != nil {
			return err
		}
		skeleton, err := io.ReadAll(pl.ReadSkeleton())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(args[0], fmt.Sprintf("%06d", i)), skeleton, 0o600); err != nil {
			return err
		}
	}
	return nil
}
