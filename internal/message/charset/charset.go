// Package charset turns texts in the charsets of mail into valid UTF-8. A charset
// that is unknown or wrong is guessed, never refused; nothing fails.
package charset

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// charsetAlias are names that senders use and the indexes do not know, or
// take for something else than mail means by them.
var charsetAlias = map[string]encoding.Encoding{
	"utf-16":            unicode.UTF16(unicode.BigEndian, unicode.UseBOM), // RFC 2781 §4.3
	"utf16":             unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
	"utf-7":             utf7{},
	"utf7":              utf7{},
	"unicode-1-1-utf-7": utf7{},
	"csutf7":            utf7{},
	"cp932":             japanese.ShiftJIS,
	"x-cp932":           japanese.ShiftJIS,
	"ms932":             japanese.ShiftJIS,
	"iso-2022-jp-1":     japanese.ISO2022JP,
	"iso-2022-jp-2":     japanese.ISO2022JP,
	"cp949":             korean.EUCKR,
	"ms949":             korean.EUCKR,
	"cp936":             simplifiedchinese.GB18030,
	"gb2312":            simplifiedchinese.GB18030,
	"x-gbk":             simplifiedchinese.GB18030,
	"hz-gb-2312":        simplifiedchinese.HZGB2312,
	"cp950":             traditionalchinese.Big5,
	"ansi_x3.110-1983":  charmap.ISO8859_1,
}

// Find finds a charset by the name a sender gave it; nil if it is not
// known or is ASCII, where guessing is better than following.
func Find(label string) encoding.Encoding {
	label = strings.ToLower(strings.Trim(strings.TrimSpace(label), `"'`))
	switch label {
	case "", "us-ascii", "ascii", "ansi_x3.4-1968", "unknown-8bit", "x-unknown", "8bit", "binary", "default":
		return nil
	case "utf-8", "utf8":
		return unicode.UTF8
	}
	if e, ok := charsetAlias[label]; ok {
		return e
	}
	if len(label) > 64 {
		return nil
	}
	if e, err := htmlindex.Get(label); err == nil && e != encoding.Replacement {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(label); err == nil && e != nil {
		return e
	}
	if e, err := ianaindex.IANA.Encoding(label); err == nil && e != nil {
		return e
	}
	for _, p := range [][2]string{{"cp", "windows-"}, {"iso", "iso-"}, {"8859", "iso-8859"}, {"windows", "windows-"}} {
		if rest, ok := strings.CutPrefix(label, p[0]); ok && rest != "" {
			if e, err := htmlindex.Get(p[1] + strings.TrimLeft(rest, "-_ ")); err == nil {
				return e
			}
		}
	}
	return nil
}

// ASCIIBased says whether a charset's bytes below 0x80 are always ASCII.
func ASCIIBased(e encoding.Encoding) bool {
	if e == nil || e == unicode.UTF8 {
		return true
	}
	if _, ok := e.(*charmap.Charmap); ok {
		return e != charmap.CodePage037 && e != charmap.CodePage1047 && e != charmap.CodePage1140
	}
	return e == japanese.EUCJP || e == korean.EUCKR
}

// ToUTF8 decodes b from the named charset to valid UTF-8. An unknown charset,
// or ASCII with the eighth bit set, is taken as UTF-8 if it is that, else as
// windows-1252, which has a character for every byte.
func ToUTF8(charset string, b []byte) string {
	e := Find(charset)
	if e == nil || e == unicode.UTF8 {
		if utf8.Valid(b) {
			return string(b)
		}
		if e == unicode.UTF8 {
			return strings.ToValidUTF8(string(b), "\uFFFD")
		}
		e = charmap.Windows1252
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

// peekSize is how much of a text without a known charset is looked at to guess it.
const peekSize = 16 << 10

// NewReader returns r as valid UTF-8. The charset is the one named; for HTML
// without a name the one of a meta element; without any that is known it is
// guessed as in ToUTF8.
func NewReader(label string, html bool, r io.Reader) io.Reader {
	e := Find(label)
	if e == nil {
		br := bufio.NewReaderSize(r, peekSize)
		head, _ := br.Peek(peekSize) // an error comes again on Read
		if html && label == "" {
			e = Find(metaCharset(head))
		}
		if e == nil || !ASCIIBased(e) {
			e = guess(head)
		}
		r = br
	}
	return transform.NewReader(r, e.NewDecoder())
}

// guess tells UTF-8 from everything else.
func guess(head []byte) encoding.Encoding {
	if len(head) == peekSize { // the cut may have gone through a character
		for i := 1; i < utf8.UTFMax; i++ {
			if c := head[len(head)-i]; utf8.RuneStart(c) {
				if c >= utf8.RuneSelf {
					head = head[:len(head)-i]
				}
				break
			}
		}
	}
	if utf8.Valid(head) {
		return unicode.UTF8
	}
	return charmap.Windows1252
}

// metaCharset finds the charset that an HTML text names itself.
func metaCharset(head []byte) string {
	head = bytes.ToLower(head[:min(len(head), 1024)])
	for {
		i := bytes.Index(head, []byte("<meta"))
		if i < 0 {
			return ""
		}
		tag := head[i:]
		if end := bytes.IndexByte(tag, '>'); end >= 0 {
			tag = tag[:end]
		}
		if at := bytes.Index(tag, []byte("charset=")); at >= 0 {
			name := bytes.TrimLeft(tag[at+len("charset="):], "\"' ")
			if end := bytes.IndexAny(name, "\"' ;/>"); end >= 0 {
				name = name[:end]
			}
			return string(name)
		}
		head = head[i+len("<meta"):]
	}
}
