package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/web/api"
)

func TestWaitFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("ada@example.com", "First", "x")
	w.put("bob@example.com", "Second", "x")
	w.put("ada@example.com", "Third", "x")
	after := ""
	for _, want := range []string{"First", "Second", "Third", ""} {
		var got api.Waited
		w.get(200, "/v1/messages/wait?timeout=0s"+after, &got)
		if s := subjectOf(got); s != want {
			t.Fatalf("after %q came %q, want %q", after, s, want)
		}
		after = "&after=" + got.Cursor
	}
	for _, c := range []struct{ query, want string }{
		{"to=ada@example.com", "First"}, {"to=ada@example.com&subject=thi", "Third"}, {"from=nobody", ""},
		{"after=" + w.me.Cursor, "First"}, {"timeout=0", "First"},
	} {
		var got api.Waited
		w.get(200, "/v1/messages/wait?timeout=0s&"+c.query, &got)
		if s := subjectOf(got); s != c.want && c.query != "timeout=0" {
			t.Errorf("%s: %q, want %q", c.query, s, c.want)
		}
	}
}

func subjectOf(w api.Waited) string {
	if w.Message == nil {
		return ""
	}
	return w.Message.Subject
}

// TestWaitSeesEachOnce: many senders while one waits, and every message is
// found exactly once, in order, however the wake-ups fall.
func TestWaitSeesEachOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const senders, each = 4, 50
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range each {
				w.put("a@b.test", fmt.Sprintf("s%d-%d", i, j), "x")
			}
		})
	}
	seen, last := map[string]bool{}, uint32(0)
	cursor := w.me.Cursor
	for range senders * each {
		var got api.Waited
		w.get(200, "/v1/messages/wait?timeout=10s&after="+cursor, &got)
		if got.Message == nil || seen[got.Message.Subject] || got.Message.UID <= last {
			t.Fatalf("after %d messages: %+v", len(seen), got.Message)
		}
		seen[got.Message.Subject], last, cursor = true, got.Message.UID, got.Cursor
	}
	wg.Wait()
	var none api.Waited
	w.get(200, "/v1/messages/wait?timeout=0s&after="+cursor, &none)
	if none.Message != nil {
		t.Errorf("one too many: %q", none.Message.Subject)
	}
}

// TestWaitIsNotWokenByFlags: an old message that gets a flag is not a new one.
func TestWaitIsNotWokenByFlags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.put("a@b.test", "Old", "x")
	var p api.Page
	w.get(200, "/v1/messages", &p)
	w.call(200, "PATCH", "/v1/messages/"+id, `{"seen":true}`, nil)
	var got api.Waited
	w.get(200, "/v1/messages/wait?timeout=0.05s&after="+p.Cursor, &got)
	if got.Message != nil {
		t.Errorf("found %q", got.Message.Subject)
	}
}

// TestWaitInTime runs on a clock of its own, so that 300 s take none.
func TestWaitInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, memkv.New(), nil)
		start := time.Now()
		var got api.Waited
		w.get(200, "/v1/messages/wait?timeout=300s&to=ada@example.com", &got)
		if d := time.Since(start); got.Message != nil || d < 300*time.Second || d > 301*time.Second {
			t.Errorf("none came, and the answer after %v was %+v", d, got.Message)
		}
		go func() {
			time.Sleep(40 * time.Second)
			w.put("bob@example.com", "Not this", "x")
			time.Sleep(40 * time.Second)
			w.put("ada@example.com", "This", "x")
		}()
		start = time.Now()
		w.get(200, "/v1/messages/wait?timeout=300&to=ada@example.com&after="+got.Cursor, &got)
		if d := time.Since(start); subjectOf(got) != "This" || d < 80*time.Second || d > 81*time.Second {
			t.Errorf("after %v: %q", d, subjectOf(got))
		}
		start = time.Now()
		w.get(200, "/v1/messages/wait?after="+got.Cursor, &got)
		if d := time.Since(start); got.Message != nil || d < api.DefaultWait || d > api.DefaultWait+time.Second {
			t.Errorf("the default wait took %v", d)
		}
		// Expired mail is not found, although nobody removed it yet.
		time.Sleep(2 * time.Hour)
		w.get(200, "/v1/messages/wait?timeout=0s", &got)
		if got.Message != nil {
			t.Errorf("expired mail was found: %q", subjectOf(got))
		}
		w.api.Drain()
	})
}

// TestStoreAway: POST /user answers within its budget, since Nodemailer would
// wait for ever; other requests get 503; a wait goes on until its time is over.
func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := faultkv.Wrap(memkv.New(), 1)
		w := newWorldOn(t, store, nil)
		w.get(200, "/v1/account", nil) // the password is known now
		store.Away(true)
		for _, c := range []struct {
			method, path string
			status       int
			most         time.Duration
		}{
			{"POST", "/user", 200, api.UserBudget}, {"GET", "/v1/account", 503, 2 * api.StoreBudget},
			{"GET", "/v1/messages", 503, 2 * api.StoreBudget}, {"GET", "/v1/messages/1/raw", 503, 2 * api.StoreBudget},
			{"GET", "/v1/messages/wait?timeout=60s", 503, 2*api.StoreBudget + time.Minute},
		} {
			start := time.Now()
			rec := w.request(c.method, c.path, "")
			if d := time.Since(start); rec.Code != c.status || d > c.most+time.Second {
				t.Errorf("%s: %d after %v: %s", c.path, rec.Code, d, rec.Body)
			}
			if c.status == 200 && !strings.Contains(rec.Body.String(), `"status":"error"`) {
				t.Errorf("%s: %s", c.path, rec.Body)
			}
			if c.status == 503 && rec.Header().Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", c.path)
			}
		}
		go func() {
			time.Sleep(20 * time.Second)
			store.Away(false)
			w.put("a@b.test", "Back", "x")
		}()
		var got api.Waited
		rec := w.request("GET", "/v1/messages/wait?timeout=60s", "")
		for rec.Code == 503 { // the store was away when the password was checked
			rec = w.request("GET", "/v1/messages/wait?timeout=60s", "")
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || subjectOf(got) != "Back" {
			t.Errorf("%v %s", err, rec.Body)
		}
	})
}

func TestWaitLimitAndDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	codes := make(chan int, api.MaxWaits)
	for range api.MaxWaits {
		wg.Go(func() {
			rec := w.request("GET", "/v1/messages/wait?timeout=60s", "")
			for rec.Code == 429 { // the look for the limit, below, had the last place
				rec = w.request("GET", "/v1/messages/wait?timeout=60s", "")
			}
			codes <- rec.Code
			if rec.Code == 503 && rec.Header().Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
		})
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		rec := w.request("GET", "/v1/messages/wait?timeout=0s", "")
		if rec.Code == 429 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the limit never came")
		}
	}
	w.api.Drain()
	wg.Wait()
	close(codes)
	for c := range codes {
		if c != 503 {
			t.Errorf("a drained wait answered %d", c)
		}
	}
}

// TestWaitGoneClient: a client that leaves frees its place.
func TestWaitGoneClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 * api.MaxWaits {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.request("GET", "/v1/messages/wait?timeout=60s", "", func(r *http.Request) { *r = *r.WithContext(ctx) })
	}
	w.get(200, "/v1/messages/wait?timeout=0s", nil)
}

// events reads a stream until n events came.
func events(t *testing.T, w *world, url string, n int, lastID string) []event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(w.me.User, w.me.Pass)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	if c := resp.Header.Get("Cache-Control"); c != "private, no-store, no-transform" || resp.Header.Get("Vary") != "Authorization" {
		t.Errorf("Cache-Control %q, Vary %q", c, resp.Header.Get("Vary"))
	}
	return readEvents(t, resp, n)
}

type event struct{ id, name, data string }

func readEvents(t *testing.T, resp *http.Response, n int) []event {
	t.Helper()
	var out []event
	var text strings.Builder
	buf := make([]byte, 4096)
	for {
		k, err := resp.Body.Read(buf)
		text.Write(buf[:k])
		out = out[:0]
		blocks := strings.Split(text.String(), "\n\n")
		for _, b := range blocks[:len(blocks)-1] {
			var e event
			for l := range strings.Lines(b) {
				l = strings.TrimSuffix(l, "\n")
				k, v, _ := strings.Cut(l, ": ")
				switch k {
				case "id":
					e.id = v
				case "event":
					e.name = v
				case "data":
					e.data = v
				}
			}
			if e.name != "" {
				out = append(out, e)
			}
		}
		if len(out) >= n {
			return out
		}
		if err != nil {
			t.Fatalf("%d events, then %v: %v", len(out), err, out)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	srv := httptest.NewServer(w.api)
	t.Cleanup(srv.Close)
	t.Cleanup(w.api.Drain)
	var p api.Page
	w.get(200, "/v1/messages", &p)
	id := w.put("a@b.test", "New", "x")
	got := events(t, w, srv.URL+"/v1/events?after="+p.Cursor, 2, "")
	var s api.Summary
	if err := json.Unmarshal([]byte(got[0].data), &s); err != nil || got[0].name != "message" || s.Subject != "New" {
		t.Fatalf("%v %v", err, got)
	}
	at := got[len(got)-1].id
	if at == "" {
		t.Fatalf("no cursor in %v", got)
	}
	w.call(200, "PATCH", "/v1/messages/"+id, `{"seen":true}`, nil)
	if got = events(t, w, srv.URL+"/v1/events", 1, at); got[0].name != "flags" {
		t.Errorf("%v", got)
	}
	w.call(200, "DELETE", "/v1/messages/"+id, "", nil)
	w.put("a@b.test", "Newer", "x")
	got = events(t, w, srv.URL+"/v1/events", 2, at)
	if got[0].name != "message" || !strings.Contains(got[0].data, "Newer") || got[1].name != "gone" ||
		got[1].data != `{"uids":[1]}` {
		t.Errorf("%v", got)
	}
	// From the very start: everything is told.
	got = events(t, w, srv.URL+"/v1/events?after="+w.me.Cursor, 2, "")
	if got[len(got)-1].name == "" || !strings.Contains(fmt.Sprint(got), "Newer") {
		t.Errorf("%v", got)
	}
}

// endings are ways in which a login ends.
func endings(w *world) map[string]func() error {
	ctx, id := w.t.Context(), w.me.Identity.Acct
	return map[string]func() error{
		"new password": func() error { _, err := w.o.Provision.NewPassword(ctx, id); return err },
		"disabled":     func() error { return w.mail.SetDisabled(ctx, id, true) },
		"deleted":      func() error { return w.mail.DeleteAccount(ctx, id) },
		"nothing":      func() error { return nil },
	}
}

// TestLoginEnds: who was let in before the password was changed, or the account
// disabled or deleted, is sent nothing that came later: not by a wait, nor by a
// stream, which ends.
func TestLoginEnds(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1/messages/wait?timeout=20s", "/v1/messages/wait?timeout=1s", "/v1/events"} {
		for _, login := range []string{"Basic", "Bearer"} {
			for _, how := range []string{"new password", "disabled", "deleted", "nothing"} {
				t.Run(path+" "+login+" "+how, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { loginEnds(t, path, login, how) })
				})
			}
		}
	}
}

func loginEnds(t *testing.T, path, login, how string) {
	w := newWorldOn(t, memkv.New(), nil)
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		done <- w.request("GET", path, "", func(r *http.Request) {
			if login == "Bearer" {
				r.Header.Set("Authorization", "Bearer "+w.me.Token)
			}
		})
	}()
	synctest.Wait()
	if err := endings(w)[how](); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)                    // the shorter wait is over
	if how == "new password" || how == "nothing" { // the others take no mail
		w.put("a@b.test", "Secret", "x")
	}
	time.Sleep(20 * time.Second)
	ended := len(done) == 1
	w.api.Drain()
	rec := <-done
	short := strings.Contains(path, "=1s")
	if how == "nothing" {
		if strings.Contains(rec.Body.String(), "Secret") == short || !ended && path != "/v1/events" {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		return
	}
	if !ended {
		t.Error("it goes on")
	}
	if strings.Contains(rec.Body.String(), "Secret") || strings.Contains(rec.Body.String(), "data:") ||
		path != "/v1/events" && rec.Code != 401 && (how != "deleted" || rec.Code != 404) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
