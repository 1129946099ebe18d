package imap

import (
	"errors"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/shape"
)

// handleFetch: RFC 9051 §6.4.5, with CHANGEDSINCE (RFC 7162 §3.1.4).
func (c *conn) handleFetch(r *request) error {
	d := r.dec
	var set imapwire.SeqSet
	var items []imapwire.FetchItem
	var o FetchOptions
	var mod imapwire.FetchModifiers
	if !d.ExpectSP() || !d.ExpectSeqSet(&set) || !d.ExpectSP() || !d.ExpectFetchItems(&items) ||
		d.SP() && !d.ExpectFetchModifiers(&mod) || !d.ExpectCRLF() {
		return nil
	}
	o.ChangedSince, o.HasChangedSince = mod.ChangedSince, mod.HasChangedSince
	if (mod.Vanished || mod.Partial != nil) && !r.uid || mod.Vanished && (!c.on.qresync || !o.HasChangedSince) {
		return &Error{Bad: true, Text: "that modifier does not go with this FETCH"}
	}
	r.hold = !r.uid
	uids, err := c.uidsOf(r, set)
	if err != nil {
		return err
	}
	if mod.Partial != nil {
		uids = uids.Slice(mod.Partial.Cut(uids.Len()))
	}
	if mod.Vanished {
		if err := c.writeVanished(r, c.view.Resolve(set), o.ChangedSince, 0); err != nil {
			return err
		}
	}
	f := c.fetcher(r, items, &o)
	o.MarkSeen = !c.readOnly && imapwire.SetsSeen(items)
	r.force = o.MarkSeen
	if uids.Empty() {
		return nil
	}
	err = c.session.Fetch(r.ctx, uids, o, f.write)
	if err != nil {
		return err
	}
	switch {
	case f.unknownCTE:
		return &Error{Code: "UNKNOWN-CTE", Text: "a part has a transfer encoding that is not known"}
	case f.count < uids.Len() && !o.HasChangedSince:
		// Expunged elsewhere, and the client will be told (RFC 2180 §4.1, RFC 5530).
		r.force = true
		if !r.uid {
			r.code, r.text = "EXPUNGEISSUED", "some messages were expunged meanwhile"
		}
	}
	return nil
}

// fetchItems completes the list of items and notes what they need.
func (c *conn) fetchItems(r *request, items []imapwire.FetchItem, o *FetchOptions) []imapwire.FetchItem {
	for i := range items {
		addNeeds(o, &items[i])
	}
	hasModSeq := imapwire.Asks(items, imapwire.ItemModSeq)
	if o.HasChangedSince && !hasModSeq {
		hasModSeq = true
		items = append([]imapwire.FetchItem{{Kind: imapwire.ItemModSeq}}, items...)
	}
	if hasModSeq {
		c.enableCondstore()
	}
	if r.uid && !c.on.uidOnly && !imapwire.Asks(items, imapwire.ItemUID) {
		items = append([]imapwire.FetchItem{{Kind: imapwire.ItemUID}}, items...)
	}
	return items
}

// addNeeds notes what an item needs of a message.
func addNeeds(o *FetchOptions, f *imapwire.FetchItem) {
	switch f.Kind {
	case imapwire.ItemEnvelope, imapwire.ItemBody, imapwire.ItemBodyStructure, imapwire.ItemThreadID,
		imapwire.ItemPreview:
		o.Index = true
	case imapwire.ItemEmailID:
		o.EmailID = true
	case imapwire.ItemRFC822:
		o.Content = true
	case imapwire.ItemRFC822Header, imapwire.ItemRFC822Text:
		o.Index, o.Content = true, true
	case imapwire.ItemSection, imapwire.ItemBinary, imapwire.ItemBinarySize:
		o.Content = true
		o.Index = o.Index || len(f.Section.Part) > 0 || f.Section.Spec != imapwire.SpecAll
	}
}

// fetcher returns what writes a FETCH.
func (c *conn) fetcher(r *request, items []imapwire.FetchItem, o *FetchOptions) *fetcher {
	f := &fetcher{c: c, e: c.enc, items: c.fetchItems(r, items, o)}
	if f.ids = shape.Constant(f.items, c.s.seed, c.enc.UTF8); f.ids != nil {
		o.Prepare = f.prepare
	}
	return f
}

// fetcher writes the FETCH responses of one command.
type fetcher struct {
	c          *conn
	e          *imapwire.Encoder // the connection's, or one whose text is kept
	ids        []uint64          // of the items that are kept as they were written; nil: none is
	ready      []string
	items      []imapwire.FetchItem
	count      int
	unknownCTE bool
	head       headerCache
}

// write writes one message's response (RFC 9051 §7.5.2).
func (f *fetcher) write(m *Message) error {
	c, e := f.c, f.c.enc
	f.count++
	if c.view.Seq(m.UID) == 0 {
		return nil
	}
	if len(m.Flags.Keywords) > 0 {
		c.learn(m.Flags.Keywords)
	}
	f.head = headerCache{}
	c.fetchHead(m.UID)
	for i := range f.items {
		if i > 0 {
			e.SP()
		}
		var err error
		switch {
		case f.ids == nil || f.ids[i] == 0:
			err = f.item(&f.items[i], m)
		case m.Ready[i] != "":
			e.Raw(m.Ready[i])
		default:
			err = f.keep(i, m)
		}
		if err != nil {
			return errors.Join(errBroken, err)
		}
	}
	if m.MarkedSeen {
		c.view.Tell(m.UID, m.ModSeq)
		f.seen(m)
	}
	e.Byte(')').CRLF()
	return e.Err()
}

// seen tells what setting \Seen has changed, as far as the items do not
// (RFC 9051 §6.4.5, RFC 7162 §3.2.4).
func (f *fetcher) seen(m *Message) {
	c, e := f.c, f.c.enc
	if c.on.condstore && !c.on.uidOnly && !imapwire.Asks(f.items, imapwire.ItemUID) {
		e.Raw(" UID ").Number(m.UID)
	}
	if c.on.condstore && !imapwire.Asks(f.items, imapwire.ItemModSeq) {
		e.Raw(" MODSEQ (").Number64(m.ModSeq).Byte(')')
	}
	if !imapwire.Asks(f.items, imapwire.ItemFlags) {
		e.Raw(" FLAGS ").Flags(c.systemFlags(m.UID, m.Flags.System), m.Flags.Keywords)
	}
}

func (f *fetcher) item(it *imapwire.FetchItem, m *Message) error {
	e := f.e
	switch it.Kind {
	case imapwire.ItemFlags:
		e.Raw("FLAGS ").Flags(f.c.systemFlags(m.UID, m.Flags.System), m.Flags.Keywords)
	case imapwire.ItemUID:
		e.Raw("UID ").Number(m.UID)
	case imapwire.ItemInternalDate:
		e.Raw("INTERNALDATE ").DateTime(m.InternalDate)
	case imapwire.ItemSize:
		e.Raw("RFC822.SIZE ").Number64(uint64(m.Size))
	case imapwire.ItemModSeq:
		e.Raw("MODSEQ (").Number64(m.ModSeq).Byte(')')
	case imapwire.ItemEnvelope:
		e.Raw("ENVELOPE ")
		shape.Envelope(e, &m.Index.Envelope)
	case imapwire.ItemBody:
		e.Raw("BODY ")
		shape.Structure(e, m.Index.Root, false)
	case imapwire.ItemBodyStructure:
		e.Raw("BODYSTRUCTURE ")
		shape.Structure(e, m.Index.Root, true)
	case imapwire.ItemEmailID:
		e.Raw("EMAILID (").Raw(m.EmailID).Byte(')')
	case imapwire.ItemThreadID:
		if m.ThreadID == "" {
			e.Raw("THREADID NIL")
		} else {
			e.Raw("THREADID (").Raw(m.ThreadID).Byte(')')
		}
	case imapwire.ItemSaveDate:
		if m.SaveDate.IsZero() {
			e.Raw("SAVEDATE NIL")
		} else {
			e.Raw("SAVEDATE ").DateTime(m.SaveDate)
		}
	case imapwire.ItemPreview:
		e.Raw("PREVIEW ").String(m.Index.Preview)
	default:
		return f.content(it, m)
	}
	return nil
}

// content writes the items that hold bytes of the message.
func (f *fetcher) content(it *imapwire.FetchItem, m *Message) error {
	e := f.e
	s := it.Section
	switch it.Kind {
	case imapwire.ItemRFC822:
		e.Raw("RFC822 ")
	case imapwire.ItemRFC822Header:
		s.Spec = imapwire.SpecHeader
		e.Raw("RFC822.HEADER ")
	case imapwire.ItemRFC822Text:
		s.Spec = imapwire.SpecText
		e.Raw("RFC822.TEXT ")
	case imapwire.ItemBinary:
		e.Raw("BINARY").Section(&s, it.Partial).SP()
		return f.binary(it, m)
	case imapwire.ItemBinarySize:
		e.Raw("BINARY.SIZE").Section(&s, nil).SP()
		return f.binary(it, m)
	default:
		e.Raw("BODY").Section(&s, it.Partial).SP()
	}
	if s.Spec == imapwire.SpecFields || s.Spec == imapwire.SpecFieldsNot {
		return f.fields(&s, it.Partial, m)
	}
	span, ok := shape.Span(&s, m.Index, m.Content)
	if !ok {
		e.Raw("NIL")
		return nil
	}
	return f.span(span, it.Partial, m)
}
