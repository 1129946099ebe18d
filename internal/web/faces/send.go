package faces

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"net/netip"
	"net/textproto"
	"strings"
	"time"

	"crypto/rand"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
)

// Limit: recipients of a message that is sent by Mailpit's API.
const MaxRecipients = 1000

// Limit: attachments of a message that is sent by Mailpit's API.
const MaxAttachments = 100

// Limit: header fields of its own that a message sent by Mailpit's API may have.
const MaxHeaders = 100

type pitPerson struct{ Email, Name string }

// pitMail is the body of POST /api/v1/send.
type pitMail struct {
	From        pitPerson
	To, Cc      []pitPerson
	Bcc         []string
	ReplyTo     []pitPerson
	Subject     string
	Text, HTML  string
	Headers     map[string]string
	Attachments []struct {
		Filename, ContentType, ContentID string
		Content                          []byte // base64 in JSON
	}
	Tags []string
}

// pitSend is POST /api/v1/send: the message is built and put into the inbox.
func (f *Faces) pitSend(c *call) error {
	if err := f.o.Policy.Space(c.ctx); err != nil {
		return err
	}
	if err := f.o.Policy.Send(c.ctx, c.acct); err != nil {
		return err
	}
	// The body waits in the spool, so that a slow client keeps nobody from his turn.
	body := f.o.Spool.Message()
	defer body.Close()
	if _, err := io.Copy(body, f.sendBody(c)); err != nil {
		return bodyError(err)
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), StoreBudget) // the first one may be used up by now
	defer cancel()
	end, err := f.sends.take(ctx, c.acct)
	if err != nil {
		return err
	}
	defer end()
	id, err := f.store(ctx, c, body)
	if err != nil {
		return err
	}
	return c.reply(map[string]string{"ID": fmt.Sprint(uint64(id))})
}

// bodyError is why a body is not in the spool.
func bodyError(err error) error {
	var big *http.MaxBytesError
	var disk *fs.PathError
	if errors.As(err, &big) || errors.As(err, &disk) {
		return err
	}
	return bad("The body did not come to its end.")
}

// sendBody is a request's body; JSON and base64 make a message larger than it will be.
func (f *Faces) sendBody(c *call) io.Reader {
	limit := f.o.Policy.MessageLimit()
	if limit <= 0 {
		limit = 64 << 20
	}
	return http.MaxBytesReader(c.w, c.r.Body, limit+limit/2+MaxBody)
}

// store builds the message that a body describes and puts it into the inbox.
func (f *Faces) store(ctx context.Context, c *call, body *spool.Message) (mailstore.MsgID, error) {
	m, err := mailOf(body)
	if err != nil {
		return 0, err
	}
	from, to, err := m.envelope()
	if err != nil {
		return 0, err
	}
	msg := f.o.Spool.Message()
	defer msg.Close()
	b := bufio.NewWriter(msg)
	if err := m.build(b, f.o.Now()); err != nil {
		return 0, err
	}
	if err := b.Flush(); err != nil {
		return 0, err
	}
	peer, _ := netip.ParseAddrPort(c.r.RemoteAddr)
	done, err := f.o.Store.Deposit(ctx, []mailstore.AcctID{c.acct}, mailstore.Deposit{
		MakeRoom: f.o.Policy.MakeRoom(), Keywords: []string{mailstore.DeliveryKeyword},
		Envelope: mailstore.Envelope{From: from, To: to[:min(len(to), mailstore.MaxStoredRecipients)], ToCount: len(to),
			Protocol: "API", Client: peer.Addr().Unmap().String(), Received: f.o.Now()},
	}, msg)
	if err != nil {
		return 0, err
	}
	return done[0].Msg, nil
}

// mailOf reads a body that is in the spool.
func mailOf(body *spool.Message) (*pitMail, error) {
	text := make([]byte, body.Size())
	if _, err := io.ReadFull(body.Reader(), text); err != nil {
		return nil, err
	}
	m := new(pitMail)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, bad("The body must be JSON: a message with From, To, Subject, Text or HTML.")
	}
	return m, nil
}

// envelope is who sends to whom, checked.
func (m *pitMail) envelope() (from string, to []string, err error) {
	addr := func(s string) string {
		a, perr := mail.ParseAddress(s)
		if perr != nil && err == nil {
			err = bad("%q is not a mail address.", cut(s, 100))
			return ""
		}
		if a == nil {
			return ""
		}
		return a.Address
	}
	from = addr(m.From.Email)
	for _, p := range append(append([]pitPerson{}, m.To...), m.Cc...) {
		to = append(to, addr(p.Email))
	}
	for _, s := range m.Bcc {
		to = append(to, addr(s))
	}
	for _, p := range m.ReplyTo {
		addr(p.Email)
	}
	switch {
	case err != nil:
	case len(to) == 0:
		err = bad("There are no recipients: give To, Cc or Bcc.")
	case len(to) > MaxRecipients:
		err = bad("There are more than %d recipients.", MaxRecipients)
	case len(m.Attachments) > MaxAttachments:
		err = bad("There are more than %d attachments.", MaxAttachments)
	case len(m.Headers) > MaxHeaders:
		err = bad("There are more than %d header fields.", MaxHeaders)
	}
	return from, to, err
}

// build writes the message (RFC 5322, RFC 2045). Errors of b show when it is flushed.
func (m *pitMail) build(b *bufio.Writer, now time.Time) error {
	field := func(name, value string) { fmt.Fprintf(b, "%s: %s\r\n", name, value) }
	field("From", person(m.From))
	for _, l := range []struct {
		name string
		list []pitPerson
	}{{"To", m.To}, {"Cc", m.Cc}, {"Reply-To", m.ReplyTo}} {
		var all []string
		for _, p := range l.list {
			all = append(all, person(p))
		}
		if len(all) > 0 {
			field(l.name, strings.Join(all, ",\r\n\t"))
		}
	}
	field("Subject", mime.QEncoding.Encode("utf-8", m.Subject))
	given := map[string]bool{}
	for name, value := range m.Headers {
		if !fieldName(name) {
			return bad("%q cannot be the name of a header field.", cut(name, 50))
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch name {
		case "From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Mime-Version", "Content-Type", "Content-Transfer-Encoding":
			continue // what the message itself says
		}
		given[name] = true
		field(name, mime.QEncoding.Encode("utf-8", value))
	}
	if !given["Date"] {
		field("Date", now.Format(time.RFC1123Z))
	}
	if !given["Message-Id"] {
		field("Message-ID", "<"+strings.ToLower(rand.Text())+"@eider.invalid>")
	}
	field("MIME-Version", "1.0")
	return m.content(b)
}

// content writes the texts and files.
func (m *pitMail) content(b *bufio.Writer) error {
	w := multipart.NewWriter(b)
	fmt.Fprintf(b, "Content-Type: multipart/mixed; boundary=%q\r\n\r\n", w.Boundary())
	alt := multipart.NewWriter(b)
	if _, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {fmt.Sprintf(
		"multipart/alternative; boundary=%q", alt.Boundary())}}); err != nil {
		return err
	}
	for _, t := range [][2]string{{"plain", m.Text}, {"html", m.HTML}} {
		if t[1] == "" && (t[0] == "html" || m.HTML != "") {
			continue
		}
		p, err := alt.CreatePart(textproto.MIMEHeader{"Content-Type": {"text/" + t[0] + "; charset=utf-8"},
			"Content-Transfer-Encoding": {"quoted-printable"}})
		if err != nil {
			return err
		}
		q := quotedprintable.NewWriter(p)
		if _, err := io.WriteString(q, t[1]); err != nil {
			return err
		}
		if err := q.Close(); err != nil {
			return err
		}
	}
	if err := alt.Close(); err != nil {
		return err
	}
	for _, a := range m.Attachments {
		kind, _, err := mime.ParseMediaType(a.ContentType)
		if err != nil || strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
			kind = "application/octet-stream"
		}
		h := textproto.MIMEHeader{"Content-Type": {kind}, "Content-Transfer-Encoding": {"base64"},
			"Content-Disposition": {disposition(a.Filename, a.ContentID != "")}}
		if a.ContentID != "" {
			h.Set("Content-Id", "<"+oneLine(a.ContentID)+">")
		}
		p, err := w.CreatePart(h)
		if err != nil {
			return err
		}
		writeBase64(p, a.Content)
	}
	return w.Close()
}

// writeBase64 writes lines of 76 characters (RFC 2045 §6.8). Errors of w show when
// it is flushed.
func writeBase64(w io.Writer, data []byte) {
	const line = 57
	for len(data) > 0 {
		n := min(line, len(data))
		fmt.Fprintf(w, "%s\r\n", base64.StdEncoding.EncodeToString(data[:n]))
		data = data[n:]
	}
}

func disposition(name string, inline bool) string {
	kind := "attachment"
	if inline {
		kind = "inline"
	}
	if d := mime.FormatMediaType(kind, map[string]string{"filename": oneLine(name)}); d != "" && name != "" {
		return d
	}
	return kind
}

func person(p pitPerson) string {
	a, err := mail.ParseAddress(p.Email)
	if err != nil {
		return "" // envelope has refused it
	}
	return (&mail.Address{Name: oneLine(p.Name), Address: oneLine(a.Address)}).String()
}

// oneLine takes out what would begin another header field.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
}

// fieldName tells whether s can be a field's name (RFC 5322 §2.2).
func fieldName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}
