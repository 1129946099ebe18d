package account_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xdg-go/scram"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/addr"
	"github.com/eidermail/eider/internal/mailstore/account"
)

// pepper knows the keys 1 and 2, and signs with 2.
func pepper() account.Pepper {
	return account.Pepper{Current: 2, MAC: func(key uint32, m []byte) []byte {
		if key != 1 && key != 2 {
			return nil
		}
		h := hmac.New(sha256.New, []byte{byte(key)})
		h.Write(m)
		return h.Sum(nil)
	}}
}

// check is both halves, as auth plays them.
func check(t *testing.T, h *account.Hasher, c account.Credential, password string) bool {
	t.Helper()
	r, err := c.Decode()
	if err != nil {
		t.Fatal(err)
	}
	if h.Fast(&r, password, pepper()) {
		return true
	}
	ok, err := h.Slow(t.Context(), &r, password)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestNames(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^[a-z][a-z2-7]{15}$`)
	pass := regexp.MustCompile(`^[2-9A-HJ-NP-Za-km-np-z]{18}$`)
	friendly := regexp.MustCompile(`^[a-z]+\.[a-z]+$`)
	seen := map[string]bool{}
	for range 500 {
		n, p := account.NewName(), account.GeneratePassword()
		if !name.MatchString(n) || !pass.MatchString(p) || seen[n] || seen[p] {
			t.Fatalf("name %q password %q", n, p)
		}
		seen[n], seen[p] = true, true
		f := account.FriendlyName(0)
		if !friendly.MatchString(f.Local) || !strings.EqualFold(strings.Replace(f.Display, " ", ".", 1), f.Local) {
			t.Fatalf("friendly %+v", f)
		}
	}
	for try, digits := range map[int]int{0: 0, 1: 2, 3: 2, 4: 4, 7: 4, 8: 6, 50: 6} {
		f := account.FriendlyName(try)
		if got := len(f.Local) - len(strings.TrimRight(f.Local, "0123456789")); got != digits {
			t.Errorf("try %d: %q has %d digits, want %d", try, f.Local, got, digits)
		}
		if a, err := addr.Parse(f.Local + "@x"); err != nil || a.Key() == "" {
			t.Errorf("%q: %v", f.Local, err)
		}
	}
}

func TestDerivePassword(t *testing.T) {
	t.Parallel()
	a, b := account.DerivePassword([]byte("one")), account.DerivePassword([]byte("two"))
	if a == b || len(a) != account.PasswordLen || a != account.DerivePassword([]byte("one")) {
		t.Errorf("%q %q", a, b)
	}
}

func TestCredential(t *testing.T) {
	t.Parallel()
	h := account.NewHasher()
	p := account.GeneratePassword()
	gen, err := h.Generated(p, pepper())
	if err != nil {
		t.Fatal(err)
	}
	cho, err := h.Chosen(t.Context(), "pässword")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cred account.Credential
		pass string
		want bool
	}{
		{gen, p, true}, {gen, p + "x", false}, {gen, "", false}, {gen, strings.ToLower(p), false},
		{cho, "pässword", true}, {cho, "pa\u0308ssword", true}, {cho, "password", false}, {cho, "", false}, {cho, p, false},
	} {
		if got := check(t, h, c.cred, c.pass); got != c.want {
			t.Errorf("check(%q) = %v", c.pass, got)
		}
	}
	if bytes.Contains(gen, []byte(p)) || bytes.Contains(cho, []byte("word")) {
		t.Error("the password is stored")
	}
	for _, s := range []string{fmt.Sprint(gen), fmt.Sprintf("%v %+v %#v %s", gen, gen, gen, gen)} {
		if strings.Trim(s, "[credential] ") != "" {
			t.Errorf("printed: %s", s)
		}
	}
}

// A key that was turned still checks the passwords it made; one that is gone checks none.
func TestCredential_KeyTurned(t *testing.T) {
	t.Parallel()
	h := account.NewHasher()
	old := pepper()
	old.Current = 1
	c, err := h.Generated("some-generated-pass", old)
	if err != nil {
		t.Fatal(err)
	}
	if !check(t, h, c, "some-generated-pass") {
		t.Error("the old key no longer verifies")
	}
	old.Current = 9
	if _, err := h.Generated("x", old); !errors.Is(err, account.ErrKey) {
		t.Errorf("unknown key: %v", err)
	}
	r, _ := c.Decode()
	r.Key = 9
	if h.Fast(&r, "some-generated-pass", pepper()) || h.Fast(&r, "", pepper()) {
		t.Error("a credential of an unknown key must never match")
	}
	r.Hash = nil
	if h.Fast(&r, "some-generated-pass", pepper()) {
		t.Error("an empty hash must never match")
	}
}

func TestChosen_Refuses(t *testing.T) {
	t.Parallel()
	h := account.NewHasher()
	for _, p := range []string{"", "short", strings.Repeat("x", account.MaxPassword+1), "nul\x00nul\x00"} {
		if _, err := h.Chosen(t.Context(), p); !errors.Is(err, account.ErrPassword) {
			t.Errorf("%.10q: %v", p, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Slow(ctx, nil, "x"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The verifier must be the one that other people's SCRAM speaks with.
func TestScram(t *testing.T) {
	t.Parallel()
	h := account.NewHasher()
	for _, p := range []string{account.GeneratePassword(), "pässwörd ½"} {
		c, err := h.Generated(p, pepper())
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Decode()
		if err != nil {
			t.Fatal(err)
		}
		client, err := scram.SHA256.NewClient("u", p, "")
		if err != nil {
			t.Fatal(err)
		}
		server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
			return scram.StoredCredentials{
				KeyFactors: scram.KeyFactors{Salt: string(r.Scram.Salt), Iters: r.Scram.Iterations},
				StoredKey:  r.Scram.StoredKey, ServerKey: r.Scram.ServerKey,
			}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		cc, sc := client.NewConversation(), server.NewConversation()
		msg, err := cc.Step("")
		for !cc.Done() && err == nil {
			if msg, err = sc.Step(msg); err == nil {
				msg, err = cc.Step(msg)
			}
		}
		if err != nil || !sc.Valid() || !cc.Valid() {
			t.Errorf("%q: %v", p, err)
		}
		if !strings.HasPrefix(r.Scram.Attribute(), "SCRAM-SHA-256$4096:") {
			t.Error(r.Scram.Attribute())
		}
	}
}

// What a later program wrote is kept by this one.
func TestCredential_UnknownFieldsSurvive(t *testing.T) {
	t.Parallel()
	h := account.NewHasher()
	c, err := h.Generated("x", pepper())
	if err != nil {
		t.Fatal(err)
	}
	extra := protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "later")
	extra = protowire.AppendVarint(protowire.AppendTag(extra, 100, protowire.VarintType), 7)
	r, err := account.Credential(append(bytes.Clone(c), extra...)).Decode()
	if err != nil {
		t.Fatal(err)
	}
	r.Key = 1
	out := r.Encode()
	if !bytes.HasSuffix(out, extra) {
		t.Error("unknown fields were dropped")
	}
	again, err := out.Decode()
	if err != nil || again.Key != 1 || !cmp.Equal(again.Hash, r.Hash) {
		t.Errorf("%v", err)
	}
}

func FuzzCredential(f *testing.F) {
	h := account.NewHasher()
	c, err := h.Generated("x", pepper())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(c))
	f.Add([]byte{})
	f.Add([]byte{1, 8, 2})
	f.Add([]byte{2, 8, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := account.Credential(b).Decode()
		if err != nil {
			return
		}
		again, err := r.Encode().Decode()
		if len(r.Encode()) > account.MaxCredential {
			return
		}
		if err != nil || !bytes.Equal(again.Encode(), r.Encode()) {
			t.Fatalf("not stable: %v", err)
		}
		h.Fast(&r, "x", pepper())
	})
}

func BenchmarkGenerated(b *testing.B) {
	h := account.NewHasher()
	for b.Loop() {
		if _, err := h.Generated("jwN4VGk8gYuz6RPHFD", pepper()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSlow(b *testing.B) {
	h := account.NewHasher()
	for b.Loop() {
		if _, err := h.Slow(b.Context(), nil, "x"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCredential_Long: a row of a newer program may be so long, and no longer.
func TestCredential_Long(t *testing.T) {
	t.Parallel()
	enc := account.Record{Class: account.Generated}.Encode()
	for n, ok := range map[int]bool{account.MaxCredential: true, account.MaxCredential + 1: false} {
		field := protowire.AppendTag([]byte(enc), 99, protowire.BytesType) // what is not known is kept
		field = protowire.AppendBytes(field, make([]byte, n-len(field)-2))
		if r, err := account.Credential(field).Decode(); (err == nil) != ok || len(field) != n || ok && len(r.Encode()) != n {
			t.Errorf("%d bytes: %v", len(field), err)
		}
	}
}
