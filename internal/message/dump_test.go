package message_test

import (
	"fmt"
	"strings"

	"github.com/eidermail/eider/internal/message"
)

// dump writes all of an index as text.
func dump(x *message.Index) string {
	var b strings.Builder
	fmt.Fprintf(&b, "size %d refs %q preview %q defects %q\n", x.Size, x.References, x.Preview, x.Defects)
	fmt.Fprintf(&b, "%+v\n%+v\n", x.Envelope, x.Attachments)
	dumpPart(&b, x.Root, "")
	return b.String()
}

func dumpPart(b *strings.Builder, p *message.Part, indent string) {
	q := *p
	q.Parts, q.Message = nil, nil
	fmt.Fprintf(b, "%s%+v\n", indent, q)
	for _, c := range p.Parts {
		dumpPart(b, c, indent+" ")
	}
	if p.Message != nil {
		fmt.Fprintf(b, "%s message %+v\n", indent, p.Message.Envelope)
		dumpPart(b, p.Message.Root, indent+" ")
	}
}
