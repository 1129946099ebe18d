package web

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/message"
)

// Limit: bytes of a message's HTML that are shown.
const MaxHTML = 4 << 20

// Limit: bytes of an image inside a message's HTML.
const MaxInlineImage = 32 << 20

// frameLife is how long the address of a frame can be used.
const frameLife = 10 * time.Minute

// A frame's address is permalink ~ options ~ MAC. The frame's origin is
// opaque, so no cookie reaches it or its images: the address is the key, for
// ten minutes, to one message under one set of options.

func (s *Site) frameToken(m *mail, images bool) string {
	opts := "n"
	if images {
		opts = "i"
	}
	if !m.public {
		opts += "o" // for its owner: also where links are off
	}
	return m.link + "~" + opts + "~" + s.o.Auth.Sign("frame", m.link+"~"+opts, s.o.Now().Add(frameLife))
}

// openFrame checks a frame's address and opens its message.
func (s *Site) openFrame(c *call) (m *mail, images bool, err error) {
	link, opts, mac := splitToken(c.r.PathValue("token"))
	if _, ok := s.o.Auth.ParsePermalink(link); !ok {
		return nil, false, errNoMessage
	}
	if !s.o.Auth.Verify("frame", link+"~"+opts, mac) {
		return nil, false, &refusal{code: http.StatusGone, title: "Preview expired",
			text: "Reload the page to see the message again."}
	}
	m, err = s.openLink(c, link, strings.HasSuffix(opts, "o"))
	return m, strings.HasPrefix(opts, "i"), err
}

func splitToken(t string) (link, opts, mac string) {
	link, rest, _ := strings.Cut(t, "~")
	opts, mac, _ = strings.Cut(rest, "~")
	return link, opts, mac
}

// frame is a message's HTML for the sandboxed frame of our pages. Anyone who
// opens its address by itself is sent to the message's page: a mail never
// stands alone under our name.
func (s *Site) frame(c *call) error {
	dest := c.r.Header.Get("Sec-Fetch-Dest")
	if dest != "iframe" && (dest != "" || sendsFetchMetadata(c.r)) {
		link, _, _ := splitToken(c.r.PathValue("token"))
		if _, ok := s.o.Auth.ParsePermalink(link); !ok {
			return errNoMessage
		}
		secure(c.w.Header(), classFile, "")
		http.Redirect(c.w, c.r, "/message/"+link, http.StatusFound)
		return nil
	}
	m, images, err := s.openFrame(c)
	if err != nil {
		return err
	}
	content, err := s.content(c, m)
	if err != nil {
		return err
	}
	defer content.Close()
	_, html := bodies(&m.info.Index)
	if err := s.charge(c, m, shown(m)); err != nil {
		return err
	}
	page, _, err := body(content, html, MaxHTML)
	if err != nil {
		return err
	}
	if images {
		c.w.Header().Set("Content-Security-Policy", cspFrameImages)
	}
	clean := s.clean(m, page, "/f/"+c.r.PathValue("token")+"/cid/", images)
	_, err = c.w.Write(clean.html)
	return ignore(err)
}

// inlineImage is an image that the HTML shows by its Content-ID. Its type is
// told by its bytes, never by the mail.
func (s *Site) inlineImage(c *call) error {
	switch c.r.Header.Get("Sec-Fetch-Dest") {
	case "", "image":
	default:
		return errDest
	}
	m, _, err := s.openFrame(c)
	if err != nil {
		return err
	}
	p := partAt(m, c.r.PathValue("part"))
	if p == nil || len(p.Parts) > 0 {
		return errNoFile
	}
	if err := s.charge(c, m, p.Body.Len()); err != nil {
		return err
	}
	content, err := s.content(c, m)
	if err != nil {
		return err
	}
	defer content.Close()
	src := message.DecodeTransfer(p.Encoding, io.NewSectionReader(content, p.Body.Start, p.Body.Len()))
	head := make([]byte, 32)
	n, err := io.ReadFull(src, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return err
	}
	ctype := imageType(head[:n])
	if ctype == "" {
		return &refusal{code: http.StatusUnsupportedMediaType, title: "Not an image", text: "Only plain pictures are shown."}
	}
	c.w.Header().Set("Content-Type", ctype)
	return s.pour(c, io.LimitReader(io.MultiReader(bytes.NewReader(head[:n]), src), MaxInlineImage))
}

// imageType tells a picture by its first bytes. SVG is a document, not a picture.
func imageType(b []byte) string {
	has := func(at int, magic string) bool {
		return len(b) >= at+len(magic) && string(b[at:at+len(magic)]) == magic
	}
	switch {
	case has(0, "\x89PNG\r\n\x1a\n"):
		return "image/png"
	case has(0, "\xff\xd8\xff"):
		return "image/jpeg"
	case has(0, "GIF87a"), has(0, "GIF89a"):
		return "image/gif"
	case has(0, "RIFF") && has(8, "WEBP"):
		return "image/webp"
	case has(4, "ftypavif"), has(4, "ftypavis"):
		return "image/avif"
	case has(0, "BM"):
		return "image/bmp"
	}
	return ""
}

// inlineParts maps Content-IDs to part numbers.
func inlineParts(x *message.Index) map[string]string {
	ids := map[string]string{}
	for path, p := range message.WalkParts(x.Root) {
		if id := strings.Trim(strings.TrimSpace(p.ID), "<>"); id != "" && path != "" && len(p.Parts) == 0 {
			if _, taken := ids[strings.ToLower(id)]; !taken {
				ids[strings.ToLower(id)] = path
			}
		}
	}
	return ids
}
