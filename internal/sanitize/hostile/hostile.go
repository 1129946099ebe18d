// Package hostile holds mail that attacks whoever looks at it: test data for
// the sanitizer, the frame's headers, the pages and the protocols. Each vector
// belongs to one of 44 numbered groups. Groups 1 to 34 are messages and are
// here; groups 35 to 44 are attacks on the service itself, whose names alone
// are here (Service) so that a test can tell that each is covered somewhere.
//
// Whatever a vector loads or runs makes a request to the beacon: the host that
// takes the place of Beacon, under a path that begins with the vector's name.
// A page is safe when no request arrives. It is used by tests only.
package hostile

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed vectors.txt
var files embed.FS

// Beacon stands for the host (and port) that hears whatever gets through.
const Beacon = "{{BEACON}}"

// Acts says what a vector tries when it is shown without any defence.
type Acts uint8

// What vectors try.
const (
	Script   Acts = 1 << iota // runs script
	Load                      // makes a request
	Navigate                  // takes the page elsewhere
	Click                     // only acts when somebody clicks
	Looks                     // only deceives or overloads
	Old                       // acts in no browser of today; kept because filters fell for it
)

// Vector is one attack.
type Vector struct {
	Group int
	Name  string // "17b-font-face": unique, fit for a path and a file name
	Acts  Acts
	HTML  string        // the HTML text, "" where the attack is elsewhere
	Text  string        // the plain text, "" where the attack is elsewhere
	mail  func() []byte // the whole message, where HTML is not enough
}

// Groups are the names of all groups, by number.
func Groups() map[int]string {
	return map[int]string{
		1: "script element", 2: "event handler", 3: "svg onload", 4: "svg animation", 5: "svg references",
		6: "math and style mutation", 7: "raw text breakout", 8: "nested tables and forms",
		9: "closing tag breakout", 10: "CDATA and doctype", 11: "template and shadow root", 12: "DOM clobbering",
		13: "meta refresh", 14: "meta policy", 15: "base", 16: "link", 17: "CSS loads", 18: "background attributes",
		19: "media and embedding", 20: "CSS selectors that tell", 21: "covering the page", 22: "forms and buttons",
		23: "links", 24: "application schemes", 25: "look-alike links", 26: "header fields", 27: "file names",
		28: "attachment types", 29: "attachments opened", 30: "images that are more", 31: "calendars and cards",
		32: "charsets", 33: "size and shape", 34: "plain text",
	}
}

// Service are the names of the groups that attack the service, by number.
func Service() map[int]string {
	return map[int]string{
		35: "cross-site requests and rebinding", 36: "permalinks and frame tokens", 37: "clickjacking",
		38: "token in the referrer", 39: "caches", 40: "escapes in logs and terminals", 41: "payloads of events",
		42: "texts of notifications", 43: "formulas in CSV", 44: "forged host names",
	}
}

// All returns every vector, by group.
func All() []Vector {
	all := slices.Concat(pages(), texts(), fields(), attachments(), shapes())
	slices.SortStableFunc(all, func(a, b Vector) int { return a.Group - b.Group })
	return all
}

// Page is the HTML with the beacon in place, "" if the vector has none.
func (v Vector) Page(beacon string) string { return strings.ReplaceAll(v.HTML, Beacon, beacon) }

// EML is the whole message, with CRLF and the beacon in place.
func (v Vector) EML(beacon string) []byte {
	var m []byte
	switch {
	case v.mail != nil:
		m = v.mail()
	case v.HTML != "":
		m = message("Content-Type: text/html; charset=utf-8", v.Name, v.HTML)
	default:
		m = message("Content-Type: text/plain; charset=utf-8", v.Name, v.Text)
	}
	return encode(bytes.ReplaceAll(m, []byte(Beacon), []byte(beacon)))
}

// message is a message of one part.
func message(typ, subject, body string) []byte {
	return crlf("From: Mallory <mallory@evil.test>\nTo: ada@x.test\nSubject: " + subject +
		"\nDate: Mon, 2 Jan 2006 15:04:05 +0000\nMessage-ID: <" + subject + "@evil.test>\nMIME-Version: 1.0\n" +
		typ + "\nContent-Transfer-Encoding: 8bit\n\n" + body + "\n")
}

func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n"))
}

// js is a script that tells the beacon that it ran.
func js(name string) string { return "new Image().src='http://" + Beacon + "/" + name + "-script'" }

// url is an address of the beacon.
func url(name string) string { return "http://" + Beacon + "/" + name }

// pages are the vectors of vectors.txt.
func pages() []Vector {
	words := map[string]Acts{"script": Script, "load": Load, "navigate": Navigate, "click": Click, "looks": Looks,
		"old": Old}
	var all []Vector
	text, err := files.ReadFile("vectors.txt")
	if err != nil {
		panic(err) // it is embedded
	}
	_, rest, _ := strings.Cut(string(text), "\n## ")
	for v := range strings.SplitSeq(rest, "\n## ") {
		head, html, _ := strings.Cut(strings.TrimSuffix(v, "\n"), "\n")
		f := strings.Fields(head)
		group, err := strconv.Atoi(f[0][:2])
		if err != nil {
			panic("vectors.txt: " + head)
		}
		var acts Acts
		for _, w := range f[1:] {
			acts |= words[w]
		}
		html = strings.NewReplacer("JS", js(f[0]), "URL", url(f[0]), "{{NUL}}", "\x00", "{{RLO}}", "\u202e",
			"{{PDF}}", "\u202c", "{{ZWSP}}", "\u200b", "{{WJ}}", "\u2060").Replace(html)
		all = append(all, Vector{Group: group, Name: f[0], Acts: acts, HTML: html})
	}
	blur := strings.Repeat(`<div style="filter:blur(99px);position:absolute;inset:0;backdrop-filter:blur(99px)">`, 200)
	return append(all, Vector{Group: 21, Name: "21c-many", Acts: Looks, HTML: blur})
}

// whole makes a vector of a message made by f.
func whole(group int, name string, acts Acts, f func(name string) []byte) Vector {
	name = fmt.Sprintf("%02d%s", group, name)
	return Vector{Group: group, Name: name, Acts: acts, mail: func() []byte { return f(name) }}
}
