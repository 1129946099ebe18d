package message_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/message"
)

func TestCodes(t *testing.T) {
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
		if got := strings.Join(message.Codes(c.subject, c.text), " "); got != c.want {
			t.Errorf("%q %q: %q, want %q", c.subject, c.text, got, c.want)
		}
	}
}

func TestFindLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"see http://a.test/x.", "http://a.test/x"},
		{"(https://a.test/wiki/X_(y)), ok", "https://a.test/wiki/X_(y)"},
		{"<https://a.test/?a=1&b=2>", "https://a.test/?a=1&b=2"},
		{`"https://a.test/q"`, "https://a.test/q"},
		{"www.a.test and wwwa.test", "http://www.a.test"},
		{"mail me@a.test, or mailto:you@a.test?subject=x", "mailto:me@a.test mailto:you@a.test?subject=x"},
		{"myapp://open/1 javascript://x data:text/html,x file:///etc", "myapp://open/1"},
		{"javascript:alert(1)", ""},
		{"http://a.test/ä/ü", "http://a.test/ä/ü"},
		{"time 12:30, note: x", ""},
		{"http://", ""},
		{"xhttp://a.test", "xhttp://a.test"},
		{"a@b", ""},
		{"https://a.test/a,https://b.test/b", "https://a.test/a,https://b.test/b"},
		{"http://a.test\u2028x http://b.test\u00a0y", "http://a.test http://b.test"},
	} {
		var got []string
		end := 0
		for _, l := range message.FindLinks(c.text) {
			if l.Start < end || l.End > len(c.text) || l.End <= l.Start {
				t.Fatalf("%q: bad span %+v", c.text, l)
			}
			end = l.End
			got = append(got, l.URL)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %q, want %q", c.text, s, c.want)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	got := message.Links("also https://a.test/1 and https://c.test",
		`<a href="https://a.test/1">Confirm <b>it</b></a> <A HREF=' java	script:alert(1)'>x</A><a href="/rel">r</a>
		<map><area href="myapp://deep?x=1&amp;y=2"></map><a href="https://b.test`)
	want := []message.Link{{URL: "https://a.test/1", Text: "Confirm it"}, {URL: "myapp://deep?x=1&y=2"}, {URL: "https://c.test"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBaseSubject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		reply    bool
	}{
		{"hello", "hello", false},
		{"Re: hello", "hello", true},
		{"RE[2]: [list] Fwd: hello (fwd)", "hello", true},
		{"[list] hello", "hello", false},
		{"[only]", "[only]", false},
		{"[fwd: Re: hello ]", "hello", true},
		{"Re:", "", true},
		{"Rebecca: x", "Rebecca: x", false},
		{"re : a  b", "a b", true},
		{"(fwd)", "", true},
	} {
		if got, reply := message.BaseSubject(c.in); got != c.want || reply != c.reply {
			t.Errorf("%q: %q %v, want %q %v", c.in, got, reply, c.want, c.reply)
		}
	}
}
