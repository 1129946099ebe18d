package mailstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
)

func TestContentIsExact(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{})
		id := e.account(t, "a@b")
		noise := func(n int) []byte {
			b := make([]byte, n)
			_, _ = rand.Read(b)
			return b
		}
		bodies := [][]byte{nil, {0}, []byte("no line end"), []byte("bare\nlf\rcr\x00nul"), noise(1000),
			noise(mailstore.MaxInline - 1), noise(mailstore.MaxInline), noise(mailstore.MaxInline + 1),
			noise(255 << 10 * 8), noise(10 << 20), []byte(strings.Repeat("Content-Type: multipart/mixed; boundary=x\n--x\n", 2000))}
		for _, prepend := range []string{"", "Received: from here\r\n"} {
			for _, b := range bodies {
				d := e.deposit(t, b, mailstore.Deposit{Prepend: []byte(prepend)}, id)[0]
				e.wantContent(t, id, d.Msg, append([]byte(prepend), b...))
				infos, err := e.Infos(context.Background(), id, d.Msg)
				must(t, err)
				if want := int64(len(prepend) + len(b)); infos[0].Size != want || infos[0].Index.Size != want {
					t.Fatalf("size %d, index of %d, want %d", infos[0].Size, infos[0].Index.Size, want)
				}
			}
		}
		e.check(t)
	})
}

func TestReadAt(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	id := e.account(t, "a@b")
	body := make([]byte, 1_000_000)
	_, _ = rand.Read(body)
	for _, size := range []int{1000, 1_000_000} {
		d := e.deposit(t, body[:size], mailstore.Deposit{}, id)[0]
		c, err := e.Content(context.Background(), id, d.Msg)
		must(t, err)
		for _, off := range []int{0, 1, 255 << 10, 255<<10 - 5, size - 10, size, size + 5} {
			p := make([]byte, 300)
			n, err := c.ReadAt(p, int64(off))
			want := body[min(off, size):min(off+300, size)]
			if !bytes.Equal(p[:n], want) || (n < 300) != (err == io.EOF) {
				t.Errorf("ReadAt %d of %d = %d, %v", off, size, n, err)
			}
		}
		if _, err := c.ReadAt(make([]byte, 1), -1); err == nil {
			t.Error("negative offset is read")
		}
		must(t, c.Close())
	}
}

// A large message streams: memory does not grow with it.
func TestLargeMessageStreams(t *testing.T) {
	e := newEnv(t, engines["pebble"](t), mailstore.Options{})
	id := e.account(t, "a@b")
	e.pool = spool.New(spool.Options{Dir: t.TempDir()})
	m := e.pool.Message()
	defer m.Close()
	block := bytes.Repeat([]byte("0123456789abcde\n"), 4096)
	for range 60 << 20 / len(block) {
		if _, err := m.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d, err := e.Deposit(context.Background(), []mailstore.AcctID{id}, mailstore.Deposit{}, m)
	must(t, err)
	runtime.ReadMemStats(&after)
	c, err := e.Content(context.Background(), id, d[0].Msg)
	must(t, err)
	defer c.Close()
	if n, err := io.Copy(io.Discard, io.NewSectionReader(c, 0, c.Size())); n != m.Size() || err != nil {
		t.Fatalf("read %d of %d, %v", n, m.Size(), err)
	}
	// The in-memory file system of this test keeps the message itself, which
	// is counted here; what is over that is ours.
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse) - m.Size()*2; grown > 64<<20 {
		t.Errorf("heap grew by %d MB beyond the data", grown>>20)
	}
}

func TestSeveralAccountsAllOrNone(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{})
		ctx := context.Background()
		var ids []mailstore.AcctID
		for i := range mailstore.MaxTxAccounts + 1 {
			ids = append(ids, e.account(t, fmt.Sprintf("u%d@x", i)))
		}
		for _, size := range []int{100, 50_000, 300_000} {
			body := append([]byte("Subject: all\r\n\r\n"), bytes.Repeat([]byte("x"), size)...)
			done := e.deposit(t, body, mailstore.Deposit{}, ids[:mailstore.MaxTxAccounts]...)
			for i, d := range done {
				if d.Acct != ids[i] {
					t.Fatal("results are out of order")
				}
				e.wantContent(t, d.Acct, d.Msg, body)
			}
		}
		_, err := e.tryDeposit(t, nil, mailstore.Deposit{}, ids...)
		wantKind(t, err, mailstore.Limit)
		_, err = e.tryDeposit(t, nil, mailstore.Deposit{})
		wantKind(t, err, mailstore.Limit)
		twice := e.deposit(t, mail(1), mailstore.Deposit{}, ids[0], ids[1], ids[0])
		if twice[0] != twice[2] {
			t.Errorf("the same account twice gives %+v and %+v", twice[0], twice[2])
		}
		must(t, e.SetLimits(ctx, ids[5], mailstore.AccountLimits{Messages: 1}))
		before, err := e.Account(ctx, ids[0])
		must(t, err)
		for _, big := range []int{10, 300_000} {
			_, err = e.tryDeposit(t, make([]byte, big), mailstore.Deposit{}, ids[0], ids[5])
			wantKind(t, err, mailstore.Quota)
		}
		after, err := e.Account(ctx, ids[0])
		must(t, err)
		if before.Messages != after.Messages {
			t.Error("one account was full, another got the message")
		}
		_, err = e.tryDeposit(t, mail(1), mailstore.Deposit{}, ids[0], 12345)
		wantKind(t, err, mailstore.NotExist)
		e.check(t)
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{MessageLimit: 1000,
		Defaults: mailstore.AccountLimits{Bytes: 2500, Messages: 5, Retention: time.Hour}})
	ctx := context.Background()
	id := e.account(t, "a@b")
	_, err := e.tryDeposit(t, make([]byte, 1001), mailstore.Deposit{}, id)
	wantKind(t, err, mailstore.TooLarge)
	e.deposit(t, make([]byte, 1000), mailstore.Deposit{Prepend: []byte("A: b\r\n")}, id)
	e.deposit(t, make([]byte, 1000), mailstore.Deposit{}, id)
	must(t, e.CheckQuota(ctx, id, 494))
	wantKind(t, e.CheckQuota(ctx, id, 495), mailstore.Quota)
	_, err = e.tryDeposit(t, make([]byte, 495), mailstore.Deposit{}, id)
	wantKind(t, err, mailstore.Quota)
	e.deposit(t, make([]byte, 494), mailstore.Deposit{}, id)
	must(t, e.SetLimits(ctx, id, mailstore.AccountLimits{Bytes: 1 << 30, Retention: mailstore.Forever}))
	a, err := e.Account(ctx, id)
	must(t, err)
	if a.Limits.Retention != 0 || a.Limits.Messages != 5 {
		t.Errorf("limits %+v", a.Limits)
	}
	d := e.deposit(t, nil, mailstore.Deposit{}, id)[0]
	_, entry, err := e.Place(ctx, id, d.Msg)
	must(t, err)
	if !entry.ExpireAt.IsZero() {
		t.Error("mail of an account that keeps it for ever expires")
	}
	e.deposit(t, nil, mailstore.Deposit{}, id)
	_, err = e.tryDeposit(t, nil, mailstore.Deposit{}, id)
	wantKind(t, err, mailstore.Quota) // messages
	must(t, e.SetLimits(ctx, id, mailstore.AccountLimits{}))
	wantKind(t, e.CheckQuota(ctx, id, 1), mailstore.Quota)
	_, err = e.tryDeposit(t, nil, mailstore.Deposit{Keywords: []string{"a b"}}, id)
	wantKind(t, err, mailstore.Invalid)
	e.check(t)
}

// In dev mode a full account drops its oldest mail, wherever it lies and
// however much must go.
func TestMakeRoom(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{
			Defaults: mailstore.AccountLimits{Bytes: 400_000, Messages: 500, Retention: time.Hour}})
		ctx := context.Background()
		id := e.account(t, "a@b")
		_, err := e.CreateMailbox(ctx, id, "box", "")
		must(t, err)
		room := mailstore.Deposit{MakeRoom: true}
		for i := range 460 {
			e.deposit(t, mail(i), room, id)
		}
		_, err = e.Copy(ctx, id, 1, []mailstore.UID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, "box")
		must(t, err)
		_, err = e.Move(ctx, id, 1, []mailstore.UID{11, 12}, "box")
		must(t, err)
		for i := range 40 {
			e.deposit(t, mail(1000+i), room, id)
		}
		// 470 rows and 40 more: the first messages went, with their copies.
		es, err := e.Entries(ctx, id, 1, mailstore.Rows{})
		must(t, err)
		box, err := e.Mailbox(ctx, id, "box")
		must(t, err)
		if a, _ := e.Account(ctx, id); a.Messages > 500 || a.Messages < 499 || box.Exists != 7 || es[0].UID != 6 {
			t.Fatalf("%d rows; %d in box, first of INBOX %d", a.Messages, box.Exists, es[0].UID)
		}
		// One that takes nearly all of the room: hundreds must go.
		big := e.deposit(t, make([]byte, 399_950), room, id)[0]
		if a, _ := e.Account(ctx, id); a.Messages != 1 {
			t.Fatalf("%d rows beside one that takes all room", a.Messages)
		}
		e.wantContent(t, id, big.Msg, make([]byte, 399_950))
		_, err = e.tryDeposit(t, make([]byte, 400_001), room, id)
		wantKind(t, err, mailstore.Quota)
		if a, _ := e.Account(ctx, id); a.Messages != 1 {
			t.Error("mail was dropped for a message that can never fit")
		}
		e.check(t)
	})
}

func TestThreads(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id, other := e.account(t, "a@b"), e.account(t, "c@d")
	thread := func(header string) string {
		d := e.deposit(t, []byte(header+"\r\n\r\ntext\r\n"), mailstore.Deposit{}, id)[0]
		infos, err := e.Infos(ctx, id, d.Msg)
		must(t, err)
		return infos[0].ThreadID
	}
	first := thread("Message-ID: <1@x>")
	same := map[string]string{
		"reply":                  thread("Message-ID: <2@x>\r\nIn-Reply-To: <1@x>"),
		"reply to the reply":     thread("Message-ID: <3@x>\r\nReferences: <1@x> <2@x>"),
		"without an id":          thread("References: <gone@x> <3@x>"),
		"of a parent not here":   thread("Message-ID: <5@x>\r\nReferences: <3@x> <4@x>"),
		"the parent, after that": thread("Message-ID: <4@x>"),
		"the same again":         thread("Message-ID: <1@x>"),
	}
	for what, got := range same {
		if got != first {
			t.Errorf("%s: thread %s, want %s", what, got, first)
		}
	}
	alone := thread("Subject: alone")
	if alone == first || thread("Message-ID: <9@x>") == first || alone == "" {
		t.Error("mail of its own is in the thread")
	}
	d := e.deposit(t, []byte("Message-ID: <1@x>\r\n\r\n"), mailstore.Deposit{}, other)[0]
	infos, err := e.Infos(ctx, other, d.Msg)
	must(t, err)
	if infos[0].ThreadID == first {
		t.Error("threads of two accounts have the same name")
	}
	_, _, err = e.Expunge(ctx, id, 1, nil, false)
	must(t, err)
	if sum := e.check(t); sum.Messages != 1 {
		t.Errorf("%+v", sum)
	}
	if thread("Message-ID: <3@x>") == first {
		t.Error("the thread outlives its messages")
	}
}

// A huge header does not make a huge row; its index is made again when asked for.
func TestIndexTooLargeForItsRow(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ids := make([]mailstore.AcctID, 60)
	for i := range ids {
		ids[i] = e.account(t, fmt.Sprintf("u%d@x", i))
	}
	var b bytes.Buffer
	b.WriteString("Subject: many\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "--b\r\nContent-Type: text/plain; name=\"file %d with a name that takes some room\"\r\n\r\nx\r\n", i)
	}
	b.WriteString("--b--\r\n")
	done := e.deposit(t, b.Bytes(), mailstore.Deposit{}, ids...)
	for range 2 {
		infos, err := e.Infos(context.Background(), ids[7], done[7].Msg)
		must(t, err)
		if infos[0].Index.Envelope.Subject != "many" || len(infos[0].Index.Root.Parts) < 1000 {
			t.Fatalf("index has %d parts", len(infos[0].Index.Root.Parts))
		}
	}
	e.check(t)
}

func TestEnvelopeIsKept(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	id := e.account(t, "a@b")
	env := mailstore.Envelope{From: "s@x", To: []string{"a@b", "c@d"}, ToCount: 500, Helo: "me", Protocol: "ESMTPSA",
		Client: "192.0.2.1", TLS: "TLS 1.3", User: "u", Body: "8BITMIME", Received: time.UnixMilli(1_700_000_000_123).UTC()}
	when := time.Date(1969, 1, 2, 3, 4, 5, 0, time.UTC)
	d := e.deposit(t, mail(1), mailstore.Deposit{Envelope: env, InternalDate: when, Keywords: []string{"b", "A", "a"}}, id)[0]
	infos, err := e.Infos(context.Background(), id, d.Msg, 999, d.Msg)
	must(t, err)
	if fmt.Sprint(infos[0].Envelope) != fmt.Sprint(env) || infos[1].Msg != 0 || infos[2].Msg != d.Msg {
		t.Errorf("envelope %+v, want %+v", infos[0].Envelope, env)
	}
	_, entry, err := e.Place(context.Background(), id, d.Msg)
	must(t, err)
	if !entry.InternalDate.Equal(when) || fmt.Sprint(entry.Keywords) != "[A b]" {
		t.Errorf("entry %+v", entry)
	}
	env.To = make([]string, 1000)
	env.Helo = strings.Repeat("h", 100_000)
	d = e.deposit(t, mail(2), mailstore.Deposit{Envelope: env}, id)[0]
	infos, err = e.Infos(context.Background(), id, d.Msg)
	must(t, err)
	if got := infos[0].Envelope; got.ToCount != 1000 || len(got.To) != mailstore.MaxStoredRecipients ||
		len(got.Helo) != mailstore.MaxEnvelopeText {
		t.Errorf("envelope of %d recipients, helo of %d bytes", len(got.To), len(got.Helo))
	}
}
