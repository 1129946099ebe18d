// Package genmail makes mail that looks like mail: for tests that need a lot of
// it, and for the compression dictionary that comes with the program. The same
// seed gives the same messages. People, places and texts are made up here; the
// names of header fields and the ways in which programs write them are those
// that the field uses.
package genmail

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"time"
)

// Generator makes messages.
type Generator struct {
	r    *rand.Rand
	when time.Time
}

// New returns a Generator.
func New(seed uint64) *Generator {
	return &Generator{r: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)), when: time.Unix(1_600_000_000, 0).UTC()}
}

// Message makes the next message, with CRLF line ends.
func (g *Generator) Message() []byte {
	g.when = g.when.Add(time.Duration(g.r.IntN(9000)) * time.Second)
	m := &letter{g: g, from: g.person(), to: g.person(), id: g.id()}
	g.pick(m.fromApplication, m.fromApplication, m.fromPerson, m.fromPerson, m.toList, m.toList, m.patch, m.newsletter,
		m.fromOffice, m.invoice, m.bounce, m.oldStyle)()
	return []byte(strings.ReplaceAll(m.b.String(), "\n", "\r\n"))
}

func (g *Generator) pick(fs ...func()) func() { return fs[g.r.IntN(len(fs))] }

func one(g *Generator, of []string) string { return of[g.r.IntN(len(of))] }

func (g *Generator) some(n int) bool { return g.r.IntN(100) < n }

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func (g *Generator) random(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[g.r.IntN(len(letters))]
	}
	return string(b)
}

func (g *Generator) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[g.r.IntN(16)]
	}
	return string(b)
}

func (g *Generator) base64(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.r.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)
}

func (g *Generator) ip() string {
	return fmt.Sprintf("%d.%d.%d.%d", 1+g.r.IntN(223), g.r.IntN(256), g.r.IntN(256), 1+g.r.IntN(254))
}

func (g *Generator) date() string { return g.when.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// person is somebody with an address.
type person struct{ first, last, address, domain string }

func (g *Generator) person() person {
	p := person{first: one(g, firstNames), last: one(g, lastNames), domain: one(g, domains)}
	p.address = strings.ToLower(one(g, []string{p.first + "." + p.last, p.first, p.first[:1] + p.last,
		p.last})) + "@" + p.domain
	return p
}

func (p person) full() string { return p.first + " " + p.last + " <" + p.address + ">" }

func (g *Generator) id() string {
	switch g.r.IntN(5) {
	case 0:
		return "<" + g.hex(8) + "-" + g.hex(4) + "-" + g.hex(4) + "-" + g.hex(4) + "-" + g.hex(12) + "@" + one(g,
			domains) + ">"
	case 1:
		return "<CA" + g.random(40) + "=" + g.random(8) + "@mail.gmail.com>"
	case 2:
		return "<" + g.when.Format("20060102150405.") + g.random(6) + "@" + one(g, hosts) + ">"
	case 3:
		return "<" + strings.ToUpper(g.hex(40)) + "@" + strings.ToUpper(g.random(11)) + ".prod.outlook.com>"
	default:
		return fmt.Sprintf("<%d.%d.%d.JavaMail.root@%s>", g.r.IntN(1e9), g.r.IntN(9999), g.when.UnixMilli(), one(g,
			hosts))
	}
}

// letter is a message that is being written.
type letter struct {
	g        *Generator
	b        strings.Builder
	from, to person
	id       string
}

func (m *letter) line(format string, args ...any) { fmt.Fprintf(&m.b, format+"\n", args...) }

// received writes the trace of a few hops.
func (m *letter) received() {
	g := m.g
	for range 1 + g.r.IntN(4) {
		by, from := one(g, hosts), one(g, hosts)
		switch g.r.IntN(8) {
		case 0:
			m.line("Received: from %s (%s [%s])\n\tby %s (Postfix) with ESMTP id %s\n\tfor <%s>; %s (UTC)",
				from, from, g.ip(), by, strings.ToUpper(g.hex(11)), m.to.address, g.date())
		case 1:
			m.line("Received: from %s (%s [%s])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n"+
				"\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\n"+
				"\t(No client certificate requested)\n\tby %s (Postfix) with ESMTPS id %s\n\tfor <%s>; %s (UTC)",
				from, from, g.ip(), by, strings.ToUpper(g.hex(11)), m.to.address, g.date())
		case 2:
			m.line("Received: by %s with SMTP id %s;\n        %s", g.ip(), g.hex(20)+"."+
				"7."+fmt.Sprint(g.when.UnixMilli()), g.date())
		case 3:
			m.line("Received: from %s (%s. [%s])\n        by mx.google.com with ESMTPS id %s\n        for <%s>\n"+
				"        (version=TLS1_2 cipher=ECDHE-ECDSA-AES128-GCM-SHA256 bits=128/128);\n        %s",
				from, from, g.ip(), g.hex(34)+".2021", m.to.address, g.date())
		case 4:
			m.line("Received: from %s ([%s]) by %s with Microsoft SMTPSVC(6.0.3790.%d);\n\t %s", from, g.ip(), by,
				g.r.IntN(9999), g.date())
		case 5:
			m.line("Received: (qmail %d invoked from network); %s\nReceived: from unknown (HELO %s) (%s)\n  by %s with "+
				"SMTP; %s",
				g.r.IntN(99999), g.when.Format("2 Jan 2006 15:04:05 -0000"), from, g.ip(), by, g.when.Format("2 Jan 2006 "+
					"15:04:05 -0000"))
		case 6:
			m.line("Received: from %s (%s [%s])\n\tby %s (8.13.8/8.13.8) with ESMTP id %s\n\tfor <%s>; %s",
				from, from, g.ip(), by, g.random(14), m.to.address, g.date())
		default:
			m.line("Received: from [%s] (helo=%s)\n\tby %s with esmtp (Exim 4.9%d)\n\t(envelope-from <%s>)\n\tid "+
				"%s\n\tfor %s; %s",
				g.ip(), from, by, g.r.IntN(9), m.from.address, g.random(6)+"-"+g.random(6)+"-"+g.random(2), m.to.address,
				g.date())
		}
	}
}

// signed writes what mail systems add about who sent it.
func (m *letter) signed() {
	g, d := m.g, m.from.domain
	if g.some(40) {
		m.line("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\n        d=%s; s=%s; t=%d;\n"+
			"        h=from:to:cc:subject:date:message-id:mime-version:content-type:\n         "+
			"content-transfer-encoding:in-reply-to:references;\n"+
			"        bh=%s;\n        b=%s\n         %s\n         %s==", d, one(g, []string{"20210112", "selector1", "d" +
			"efault", "s1", "k1", "mail"}),
			g.when.Unix(), g.base64(32), g.random(60), g.random(62), g.random(48))
	}
	if g.some(30) {
		m.line("Authentication-Results: %s;\n\tdkim=pass (2048-bit key) header.d=%s header.i=@%s header.b=%s;\n"+
			"\tspf=pass (%s: domain of %s designates %s as permitted sender) smtp.mailfrom=%s;\n"+
			"\tdmarc=pass (p=NONE sp=NONE dis=NONE) header.from=%s", one(g, hosts), d, d, g.random(8), one(g, hosts),
			m.from.address, g.ip(), m.from.address, d)
	}
	if g.some(20) {
		m.line("Received-SPF: pass (%s: domain of %s designates %s as permitted sender) client-ip=%s; "+
			"envelope-from=\"%s\"; helo=%s;",
			one(g, hosts), m.from.address, g.ip(), g.ip(), m.from.address, one(g, hosts))
	}
	if g.some(25) {
		m.line("X-Spam-Checker-Version: SpamAssassin 3.4.6 (2021-04-09) on %s\nX-Spam-Level: %s\n"+
			"X-Spam-Status: %s, score=%.1f required=5.0 tests=BAYES_%02d,DKIM_SIGNED,DKIM_VALID,\n\tDKIM_VALID"+
			"_AU,HTML_MESSAGE,"+
			"RCVD_IN_DNSWL_LOW,SPF_HELO_NONE,SPF_PASS,\n\tT_SCC_BODY_TEXT_LINE,URIBL_BLOCKED autolearn=%s "+
			"autolearn_force=no\n\tversion=3.4.6",
			one(g, hosts), strings.Repeat("*", g.r.IntN(6)), one(g, []string{"No", "No", "Yes"}),
			float64(g.r.IntN(90))/10-2,
			g.r.IntN(100), one(g, []string{"ham", "no", "unavailable", "spam"}))
	}
	if g.some(20) {
		m.line("Return-Path: <%s>\nDelivered-To: %s", m.from.address, m.to.address)
	}
}

// head writes the header up to the content's fields.
func (m *letter) head(subject string) {
	g := m.g
	m.received()
	m.signed()
	fields := []func(){
		func() { m.line("From: %s", m.from.full()) },
		func() {
			m.line("To: %s", one(g, []string{m.to.full(), m.to.address, "\"" + m.to.last + ", " + m.to.first + "\" <" +
				m.to.address + ">"}))
		},
		func() { m.line("Subject: %s", subject) },
		func() { m.line("Date: %s", g.date()) },
		func() { m.line("Message-ID: %s", m.id) },
	}
	g.r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	for _, f := range fields {
		f()
	}
	if g.some(20) {
		m.line("Cc: %s,\n\t%s", g.person().full(), g.person().full())
	}
	if g.some(30) {
		m.line("In-Reply-To: %s\nReferences: %s\n\t%s", g.id(), g.id(), g.id())
	}
	if g.some(15) {
		m.line("Reply-To: %s", m.from.address)
	}
	m.line("MIME-Version: 1.0")
}

// program names the sender's program.
func (m *letter) program() {
	g := m.g
	m.line("%s", one(g, []string{
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:91.0) Gecko/20100101\n Thunderbird/91.11.0",
		"User-Agent: Mutt/1.5.21 (2010-09-15)\nContent-Disposition: inline",
		"X-Mailer: Microsoft Outlook Express 6.00.2800.1106\nX-MimeOLE: Produced By Microsoft MimeOLE " +
			"V6.00.2800.1106\n" +
			"X-Priority: 3\nX-MSMail-Priority: Normal",
		"X-Mailer: Microsoft Outlook, Build 10.0.2627\nImportance: Normal\nX-OriginalArrivalTime: " +
			g.when.Format("02 Jan 2006 15:04:05.0000 (MST)") + " FILETIME=[" + strings.ToUpper(g.hex(8)) + ":" +
			strings.ToUpper(g.hex(8)) + "]",
		"X-Mailer: Apple Mail (2.3445.104.11)",
		"X-Mailer: Internet Mail Service (5.5.2653.19)",
		"X-Mailer: QUALCOMM Windows Eudora Version 5.1",
		"X-Mailer: PHPMailer 6.5.0 (https://github.com/PHPMailer/PHPMailer)",
		"X-Mailer: git-send-email 2.31.1",
		"User-Agent: NeoMutt/20170113 (1.7.2)",
		"User-Agent: SquirrelMail/1.4.22",
		"User-Agent: Roundcube Webmail/1.4.11",
		"Precedence: bulk\nX-Auto-Response-Suppress: All\nAuto-Submitted: auto-generated",
	}))
}

// plain writes a text part's fields and body.
func (m *letter) plain(text string) {
	g := m.g
	charset := one(g, []string{"utf-8", "UTF-8", "us-ascii", "iso-8859-1", "\"utf-8\"", "\"iso-8859-1\"", "w" +
		"indows-1252; format=flowed"})
	switch g.r.IntN(6) {
	case 0:
		m.line("Content-Type: text/plain; charset=%s\nContent-Transfer-Encoding: base64\n\n%s", charset,
			wrap(base64.StdEncoding.EncodeToString([]byte(text)), 76))
	case 1, 2:
		m.line("Content-Type: text/plain; charset=%s\nContent-Transfer-Encoding: quoted-printable\n\n%s", charset,
			quoted(text))
	case 3:
		m.line("Content-Transfer-Encoding: 8bit\nContent-Type: text/plain; charset=%s\n\n%s", charset, text)
	default:
		m.line("Content-Type: text/plain; charset=%s\nContent-Transfer-Encoding: 7bit\n\n%s", charset, text)
	}
}

func wrap(s string, width int) string {
	var b strings.Builder
	for len(s) > width {
		b.WriteString(s[:width] + "\n")
		s = s[width:]
	}
	return b.String() + s
}

func quoted(s string) string {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(s)) // a strings.Builder never fails
	_ = w.Close()
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

func (g *Generator) boundary() string {
	return one(g, []string{"----=_NextPart_000_" + strings.ToUpper(g.hex(4)) + "_01C" +
		strings.ToUpper(g.hex(5)) + "." + strings.ToUpper(g.hex(8)),
		"------------" + g.hex(24), "0000000000" + g.hex(18), "--==_mimepart_" + g.hex(24), "=_" + g.hex(32),
		"Apple-Mail=_" + strings.ToUpper(g.hex(8)) + "-" + strings.ToUpper(g.hex(4)), "----=_Part_" +
			fmt.Sprint(g.r.IntN(999999)) + "_" + fmt.Sprint(g.r.IntN(99999999)) + "." +
			fmt.Sprint(g.when.UnixMilli())})
}

// alternative writes a text and its HTML form.
func (m *letter) alternative(text, html string) {
	b := m.g.boundary()
	m.line("Content-Type: multipart/alternative; boundary=\"%s\"\n", b)
	if m.g.some(30) {
		m.line("This is a multi-part message in MIME format.\n")
	}
	m.line("--%s", b)
	m.plain(text)
	m.line("\n--%s", b)
	m.htmlPart(html)
	m.line("\n--%s--", b)
}

func (m *letter) htmlPart(html string) {
	if m.g.some(60) {
		m.line("Content-Type: text/html; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\n%s",
			quoted(html))
		return
	}
	m.line("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n%s", html)
}

// attached writes a text with files.
func (m *letter) attached(text string) {
	g, b := m.g, m.g.boundary()
	m.line("Content-Type: multipart/mixed; boundary=\"%s\"\n", b)
	m.line("This is a multi-part message in MIME format.\n--%s", b)
	m.plain(text)
	for range 1 + g.r.IntN(2) {
		name := one(g, nouns) + one(g, []string{".pdf", ".doc", ".xls", ".png", ".jpg", ".zip", ".txt"})
		m.line("\n--%s\nContent-Type: application/octet-stream;\n\tname=\"%s\"\nContent-Transfer-Encoding: "+
			"base64\n"+
			"Content-Disposition: attachment;\n\tfilename=\"%s\"\n\n%s", b, name, name,
			wrap(g.base64(50+g.r.IntN(12_000)), 76))
	}
	m.line("\n--%s--", b)
}
