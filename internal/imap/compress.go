package imap

import "github.com/eidermail/eider/internal/imap/inflate"

// handleCompress: RFC 4978 §3. What comes in is decoded as it arrives, for
// clients flush as they like; what goes out is flushed with each write. What
// a client's compressed bytes become is under the same limits as if it had
// sent it plainly.
func (c *conn) handleCompress(r *request) error {
	d := r.dec
	var name string
	if !d.ExpectSP() || !d.ExpectAtom(&name) || !d.ExpectCRLF() {
		return nil
	}
	switch {
	case name != "DEFLATE":
		return &Error{Code: "CANNOT", Text: "unknown compression"}
	case c.packer != nil:
		return &Error{Code: "COMPRESSIONACTIVE", Text: "the connection is compressed already"}
	}
	r.replied = true
	c.bads = 0
	c.enc.Raw(r.tag).Raw(" OK DEFLATE active").CRLF()
	if err := c.enc.Flush(); err != nil {
		return err
	}
	c.packer = c.s.packers.Writer((*connWriter)(c))
	c.in.Reset(inflate.NewReader((*connReader)(c), c.in.Peek()))
	c.enc.Reset(c.packer)
	return nil
}
