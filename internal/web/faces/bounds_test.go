package faces_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web/faces"
)

// repeated is x,x,x of n.
func repeated(n int, x string) string { return strings.TrimSuffix(strings.Repeat(x+",", n), ",") }

// TestBounds: a request just within a limit is answered, one more is refused
// with its reason.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.deposit(w.all, "Subject: s\r\n\r\nx\r\n")
	send := func(rest string) string {
		return `{"From":{"Email":"a@b.test"},"Subject":"s","Text":"t",` + rest + `}`
	}
	to := `"To":[{"Email":"c@d.test"}],`
	for _, c := range []struct {
		name, method, target string
		body                 func(n int) string
		most, no             int
	}{
		{"MaxRecipients", "POST", "/api/v1/send",
			func(n int) string { return send(`"To":[` + repeated(n, `{"Email":"c@d.test"}`) + `]`) }, faces.MaxRecipients, 400},
		{"MaxAttachments", "POST", "/api/v1/send", func(n int) string {
			return send(to + `"Attachments":[` + repeated(n, `{"Filename":"f","Content":"eA=="}`) + `]`)
		}, faces.MaxAttachments, 400},
		{"MaxHeaders", "POST", "/api/v1/send", func(n int) string {
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf(`"X-%d":"v"`, i))
			}
			return send(to + `"Headers":{` + strings.Join(all, ",") + `}`)
		}, faces.MaxHeaders, 400},
		{"MaxIDs", "PUT", "/api/v1/messages",
			func(n int) string { return `{"Read":true,"IDs":[` + repeated(n, `"1"`) + `]}` }, faces.MaxIDs, 400},
		{"MaxBody", "PUT", "/api/v1/messages",
			func(n int) string { return `{"Read":true,"IDs":["1"` + strings.Repeat(" ", n-25) + `]}` }, faces.MaxBody, 413},
		{"MaxQuery", "GET", "/api/v1/search?query=", func(n int) string { return strings.Repeat("q", n) }, faces.MaxQuery, 400},
		{"MaxTerms", "GET", "/api/v1/search?query=",
			func(n int) string { return strings.TrimSuffix(strings.Repeat("q+", n), "+") }, faces.MaxTerms, 400},
	} {
		for _, n := range []int{c.most, c.most + 1} {
			target, body := c.target, c.body(n)
			if c.method == "GET" {
				target, body = target+body, ""
			}
			want := 200
			if n > c.most {
				want = c.no
			}
			if code, text := w.do(c.method, target, body); code != want {
				t.Errorf("%s: %d: %d, want %d: %.200s", c.name, n, code, want, text)
			}
		}
	}
}

// TestBounds_Answers: answers have so many messages at most.
func TestBounds_Answers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for i := range faces.MaxPage + 20 {
		w.deposit(w.all, fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", i))
	}
	_, text := w.do("GET", "/api/v1/messages?limit=100000", "")
	var list struct {
		Total    int
		Messages []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Messages) != faces.MaxPage || list.Total != faces.MaxPage+20 {
		t.Errorf("MaxPage: %d of %d", len(list.Messages), list.Total)
	}
}

// TestBounds_MailHog: MailHog's answers hold messages themselves: so many bytes
// of JSON, and fewer messages then.
func TestBounds_MailHog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	line := strings.Repeat("x", 76) + "\r\n"
	for range faces.MaxAnswer/(2*900_000) + 10 {
		w.deposit(w.all, "Subject: s\r\n\r\n"+strings.Repeat(line, 900_000/len(line)))
	}
	code, text := w.do("GET", "/api/v2/messages?limit=1000", "")
	for end := time.Now().Add(2 * time.Minute); code == 503 && time.Now().Before(end); { // a busy machine: StoreBudget is over
		code, text = w.do("GET", "/api/v2/messages?limit=1000", "")
	}
	if len(text) > faces.MaxAnswer+1_000_000 || len(text) < faces.MaxAnswer-3_000_000 {
		t.Errorf("MaxAnswer: an answer of %d bytes", len(text))
	}
	var list struct {
		Total, Count int
		Items        []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || list.Count >= list.Total || list.Count == 0 ||
		list.Count != len(list.Items) {
		t.Errorf("%d of %d: %v", list.Count, list.Total, err)
	}
}

// expanding is a message whose bytes each take six in JSON, three times over.
func expanding(n int) string {
	return "Subject: s\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\nContent-Type: text/plain\r\n\r\n" +
		strings.Repeat(strings.Repeat("\x01", 70)+"\r\n", n/72) + "--B--\r\n"
}

// TestBounds_Data: of a message that takes more bytes in JSON than it has, each
// form is cut.
func TestBounds_Data(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.deposit(w.all, expanding(3<<20))
	_, text := w.do("GET", "/api/v1/messages/1", "")
	var it struct {
		Content struct{ Body string }
		MIME    struct{ Parts []struct{ Body string } }
		Raw     struct{ Data string }
	}
	if err := json.Unmarshal([]byte(text), &it); err != nil {
		t.Fatal(err)
	}
	if n := len(text); n < 3*faces.MaxData-1000 || n > 3*faces.MaxData+2000 {
		t.Errorf("MaxData: %d bytes of JSON", n)
	}
	for _, s := range []string{it.Content.Body, it.Raw.Data, it.MIME.Parts[0].Body} {
		if n := len(s); n < faces.MaxData/6-1000 || n > faces.MaxData/5 {
			t.Errorf("MaxData: a text of %d bytes", n)
		}
	}
}

// watched is a client that looks how much memory is in use while an answer comes.
type watched struct {
	header http.Header
	n, due int
	peak   uint64
}

func (w *watched) Header() http.Header { return w.header }
func (w *watched) WriteHeader(int)     {}
func (w *watched) Write(b []byte) (int, error) {
	if w.n += len(b); w.n > w.due {
		w.due += 4 << 20
		w.peak = max(w.peak, inUse())
	}
	return len(b), nil
}

// inUse is how much memory is in use.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBounds_Memory: an answer is never in memory as a whole, nor is a message of it,
// however much longer it is in JSON. No other test runs meanwhile.
func TestBounds_Memory(t *testing.T) {
	w := newWorld(t, false)
	for range 4 {
		w.deposit(w.all, expanding(4<<20-1000))
	}
	for path, least := range map[string]int{"/api/v2/messages?limit=4": faces.MaxAnswer / 2, "/api/v1/messages/1": 3 * faces.MaxData / 2,
		"/api/v1/message/1": 6 * faces.MaxText / 2, "/view/1.txt": faces.MaxText / 2} {
		r := httptest.NewRequest("GET", path, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:4000", "localhost:8025"
		before, got := inUse(), &watched{header: http.Header{}}
		w.h.ServeHTTP(got, r)
		if got.n < least {
			t.Errorf("%s: only %d bytes", path, got.n)
		}
		if got.peak > before+4<<20 {
			t.Errorf("%s: %d MB more in use for an answer of %d MB", path, (got.peak-before)>>20, got.n>>20)
		}
	}
}

// TestBounds_Scan: a search looks at the MaxScan newest messages.
func TestBounds_Scan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.deposit(w.all, "Subject: too-far\r\n\r\nx\r\n")
	w.deposit(w.all, "Subject: just-near\r\n\r\nx\r\n")
	m := w.pool.Message()
	defer m.Close()
	_, _ = m.Write([]byte("Subject: other\r\n\r\nx\r\n"))
	for left := faces.MaxScan - 1; left > 0; left -= min(left, 200) {
		for _, r := range w.store.DepositMany(t.Context(), w.all, slices.Repeat([]mailstore.Incoming{{Message: m}}, min(left, 200))) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	for word, want := range map[string]bool{"just-near": true, "too-far": false} {
		if _, text := w.do("GET", "/api/v1/search?query=subject:"+word, ""); strings.Contains(text, `"Subject":"`+word) != want {
			t.Errorf("%s is found: %v: %.300s", word, !want, text)
		}
	}
}

// TestBounds_Time: the store, and a search in texts, have so much time.
func TestBounds_Time(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		target string
		slow   time.Duration // each read of the store
		want   time.Duration
	}{
		"StoreBudget": {"/api/v1/messages", time.Hour, faces.StoreBudget},
		"SearchTime":  {"/api/v1/search?query=absent", time.Second, faces.SearchTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := faultkv.Wrap(memkv.New(), 1)
				w := newWorldOn(t, db, false)
				for i := range 20 {
					w.deposit(w.all, fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("text ", 4_000)))
				}
				db.Add(faultkv.Fault{Ops: faultkv.Reads, Delay: c.slow})
				start := time.Now()
				code, text := w.do("GET", c.target, "")
				if d := time.Since(start); d < c.want || d > c.want+2*time.Second || code == 200 && name == "StoreBudget" {
					t.Errorf("%d after %v: %.200s", code, d, text)
				}
			})
		})
	}
}

// TestBounds_Text: so much of a text is in an answer.
func TestBounds_Text(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for _, n := range []int{faces.MaxText - 1000, faces.MaxText + 1000} {
		w.deposit(w.all, "Subject: s\r\n\r\n"+strings.Repeat("x", n))
		_, text := w.do("GET", "/api/v1/message/latest", "")
		var m struct{ Text string }
		if err := json.Unmarshal([]byte(text), &m); err != nil || len(m.Text) != min(n, faces.MaxText) {
			t.Errorf("of %d bytes there are %d: %v", n, len(m.Text), err)
		}
	}
}
