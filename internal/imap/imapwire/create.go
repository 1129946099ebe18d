package imapwire

// ExpectCreateOptions reads (USE (\Sent)).
func (d *Decoder) ExpectCreateOptions(use *string) bool {
	return d.ExpectList(func() bool {
		if !d.Word("USE") {
			return d.Fail("unknown CREATE option")
		}
		return d.ExpectSP() && d.ExpectList(func() bool {
			var name string
			if !d.ExpectByte('\\') || !d.ExpectAtom(&name) {
				return false
			}
			if *use != "" {
				return d.Fail("one special use at most")
			}
			*use = "\\" + name
			return true
		})
	})
}
