package web

import (
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/message"
	"github.com/eidermail/eider/internal/web/pour"
)

// Limit: bytes of a file's name in a download.
const MaxFileName = 150

// downloadable refuses everything but a download or a page of its own: a file
// of a mail must never become a script, a style or a frame.
func downloadable(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "", "document", "empty":
		return nil
	}
	return errDest
}

// source is the whole message as plain text.
func (s *Site) source(c *call) error {
	return s.raw(c, func(h http.Header, _ *mail) {})
}

// eml is the message as a file, byte for byte.
func (s *Site) eml(c *call) error {
	return s.raw(c, func(h http.Header, m *mail) {
		name := fileName(message.DecodeHeader(m.info.Index.Envelope.Subject), "message")
		h.Set("Content-Type", "message/rfc822")
		h.Set("Content-Disposition", disposition(name+".eml"))
	})
}

func (s *Site) raw(c *call, head func(http.Header, *mail)) error {
	if err := downloadable(c.r); err != nil {
		return err
	}
	m, err := s.open(c)
	if err != nil {
		return err
	}
	content, err := s.content(c, m)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := s.charge(c, m, content.Size()); err != nil {
		return err
	}
	given, err := sent(m, content)
	if err != nil {
		return err
	}
	head(c.w.Header(), m)
	c.w.Header().Set("Content-Length", strconv.FormatInt(given.Size(), 10))
	return s.pour(c, io.NewSectionReader(given, 0, given.Size()))
}

// content opens a message for a download, which may take longer than a page may.
func (s *Site) content(c *call, m *mail) (mailstore.Content, error) {
	return s.o.Store.Content(c.r.Context(), m.acct, m.id)
}

// pour copies a file to the client.
func (s *Site) pour(c *call, r io.Reader) error {
	pour.Out(c.w, c.r, s.o.Log, r)
	return nil
}

// attachment is a file by its id, ATT00001.
func (s *Site) attachment(c *call) error {
	if err := downloadable(c.r); err != nil {
		return err
	}
	m, err := s.open(c)
	if err != nil {
		return err
	}
	for _, a := range m.info.Index.Attachments {
		if a.ID != c.r.PathValue("file") {
			continue
		}
		p := partAt(m, a.Path)
		if p == nil {
			break
		}
		c.w.Header().Set("Content-Length", strconv.FormatInt(a.DecodedSize, 10))
		return s.download(c, m, p, fileName(a.Name, a.ID))
	}
	return errNoFile
}

// part is any leaf of the tree by its number, 1.2.
func (s *Site) part(c *call) error {
	if err := downloadable(c.r); err != nil {
		return err
	}
	m, err := s.open(c)
	if err != nil {
		return err
	}
	number := c.r.PathValue("part")
	p := partAt(m, number)
	if p == nil || len(p.Parts) > 0 {
		return errNoFile
	}
	return s.download(c, m, p, fileName(p.FileName(), "part-"+number))
}

func partAt(m *mail, number string) *message.Part {
	at, ok := message.ParsePath(number)
	if !ok || len(at) == 0 {
		return nil
	}
	return message.FindPart(m.info.Index.Root, at)
}

// download sends a part's decoded bytes as a file without a type: what a
// sender calls it is for people to read only.
func (s *Site) download(c *call, m *mail, p *message.Part, name string) error {
	if err := s.charge(c, m, p.Body.Len()); err != nil {
		return err
	}
	content, err := s.content(c, m)
	if err != nil {
		c.w.Header().Del("Content-Length")
		return err
	}
	defer content.Close()
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Disposition", disposition(name))
	return s.pour(c, message.DecodeTransfer(p.Encoding, io.NewSectionReader(content, p.Body.Start, p.Body.Len())))
}

// fileName makes a name that is safe on any system and shows what it is: no
// controls, no turned-round text, no folders, no leading dots.
func fileName(name, otherwise string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		case unicode.IsSpace(r):
			return ' '
		case strings.ContainsRune(`/\:*?"<>|`, r):
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	name = strings.Trim(name, ". ")
	if len(name) > MaxFileName {
		ext := path.Ext(name)
		if len(ext) > 20 {
			ext = ""
		}
		name = strings.TrimRight(cut(name, MaxFileName-len(ext)), ". ") + ext
	}
	if name == "" {
		return otherwise
	}
	return name
}

// disposition names a file twice, for old and for new clients (RFC 6266 §4.3).
func disposition(name string) string {
	ascii := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return `attachment; filename="` + ascii + `"; filename*=UTF-8''` +
		strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}
