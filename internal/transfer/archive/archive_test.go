package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/transfer/archive"
)

// member is a file of a tar made by hand.
type member struct {
	name, text string
	kind       byte
	link       string
	size       int64 // said in the header, if not that of text
}

func tarOf(t testing.TB, list ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range list {
		h := &tar.Header{Name: m.name, Size: int64(len(m.text)), Typeflag: m.kind, Linkname: m.link, Mode: 0o644}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read reads an archive to its end.
func read(b []byte) (messages []string, skipped []string, failed error) {
	for it, err := range archive.Read(bytes.NewReader(b)) {
		if s := new(archive.Skipped); errors.As(err, &s) {
			skipped = append(skipped, s.Error())
			continue
		}
		if err != nil {
			return messages, skipped, err
		}
		if it.Message != nil && it.Body != nil {
			text, err := io.ReadAll(it.Body)
			if err != nil {
				return messages, skipped, err
			}
			messages = append(messages, string(text))
		}
	}
	return messages, skipped, nil
}

var (
	head    = member{name: "eider/archive.json", text: `{"format":"eider","version":1}`}
	account = member{name: "eider/0001/account.json", text: `{"address":"a@b.test"}`}
	mailbox = member{name: "eider/0001/0001/mailbox.json", text: `{"name":"INBOX"}`}
	foot    = member{name: "eider/end.json", text: `{}`}
)

// TestHostile: an archive that somebody made up gives only what is a message;
// the rest is told, and no path of it means anything.
func TestHostile(t *testing.T) {
	t.Parallel()
	line := func(size int) member {
		return member{name: "eider/0001/0001/1.json", text: fmt.Sprintf(`{"size":%d}`, size)}
	}
	eml := member{name: "eider/0001/0001/1.eml", text: "good"}
	for name, c := range map[string]struct {
		list              []member
		messages, skipped int
	}{
		"whole":           {[]member{line(4), eml}, 1, 0},
		"climbing paths":  {[]member{{name: "../../etc/cron.d/x", text: "y"}, {name: "/etc/x.eml", text: "y"}, line(4), eml}, 1, 2},
		"symbolic link":   {[]member{{name: "eider/0001/0001/1.json", kind: tar.TypeSymlink, link: "/etc/passwd"}, line(4), eml}, 1, 1},
		"link for bytes":  {[]member{line(4), {name: "eider/0001/0001/1.eml", kind: tar.TypeSymlink, link: "/etc/passwd"}}, 0, 1},
		"hard link":       {[]member{line(4), {name: "eider/0001/0001/1.eml", kind: tar.TypeLink, link: "/etc/passwd"}}, 0, 1},
		"device":          {[]member{{name: "eider/x.json", kind: tar.TypeChar}, line(4), eml}, 1, 1},
		"other size":      {[]member{line(5), eml}, 0, 1},
		"no line":         {[]member{eml}, 0, 1},
		"no bytes":        {[]member{line(4)}, 0, 1},
		"two lines":       {[]member{line(4), line(4), eml}, 1, 1},
		"broken line":     {[]member{{name: "eider/0001/0001/1.json", text: "{"}, eml}, 0, 2},
		"huge line":       {[]member{{name: "eider/x.json", text: strings.Repeat(" ", archive.MaxLine+1)}, line(4), eml}, 1, 1},
		"name of nothing": {[]member{{name: ".json", text: "{}"}, line(4), eml}, 1, 1},
	} {
		messages, skipped, err := read(tarOf(t, append(append([]member{head, account, mailbox}, c.list...), foot)...))
		if err != nil || len(messages) != c.messages || len(skipped) != c.skipped {
			t.Errorf("%s: messages %q, skipped %q, %v", name, messages, skipped, err)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":       {nil, archive.ErrCut},
		"no tar":        {[]byte(strings.Repeat("From me to you\n", 100)), archive.ErrNotArchive},
		"another tar":   {tarOf(t, member{name: "x", text: "y"}), archive.ErrNotArchive},
		"newer version": {tarOf(t, member{name: head.name, text: `{"format":"eider","version":99}`}), archive.ErrVersion},
		"no end":        {tarOf(t, head, account, mailbox), archive.ErrCut},
	} {
		if _, _, err := read(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	whole := tarOf(t, head, account, mailbox, line(4), eml, foot)
	for n := range len(whole) - 1024 - 512 {
		if _, _, err := read(whole[:n]); err == nil {
			t.Fatalf("cut at %d of %d passes for whole", n, len(whole))
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(tarOf(f, head, account, mailbox, member{name: "eider/1.json", text: `{"size":1}`}, member{name: "eider/1.eml", text: "x"}, foot))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = read(b)
		if h, err := archive.Scan(t.Context(), bytes.NewReader(b)); err == nil && h != nil && h.End > int64(len(b)+511) {
			t.Errorf("the end of what is whole is at %d of %d", h.End, len(b))
		}
	})
}
