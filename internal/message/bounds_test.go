package message_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/message"
)

// TestBounds: what is within a limit is kept, what is beyond is cut, and the
// message is read all the same.
func TestBounds(t *testing.T) {
	t.Parallel()
	mixed := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	// related is an HTML part with an image whose Content-ID is 0, written with 256 digits or one more.
	related := func(html string) string {
		s := "Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n" + html + "\r\n"
		for _, n := range []int{message.MaxCIDBytes, message.MaxCIDBytes + 1} {
			s += fmt.Sprintf("--b\r\nContent-Type: image/png\r\nContent-ID: <%0*d>\r\n\r\nx\r\n", n, 0)
		}
		return s + "--b--\r\n"
	}
	inline := func(x *message.Index) (n int) {
		for _, a := range x.Attachments {
			if a.Inline {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		name string
		in   string
		got  func(*message.Index) int
		want int
	}{
		{"MaxParams", "Content-Type: a/b" + numbered(message.MaxParams+20, "; p%d=v") + "\r\n\r\nx",
			func(x *message.Index) int { return len(x.Root.Params) }, message.MaxParams},
		{"MaxParamPieces", "Content-Type: a/b" + numbered(message.MaxParamPieces+500, "; n*%d=v") + "\r\n\r\nx",
			func(x *message.Index) int { return len(message.ParamValue(x.Root.Params, "n")) }, message.MaxParamPieces},
		{"MaxLanguages", "Content-Language: " + numbered(message.MaxLanguages+20, "l%d, ") + "\r\n\r\nx",
			func(x *message.Index) int { return len(x.Root.Language) }, message.MaxLanguages},
		{"MaxReferences", "References: " + numbered(message.MaxReferences+100, "<r%d@x>\r\n ") + "\r\n\r\nx",
			func(x *message.Index) int { return len(x.References) }, message.MaxReferences},
		{"MaxMessageID", "References: <" + strings.Repeat("m", message.MaxMessageID+1) + "> <r@x>\r\n\r\nx",
			func(x *message.Index) int { return len(x.References) }, 1},
		{"MaxAttachments", mixed + numbered(message.MaxAttachments+50,
			"--b\r\nContent-Disposition: attachment; filename=f%d\r\n\r\nx\r\n") + "--b--\r\n",
			func(x *message.Index) int { return len(x.Attachments) }, message.MaxAttachments},
		{"MaxFileName", mixed + "--b\r\nContent-Disposition: attachment; filename=" +
			strings.Repeat("f", message.MaxFileName+100) + "\r\n\r\nx\r\n--b--\r\n",
			func(x *message.Index) int { return len(x.Attachments[0].Name) }, message.MaxFileName},
		{"MaxBoundary", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", message.MaxBoundary) + "\r\n\r\n--" +
			strings.Repeat("b", message.MaxBoundary) + "\r\n\r\nx\r\n", func(x *message.Index) int { return len(x.Root.Parts) }, 1},
		{"MaxBoundary, one more", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", message.MaxBoundary+1) +
			"\r\n\r\n--" + strings.Repeat("b", message.MaxBoundary+1) + "\r\n\r\nx\r\n",
			func(x *message.Index) int { return len(x.Root.Parts) }, 0},
		{"MaxFieldBytes", "Message-ID:" + strings.Repeat(" ", message.MaxFieldBytes) + "<far@x>\r\nSubject: s\r\n\r\nx",
			func(x *message.Index) int { return len(x.Envelope.MessageID) + 10*len(x.Envelope.Subject) }, 10},
		{"MaxFieldName", strings.Repeat("n", message.MaxFieldName+1) + ": v\r\nSubject: s\r\n\r\nx",
			func(x *message.Index) int { return len(x.Root.Type) }, len("text")},
		{"MaxHeaderBytes", numbered(message.MaxHeaderBytes/1000, "X-%06d: "+strings.Repeat("v", 990)+"\r\n") +
			strings.Repeat("Y: "+strings.Repeat("v", 990)+"\r\n", 60) + "Subject: behind\r\n\r\nx",
			func(x *message.Index) int { return len(x.Envelope.Subject) }, 0},
		{"MaxPreviewSource", "\r\n" + strings.Repeat(" \r\n", message.MaxPreviewSource) + "far",
			func(x *message.Index) int { return len(x.Preview) }, 0},
		{"MaxPreview", "\r\n" + strings.Repeat("p", message.MaxPreview), func(x *message.Index) int { return len(x.Preview) },
			message.MaxPreview},
		{"MaxPreview, one more", "\r\n" + strings.Repeat("p", message.MaxPreview+1),
			func(x *message.Index) int { return strings.Count(x.Preview, "p") }, message.MaxPreview},
		{"MaxCIDBytes", related(numbered(1, `<img src="cid:%0`+strconv.Itoa(message.MaxCIDBytes)+`d">`)),
			inline, 1},
		{"MaxCIDBytes, one more", related(numbered(1, `<img src="cid:%0`+strconv.Itoa(message.MaxCIDBytes+1)+`d">`)),
			inline, 0},
		{"MaxCIDs", related(numbered(message.MaxCIDs-1, "<img src=cid:a%d>") + numbered(1, "<img src=cid:%0256d>")), inline, 1},
		{"MaxCIDs, one more", related(numbered(message.MaxCIDs, "<img src=cid:a%d>") + numbered(1, "<img src=cid:%0256d>")),
			inline, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := message.Parse([]byte(c.in))
			if got := c.got(x); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
			if len(x.Defects) > message.MaxDefects {
				t.Errorf("%d remarks", len(x.Defects))
			}
		})
	}
}

// TestBounds_Links: so many links, each so long, in so much text.
func TestBounds_Links(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range message.MaxLinks + 100 {
		fmt.Fprintf(&b, "http://x.test/%d ", i)
	}
	if n := len(message.FindLinks(b.String())); n != message.MaxLinks {
		t.Errorf("MaxLinks: %d links", n)
	}
	if n := len(message.Links(b.String(), "")); n != message.MaxLinks {
		t.Errorf("MaxLinks: %d links of a message", n)
	}
	long := "http://x.test/" + strings.Repeat("a", message.MaxLinkBytes)
	for _, l := range message.Links(long+" http://y.test/", "") {
		if len(l.URL) > message.MaxLinkBytes {
			t.Errorf("MaxLinkBytes: a link of %d bytes", len(l.URL))
		}
	}
	far := strings.Repeat("x ", message.MaxLinkText/2) + "http://far.test/"
	if l := message.Links(far, ""); len(l) != 0 {
		t.Errorf("MaxLinkText: %v", l)
	}
}
