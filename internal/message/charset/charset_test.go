package charset_test

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/eidermail/eider/internal/message/charset"
)

func TestReader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		label    string
		html     bool
		in, want string
	}{
		{"iso-8859-1", false, "caf\xe9", "café"}, {"", false, "caf\xe9", "café"}, {"", false, "café", "café"},
		{"us-ascii", false, "café", "café"}, {"utf-8", false, "caf\xe9!", "caf\uFFFD!"},
		{"utf-16", false, "\x00a\x00b", "ab"}, {"utf-16", false, "\xff\xfea\x00b\x00", "ab"},
		{"iso-2022-jp", false, "\x1b$BF|K\\\x1b(B", "日本"}, {"utf-7", false, "+ADw-b+AD4- +- 1+-1", "<b> + 1+1"},
		{"", true, "<meta charset=koi8-r>\xd0\xd2", "<meta charset=koi8-r>пр"},
		{"utf-8", true, "<meta charset=koi8-r>п", "<meta charset=koi8-r>п"},
		{"", true, "<meta charset=utf-16>x", "<meta charset=utf-16>x"},
		{"", true, "<meta charset=utf-7>+ADw-", "<meta charset=utf-7>+ADw-"},
		{"cp1252", false, "\x80", "€"}, {"'Windows-1251'", false, "\xef", "п"}, {"x-nothing", false, "caf\xe9", "café"},
		{"gb2312", false, "\xc4\xe3", "你"}, {"cp850", false, "\x84", "ä"}, {"iso8859-15", false, "\xa4", "€"},
	} {
		got, err := io.ReadAll(charset.NewReader(c.label, c.html, iotest.OneByteReader(strings.NewReader(c.in))))
		if err != nil || string(got) != c.want {
			t.Errorf("%s %q: %q %v, want %q", c.label, c.in, got, err, c.want)
		}
	}
}

// TestGuessAtCut: a text longer than what is looked at is UTF-8 also where the
// end of that goes through a character.
func TestGuessAtCut(t *testing.T) {
	t.Parallel()
	for n := range 5 {
		in := strings.Repeat("x", n) + strings.Repeat("€", 20_000)
		got, err := io.ReadAll(charset.NewReader("", false, strings.NewReader(in)))
		if err != nil || string(got) != in {
			t.Errorf("cut %d: not taken for UTF-8", n)
		}
	}
}

func FuzzToUTF8(f *testing.F) {
	for _, l := range []string{"utf-7", "utf-16", "iso-2022-jp", "gbk", "hz-gb-2312", "", "big5", "koi8-r", "utf-8"} {
		f.Add(l, "+ADw-\x1b$B~{<:\xff\xfe")
	}
	f.Fuzz(func(t *testing.T, label, s string) {
		if got := charset.ToUTF8(label, []byte(s)); !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		got, err := io.ReadAll(charset.NewReader(label, true, strings.NewReader(s)))
		if err != nil || !utf8.Valid(got) {
			t.Fatalf("%q %v", got, err)
		}
	})
}
