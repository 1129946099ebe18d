package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
	"github.com/eidermail/eider/internal/transfer"
	"github.com/eidermail/eider/internal/transfer/archive"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a mail store.
type world struct {
	*mailstore.Store
	kv    kv.Store
	fault *faultkv.Store
	pool  *spool.Pool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	fault := faultkv.Wrap(memkv.New(), 1)
	w := &world{kv: combine.New(fault, combine.Options{}), fault: fault, pool: spool.New(spool.Options{})}
	var err error
	w.Store, err = mailstore.Open(context.Background(), mailstore.Options{KV: w.kv, MessageLimit: 8 << 20})
	must(t, err)
	t.Cleanup(func() {
		sum, err := fsck.Run(context.Background(), w.kv, func(f fsck.Fault) { t.Errorf("fsck: %s", f) })
		if err != nil || sum.Faults > 0 {
			t.Errorf("fsck: %d faults, %v", sum.Faults, err)
		}
	})
	return w
}

func (w *world) account(t *testing.T, address string) mailstore.AcctID {
	t.Helper()
	a, err := w.CreateAccount(context.Background(), mailstore.NewAccount{Address: address, Credential: []byte("c")})
	must(t, err)
	return a.ID
}

// fill makes an account with mailboxes, flags, copies and odd messages.
func (w *world) fill(t *testing.T, address string, n int) mailstore.AcctID {
	t.Helper()
	ctx := context.Background()
	id := w.account(t, address)
	boxes := []string{"INBOX", "Wörk/Ünder", "a/../b", "日本"}
	for _, b := range boxes[1:] {
		_, err := w.CreateMailbox(ctx, id, b, "")
		must(t, err)
	}
	must(t, w.EnsureDefaults(ctx, id))
	must(t, w.Subscribe(ctx, id, "日本", true))
	for i := range n {
		body := fmt.Appendf(nil, "Subject: %d\r\n\r\n%s", i, strings.Repeat("x\r\n", i%90))
		if i%37 == 5 {
			body = bytes.Repeat([]byte{0, 255, '\r', byte(i)}, 100_000) // larger than a row
		}
		m := w.pool.Message()
		_, _ = m.Write(body)
		out := w.DepositMany(ctx, id, []mailstore.Incoming{{Message: m, Deposit: mailstore.Deposit{
			Mailbox: boxes[i%len(boxes)], Flags: mailstore.Flags(i % 32), Keywords: []string{"$Forwarded", "k" + fmt.Sprint(i%3)},
			InternalDate: time.Unix(int64(1e9+i*1000), 0), SaveDate: time.Unix(int64(1.1e9+i), 0),
			Envelope: mailstore.Envelope{From: "a\xff@b", To: []string{"x@y", "ü@z"}, Helo: "\x1b[31m", Protocol: "ESMTP",
				Client: "127.0.0.1", Received: time.UnixMilli(int64(1.2e12 + i)).UTC(), Body: "8BITMIME"}}}})
		must(t, out[0].Err)
		m.Close()
		if i%10 == 3 {
			_, err := w.Copy(ctx, id, out[0].Mailbox, []mailstore.UID{out[0].UID}, "Wörk")
			must(t, err)
		}
	}
	return id
}

// told is all of an account that an archive must carry, in order.
func (w *world) told(t *testing.T, id mailstore.AcctID) []string {
	t.Helper()
	ctx := context.Background()
	var out []string
	boxes, err := w.Mailboxes(ctx, id)
	must(t, err)
	msgs := map[mailstore.MsgID]int{}
	for _, b := range boxes {
		out = append(out, fmt.Sprintf("mailbox %q %s %v", b.Name, b.SpecialUse, b.Subscribed))
		rows, err := w.Entries(ctx, id, b.ID, mailstore.Rows{})
		must(t, err)
		for _, r := range rows {
			x, err := w.Infos(ctx, id, r.Msg)
			must(t, err)
			c, err := w.Content(ctx, id, r.Msg)
			must(t, err)
			data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
			must(t, err)
			n, ok := msgs[r.Msg]
			if !ok {
				n = len(msgs)
				msgs[r.Msg] = n
			}
			out = append(out, fmt.Sprintf("message %d %x %v %q %v %v %d %+v", n, data[max(0, len(data)-20):], r.Flags, r.Keywords,
				r.InternalDate, r.SaveDate, len(data), x[0].Envelope))
		}
	}
	return out
}

// export makes an archive of accounts.
func (w *world) export(t *testing.T, ids ...mailstore.AcctID) []byte {
	t.Helper()
	var b bytes.Buffer
	a := archive.NewWriter(&b)
	_, err := transfer.Export(context.Background(), transfer.ExportOptions{Store: w.Store, Accounts: ids, Now: time.Now()}, a.Add)
	must(t, err)
	must(t, a.Close())
	return b.Bytes()
}

func (w *world) imported(items iter.Seq2[archive.Item, error], change func(*transfer.ImportOptions)) (transfer.Result, error) {
	o := transfer.ImportOptions{Store: w.Store, Spool: w.pool, MessageLimit: 8 << 20,
		Account: func(ctx context.Context, a *archive.Account) (mailstore.AcctID, string, error) {
			id, err := w.Lookup(ctx, string(a.Address))
			if mailstore.KindOf(err) != mailstore.NotExist {
				return id, "", err
			}
			made, err := w.CreateAccount(ctx, mailstore.NewAccount{Address: string(a.Address), Credential: []byte("c")})
			return made.ID, "secret", err
		}}
	if change != nil {
		change(&o)
	}
	return transfer.Import(context.Background(), o, items)
}

// TestExportImport: an archive of all accounts makes the same accounts elsewhere.
func TestExportImport(t *testing.T) {
	t.Parallel()
	from, to := newWorld(t), newWorld(t)
	var ids []mailstore.AcctID
	for i, n := range []int{150, 0, 40} {
		ids = append(ids, from.fill(t, fmt.Sprintf("user%d@x.test", i), n))
	}
	data := from.export(t, ids...)
	res, err := to.imported(archive.Read(bytes.NewReader(data)), nil)
	must(t, err)
	if res.Failed != 0 || len(res.Problems) != 0 || res.Accounts != 3 || len(res.Made) != 3 {
		t.Errorf("result %+v", res)
	}
	for i, id := range ids {
		there, err := to.Lookup(context.Background(), fmt.Sprintf("user%d@x.test", i))
		must(t, err)
		if d := cmp.Diff(from.told(t, id), to.told(t, there)); d != "" {
			t.Errorf("account %d differs:\n%s", i, d)
		}
	}
	// Once more: everything is there.
	again, err := to.imported(archive.Read(bytes.NewReader(data)), nil)
	must(t, err)
	if again.Messages != 0 || again.Present != res.Messages || again.Failed != 0 {
		t.Errorf("a second import: %+v", again)
	}
}

// TestCutImport: an import whose archive or whose server ended early goes on
// when it is run again, and the result is as if nothing had been.
func TestCutImport(t *testing.T) {
	t.Parallel()
	from := newWorld(t)
	id := from.fill(t, "a@x.test", 60)
	want := from.told(t, id)
	data := from.export(t, id)
	for _, cut := range []int{100, len(data) / 3, len(data) / 2, len(data) - 5000, len(data) - 1} {
		to := newWorld(t)
		_, err := to.imported(archive.Read(bytes.NewReader(data[:cut])), nil)
		if !errors.Is(err, archive.ErrCut) && !errors.Is(err, archive.ErrNotArchive) && cut < len(data)-1024 {
			t.Errorf("cut at %d of %d: %v", cut, len(data), err)
		}
		res, err := to.imported(archive.Read(bytes.NewReader(data)), nil)
		must(t, err)
		if res.Failed != 0 {
			t.Errorf("cut at %d: %+v", cut, res)
		}
		there, err := to.Lookup(context.Background(), "a@x.test")
		must(t, err)
		if d := cmp.Diff(want, to.told(t, there)); d != "" {
			t.Errorf("cut at %d of %d:\n%s", cut, len(data), d)
		}
	}
}

// items is a sequence made by hand.
func items(list ...archive.Item) iter.Seq2[archive.Item, error] {
	return func(yield func(archive.Item, error) bool) {
		for _, it := range list {
			if !yield(it, nil) {
				return
			}
		}
	}
}

func letter(text string, m archive.Message) archive.Item {
	m.Size = int64(len(text))
	return archive.Item{Message: &m, Body: strings.NewReader(text)}
}

// TestOddItems: what cannot be stored is told, and all else is stored.
func TestOddItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acct := archive.Item{Account: &archive.Account{Address: "a@x.test"}}
	box := func(name string) archive.Item {
		return archive.Item{Mailbox: &archive.Mailbox{Name: archive.Text(name)}}
	}
	res, err := w.imported(items(acct,
		letter("no mailbox", archive.Message{}),
		box("../../etc"), letter("one", archive.Message{Keywords: []string{"good", "not good", ""}}),
		box("\x1b[2J//"+strings.Repeat("ü", 600)), letter("two", archive.Message{SHA256: strings.Repeat("0", 64)}),
		letter("three", archive.Message{Flags: []string{`\Seen`, `\Nonsense`}}),
		box("INBOX"), archive.Item{Message: &archive.Message{SameAs: "eider/0001/0009/9"}},
		archive.Item{Message: &archive.Message{Error: "damaged"}},
		archive.Item{Message: &archive.Message{Size: 1 << 40}, Body: strings.NewReader("x")},
		archive.Item{Message: &archive.Message{Size: 5}, Body: io.MultiReader(strings.NewReader("x"), bad{})},
		archive.Item{Account: &archive.Account{Address: "not an address"}}, box("x"), letter("lost", archive.Message{}),
	), nil)
	must(t, err)
	if res.Messages != 2 || res.Failed != 7 {
		t.Errorf("result %+v", res)
	}
	id, err := w.Lookup(context.Background(), "a@x.test")
	must(t, err)
	boxes, err := w.Mailboxes(context.Background(), id)
	must(t, err)
	var names []string
	for _, b := range boxes {
		names = append(names, b.Name)
	}
	if !slices.Contains(names, "../../etc") || !slices.ContainsFunc(names, func(n string) bool {
		return strings.HasPrefix(n, "_[2J/üü")
	}) {
		t.Errorf("mailboxes %q", names)
	}
}

type bad struct{}

func (bad) Read([]byte) (int, error) { return 0, errors.New("the medium is broken") }

// TestManyProblems: MaxProblems are told, and all are counted.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := []archive.Item{{Account: &archive.Account{Address: "a@x.test"}}, {Mailbox: &archive.Mailbox{Name: "INBOX"}}}
	list = append(list, slices.Repeat([]archive.Item{{Message: &archive.Message{Error: "damaged"}}}, transfer.MaxProblems+5)...)
	res, err := w.imported(items(list...), nil)
	must(t, err)
	if len(res.Problems) != transfer.MaxProblems || res.Failed != transfer.MaxProblems+5 {
		t.Errorf("%d problems are told, %d messages failed", len(res.Problems), res.Failed)
	}
}
