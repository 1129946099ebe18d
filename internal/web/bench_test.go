package web_test

import (
	"net/http/httptest"
	"net/url"
	"testing"
)

// BenchmarkMailbox is the page of 50 rows, without the network.
func BenchmarkMailbox(b *testing.B) {
	r := newRig(b, setup{})
	br, a := r.account()
	for i := range 60 {
		r.deposit(a.ID, "From: Person <p"+num(i)+"@example.com>\r\nSubject: number "+num(i)+"\r\n\r\n"+plainMail)
	}
	u, _ := url.Parse(r.http.URL)
	req := httptest.NewRequest("GET", r.http.URL+"/messages", nil)
	for _, k := range br.Jar.Cookies(u) {
		req.AddCookie(k)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		r.site.ServeHTTP(w, req)
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
