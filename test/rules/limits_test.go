package rules_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/limits.md instead of comparing it")

// limit is one named constant whose comment begins with "Limit:".
type limit struct{ pkg, name, value, text string }

func limits(t *testing.T) []limit {
	t.Helper()
	var out []limit
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				out = append(out, constLimits(f, g, s.(*ast.ValueSpec))...)
			}
		}
	}
	return out
}

func constLimits(f *file, g *ast.GenDecl, vs *ast.ValueSpec) []limit {
	text := vs.Doc.Text()
	if text == "" {
		text = vs.Comment.Text()
	}
	if text == "" && len(g.Specs) == 1 {
		text = g.Doc.Text()
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "Limit:")
	if !ok || len(vs.Values) == 0 {
		return nil
	}
	p := f.fset.Position(vs.Values[0].Pos())
	e := f.fset.Position(vs.Values[0].End())
	value := f.lines[p.Line-1][p.Column-1:]
	if e.Line == p.Line {
		value = f.lines[p.Line-1][p.Column-1 : e.Column-1]
	}
	return []limit{{short(f.pkg), vs.Names[0].Name, value, strings.Join(strings.Fields(rest), " ")}}
}

// TestLimitsDoc: docs/limits.md lists the limits that the code has, and no others.
// `make gen` rewrites it.
func TestLimitsDoc(t *testing.T) {
	byPkg := map[string][]limit{}
	n := 0
	for _, l := range limits(t) {
		byPkg[l.pkg] = append(byPkg[l.pkg], l)
		n++
	}
	if n < 20 {
		t.Fatalf("only %d constants begin their comment with \"Limit:\"", n)
	}
	var b strings.Builder
	b.WriteString("# Limits\n\nEvery loop, queue, buffer and input has one. " +
		"This page is generated from the code by `make gen`.\n")
	for _, pkg := range sortedKeys(byPkg) {
		fmt.Fprintf(&b, "\n## %s\n\n| name | value | what |\n|---|---|---|\n", pkg)
		for _, l := range byPkg[pkg] {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", l.name, l.value, strings.ReplaceAll(l.text, "|", "\\|"))
		}
	}
	p := filepath.Join(root(t), "docs/limits.md")
	if *rewrite {
		if err := os.WriteFile(p, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/limits.md is not what the code says; run make gen")
	}
}
