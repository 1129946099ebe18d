package imapd_test

import (
	"crypto/tls"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/imap/imapd"
)

// TestDocs compares docs/imap.md with what servers advertise, both ways, and
// looks for the tests that it names, both ways for the scripts.
func TestDocs(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../../docs/imap.md")
	if err != nil {
		t.Fatal(err)
	}
	told := advertised(t)
	tests := testNames(t)
	var documented, named []string
	for _, l := range strings.Split(string(b), "\n") {
		cells := strings.Split(l, "|")
		if len(cells) != 6 || !regexp.MustCompile(`\d`).MatchString(cells[1]) {
			continue
		}
		name := strings.TrimSpace(cells[2])
		documented = append(documented, name)
		if whole := strings.HasPrefix(strings.TrimSpace(cells[3]), "whole"); whole != slices.Contains(told, name) {
			t.Errorf("%s: whole in the table %v, advertised %v", name, whole, !whole)
		}
		if strings.TrimSpace(cells[4]) == "–" {
			continue
		}
		for _, test := range strings.Split(cells[4], ",") {
			if test = strings.TrimSpace(test); !slices.Contains(tests, test) {
				t.Errorf("%s: there is no test %q", name, test)
			}
			named = append(named, test)
		}
	}
	for _, c := range told {
		if !slices.Contains(documented, c) {
			t.Errorf("%s is not in docs/imap.md", c)
		}
	}
	for _, test := range tests {
		if !strings.HasPrefix(test, "Test") && !slices.Contains(named, test) {
			t.Errorf("script %s is not in docs/imap.md", test)
		}
	}
}

// advertised are all capabilities that there can be, without their values.
func advertised(t *testing.T) (names []string) {
	cert := certificate(t)
	for _, o := range []options{{}, {tls: cert, clear: true}} {
		w := newWorld(t, o)
		w.o.Bearer = fakeTokens{}
		w.imap = imapd.New(w.o)
		w.listen()
		c := w.dial()
		c.line()
		lines := c.ok("CAPABILITY")
		if o.clear {
			c.ok("STARTTLS")
			c.conn = tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
			c.r = newReader(c.conn)
			lines = append(lines, c.ok("CAPABILITY")...)
		} else {
			c.ok(`LOGIN ann@d.example "` + password + `"`)
			lines = append(lines, c.ok("CAPABILITY")...)
		}
		for _, l := range lines {
			for _, n := range strings.Fields(strings.TrimPrefix(l, "* CAPABILITY")) {
				if strings.HasPrefix(n, "APPENDLIMIT=") {
					n = "APPENDLIMIT"
				}
				if !slices.Contains(names, n) {
					names = append(names, n)
				}
			}
		}
	}
	return names
}

// testNames are the scripts and the test functions of IMAP.
func testNames(t *testing.T) (names []string) {
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, dir := range []string{"..", "../../../test"} {
		err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() && e.Name() == "node_modules" {
				return err
			}
			switch {
			case strings.HasSuffix(p, ".imap"):
				names = append(names, strings.TrimSuffix(e.Name(), ".imap"))
			case strings.HasSuffix(p, "_test.go"):
				b, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				for _, m := range function.FindAllStringSubmatch(string(b), -1) {
					names = append(names, m[1])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}
