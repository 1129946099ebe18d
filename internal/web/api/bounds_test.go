package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/web/api"
)

// quoted is "x1","x2",… of n strings.
func quoted(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%q", fmt.Sprint("x", i))
	}
	return strings.Join(all, ",")
}

// TestBounds: a request just within a limit is answered, one more is refused.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.put("a@b.test", "A", "x")
	for _, c := range []struct {
		name           string
		method, target string
		body           func(n int) string // nil: n stands in the target
		most, no       int
	}{
		{"MaxPage", "GET", "/v1/messages?limit=%d", nil, api.MaxPage, 422},
		{"MaxWait", "GET", "/v1/messages/wait?subject=A&timeout=%ds", nil, int(api.MaxWait.Seconds()), 422},
		{"MaxTerm", "GET", "/v1/messages?subject=%[2]s", nil, api.MaxTerm, 422},
		{"MaxIDs", "PATCH", "/v1/messages",
			func(n int) string { return `{"ids":[` + quoted(n) + `],"flags":{"seen":true}}` }, api.MaxIDs, 422},
		{"MaxKeywords", "PATCH", "/v1/messages/" + id, func(n int) string { return `{"add":[` + quoted(n) + `]}` },
			api.MaxKeywords, 422},
		{"MaxBody", "PATCH", "/v1/messages/" + id,
			func(n int) string { return `{"seen":true` + strings.Repeat(" ", n-13) + `}` }, api.MaxBody - 1, 413},
	} {
		for _, n := range []int{c.most, c.most + 1} {
			target, body := c.target, ""
			if c.body != nil {
				body = c.body(n)
			} else if strings.Contains(target, "[2]") {
				target = fmt.Sprintf(target, n, strings.Repeat("s", n))
			} else {
				target = fmt.Sprintf(target, n)
			}
			want := 200
			if n > c.most {
				want = c.no
			}
			if rec := w.request(c.method, target, body); rec.Code != want {
				t.Errorf("%s: %d: %d, want %d: %.200s", c.name, n, rec.Code, want, rec.Body)
			}
		}
	}
}

// TestBounds_Message: of a large message so much is answered, and what a search
// looks into is bounded.
func TestBounds_Message(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var fields strings.Builder
	for i := range api.MaxHeaders + 100 {
		fmt.Fprintf(&fields, "X-%d: v\r\n", i)
	}
	id := w.put("a@b.test", "many\r\n"+strings.TrimSuffix(fields.String(), "\r\n"), "x")
	var m api.Message
	w.get(200, "/v1/messages/"+id, &m)
	if n := len(m.Headers); n != api.MaxHeaders {
		t.Errorf("MaxHeaders: %d fields", n)
	}
	// MaxText is more than this server takes of a message: it is base64 of much less.
	w.put("a@b.test", "far", strings.Repeat("x ", api.MaxSearchText/2)+"needle")
	var p api.Page
	w.get(200, "/v1/messages?text=needle", &p)
	if len(p.Messages) != 0 {
		t.Errorf("MaxSearchText: what is behind it is found")
	}
}

// TestBounds_Scan: a search looks at MaxScan messages, and says how to go on.
func TestBounds_Scan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.put("a@b.test", "the first", "x")
	var spools []*spool.Message
	var in []mailstore.Incoming
	for range 200 {
		m := w.pool.Message()
		defer m.Close()
		_, _ = m.Write([]byte("Subject: other\r\n\r\nx\r\n"))
		spools = append(spools, m)
	}
	for range api.MaxScan/len(spools) + 1 {
		in = in[:0]
		for _, m := range spools {
			in = append(in, mailstore.Incoming{Message: m})
		}
		for _, r := range w.mail.DepositMany(t.Context(), w.me.Identity.Acct, in) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	var p api.Page
	w.get(200, "/v1/messages?subject=first", &p)
	if len(p.Messages) != 0 || p.Next == "" {
		t.Fatalf("MaxScan: %d found, next %q", len(p.Messages), p.Next)
	}
	w.get(200, "/v1/messages?subject=first&before="+p.Next, &p)
	if len(p.Messages) != 1 || p.Messages[0].ID != first {
		t.Errorf("MaxScan: going on finds %+v", p.Messages)
	}
}

// TestBounds_Time: a search that takes longer than it may answers with what it
// has, and says how to go on.
func TestBounds_Time(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 600 {
		w.put("a@b.test", fmt.Sprint("number ", i), "x")
	}
	var mu sync.Mutex
	now := time.Now()
	w.reopen(func() time.Time { // each look at the clock is a second later
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	})
	pages, next, found := 0, "", 0
	for pages < 100 && (pages == 0 || next != "") {
		var p api.Page
		w.get(200, "/v1/messages?text=absent&before="+next, &p)
		next, found = p.Next, found+len(p.Messages)
		pages++
	}
	if pages < 3 || pages > 99 || found != 0 {
		t.Errorf("%d messages in %d answers of %v each", found, pages, api.MaxSearchTime)
	}
}

// TestBounds_Streams: so many event streams are open at once for an account.
func TestBounds_Streams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	srv := httptest.NewServer(w.api)
	t.Cleanup(srv.Close)
	open := func() (int, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		r, err := http.NewRequestWithContext(ctx, "GET", srv.URL+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(w.me.User, w.me.Pass)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp.StatusCode, cancel
	}
	var end func()
	for i := range api.MaxStreams {
		code, cancel := open()
		if end = cancel; code != 200 {
			t.Fatalf("stream %d: %d", i, code)
		}
	}
	if code, _ := open(); code != 429 {
		t.Errorf("one more: %d", code)
	}
	end()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if code, _ := open(); code == 200 {
			break
		} else if time.Now().After(until) {
			t.Fatal("a stream that ended is still counted")
		}
	}
}

// TestBounds_AtOnce: so many searches in texts run at once for an account.
func TestBounds_AtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 30 {
		w.put("a@b.test", "s", strings.Repeat("text ", 40_000))
	}
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for range 10 * api.MaxSearches {
		wg.Go(func() {
			rec := w.request("GET", "/v1/messages?text=absent", "")
			mu.Lock()
			codes[rec.Code]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if codes[200] < api.MaxSearches || codes[429] == 0 || codes[200]+codes[429] != 10*api.MaxSearches {
		t.Errorf("MaxSearches: %v", codes)
	}
}
