package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/transfer"
)

// TestProblems: MaxPrinted are printed, and the others are counted.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		told, failed int
		tail         string
	}{{MaxPrinted, MaxPrinted, "eider: place 199: lost\n"}, {MaxPrinted + 5, 3, "eider: and 5 more\n"},
		{MaxPrinted, MaxPrinted + 900, "eider: and 900 more\n"}} {
		e := &exported{}
		for i := range c.told {
			e.problem(fmt.Sprint("place ", i), "lost")
		}
		if len(e.problems) > MaxPrinted {
			t.Errorf("an export keeps %d problems", len(e.problems))
		}
		list := make([]transfer.Problem, c.told)
		for i := range list {
			list[i] = transfer.Problem{Where: fmt.Sprint("place ", i), What: "lost"}
		}
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		(&process{stderr: out}).problems(list, int64(c.failed))
		out.Close()
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "lost"); n != MaxPrinted || !strings.HasSuffix(string(b), c.tail) {
			t.Errorf("%+v: %d lines, at last %q", c, n, b[max(0, len(b)-40):])
		}
	}
}
