package web_test

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/diag"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web"
)

// TestBounds: of a message that is larger than a page can be, each view shows
// so much, and a list so many rows.
func TestBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, acct := r.account()
	var fields, parts strings.Builder
	for i := range web.MaxFieldsShown + 500 {
		fmt.Fprintf(&fields, "X-F%d: v\r\n", i)
	}
	for range web.MaxPartsShown + 500 {
		parts.WriteString("--b\r\nContent-Type: image/x-shown\r\n\r\nx\r\n")
	}
	line := strings.Repeat("y", 60) + "\r\n"
	many := r.deposit(acct.ID, fields.String()+"Subject: many\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"+parts.String())
	long := r.deposit(acct.ID, "Subject: long\r\n\r\n"+strings.Repeat(line, 2*web.MaxTextShown/len(line)))
	wide := r.deposit(acct.ID, "X-Wide: "+strings.Repeat("w\r\n ", web.MaxHeadersShown/2)+"\r\nSubject: wide\r\n\r\nx\r\n")
	for _, c := range []struct {
		name, path, sign string
		least, most      int
	}{
		{"MaxFieldsShown", num(many.Msg) + "?tab=headers", "X-F", web.MaxFieldsShown / 2, web.MaxFieldsShown},
		// Each stands there twice.
		{"MaxPartsShown", num(many.Msg) + "?tab=parts", "image/x-shown", web.MaxPartsShown, 2 * web.MaxPartsShown},
		{"MaxTextShown", num(long.Msg) + "?tab=text", "y", web.MaxTextShown / 2, web.MaxTextShown + 10_000},
		{"MaxSourceShown", num(long.Msg) + "?tab=source", "y", web.MaxSourceShown / 2, web.MaxSourceShown + 10_000},
		{"MaxHeadersShown", num(wide.Msg) + "?tab=headers", "w", web.MaxHeadersShown / 8, web.MaxHeadersShown/4 + 10_000},
	} {
		p := b.get("/messages/" + c.path)
		if n := strings.Count(p.text, c.sign); p.StatusCode != 200 || n < c.least || n > c.most {
			t.Errorf("%s: %d, %d times %q, from %d to %d", c.name, p.StatusCode, n, c.sign, c.least, c.most)
		}
	}
	for i := range web.ChunkRows + 20 {
		r.deposit(acct.ID, fmt.Sprintf("Subject: rownumber%d\r\n\r\nx\r\n", i))
	}
	rows := map[string]bool{}
	for _, part := range strings.Split(b.get("/messages").text, "rownumber")[1:] {
		rows[strings.TrimRight(part[:2], "<\"&, ")] = true
	}
	if len(rows) > web.ChunkRows || len(rows) < web.ChunkRows/2 {
		t.Errorf("ChunkRows: %d rows", len(rows))
	}
}

// TestBounds_Search: a search looks at so many messages, and offers to go on.
func TestBounds_Search(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{})
	b, acct := r.account()
	r.deposit(acct.ID, "Subject: needle\r\n\r\nx\r\n")
	m := r.spool.Message()
	defer m.Close()
	_, _ = m.Write([]byte("Subject: straw\r\n\r\nx\r\n"))
	straw := slices.Repeat([]mailstore.Incoming{{Message: m}}, 200)
	for range web.MaxSearched/len(straw) + 1 { // or SearchBudget is over before
		for _, d := range r.store.DepositMany(t.Context(), acct.ID, straw) {
			if d.Err != nil {
				t.Fatal(d.Err)
			}
		}
	}
	p := b.get("/messages?q=" + url.QueryEscape("subject:needle"))
	if strings.Contains(p.text, ">needle<") || !strings.Contains(p.text, "before=") && !strings.Contains(p.text, "from=") {
		t.Errorf("MaxSearched: %d %.2000s", p.StatusCode, p.text)
	}
}

// TestBounds_Streams: so many event streams are open at once, of all accounts.
func TestBounds_Streams(t *testing.T) {
	t.Parallel()
	n, again := web.EnterStreams(web.MaxAllStreams + 1)
	if n != web.MaxAllStreams || !again() {
		t.Errorf("%d streams", n)
	}
}

// TestBounds_Connections: a page lists so many connections, the newest.
func TestBounds_Connections(t *testing.T) {
	t.Parallel()
	stories := diag.New(time.Now)
	r := newRig(t, setup{edit: func(o *web.Options) { o.Stories = stories }})
	for i := range web.MaxConnections + 5 {
		stories.Add(diag.Story{Listener: "smtp", At: time.Now(), Client: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})})
		want := min(i+1, web.MaxConnections)
		if n := strings.Count(r.browser().get("/status").text, `<li class="conn`); n != want {
			t.Fatalf("of %d connections %d are listed", i+1, n)
		}
	}
}

// TestBounds_HTML: of a message's HTML, of its pictures and of its files' names
// so much is given; codes are looked for in the beginning.
func TestBounds_HTML(t *testing.T) {
	t.Parallel()
	r := newRig(t, setup{edit: func(o *web.Options) { o.Budget = time.Minute }}) // a busy machine may be slow
	b, acct := r.account()
	line := "<p>" + strings.Repeat("y", 600) + "</p>\r\n"
	long := r.deposit(acct.ID, "Content-Type: text/html\r\n\r\n"+strings.Repeat(line, 3*web.MaxHTML/2/len(line)))
	frame := "/f/" + between(b.get("/messages/"+num(long.Msg)).text, `src="/f/`, `"`)
	if n := strings.Count(b.get(frame, "Sec-Fetch-Dest", "iframe").text, "y"); n < web.MaxHTML/2 || n > web.MaxHTML {
		t.Errorf("MaxHTML: %d bytes", n)
	}
	picture := "\x89PNG\r\n\x1a\n" + strings.Repeat("x", web.MaxInlineImage)
	large := r.deposit(acct.ID, "Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"+
		"<img src=cid:a@b>\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <a@b>\r\nContent-Transfer-Encoding: binary\r\n\r\n"+
		picture+"\r\n--b--\r\n")
	frame = "/f/" + between(b.get("/messages/"+num(large.Msg)).text, `src="/f/`, `"`)
	src := between(b.get(frame, "Sec-Fetch-Dest", "iframe").text, `src="`, `"`)
	if p := b.get(src, "Sec-Fetch-Dest", "image"); p.StatusCode != 200 || len(p.text) != web.MaxInlineImage {
		t.Errorf("MaxInlineImage: %s: %d, %d bytes", src, p.StatusCode, len(p.text))
	}
	for n, want := range map[int]int{web.MaxFileName: web.MaxFileName, web.MaxFileName + 1: web.MaxFileName} {
		named := r.deposit(acct.ID, "Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="+
			strings.Repeat("n", n-4)+".pdf\r\n\r\nx\r\n")
		name := between(b.get("/messages/"+num(named.Msg)+"/parts/1").Header.Get("Content-Disposition"), `filename="`, `"`)
		if len(name) != want || !strings.HasSuffix(name, "n.pdf") {
			t.Errorf("MaxFileName: a name of %d bytes is %q", n, name)
		}
	}
	for n, want := range map[int]bool{web.MaxCodeText - 100: true, web.MaxCodeText: false} {
		coded := r.deposit(acct.ID, "Subject: s\r\n\r\n"+strings.Repeat("z \r\n", n/4)+"Your code is 482913.\r\n")
		if got := strings.Contains(b.get("/messages/"+num(coded.Msg)).text, "<b data-code>482913"); got != want {
			t.Errorf("MaxCodeText: a code behind %d bytes is told: %v", n, got)
		}
	}
}
