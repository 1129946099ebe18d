package web

// clean is a stand-in until the sanitizer is there: it shows nothing.
func (s *Site) clean(_ *mail, _, _ string) cleaned { return cleaned{html: "<!doctype html>"} }
