package imapdiff_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

//rules:allow var the flag of the test binary
var rewrite = flag.Bool("rewrite", false, "write docs/imap-differences.md")

// TestDocs: the document for people says what the table says.
func TestDocs(t *testing.T) {
	path := filepath.Join(harness.Root(t), "docs/imap-differences.md")
	want := document()
	if *rewrite {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what differences_test.go says (%v): go test ./test/imapdiff -run TestDocs -rewrite", path, err)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString("# How IMAP here differs from Dovecot and Cyrus\n\n" +
		"Generated from `test/imapdiff/differences_test.go`. `go test ./test/imapdiff` plays the same\n" +
		"conversations to this server and to Debian's Dovecot 2.3.19 (and Cyrus 3.6 for what\n" +
		"Dovecot lacks). Whatever differs stands here, or the test fails; it fails too for what\n" +
		"stands here and no longer occurs.\n")
	var heads []string
	rows := map[string][]string{}
	for _, d := range differences {
		if _, ok := rows[d.about]; !ok {
			heads = append(heads, d.about)
		}
		peer := map[string]string{"dovecot": "Dovecot", "cyrus": "Cyrus", "": "both"}[d.peer]
		rows[d.about] = append(rows[d.about], fmt.Sprintf("| %s | %s | %s |", cell(d.what), peer, cell(d.decides)))
	}
	for _, h := range heads {
		fmt.Fprintf(&b, "\n## %s\n\n| here | other than | decided by |\n|---|---|---|\n%s\n", h, strings.Join(rows[h], "\n"))
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// TestEntriesAreWhole: each difference says what it is and what decides it.
func TestEntriesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range differences {
		if d.id == "" || seen[d.id] || d.about == "" || len(d.what) < 15 || len(d.decides) < 8 {
			t.Errorf("the difference %q is not whole", d.id)
		}
		seen[d.id] = true
	}
}

// setFlag sets a flag of the test binary unless it was given.
func setFlag(name, value string) error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if given {
		return nil
	}
	return flag.Set(name, value)
}
