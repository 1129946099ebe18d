package codes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/message/codes"
)

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ subject, text, want string }{
		{"", "Your verification code is 482913.", "482913"},
		{"482913 is your login code", "Hello", "482913"},
		{"", "Your code:\r\n\r\n    123 456\r\n\r\nIt expires in 10 minutes.", "123456"},
		{"", "G-123456 is your Google verification code", "123456"},
		{"", "Use 123-456 as your one-time password", "123456"},
		{"", "Enter this code: AB12-CD34", "AB12-CD34"},
		{"", "Your security code: XKCDQ", "XKCDQ"},
		{"", "Ihr Bestätigungscode lautet 774411", "774411"},
		{"", "Votre code de vérification : 9021", "9021"},
		{"", "Tu código de verificación es 55 66 77", "556677"},
		{"", "Ваш код подтверждения: 345678", "345678"},
		{"", "您的验证码是123456，10分钟内有效。", "123456"},
		{"", "認証コード：654321", "654321"},
		{"", "인증번호는 [112233] 입니다", "112233"},
		{"", "Twój kod: 998877", "998877"},
		{"", "Zip code 90210, order code 12345678", ""},
		{"", "Call 555-123-4567 now. No word here.", ""},
		{"", "Your invoice 20241 of 2024-01-02 over $1234.00", ""},
		{"", "See https://x.test/code/123456 for more", ""},
		{"", "© 2024 Example. Your code is 7788.", "7788"},
		{"", "Your promocode: SAVE2024", ""},
		{"", "Your PIN is 0042 and the backup code is 12345678", "0042 12345678"},
		{"", "barcode 1234567", ""},
		{"Your code", "nothing else", ""},
	} {
		if got := strings.Join(codes.Find(c.subject, c.text), " "); got != c.want {
			t.Errorf("%q %q: %q, want %q", c.subject, c.text, got, c.want)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("code 123456", "Ihr Code: 12 34 56")
	f.Fuzz(func(t *testing.T, subject, text string) {
		if got := codes.Find(subject, text); len(got) > codes.MaxFound {
			t.Fatal(len(got))
		}
	})
}

// TestBounded: a text far over the bound is not searched to its end.
func TestBounded(t *testing.T) {
	t.Parallel()
	codes.Find("code", strings.Repeat("code code1234 ", 1<<20)) // ends soon: only MaxText bytes are looked at
	const tail = "Your code is 482913."
	for n, want := range map[int]int{codes.MaxText - len(tail): 1, codes.MaxText: 0} {
		if got := codes.Find("", strings.Repeat("z\n", n/2)+tail); len(got) != want {
			t.Errorf("behind %d bytes: %q", n, got)
		}
	}
}

// BenchmarkFind is a line of a list: one with nothing to find, one with a year,
// one with a code.
func BenchmarkFind(b *testing.B) {
	for _, c := range []struct{ name, subject, text string }{
		{"none", "Lunch on Friday", "Shall we meet at the corner at half past twelve, or is one o'clock better for you?"},
		{"year", "Report for 2026", "The report for the year 2026 is ready, and so is the outlook for the year that follows."},
		{"code", "Your code", "Your code is 482913. It is valid for ten minutes. Do not give it to anybody."},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				codes.Find(c.subject, c.text)
			}
		})
	}
}

// TestFind_Many: of many codes MaxFound are told.
func TestFind_Many(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range codes.MaxFound + 1 {
		got := codes.Find("codes", b.String())
		if len(got) != i {
			t.Fatalf("of %d codes %d are told: %q", i, len(got), got)
		}
		fmt.Fprintf(&b, "Your code is %d.\n", 482913+1117*i)
	}
	if got := codes.Find("codes", b.String()); len(got) != codes.MaxFound {
		t.Errorf("%d codes are told", len(got))
	}
}
