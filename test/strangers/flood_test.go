package strangers_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/test/harness"
)

const (
	addresses = 1000
	honest    = 8
	perSecond = 150       // attacks on offer; a test's clients live on the server's processors
	maxStore  = 200 << 20 // --store-max-bytes of the flooded server
	maxRSS    = 512 << 20
	talkTime  = 20 * time.Second
)

// address is one of the flood's loopback addresses, in several /24 networks.
func address(i int) string { return fmt.Sprintf("127.9.%d.%d", i/250, 1+i%250) }

func dialFrom(ctx context.Context, addr, to string) (net.Conn, error) {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: talkTime}
	c, err := d.DialContext(ctx, "tcp", to)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(talkTime))
	}
	return c, err
}

// flood is what many strangers do, each attack from one of the addresses.
type flood struct {
	target
	counts [4]struct{ done, refused, failed atomic.Int64 }
}

// target is what is flooded.
type target struct {
	HTTP, MX, SMTPS string
	Evil            []harness.Account // whose passwords the flood has
}

var attacks = [...]string{"POST /user", "login", "MX", "submission"}

// run offers so many attacks a second until ctx ends, whatever comes back.
func (f *flood) run(ctx context.Context, perSecond int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, 200) // what is still under way is enough
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			kind := [...]int{0, 1, 0, 1, 2, 0, 1, 3}[n%8]
			refused, err := f.attack(ctx, kind, address(rand.IntN(addresses)))
			c := &f.counts[kind]
			switch {
			case err != nil && ctx.Err() == nil:
				c.failed.Add(1)
			case refused:
				c.refused.Add(1)
			default:
				c.done.Add(1)
			}
		})
	}
}

func (f *flood) attack(ctx context.Context, kind int, from string) (refused bool, err error) {
	switch kind {
	case 0:
		text, err := f.http(ctx, from, "POST", "/user", "")
		return !strings.Contains(text, `"success"`), err
	case 1:
		user := f.Evil[rand.IntN(len(f.Evil))].User
		if rand.IntN(2) == 0 {
			user = "nobody" + user
		}
		_, err := f.http(ctx, from, "GET", "/v1/account", user+":wrong"+strconv.Itoa(rand.Int()))
		return true, err
	case 2:
		return f.mx(ctx, from)
	}
	a := f.Evil[rand.IntN(len(f.Evil))]
	m, err := submit(ctx, f.SMTPS, from, a)
	if err != nil {
		return true, nil
	}
	defer m.close()
	for range 5 {
		if err := m.send("flood", strings.Repeat("x", 10_000)); err != nil {
			return true, nil
		}
	}
	return false, nil
}

func (f *flood) http(ctx context.Context, from, method, path, login string) (string, error) {
	c := &http.Client{Timeout: talkTime, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, to string) (net.Conn, error) { return dialFrom(ctx, from, to) }}}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+f.HTTP+path, nil)
	if err != nil {
		return "", err
	}
	if login != "" {
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(login)))
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// mx asks for names that are not there.
func (f *flood) mx(ctx context.Context, from string) (refused bool, err error) {
	c, err := dialFrom(ctx, from, f.MX)
	if err != nil {
		return false, err
	}
	defer c.Close()
	var b strings.Builder
	b.WriteString("EHLO x\r\nMAIL FROM:<a@b.test>\r\n")
	for i := range 10 {
		fmt.Fprintf(&b, "RCPT TO:<n%d.%d@flood.test>\r\n", rand.Int(), i)
	}
	b.WriteString("QUIT\r\n")
	if _, err := io.WriteString(c, b.String()); err != nil {
		return false, err
	}
	all, err := io.ReadAll(c)
	return strings.Contains(string(all), "450 4.7.1"), err
}

// mailer is one submission connection with TLS.
type mailer struct {
	c net.Conn
	r *bufio.Reader
}

func submit(ctx context.Context, to, from string, a harness.Account) (*mailer, error) {
	raw, err := dialFrom(ctx, from, to)
	if err != nil {
		return nil, err
	}
	// The certificate is the server's own; who it is does not matter here.
	m := &mailer{c: tls.Client(raw, &tls.Config{InsecureSkipVerify: true})}
	m.r = bufio.NewReader(m.c)
	if err := m.say("", "220"); err == nil {
		err = m.say("EHLO x", "250")
	}
	if err == nil {
		err = m.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+a.User+"\x00"+a.Pass)), "235")
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return m, nil
}

func (m *mailer) close() { m.c.Close() }

// say sends a line and reads a reply, which must have this code.
func (m *mailer) say(line, code string) error {
	_ = m.c.SetDeadline(time.Now().Add(talkTime))
	if line != "" {
		if _, err := io.WriteString(m.c, line+"\r\n"); err != nil {
			return err
		}
	}
	for {
		l, err := m.r.ReadString('\n')
		if err != nil {
			return err
		}
		if len(l) > 3 && l[3] == '-' {
			continue
		}
		if !strings.HasPrefix(l, code) {
			return fmt.Errorf("%.20q: %s", line, strings.TrimSpace(l))
		}
		return nil
	}
}

func (m *mailer) send(subject, text string) error {
	for _, l := range [][2]string{{"MAIL FROM:<a@b.test>", "250"}, {"RCPT TO:<c@d.test>", "250"}, {"DATA", "354"},
		{"Subject: " + subject + "\r\n\r\n" + text + "\r\n.", "250"}} {
		if err := m.say(l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// users are honest: each sends and reads, with pauses.
type users struct {
	s     *harness.Server
	accts []harness.Account
	sent  []int // accepted

	mu         sync.Mutex
	send, read []time.Duration
	errs       []error
}

func (u *users) run(t *testing.T, d time.Duration) (send, read time.Duration) {
	t.Helper()
	u.send, u.read = nil, nil
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for i := range u.accts {
		wg.Go(func() { u.one(ctx, i) })
	}
	wg.Wait()
	for i, err := range u.errs {
		if i < 5 {
			t.Error(err)
		}
	}
	p99 := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		if len(all) == 0 {
			return 0
		}
		return all[len(all)*99/100]
	}
	return p99(u.send), p99(u.read)
}

func (u *users) one(ctx context.Context, i int) {
	a := u.accts[i]
	fail := func(err error) {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.errs = append(u.errs, fmt.Errorf("honest user %d: %w", i, err))
	}
	m, err := submit(context.WithoutCancel(ctx), u.s.SMTPS, "127.0.0.1", a)
	if err != nil {
		fail(err)
		return
	}
	defer m.close()
	for ctx.Err() == nil {
		start := time.Now()
		if err := m.send(fmt.Sprint("mail ", u.sent[i]), strings.Repeat("y", 2000)); err != nil {
			fail(err)
			return
		}
		sent := time.Since(start)
		u.sent[i]++
		start = time.Now()
		n, err := u.total(a, 10)
		if err != nil || n != u.sent[i] {
			fail(fmt.Errorf("%d messages of %d are there: %v", n, u.sent[i], err))
			return
		}
		u.mu.Lock()
		u.send, u.read = append(u.send, sent), append(u.read, time.Since(start))
		u.mu.Unlock()
		time.Sleep(time.Duration(150+rand.IntN(100)) * time.Millisecond)
	}
}

// total reads a list, and how many messages there are.
func (u *users) total(a harness.Account, limit int) (int, error) {
	req, err := http.NewRequest("GET", fmt.Sprintf("http://%s/v1/messages?limit=%d", u.s.HTTP, limit), nil)
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth(a.User, a.Pass)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var list struct{ Total int }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return 0, fmt.Errorf("%d: %w", resp.StatusCode, err)
	}
	return list.Total, nil
}

// rss is what a process holds of memory.
func rss(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(f[1], 10, 64)
	return n * int64(os.Getpagesize())
}

func diskBytes(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if i, err := d.Info(); err == nil && !d.IsDir() {
				sum += i.Size()
			}
		}
		return nil
	})
	return sum
}

// The bounds of what honest users wait, if twice their p99 of before is less.
// The long form is for a machine of its own; the short one for any, where the
// wait may be that for other programs.
const (
	longFloor  = 30 * time.Millisecond
	shortFloor = 3 * time.Second
)

// TestFlood: while strangers of 1,000 addresses make accounts, guess passwords,
// ask the MX for names and send, honest users send and read: their p99 stays
// under twice of what it is without the flood, memory and disk stay under their
// caps, and nothing of theirs is lost.
//
// The flood comes from a process of its own, of a low priority. Here it
// lives on the server's processors, as no flood does, and takes more of them
// than the server takes to refuse it. So what it is compared with is the same
// flood against a sink, which takes everything and does nothing.
func TestFlood(t *testing.T) {
	calm, long, floor := 3*time.Second, 5*time.Second, shortFloor
	if os.Getenv("EIDER_SOAK") != "" {
		calm, long, floor = time.Minute, 10*time.Minute, longFloor
	}
	s := harness.Start(t, "--public-host", "flood.test", "--https", "off", "--store-max-bytes", strconv.Itoa(maxStore), "--send-rate", "16/2s",
		"--create-rate", "1/1h", "--create-rate-all", "10/1s", "--max-accounts", "100000", "--account-quota", "50MB", "--log-level", "error")
	u := &users{s: s}
	evil := []harness.Account{newAccount(t, s), newAccount(t, s)}
	for range honest {
		u.accts = append(u.accts, newAccount(t, s))
	}
	u.sent = make([]int, honest)
	idleSend, idleRead := u.pieces(t, calm)
	send0, read0, _ := u.flooded(t, calm, target{})
	cpu := used(t, s.PID)
	send1, read1, counts := u.flooded(t, long, target{s.HTTP, s.MX, s.SMTPS, evil})
	cpu = used(t, s.PID) - cpu
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond / 10) }
	t.Logf("p99 of sending: alone %v, beside a flood of a sink %v, flooded %v; of reading: %v, %v, %v",
		ms(idleSend), ms(send0), ms(send1), ms(idleRead), ms(read0), ms(read1))
	t.Logf("the server took %.2f processors while it was flooded", cpu.Seconds()/long.Seconds())
	t.Log(counts)
	if strings.Contains(counts, ": 0 done, 0 refused") {
		t.Error("no attack of some kind was answered: there was no flood")
	}
	if send1 > max(2*send0, floor) || read1 > max(2*read0, floor) {
		t.Errorf("honest users wait more than twice as long")
	}
	if m := rss(s.PID); m > maxRSS {
		t.Errorf("the server holds %d MB", m>>20)
	} else {
		t.Logf("memory %d MB, disk %d MB", m>>20, diskBytes(s.Dir)>>20)
	}
	if d := diskBytes(s.Dir); d > maxStore+(64<<20) {
		t.Errorf("%d MB of disk, at most %d", d>>20, maxStore>>20)
	}
	for i, a := range u.accts {
		if n, err := u.total(a, 1); err != nil || n != u.sent[i] {
			t.Errorf("honest user %d has %d of %d messages: %v", i, n, u.sent[i], err)
		}
	}
	s.Fsck(t)
}

// newAccount makes an account by command, which no limit on strangers is for.
func newAccount(t *testing.T, s *harness.Server) (a harness.Account) {
	t.Helper()
	out := harness.Run(t, time.Minute, harness.Binary(t), "account", "create", "--data", s.Dir)
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// pieces is run in pieces: the p99 is the median of theirs.
func (u *users) pieces(t *testing.T, d time.Duration) (send, read time.Duration) {
	t.Helper()
	const piece = 10 * time.Second
	var sends, reads []time.Duration
	for left := d; left > 0 && !t.Failed(); left -= piece {
		s, r := u.run(t, min(left, piece))
		sends, reads = append(sends, s), append(reads, r)
	}
	slices.Sort(sends)
	slices.Sort(reads)
	return sends[len(sends)/2], reads[len(reads)/2]
}
