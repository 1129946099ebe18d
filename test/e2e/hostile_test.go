package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/sanitize/hostile"
	"github.com/eidermail/eider/test/harness"
)

// work is an attack as the script knows it.
type work struct {
	ID        int        `json:"id"`
	Name      string     `json:"name"`
	Kind      kind       `json:"kind"`
	Open      string     `json:"open"`
	Click     bool       `json:"click"`
	Calls     bool       `json:"calls"`
	Hosts     [][]string `json:"hosts"` // by layer: loading, clicking
	Mail      string     `json:"mail"`
	Link      string     `json:"link"`
	ClickLink string     `json:"clickLink"`
}

// sight is what the script saw of an attack at a layer.
type sight struct {
	ID, Dialogs, Openers, Clicked, Popups, Doubts int
	Layer                                         layer
	Click, Owned                                  bool
	Downloads, Dom                                []string
	Moved, Trouble                                string
}

// sights are all that the script saw.
type sights struct {
	list    []sight
	scripts map[string]bool
	cookies []string
	heard   bool
	planted int
	held    map[int]bool // what is to be held by each layer alone
}

// chooseHeld says which attacks act without defences, as a list of JSON: those
// are to be held by each layer alone. In the soak form all are.
func (s *sights) chooseHeld(t *testing.T, st *stage) string {
	time.Sleep(500 * time.Millisecond) // the sink hears late of some
	for _, i := range s.list {
		if os.Getenv("EIDER_SOAK") != "" || st.acted(s, i) != "" {
			s.held[i.ID] = true
		}
	}
	b, err := json.Marshal(slices.Sorted(maps.Keys(s.held)))
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func (s *sights) take(t *testing.T, raw []byte) {
	var l struct {
		sight
		ID      *int
		Scripts []string
		Cookies []string
		Heard   *bool
		Planted *int
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		t.Errorf("%v: %.200s", err, raw)
		return
	}
	switch {
	case l.ID != nil:
		l.sight.ID = *l.ID
		s.list = append(s.list, l.sight)
	case l.Heard != nil:
		s.heard = *l.Heard
	case l.Planted != nil:
		s.planted = *l.Planted
	case l.Cookies != nil:
		s.cookies = l.Cookies
	default:
		for _, h := range l.Scripts {
			s.scripts[h] = true
		}
	}
}

// TestHostileMail shows every attack of groups 1 to 34 in Chromium: without
// defences, through each layer alone, and in the product.
func TestHostileMail(t *testing.T) {
	parts(t)
	s := harness.Start(t, "--account-quota", "2GB")
	acct := s.NewAccount(t)
	out := openSink(t)
	all := attacks()
	st := openStage(t, out, all)
	jobs := deliver(t, s, acct, st)
	plan := filepath.Join(t.TempDir(), "plan.json")
	b, err := json.Marshal(map[string]any{"stage": st.URL, "sink": out.port, "attacks": jobs,
		"account": map[string]string{"user": acct.User, "pass": acct.Pass}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plan, b, 0o600); err != nil {
		t.Fatal(err)
	}
	saw := &sights{scripts: map[string]bool{}, held: map[int]bool{}}
	run(t, s, script{name: "hostile.mjs", args: []string{plan}, line: func(raw []byte) { saw.take(t, raw) },
		asked: func(string) string { return saw.chooseHeld(t, st) }})
	if !saw.heard {
		t.Error("a script whose request is stopped was not heard of: the test is deaf")
	}
	if saw.planted < 4 {
		t.Errorf("of what was planted into a page %d things were found: the test is blind", saw.planted)
	}
	if slices.Contains(saw.cookies, "x") {
		t.Error("a mail set a cookie")
	}
	if len(saw.list) > 0 {
		judge(t, st, saw)
	}
}

// deliver sends every attack by SMTP and learns how the product shows it.
func deliver(t *testing.T, s *harness.Server, acct harness.Account, st *stage) []work {
	t.Helper()
	c := dial(t, s, acct, "mallory.test")
	jobs := make([]work, len(st.attacks))
	for i, a := range st.attacks {
		w := work{ID: i, Name: a.Name, Kind: a.kind, Open: a.open, Click: a.Acts&hostile.Click != 0,
			Calls: a.Acts&(hostile.Script|hostile.Load|hostile.Navigate) != 0 && a.Acts&hostile.Old == 0}
		for l := bare; l < layers; l++ {
			w.Hosts = append(w.Hosts, []string{a.host(l, false), a.host(l, true)})
		}
		if w.Click && a.kind == asHTML {
			w.ClickLink = c.send(a.letter(st.beacon(a, whole, true)))
		}
		w.Link = c.send(a.letter(st.beacon(a, whole, false)))
		jobs[i] = w
	}
	r := logIn(t, s, acct)
	ids := r.ids()
	for i, a := range st.attacks {
		if jobs[i].Mail = ids[jobs[i].Link]; jobs[i].Mail == "" {
			t.Fatalf("%s is not in the list", a.Name)
		}
		if a.kind != asText {
			continue
		}
		for _, tab := range []string{"text", "headers", "source", "parts", "envelope"} {
			_, page := r.get("/messages/" + jobs[i].Mail + "?tab=" + tab)
			st.shown[i] += strings.ReplaceAll(shownBy(page), a.host(whole, false), a.host(cleaned, false))
		}
	}
	st.learn(t, r, jobs)
	return jobs
}

// learn takes the headers of the product's pages, frames and files.
func (st *stage) learn(t *testing.T, r *reader, jobs []work) {
	t.Helper()
	keep := func(h http.Header) http.Header {
		out := http.Header{}
		for k, v := range h {
			switch k {
			case "Date", "Content-Length", "Set-Cookie", "Transfer-Encoding", "Content-Encoding":
			default:
				out[k] = v
			}
		}
		return out
	}
	for i, a := range st.attacks {
		if a.kind == asHTML && st.frame == nil {
			resp, page := r.get("/messages/" + jobs[i].Mail)
			st.page = keep(resp.Header)
			_, src, _ := strings.Cut(page, `src="/f/`)
			src, _, _ = strings.Cut(src, `"`)
			resp, _ = r.get("/f/"+src, "Sec-Fetch-Dest", "iframe")
			st.frame = keep(resp.Header)
		}
		if a.kind == asFile && st.file == nil {
			resp, _ := r.get("/messages/" + jobs[i].Mail + "/attachments/ATT00001")
			st.file = keep(resp.Header)
		}
	}
	for what, h := range map[string]http.Header{"page": st.page, "frame": st.frame, "file": st.file} {
		if h.Get("Content-Security-Policy") == "" {
			t.Fatalf("the product's %s has no policy: %v", what, h)
		}
	}
}

// excused are the deliberate exceptions: what one layer lets through alone,
// and why that is borne. Nothing is excused in the product.
func excused() map[string]map[layer]func(hit) bool {
	socket := func(h hit) bool { return h.Method == "" }
	return map[string]map[layer]func(hit) bool{
		// Chromium opens a socket for a frame before it asks the policy of the
		// document around, and then sends nothing over it. The one header that
		// stops that, Connection-Allowlist, stops the links of a mail, too. The
		// sanitizer leaves no frames.
		"19h-iframe": {headed: socket},
	}
}

// acted says what an attack did at a layer, "" if nothing.
func (st *stage) acted(saw *sights, i sight) string {
	a := st.attacks[i.ID]
	var did []string
	host := a.host(i.Layer, i.Click)
	if saw.scripts[host] || i.Dialogs > 0 {
		did = append(did, "script ran")
	}
	for _, h := range st.sink.at(host) {
		pass := excused()[a.Name][i.Layer]
		if i.Layer == bare || !(i.Click && h.meant() || pass != nil && pass(h)) {
			did = append(did, h.String())
		}
	}
	if i.Moved != "" {
		did = append(did, "page went to "+i.Moved)
	}
	if i.Openers > 0 {
		did = append(did, "a popup could reach back")
	}
	if i.Layer == whole {
		did = append(did, i.Dom...)
		for _, f := range i.Downloads {
			if a.kind == asHTML {
				did = append(did, "a download began: "+f)
			} else if bad := badName(f); bad != "" {
				did = append(did, fmt.Sprintf("a file is called %q: %s", f, bad))
			}
		}
		if i.Trouble != "" {
			did = append(did, i.Trouble)
		}
	} else if len(i.Downloads) > 0 && a.kind == asHTML && i.Layer != cleaned {
		did = append(did, "a download began: "+i.Downloads[0])
	}
	if len(did) > 3 {
		did = append(did[:3], "…")
	}
	return strings.Join(did, ", ")
}

// badName says what is wrong with the name of a downloaded file.
func badName(f string) string {
	switch {
	case strings.ContainsAny(f, "/\\\x00\r\n"):
		return "a path or a line end"
	case strings.ContainsFunc(f, func(r rune) bool {
		return r < 0x20 || r == 0x7f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}):
		return "a control"
	case len(f) > 255, f == "", strings.HasPrefix(f, "."):
		return "its length or its dot"
	}
	return ""
}

// tally is a group's line of the table.
type tally struct{ vectors, act, calls, deaf, held, looked [layers]int }

// judge prints the table and fails where an attack gets through.
func judge(t *testing.T, st *stage, saw *sights) {
	t.Helper()
	act := map[int]string{}
	for _, i := range saw.list {
		if i.Layer == bare {
			if did := st.acted(saw, i); did != "" {
				act[i.ID] = did
			}
		}
	}
	broke := map[int]*[layers]int{}
	tried := map[[2]int]bool{}
	for _, i := range saw.list {
		tried[[2]int{i.ID, int(i.Layer)}] = true
		if i.Layer == bare {
			continue
		}
		if did := st.acted(saw, i); did != "" {
			g := st.attacks[i.ID].Group
			if broke[g] == nil {
				broke[g] = new([layers]int)
			}
			broke[g][i.Layer]++
			t.Errorf("%s (click %v, without defences: %s) gets through layer %d: %s", st.attacks[i.ID].Name, i.Click,
				act[i.ID], i.Layer, did)
		}
	}
	table(t, st, act, broke)
	if want := 2*len(st.attacks) + 2*len(saw.held); len(tried) != want {
		t.Errorf("%d attacks, bare and in the product, and %d that act at two layers more, but %d were tried",
			len(st.attacks), len(saw.held), len(tried))
	}
	for _, i := range saw.list {
		if i.Layer == whole && !i.Click && !i.Owned {
			t.Errorf("%s was not opened in the list", st.attacks[i.ID].Name)
		}
		if a := st.attacks[i.ID]; a.Group == 25 && i.Layer == whole && !i.Click && i.Doubts == 0 {
			t.Errorf("%s: no doubt about its link is shown", a.Name)
		}
	}
}

// table prints what acted and what held, and fails if nothing acts: then the
// test could not tell.
func table(t *testing.T, st *stage, act map[int]string, broke map[int]*[layers]int) {
	t.Helper()
	total, acting := 0, 0
	var idle []string
	lines := []string{"group                          vectors  act bare  sanitizer  headers  product"}
	for g := 1; g <= len(hostile.Groups()); g++ {
		n, acts := 0, 0
		for id, a := range st.attacks {
			if a.Group != g {
				continue
			}
			n++
			if act[id] != "" {
				acts++
			} else if a.Acts&(hostile.Script|hostile.Load) != 0 && a.Acts&hostile.Old == 0 {
				idle = append(idle, a.Name)
			}
		}
		held := [layers]string{}
		for l := cleaned; l < layers; l++ {
			if held[l] = "holds"; broke[g] != nil && broke[g][l] > 0 {
				held[l] = fmt.Sprintf("%d pass", broke[g][l])
			}
		}
		lines = append(lines, fmt.Sprintf("%2d %-27s %7d %9d  %-9s  %-7s  %s", g, hostile.Groups()[g], n, acts,
			held[cleaned], held[headed], held[whole]))
		total, acting = total+n, acting+acts
	}
	t.Logf("\n%s\n%d attacks, %d act without defences", strings.Join(lines, "\n"), total, acting)
	t.Logf("said to act, but did not in this browser: %s", strings.Join(idle, " "))
	if acting < 100 {
		t.Errorf("%d attacks act without defences: the test could not tell", acting)
	}
}
