// Package storage_test looks at what stored mail takes, from outside: what a
// server tells of it, whether space comes back, what a reader costs, and what a
// sender can learn from how long a delivery takes.
package storage_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/smtp"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noise is what no compression makes smaller.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 11))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// mail is a message with files in it.
func mail(subject string, files ...[]byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Subject: %s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"+
		"--b\r\nContent-Type: text/plain\r\n\r\n%s\r\n", subject, strings.Repeat("A line of text that is like others.\r\n", 20))
	for _, file := range files {
		b.WriteString("--b\r\nContent-Type: application/octet-stream; name=f\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for e := base64.StdEncoding.EncodeToString(file); len(e) > 0; {
			n := min(76, len(e))
			b.WriteString(e[:n] + "\r\n")
			e = e[n:]
		}
	}
	b.WriteString("--b--\r\n")
	return []byte(b.String())
}

// submit sends mail with an account.
func submit(t testing.TB, s *harness.Server, a harness.Account, text []byte) {
	t.Helper()
	must(t, trySubmit(s, a, text))
}

func trySubmit(s *harness.Server, a harness.Account, text []byte) error {
	host, _, _ := net.SplitHostPort(s.SMTP)
	return smtp.SendMail(s.SMTP, smtp.PlainAuth("", a.User, a.Pass, host), "s@example.test",
		[]string{"x@example.test"}, text)
}

func get(t testing.TB, url, token string) []byte {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	must(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %v %.300s", url, resp.StatusCode, err, b)
	}
	return b
}

// usage is what a server tells of its mail.
type usage struct {
	Messages, LogicalBytes, StoredBytes, DedupSavedBytes, CompressionSavedBytes int64
	Parts, PartBytes, PartStoredBytes, GarbageParts, GarbageBytes               int64
}

// status is the answer of `eider status`.
func status(t testing.TB, s *harness.Server) usage {
	t.Helper()
	out := harness.Run(t, time.Minute, harness.Binary(t), "status", "--data", s.Dir)
	var st struct{ Store struct{ Mail usage } }
	must(t, json.Unmarshal([]byte(out), &st))
	return st.Store.Mail
}

// await asks until the answer is as it must be.
func await(t testing.TB, s *harness.Server, within time.Duration, what string, ok func(usage) bool) usage {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(200 * time.Millisecond) {
		u := status(t, s)
		if ok(u) {
			return u
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v: %+v", what, within, u)
		}
	}
}

var metric = regexp.MustCompile(`(?m)^(eider_mail_\w+) (\S+)$`)

// metrics are the figures of /metrics that are about stored mail.
func metrics(t testing.TB, s *harness.Server) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, m := range metric.FindAllStringSubmatch(string(get(t, "http://"+s.Admin+"/metrics", "")), -1) {
		f, err := strconv.ParseFloat(m[2], 64)
		must(t, err)
		out[strings.TrimPrefix(m[1], "eider_mail_")] = int64(f)
	}
	return out
}

// onDisk is what a store's tables take.
func onDisk(t testing.TB, s *harness.Server) (n int64) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(s.Dir, "store"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".sst" && filepath.Ext(p) != ".blob" {
			return nil // a file that is deleted meanwhile is none
		}
		if st, err := d.Info(); err == nil {
			n += st.Size()
		}
		return nil
	}))
	return n
}
