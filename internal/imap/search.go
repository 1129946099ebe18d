package imap

import (
	"slices"
	"strings"

	"github.com/eidermail/eider/internal/imap/imapwire"
	"github.com/eidermail/eider/internal/message"
)

// handleSearch: RFC 9051 §6.4.4, with ESEARCH (RFC 4731), WITHIN (RFC 5032)
// and MODSEQ (RFC 7162 §3.1.5).
func (c *conn) handleSearch(r *request) error {
	d := r.dec
	var ret imapwire.SearchReturn
	var key imapwire.SearchKey
	if !d.ExpectSP() || !d.ExpectSearch(&ret, &key, charset) {
		return nil
	}
	r.hold = !r.uid
	hasModSeq, err := c.resolve(&key)
	if err != nil {
		return err
	}
	if hasModSeq {
		c.enableCondstore()
	}
	found, err := c.session.Search(r.ctx, c.view.uids, &key)
	if err != nil {
		return err
	}
	result := found.UIDs
	if !r.uid {
		result = c.view.seqs(result)
	}
	if ret.Extended {
		c.writeESearch(r, &ret, result, found.ModSeqs)
		return nil
	}
	e := c.enc
	e.Raw("* SEARCH")
	for n := range result.All() {
		e.SP().Number(n)
	}
	if hasModSeq && !result.Empty() {
		e.Raw(" (MODSEQ ").Number64(slices.Max(found.ModSeqs)).Byte(')')
	}
	e.CRLF()
	return nil
}

// resolve turns what only this session knows into UIDs: message sequence
// numbers, and which messages are recent.
func (c *conn) resolve(key *imapwire.SearchKey) (hasModSeq bool, err error) {
	key.Walk(func(k *imapwire.SearchKey) {
		switch k.Op {
		case imapwire.SearchSeq:
			uids, ok := c.view.bySeq(k.SeqSet)
			if !ok {
				err = &Error{Bad: true, Text: "there is no message with that number"}
			}
			k.Op, k.Set = imapwire.SearchUID, uids
		case imapwire.SearchUID:
			if k.SeqSet != nil {
				k.Set = c.view.byUID(k.SeqSet)
			}
		case imapwire.SearchRecent:
			*k = uidKey(c.view.recent)
		case imapwire.SearchOld:
			*k = imapwire.SearchKey{Op: imapwire.SearchNot, Keys: []imapwire.SearchKey{uidKey(c.view.recent)}}
		case imapwire.SearchNew:
			seen := imapwire.SearchKey{Op: imapwire.SearchFlag, Flag: imapwire.Seen}
			*k = imapwire.SearchKey{Op: imapwire.SearchAnd, Keys: []imapwire.SearchKey{
				uidKey(c.view.recent), {Op: imapwire.SearchNot, Keys: []imapwire.SearchKey{seen}},
			}}
		case imapwire.SearchModSeq:
			hasModSeq = true
		}
	})
	return hasModSeq, err
}

func uidKey(s imapwire.Set) imapwire.SearchKey {
	return imapwire.SearchKey{Op: imapwire.SearchUID, Set: s}
}

// writeESearch writes the extended result (RFC 4731 §3.1). A result option
// that has nothing to say is left out, except for COUNT.
func (c *conn) writeESearch(r *request, ret *imapwire.SearchReturn, result imapwire.Set, modseqs []uint64) {
	e := c.enc
	e.Raw(`* ESEARCH (TAG `).String(r.tag).Byte(')')
	if r.uid {
		e.Raw(" UID")
	}
	if !result.Empty() {
		if ret.Min {
			e.Raw(" MIN ").Number(result.Min())
		}
		if ret.Max {
			e.Raw(" MAX ").Number(result.Max())
		}
		if ret.All {
			e.Raw(" ALL ").Set(result)
		}
	}
	if ret.Count {
		e.Raw(" COUNT ").Number(uint32(result.Len()))
	}
	if len(modseqs) > 0 {
		e.Raw(" MODSEQ ").Number64(returnedModSeq(ret, modseqs))
	}
	e.CRLF()
}

// returnedModSeq is the highest MODSEQ of the messages that the result names:
// all, or just the first and the last (RFC 7162 §3.1.10).
func returnedModSeq(ret *imapwire.SearchReturn, modseqs []uint64) uint64 {
	first, last := modseqs[0], modseqs[len(modseqs)-1]
	switch {
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

func sortedKeys(m map[string]struct{}) []string {
	keys := make([]string, 0, len(m)+1)
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
