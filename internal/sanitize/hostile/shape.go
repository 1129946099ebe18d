package hostile

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"unicode/utf16"
)

// shapes are groups 32 and 33.
func shapes() []Vector {
	charset := func(name, header string, body func(name string) string) Vector {
		return whole(32, name, Script|Old, func(name string) []byte {
			return append(crlf("From: m@evil.test\nTo: ada@x.test\nSubject: "+name+"\nMIME-Version: 1.0\n"+
				"Content-Type: text/html"+header+"\nContent-Transfer-Encoding: 8bit\n\n"), body(name)...)
		})
	}
	img := func(name string) string { return `<img src=x onerror="` + js(name) + `">` }
	utf7 := func(name string) string {
		return "+ADw-script+AD4-" + strings.ReplaceAll(js(name), "'", "+ACc-") + "+ADw-/script+AD4-"
	}
	all := []Vector{
		charset("a-utf-7", "; charset=utf-7", utf7),
		charset("b-utf-7-undeclared", "", utf7),
		charset("c-utf-7-meta", "", func(n string) string { return "<meta charset=utf-7>" + utf7(n) }),
		charset("d-utf-16", "; charset=utf-16", func(n string) string { return wide(img(n), binary.BigEndian) }),
		charset("e-utf-16-undeclared", "", func(n string) string { return wide(img(n), binary.LittleEndian) }),
		charset("f-iso-2022-jp", "; charset=iso-2022-jp", func(n string) string {
			return "<a title=\"\x1b$B\">\x1b(B" + img(n) + "<p title='\x1b(J'>" + img(n)
		}),
		charset("g-meta-conflict", "; charset=utf-8", func(n string) string {
			return "<meta charset=gbk><p title=\"\xc0\"" + img(n) + "\">"
		}),
		charset("h-meta-late", "", func(n string) string {
			return strings.Repeat(" ", 2000) + "<meta http-equiv=content-type content='text/html; charset=utf-7'>" + utf7(n)
		}),
		charset("i-overlong", "; charset=utf-8", func(n string) string {
			return "\xc0\xbcscript\xc0\xbe" + js(n) +
				"\xc0\xbc/script\xc0\xbe"
		}),
		charset("j-replacement", "; charset=iso-2022-kr", func(n string) string {
			return "\x0e" + img(n) + "\x0f" +
				img(n)
		}),
		charset("k-halfwidth", "; charset=us-ascii", func(n string) string {
			return "\xbcscript\xbe" + js(n) +
				"\xbc/script\xbe＜script＞"
		}),
	}
	return append(all, sizes()...)
}

// sizes is group 33: what is only too much.
func sizes() []Vector {
	big := func(name string, f func() string) Vector {
		return whole(33, name, Looks, func(name string) []byte {
			return message("Content-Type: text/html; charset=utf-8", name, f())
		})
	}
	return []Vector{
		big("a-from-lines", func() string { return "From x\n\nFrom nobody Mon Jan  2\n>From y\n.\n..\n" }),
		big("b-nul", func() string { return "<p>a\x00b<im\x00g src=x onerror=alert(1)>\x00" }),
		big("c-one-line", func() string { return strings.Repeat("<b>x</b> ", 10<<20/9) }),
		big("d-deep", func() string { return strings.Repeat("<div>", 10_000) + "x" }),
		big("e-deep-tables", func() string { return strings.Repeat("<table><tr><td>", 10_000) + "x" }),
		big("f-nodes", func() string { return strings.Repeat("<p>x", 100_000) }),
		big("g-formatting", func() string {
			return strings.Repeat("<font size=1><b><i>", 300) + strings.Repeat("<p>x", 10_000)
		}),
		big("h-attributes", func() string { return "<p " + strings.Repeat("a=b onclick=c ", 100_000) + ">x" }),
		big("i-styles", func() string { return "<style>" + strings.Repeat("p{color:red}", 200_000) + "</style>x" }),
		whole(33, "j-parts", Looks, func(name string) []byte {
			return crlf("Subject: " + name + "\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" +
				strings.Repeat("--b\nContent-Type: text/plain\n\nx\n", 1000) + "--b--\n")
		}),
		whole(33, "k-headers", Looks, func(name string) []byte {
			return crlf("Subject: " + name + "\n" + strings.Repeat("X-Header: value\n", 5000) + "\nbody\n")
		}),
		whole(33, "l-bare-cr", Looks, func(name string) []byte {
			return []byte("Subject: " + name +
				"\r\rbody\rwith\rCR\r\n\r\nx")
		}),
		whole(33, "m-no-end", Looks, func(name string) []byte {
			return []byte("Subject: " + name +
				"\r\n\r\nno line end")
		}),
	}
}

// wide is s in UTF-16.
func wide(s string, order binary.AppendByteOrder) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// pngBomb is a small PNG of 60,000 by 60,000 pixels.
func pngBomb() string {
	const side = 60_000
	var data bytes.Buffer
	z := zlib.NewWriter(&data)
	row := make([]byte, 1+side/8) // one bit per pixel
	for range 200 {               // the first rows are enough to be taken for an image
		_, _ = z.Write(row)
	}
	_ = z.Close()
	head := binary.BigEndian.AppendUint32(nil, side)
	head = binary.BigEndian.AppendUint32(head, side)
	head = append(head, 1, 0, 0, 0, 0)
	return "\x89PNG\r\n\x1a\n" + pngChunk("IHDR", head) + pngChunk("IDAT", data.Bytes()) + pngChunk("IEND", nil)
}

func pngChunk(typ string, data []byte) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data))) //nolint:gosec // small
	b = append(b, typ...)
	b = append(b, data...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:])))
}

// gifFrames is a GIF of one pixel and 10,000 frames.
func gifFrames() string {
	return "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" +
		strings.Repeat("!\xf9\x04\x04\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00", 10_000) +
		";"
}
