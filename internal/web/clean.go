package web

import (
	"strconv"
	"strings"

	"github.com/eidermail/eider/internal/sanitize"
)

// cleaned is HTML that may be sent to the frame.
type cleaned struct {
	html    []byte
	blocked int
	removed []string
	doubts  []sanitize.Suspicion
}

// clean sanitizes a message's HTML. Its inline images are found below images,
// remote ones are kept only if they were asked for.
func (s *Site) clean(m *mail, page, images string, remote bool) cleaned {
	ids := inlineParts(&m.info.Index)
	r := sanitize.HTML([]byte(page), sanitize.Options{AllowRemote: remote, CID: func(cid string) (string, bool) {
		path, ok := ids[strings.ToLower(cid)]
		return images + path, ok
	}})
	out := cleaned{html: r.HTML, blocked: r.RemoteImages, doubts: r.Suspicious}
	for _, x := range r.Removed {
		what := x.What
		if x.Count > 1 {
			what = strconv.Itoa(x.Count) + " × " + what
		}
		out.removed = append(out.removed, what)
	}
	if r.Truncated {
		out.removed = append(out.removed, "the end: the message is too long to show whole")
	}
	return out
}
