package rules_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/config"
)

var rewrite = flag.Bool("rewrite", false, "write docs/limits.md instead of comparing it")

// limit is one named constant whose comment begins with "Limit:", or with
// "Pace:", which is for how the server's own work is cut, kept and waited for:
// nothing from outside can pass it, so that no test can either.
type limit struct {
	pkg, name, value, text string
	pace                   bool
}

// maxUnreached limits have no test that reaches them, but a reason in
// limits.txt. Their number may only fall.
const maxUnreached = 0

// reach says which test reaches a limit, or why none does.
type reach struct{ test, why string }

// reaches reads limits.txt. A line is "package: NAME NAME …: TestName", where
// TestName is a test of the package, or "folder.TestName" of another; or
// "package: NAME …: - why no test reaches it".
func reaches(t *testing.T) map[string]reach {
	t.Helper()
	b, err := os.ReadFile("limits.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]reach{}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, ": ", 3)
		if len(f) != 3 {
			t.Errorf("limits.txt: %q has not three parts", line)
			continue
		}
		r := reach{test: f[2]}
		if why, ok := strings.CutPrefix(f[2], "- "); ok {
			r = reach{why: why}
		}
		for _, name := range strings.Fields(f[1]) {
			if _, twice := out[f[0]+" "+name]; twice {
				t.Errorf("limits.txt: %s %s stands there twice", f[0], name)
			}
			out[f[0]+" "+name] = r
		}
	}
	return out
}

// testFiles are the texts of the files of each test, by "folder.TestName". A
// test that is named alone belongs to the folder of its limit.
func testFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range sources(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && strings.HasPrefix(fn.Name.Name, "Test") {
				out[f.pkg+"."+fn.Name.Name] = strings.Join(f.lines, "\n")
			}
		}
	}
	return out
}

// TestLimitsAreReached: each limit has a test that reaches it, in whose file it
// is named, or a reason why there is none; and limits.txt names no others.
func TestLimitsAreReached(t *testing.T) {
	by, files, unreached := reaches(t), testFiles(t), 0
	for _, l := range limits(t) {
		if ofTests(l.pkg) || l.pace {
			continue
		}
		r, ok := by[l.pkg+" "+l.name]
		delete(by, l.pkg+" "+l.name)
		switch {
		case !ok:
			t.Errorf("limits.txt: which test reaches %s of %s?", l.name, l.pkg)
		case r.test == "":
			unreached++
		default:
			name := r.test
			if !strings.Contains(name, ".") {
				name = folder(l.pkg) + "." + name
			}
			text, ok := files[name]
			if !ok {
				t.Errorf("limits.txt: %s is no test", name)
			} else if !regexp.MustCompile(`\b(?i:` + l.name[:1] + `)` + l.name[1:] + `\b`).MatchString(text) { // exported for it, maybe
				t.Errorf("limits.txt: the file of %s does not name %s", name, l.name)
			}
		}
	}
	for key := range by {
		t.Errorf("limits.txt: there is no limit %s", key)
	}
	if unreached > maxUnreached {
		t.Errorf("%d limits are reached by no test, at most %d", unreached, maxUnreached)
	}
}

// folder is where a package of the documentation lies.
func folder(pkg string) string {
	if strings.HasPrefix(pkg, "cmd/") || pkg == "eidertest" {
		return pkg
	}
	return "internal/" + pkg
}

// ofTests are packages for tests alone.
func ofTests(pkg string) bool {
	return strings.HasPrefix(pkg, "test/") || pkg == "kv/kvtest" || pkg == "bus/bustest"
}

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
	kind, rest, _ := strings.Cut(strings.TrimSpace(text), ":")
	if kind != "Limit" && kind != "Pace" || len(vs.Values) == 0 {
		return nil
	}
	p := f.fset.Position(vs.Values[0].Pos())
	e := f.fset.Position(vs.Values[0].End())
	value := f.lines[p.Line-1][p.Column-1:]
	if e.Line == p.Line {
		value = f.lines[p.Line-1][p.Column-1 : e.Column-1]
	}
	what := strings.ReplaceAll(strings.Join(strings.Fields(rest), " "), "|", "\\|")
	return []limit{{short(f.pkg), vs.Names[0].Name, value, what, kind == "Pace"}}
}

// TestLimitsDoc: docs/limits.md lists the limits that the code has, and no others.
// `make gen` rewrites it.
func TestLimitsDoc(t *testing.T) {
	all := limits(t)
	if len(all) < 20 {
		t.Fatalf("only %d constants begin their comment with \"Limit:\"", len(all))
	}
	var b strings.Builder
	b.WriteString("# Limits\n\nEvery loop, queue, buffer and input has one. " +
		"This page is generated from the code by `make gen`.\n")
	writeBounds(t, &b)
	writeLimits(&b, all, reaches(t))
	writePaces(&b, all)
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

// writeLimits writes a table for each package, with the test that reaches a limit.
func writeLimits(b *strings.Builder, all []limit, by map[string]reach) {
	b.WriteString("\n## What is fixed\n\nThe same in both modes.\n")
	byPkg := map[string][]limit{}
	for _, l := range all {
		if !ofTests(l.pkg) && !l.pace {
			byPkg[l.pkg] = append(byPkg[l.pkg], l)
		}
	}
	for _, pkg := range sortedKeys(byPkg) {
		fmt.Fprintf(b, "\n### %s\n\n| name | value | what | reached by |\n|---|---|---|---|\n", pkg)
		for _, l := range byPkg[pkg] {
			r := by[l.pkg+" "+l.name]
			how := "no test: " + r.why
			if r.test != "" {
				how = "`" + r.test[strings.LastIndexByte(r.test, '.')+1:] + "`"
			}
			fmt.Fprintf(b, "| `%s` | `%s` | %s | %s |\n", l.name, l.value, l.text, how)
		}
	}
}

// writePaces writes the table of what nothing from outside can pass.
func writePaces(b *strings.Builder, all []limit) {
	b.WriteString("\n## Paces and batches\n\nHow the server cuts its own work, how much of it runs at once while the rest " +
		"waits its\nturn, what it keeps in memory, and how long it waits for its own store and bus. Nothing\n" +
		"that comes from outside passes these or is refused by them.\n\n" +
		"| package | name | value | what |\n|---|---|---|---|\n")
	slices.SortStableFunc(all, func(x, y limit) int { return strings.Compare(x.pkg, y.pkg) })
	for _, l := range all {
		if l.pace && !ofTests(l.pkg) {
			fmt.Fprintf(b, "| %s | `%s` | `%s` | %s |\n", l.pkg, l.name, l.value, l.text)
		}
	}
}

// bounds.txt says which test reaches the limit that a setting is.
func reachedBy(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("bounds.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		if flag, test, ok := strings.Cut(line, ":"); ok {
			out[strings.TrimSpace(flag)] = strings.TrimSpace(test)
		}
	}
	return out
}

// tests are the names of all tests there are.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, f := range sources(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && strings.HasPrefix(fn.Name.Name, "Test") {
				out[fn.Name.Name] = true
			}
		}
	}
	return out
}

// writeBounds writes what can be set, in both modes, and which test reaches it.
func writeBounds(t *testing.T, b *strings.Builder) {
	t.Helper()
	by, known := reachedBy(t), tests(t)
	b.WriteString("\n## What can be set\n\nN/TIME is N at once, refilled evenly over TIME; 0 is no limit. Rates count in each " +
		"server by\nitself; --max-accounts and --store-max-bytes hold for all servers of a store.\n\n" +
		"| setting | dev | public | what | reached by |\n|---|---|---|---|---|\n")
	for _, s := range config.Bounds() {
		test := by[s.Flag]
		if !known[test] {
			t.Errorf("bounds.txt: --%s is reached by %q, which is no test", s.Flag, test)
		}
		delete(by, s.Flag)
		fmt.Fprintf(b, "| `--%s` | %s | %s | %s | `%s` |\n", s.Flag, s.Dev, s.Public, s.Help, test)
	}
	for flag := range by {
		t.Errorf("bounds.txt: there is no setting --%s", flag)
	}
}

// TestSecurityDoc: each test that docs/security.md points to is there.
func TestSecurityDoc(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	known, n := tests(t), 0
	for i, part := range strings.Split(string(text), "`") {
		if i%2 == 0 || !strings.HasPrefix(part, "Test") {
			continue
		}
		if n++; !known[part] {
			t.Errorf("docs/security.md points to %s, which is no test", part)
		}
	}
	if n < 20 {
		t.Errorf("only %d tests are named", n)
	}
}
