package imap

import (
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/imap/order"
	"github.com/eidermail/eider/internal/message"
)

// handleSearch: RFC 9051 §6.4.4, with ESEARCH (RFC 4731), SEARCHRES (RFC 5182),
// WITHIN (RFC 5032), MODSEQ (RFC 7162 §3.1.5) and PARTIAL (RFC 9394).
func (c *conn) handleSearch(r *request) error {
	d := r.dec
	var q search
	if !d.ExpectSP() || !d.ExpectSearch(&q.ret, &q.key, charset) {
		return nil
	}
	r.hold = !r.uid
	if err := c.resolve(r, &q); err != nil {
		return err
	}
	found, err := c.session.Search(r.ctx, c.view.UIDs(), &q.key)
	if err != nil {
		c.saveNothing(&q)
		return err
	}
	c.save(&q, found.UIDs)
	q.modseqs = found.ModSeqs
	result := found.UIDs
	if !r.uid {
		result = c.view.Seqs(result)
	}
	if c.on.rev2 && !q.ret.Extended { // RFC 9051 §6.4.4: no SEARCH response any more
		q.ret.Extended, q.ret.All = true, true
	}
	if q.ret.Extended {
		c.writeESearch(r, &q, order.SetResult(result))
		return nil
	}
	e := c.enc
	e.Raw("* SEARCH")
	for n := range result.All() {
		e.SP().Number(n)
	}
	if q.hasModSeq && !result.Empty() {
		e.Raw(" (MODSEQ ").Number64(slices.Max(found.ModSeqs)).Byte(')')
	}
	e.CRLF()
	return nil
}

// search is a SEARCH, SORT or THREAD.
type search struct {
	ret       imapwire.SearchReturn
	key       imapwire.SearchKey
	hasModSeq bool
	modseqs   []uint64 // of the messages found, in their order, if hasModSeq
}

// save keeps the result for "$" (RFC 5182 §2.1): with MIN or MAX alone just
// what they name.
func (c *conn) save(q *search, found imapwire.Set) {
	if !q.ret.Save {
		return
	}
	if (q.ret.Min || q.ret.Max) && !q.ret.All && !q.ret.Count && q.ret.Partial == nil && !found.Empty() {
		var ends imapwire.Set
		if q.ret.Min {
			ends = imapwire.SetOf(found.Min())
		}
		if q.ret.Max {
			ends = ends.Union(imapwire.SetOf(found.Max()))
		}
		found = ends
	}
	c.saved = found
}

// saveNothing: a search that failed leaves an empty "$" (RFC 5182 §2.1).
func (c *conn) saveNothing(q *search) {
	if q.ret.Save {
		c.saved = nil
	}
}

// resolve turns what only this session knows into UIDs: message sequence
// numbers, and which messages are recent.
func (c *conn) resolve(r *request, q *search) (err error) {
	if c.on.uidOnly && !r.uid {
		return errUIDRequired
	}
	q.key.Walk(func(k *imapwire.SearchKey) {
		switch k.Op {
		case imapwire.SearchSeq:
			if k.SeqSet.Saved() {
				*k = uidKey(c.view.UIDs().Intersect(c.saved))
				return
			}
			if c.on.uidOnly {
				err = errUIDRequired
			}
			uids, ok := c.view.BySeq(k.SeqSet)
			if !ok {
				err = &Error{Bad: true, Text: "there is no message with that number"}
			}
			k.Op, k.Set = imapwire.SearchUID, uids
		case imapwire.SearchUID:
			switch {
			case k.SeqSet.Saved():
				k.Set = c.view.UIDs().Intersect(c.saved)
			case k.SeqSet != nil:
				k.Set = c.view.ByUID(k.SeqSet)
			}
		case imapwire.SearchRecent:
			*k = uidKey(c.view.Recent())
		case imapwire.SearchOld:
			*k = imapwire.SearchKey{Op: imapwire.SearchNot, Keys: []imapwire.SearchKey{uidKey(c.view.Recent())}}
		case imapwire.SearchNew:
			seen := imapwire.SearchKey{Op: imapwire.SearchFlag, Flag: imapwire.Seen}
			*k = imapwire.SearchKey{Op: imapwire.SearchAnd, Keys: []imapwire.SearchKey{
				uidKey(c.view.Recent()), {Op: imapwire.SearchNot, Keys: []imapwire.SearchKey{seen}},
			}}
		case imapwire.SearchModSeq:
			q.hasModSeq = true
		}
	})
	if q.hasModSeq && err == nil {
		c.enableCondstore()
	}
	return err
}

func uidKey(s imapwire.Set) imapwire.SearchKey {
	return imapwire.SearchKey{Op: imapwire.SearchUID, Set: s}
}

// writeESearch writes the extended result (RFC 4731 §3.1, RFC 5267 §3, RFC
// 9394 §3.1). A result option that has nothing to say is left out, except for
// COUNT and PARTIAL.
func (c *conn) writeESearch(r *request, q *search, found order.Result) {
	e, ret := c.enc, &q.ret
	if ret.OnlySave() {
		return
	}
	e.Raw(`* ESEARCH (TAG `).String(r.tag).Byte(')')
	if r.uid {
		e.Raw(" UID")
	}
	if found.Len() > 0 {
		first, last := found.Ends()
		if ret.Min {
			e.Raw(" MIN ").Number(first)
		}
		if ret.Max {
			e.Raw(" MAX ").Number(last)
		}
		if ret.All {
			e.Raw(" ALL ").Raw(string(found.Append(nil)))
		}
	}
	if ret.Count {
		e.Raw(" COUNT ").Number(uint32(found.Len()))
	}
	if p := ret.Partial; p != nil {
		e.Raw(" PARTIAL (").Raw(string(p.Append(nil))).SP()
		if part := found.Slice(p.Cut(found.Len())); part.Len() > 0 {
			e.Raw(string(part.Append(nil)))
		} else {
			e.Raw("NIL")
		}
		e.Byte(')')
	}
	if len(q.modseqs) > 0 {
		e.Raw(" MODSEQ ").Number64(returnedModSeq(ret, q.modseqs))
	}
	e.CRLF()
}

// returnedModSeq is the highest MODSEQ of the messages that the result names:
// all, or just the first and the last (RFC 7162 §3.1.10).
func returnedModSeq(ret *imapwire.SearchReturn, modseqs []uint64) uint64 {
	first, last := modseqs[0], modseqs[len(modseqs)-1]
	switch {
	case ret.Partial != nil && !ret.All && !ret.Count && !ret.Min && !ret.Max:
		from, to := ret.Partial.Cut(len(modseqs))
		if from < to {
			return slices.Max(modseqs[from:to])
		}
		return slices.Max(modseqs)
	case ret.All || ret.Count || !ret.Min && !ret.Max:
		return slices.Max(modseqs)
	case ret.Min && ret.Max:
		return max(first, last)
	case ret.Min:
		return first
	}
	return last
}

// charset turns search text into UTF-8 (RFC 9051 §6.4.4 CHARSET).
func charset(name, text string) (string, bool) {
	name = strings.ToLower(name)
	switch name {
	case "utf-8", "us-ascii", "ascii":
		return strings.ToValidUTF8(text, "\uFFFD"), true
	}
	known := slices.Contains(charsetNames[:], name)
	for _, p := range charsetPrefixes {
		known = known || strings.HasPrefix(name, p) && len(name) > len(p)
	}
	if !known {
		return "", false
	}
	return message.ToUTF8(name, []byte(text)), true
}

// Charsets that people search in. Others are BADCHARSET.
var (
	charsetPrefixes = [...]string{"iso-8859-", "windows-125"}
	charsetNames    = [...]string{"koi8-r", "koi8-u", "gb2312", "gbk", "gb18030", "big5", "euc-jp", "euc-kr",
		"shift_jis", "iso-2022-jp"}
)
