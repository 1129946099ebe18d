package web_test

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/test/corpus"
)

// TestOddMailIsShown opens every third of the malformed messages: each has a
// page, its frame works, and the file is what was stored.
func TestOddMailIsShown(t *testing.T) {
	t.Parallel()
	list := corpus.Torture(t)
	r := newRig(t, setup{})
	b, a := r.account()
	for i := 0; i < len(list); i += 3 {
		m := list[i]
		d := r.deposit(a.ID, string(m.Data))
		path := "/messages/" + num(d.Msg)
		p := b.get(path, "X-Frag", "1")
		if p.StatusCode != 200 || strings.Contains(p.text, "ZgotmplZ") {
			t.Errorf("%s: %d", m.Name, p.StatusCode)
		}
		if frame := between(p.text, `src="/f/`, `"`); frame != "" {
			if f := b.get("/f/"+frame, "Sec-Fetch-Dest", "iframe"); f.StatusCode != 200 {
				t.Errorf("%s: its frame: %d", m.Name, f.StatusCode)
			}
		}
		if e := b.get(path + "/message.eml"); e.text != string(m.Data) {
			t.Errorf("%s: the .eml is not what was stored", m.Name)
		}
	}
}
