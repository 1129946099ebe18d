package imap

import "time"

// progress tells the client that its command goes on (RFC 9585 §4), so that
// neither it nor a middlebox takes the connection for dead.
func (c *conn) progress(done, goal int) {
	if time.Since(c.told) < c.s.o.ProgressEvery {
		return
	}
	c.told = time.Now()
	c.enc.Raw("* OK [INPROGRESS (").String(c.running).SP().Number64(uint64(done)).SP().Number64(uint64(goal))
	c.enc.Raw(")] it goes on").CRLF()
	c.enc.Flush()
}
