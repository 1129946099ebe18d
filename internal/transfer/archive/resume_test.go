package archive_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/transfer/archive"
)

// letter is a message as Scan wants it: with its checksum.
func letter(n, uid int, text, sum string) []member {
	name := fmt.Sprintf("eider/0001/0001/%d", n)
	line := fmt.Sprintf(`{"size":%d,"uid":%d,"sha256":%q,"future":[1],"copies":2,"msg":%d}`, len(text), uid, sum, uid)
	return []member{{name: name + ".json", text: line}, {name: name + ".eml", text: text}}
}

const sumOfX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

// TestScan: what is behind a part that is not whole does not count, and what is
// no archive is no archive.
func TestScan(t *testing.T) {
	t.Parallel()
	begin := []member{head, account, mailbox}
	one, two := letter(1, 5, "x", sumOfX), letter(2, 9, "x", sumOfX)
	whole := tarOf(t, append(append(append(begin, one...), two...), foot)...)
	all := len(whole) - 1024 - 1024 // without the end
	torn := bytes.Clone(whole)
	clear(torn[all-512:])
	for name, c := range map[string]struct {
		data []byte
		end  int
		uid  uint32
	}{
		"whole":           {whole, all, 9},
		"cut in the end":  {whole[:all+600], all, 9},
		"cut in the line": {whole[:all-1200], all - 4*512, 5},
		"cut in the text": {whole[:all-512], all - 4*512, 5},
		"zeros":           {torn, all - 4*512, 5},
		"garbage":         {append(bytes.Clone(whole[:all-4*512]), strings.Repeat("trash", 500)...), all - 4*512, 5},
		"wrong checksum":  {tarOf(t, append(append(begin, one...), letter(2, 9, "y", sumOfX)...)...), all - 4*512, 5},
		"no mailbox":      {tarOf(t, append([]member{head, account}, one...)...), 4 * 512, 0},
		"no account":      {tarOf(t, head, mailbox), 2 * 512, 0},
		"two heads":       {tarOf(t, head, head, account), 2 * 512, 0},
	} {
		h, err := archive.Scan(t.Context(), bytes.NewReader(c.data))
		if err != nil || h.End != int64(c.end) {
			t.Errorf("%s: %+v %v, want the end %d", name, h, err, c.end)
			continue
		}
		for _, a := range h.Accounts {
			for _, uid := range a.UIDs {
				if uid != c.uid || uid == 9 && a.Paths[9] != "eider/0001/0001/2" {
					t.Errorf("%s: UID %d, paths %v", name, uid, a.Paths)
				}
			}
		}
	}
	for name, data := range map[string][]byte{"text": []byte("my only copy"), "another tar": tarOf(t, mailbox, head),
		"a head that is cut": whole[:520], "zeros alone": make([]byte, 4096)} {
		if _, err := archive.Scan(t.Context(), bytes.NewReader(data)); !errors.Is(err, archive.ErrNotArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h, err := archive.Scan(t.Context(), strings.NewReader("")); h != nil || err != nil {
		t.Errorf("nothing: %+v %v", h, err)
	}
}

// TestHaveIsBounded: an archive that was made up fills no memory.
func TestHaveIsBounded(t *testing.T) {
	t.Parallel()
	list := []member{head, account}
	const size = 600_000 // each byte takes four, escaped
	for i := range archive.MaxHave/size/4 + 2 {
		text := base64.StdEncoding.EncodeToString(append(bytes.Repeat([]byte{0x80}, size), byte(i)))
		list = append(list, member{name: mailbox.name, text: `{"name":{"base64":"` + text + `"}}`})
	}
	if _, err := archive.Scan(t.Context(), bytes.NewReader(tarOf(t, list...))); !errors.Is(err, archive.ErrTooMuch) {
		t.Errorf("more than %d bytes: %v", archive.MaxHave, err)
	}
}

// TestPathsStay: a message that goes from one archive into another keeps the path
// by which its copies name it, if it is one.
func TestPathsStay(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := archive.NewWriter(&b)
	for path, want := range map[string]string{"eider/0003/0002/77": "eider/0003/0002/77", "../../x": "eider/0000/0000/", "": "eider/0000/0000/"} {
		m := &archive.Message{Path: path, Error: "none"}
		if err := w.Add(archive.Item{Message: m}); err != nil || !strings.HasPrefix(m.Path, want) {
			t.Errorf("%q becomes %q, %v", path, m.Path, err)
		}
	}
}
