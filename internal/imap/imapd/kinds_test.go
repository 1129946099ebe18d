package imapd

import (
	"errors"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/mailstore"
)

// TestEveryKindHasAReply: a kind that is new to the store must be given one here.
func TestEveryKindHasAReply(t *testing.T) {
	t.Parallel()
	s := &session{b: &backend{o: Options{Log: discard()}}}
	for k := mailstore.Internal; !strings.HasPrefix(k.String(), "kind "); k++ {
		err := s.refusal(&mailstore.Error{Op: "x", Kind: k, Err: errors.New("secret")})
		var e *imap.Error
		if ok := errors.As(err, &e); ok == (k == mailstore.Internal) {
			t.Errorf("%v: %v", k, err)
			continue
		}
		if k != mailstore.Internal && (e.Code == "" || e.Text == "" || strings.Contains(e.Text, "secret")) {
			t.Errorf("%v: %+v", k, e)
		}
	}
	if len(replies) != int(mailstore.Corrupt) {
		t.Errorf("%d replies", len(replies))
	}
}

// TestFlagsMapOneToOne: each flag of the store is one of the wire, and back.
func TestFlagsMapOneToOne(t *testing.T) {
	t.Parallel()
	all := mailstore.Seen | mailstore.Answered | mailstore.Flagged | mailstore.Deleted | mailstore.Draft
	for f := mailstore.Flags(0); f <= all; f++ {
		if back := stored(system(f)); back != f {
			t.Errorf("%b → %b", f, back)
		}
	}
	if system(all) != imapwire.Seen|imapwire.Answered|imapwire.Flagged|imapwire.Deleted|imapwire.Draft {
		t.Errorf("%b", system(all))
	}
}

func TestFolding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b string }{
		{"GRÜN", "grün"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"u\u0308", "ü"}, {"\U0001d411\U0001d404", "re"}, {"ﬁne", "FINE"},
		{"İ", "i\u0307"}, {"한국", "한국"},
	} {
		if foldString(c.a) != foldString(c.b) {
			t.Errorf("%q is %q, %q is %q", c.a, foldString(c.a), c.b, foldString(c.b))
		}
	}
	if foldString("a\xffb") != foldString("A\xffB") {
		t.Error("broken UTF-8")
	}
}

// TestTextPieces: a text is found wherever the pieces of a part are cut.
func TestTextPieces(t *testing.T) {
	t.Parallel()
	for _, pos := range []int{0, 1, textChunk - 4, textChunk - 3, textChunk - 2, textChunk - 1, textChunk, 2*textChunk - 2} {
		for _, word := range []string{"x", "grüße", "日本語"} {
			text := strings.Repeat("·", pos/2) + strings.Repeat("-", pos%2) + word + strings.Repeat("-", 10)
			var ts texts
			ts.want(foldString(word))
			ts.want("not there")
			found := map[string]bool{}
			if err := ts.inText(strings.NewReader(text), found); err != nil || !found[foldString(word)] || len(found) != 1 {
				t.Errorf("%q at %d: %v %v", word, pos, found, err)
			}
		}
	}
}
