package message

import (
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
)

// isFile says whether people call a leaf part a file: it has a name or is
// marked as one, or it is nothing that is read in place.
func (p *Part) isFile() bool {
	switch {
	case p.Type == "multipart":
		return false
	case p.Disposition == "attachment" || hasName(p.DispParams, "filename") || hasName(p.Params, "name"):
		return true
	case p.Type != "text":
		return true
	}
	switch p.Subtype {
	case "plain", "html", "enriched", "richtext", "x-amp-html", "watch-html":
		return false
	}
	return true
}

func hasName(params []Param, name string) bool {
	for _, p := range params {
		if (p.Name == name || p.Name == name+"*") && p.Value != "" {
			return true
		}
	}
	return false
}

// FileName is the name that a part gives its file, decoded, "" if none. It is
// what the sender wrote: never use it as a path.
func (p *Part) FileName() string {
	name := ParamValue(p.DispParams, "filename")
	if name == "" {
		name = ParamValue(p.Params, "name")
	}
	return strings.ToValidUTF8(name[:min(len(name), MaxFileName)], "")
}

// attachments lists the files of the message. An embedded message is one file;
// what is attached to it is found in it.
func (x *Indexer) attachments() {
	var walk func(p *Part, path string)
	walk = func(p *Part, path string) {
		for i, c := range p.Parts {
			walk(c, joinPath(path, i+1))
		}
		if len(p.Parts) > 0 || !p.isFile() {
			return
		}
		if path == "" {
			path = "1"
		}
		x.attach(p, path)
	}
	walk(x.ix.Root, "")
}

func (x *Indexer) attach(p *Part, path string) {
	if len(x.ix.Attachments) >= MaxAttachments {
		x.defect("more attachments than are listed")
		return
	}
	a := Attachment{
		ID:          fmt.Sprintf("ATT%05d", len(x.ix.Attachments)+1),
		Path:        path,
		Name:        p.FileName(),
		Type:        p.Type + "/" + p.Subtype,
		ContentID:   strings.Trim(p.ID, "<> \t"),
		Size:        p.Body.Len(),
		DecodedSize: p.Body.Len(),
	}
	if n, ok := x.sizes[p]; ok {
		a.DecodedSize = n
	}
	a.Inline = p.Disposition == "inline" || a.ContentID != "" && x.cids.found[normalCID(a.ContentID)]
	cost := len(a.Name) + len(a.Type) + len(a.ContentID) + len(path) + 40
	if cost > x.budget {
		x.defect("more attachments than are listed")
		return
	}
	x.budget -= cost
	x.ix.Attachments = append(x.ix.Attachments, a)
}

// normalCID is the form in which a Content-ID and a reference to it are equal:
// without the escapes of URLs and of HTML.
func normalCID(id string) string {
	if strings.IndexByte(id, '&') >= 0 {
		id = html.UnescapeString(id)
	}
	if strings.IndexByte(id, '%') >= 0 {
		if u, err := url.PathUnescape(id); err == nil {
			id = u
		}
	}
	return strings.ToLower(strings.Trim(id, "<> "))
}

func joinPath(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}
