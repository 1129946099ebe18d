package sasl_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/sasl"
)

// run plays responses ("" is nil, "-" is empty) and returns what the server said.
func run(t *testing.T, mech string, responses ...string) (sasl.Credentials, []string, error) {
	t.Helper()
	s, ok := sasl.New(mech)
	if !ok {
		t.Fatalf("no mechanism %q", mech)
	}
	var said []string
	for _, r := range responses {
		var in []byte
		switch r {
		case "":
		case "-":
			in = []byte{}
		default:
			in = []byte(r)
		}
		ch, done, err := s.Next(in)
		if err != nil {
			if !done {
				t.Errorf("an error must end the exchange")
			}
			return s.Credentials(), said, err
		}
		if done {
			return s.Credentials(), said, nil
		}
		said = append(said, string(ch))
	}
	return sasl.Credentials{}, said, errors.New("not done")
}

func TestMechanisms(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", sasl.MaxPassword+1)
	for _, c := range []struct {
		mech string
		in   []string
		user string
		pass string
		said []string
		err  error
	}{
		{mech: "PLAIN", in: []string{"\x00u@d\x00p w"}, user: "u@d", pass: "p w"},
		{mech: "plain", in: []string{"", "\x00u\x00p"}, user: "u", pass: "p", said: []string{""}},
		{mech: "PLAIN", in: []string{"u@d\x00u@D\x00p"}, user: "u@D", pass: "p"},
		{mech: "PLAIN", in: []string{"\x00u\x00"}, user: "u"},
		{mech: "PLAIN", in: []string{"x\x00u\x00p"}, err: sasl.ErrAuthzid},
		{mech: "PLAIN", in: []string{"u\x00p"}, err: sasl.ErrMalformed},
		{mech: "PLAIN", in: []string{"\x00u\x00p\x00"}, err: sasl.ErrMalformed},
		{mech: "PLAIN", in: []string{"\x00\x00p"}, err: sasl.ErrMalformed},
		{mech: "PLAIN", in: []string{"-"}, err: sasl.ErrMalformed},
		{mech: "PLAIN", in: []string{"", ""}, err: sasl.ErrMalformed},
		{mech: "PLAIN", in: []string{"\x00u\xff\x00p"}, err: sasl.ErrMalformed},
		{mech: "PLAIN", in: []string{"\x00u\x00" + long}, err: sasl.ErrTooLong},
		{mech: "PLAIN", in: []string{long + "\x00u\x00p"}, err: sasl.ErrTooLong},
		{mech: "PLAIN", in: []string{"\x00" + long + "\x00p"}, err: sasl.ErrTooLong},
		{mech: "LOGIN", in: []string{"", "u", "p"}, user: "u", pass: "p", said: []string{"Username:", "Password:"}},
		{mech: "Login", in: []string{"u", "p"}, user: "u", pass: "p", said: []string{"Password:"}},
		{mech: "LOGIN", in: []string{"", "u", "-"}, user: "u", said: []string{"Username:", "Password:"}},
		{mech: "LOGIN", in: []string{"", "-", "p"}, said: []string{"Username:", "Password:"}, err: sasl.ErrMalformed},
		{mech: "LOGIN", in: []string{"", "u", "p\x00"}, said: []string{"Username:", "Password:"}, err: sasl.ErrMalformed},
		{mech: "LOGIN", in: []string{"", long}, said: []string{"Username:"}, err: sasl.ErrTooLong},
	} {
		got, said, err := run(t, c.mech, c.in...)
		if !errors.Is(err, c.err) || got.User != c.user || got.Password != c.pass {
			t.Errorf("%s %.40q: got %q/%q, %v", c.mech, c.in, got.User, got.Password, err)
		}
		if fmt.Sprint(said) != fmt.Sprint(c.said) {
			t.Errorf("%s %.40q: said %q, want %q", c.mech, c.in, said, c.said)
		}
	}
	if _, ok := sasl.New("CRAM-MD5"); ok {
		t.Error("CRAM-MD5 is not offered")
	}
}

func TestServer_OverIsOver(t *testing.T) {
	t.Parallel()
	for _, m := range sasl.Mechanisms() {
		s, _ := sasl.New(m)
		for range 4 {
			s.Next([]byte("\x00u\x00p"))
		}
		if _, _, err := s.Next([]byte("x")); !errors.Is(err, sasl.ErrDone) {
			t.Errorf("%s: %v, want ErrDone", m, err)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, out string
		err     error
	}{
		{"AHUAcA==", "\x00u\x00p", nil},
		{"=", "", nil},
		{"", "", nil},
		{"*", "", sasl.ErrCancelled},
		{"AHU", "", sasl.ErrMalformed},
		{"AH\nU=", "", sasl.ErrMalformed},
		{"AHUAcA== ", "", sasl.ErrMalformed},
		{"!!!!", "", sasl.ErrMalformed},
		{strings.Repeat("A", sasl.MaxLine+4), "", sasl.ErrTooLong},
	} {
		b, err := sasl.Decode(c.in)
		if !errors.Is(err, c.err) || string(b) != c.out || err == nil && b == nil {
			t.Errorf("Decode(%.40q) = %q, %v", c.in, b, err)
		}
	}
	if got := sasl.Encode([]byte("Username:")); got != "VXNlcm5hbWU6" {
		t.Error(got)
	}
}

func TestCredentials_HidePassword(t *testing.T) {
	t.Parallel()
	c := sasl.Credentials{User: "u", Password: "hunter2"}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), c.LogValue().String()} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("password shown: %s", s)
		}
	}
}

func FuzzSASL(f *testing.F) {
	f.Add(byte(0), "AHUAcA==", "cA==")
	f.Add(byte(1), "dQ==", "cA==")
	f.Add(byte(1), "=", "*")
	f.Fuzz(func(t *testing.T, m byte, one, two string) {
		s, _ := sasl.New(sasl.Mechanisms()[int(m)%2])
		for _, line := range []string{one, two, two} {
			in, err := sasl.Decode(line)
			if err != nil {
				return
			}
			_, done, err := s.Next(in)
			if err != nil && !done {
				t.Fatal("an error must end the exchange")
			}
			if done && err == nil {
				c := s.Credentials()
				if c.User == "" || len(c.User) > sasl.MaxUser || len(c.Password) > sasl.MaxPassword {
					t.Fatalf("bad credentials %q", c.User)
				}
			}
			if done {
				return
			}
		}
	})
}

// TestBearer_Long: a token is as long as it may be, and no longer.
func TestBearer_Long(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{sasl.MaxToken: nil, sasl.MaxToken + 1: sasl.ErrTooLong} {
		b, err := sasl.ParseBearer([]byte("n,a=u,\x01auth=Bearer " + strings.Repeat("t", n) + "\x01\x01"))
		if !errors.Is(err, want) || err == nil && len(b.Token) != n {
			t.Errorf("a token of %d bytes: %v", n, err)
		}
	}
}

// TestLongNames: a user name and a password are as long as they may be, and no longer.
func TestLongNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ user, pass int }{{sasl.MaxUser, sasl.MaxPassword}, {sasl.MaxUser + 1, 1}, {1, sasl.MaxPassword + 1}} {
		_, _, err := run(t, "PLAIN", "\x00"+strings.Repeat("u", c.user)+"\x00"+strings.Repeat("p", c.pass))
		if ok := c.user <= sasl.MaxUser && c.pass <= sasl.MaxPassword; (err == nil) != ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
