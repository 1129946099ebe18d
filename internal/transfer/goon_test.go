package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/transfer"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// goOn is a cut archive with what an export adds to it.
func (w *world) goOn(cut []byte, ids ...mailstore.AcctID) ([]byte, transfer.Exported, error) {
	have, err := archive.Scan(context.Background(), bytes.NewReader(cut))
	if err != nil {
		return nil, transfer.Exported{}, err
	}
	b := bytes.NewBuffer(slices.Clone(cut))
	if have == nil {
		b.Reset()
	} else {
		b.Write(make([]byte, max(0, int(have.End)-len(cut)))) // what is whole may lack its padding
		b.Truncate(int(have.End))
	}
	a := archive.NewWriter(b)
	if have != nil {
		a.Continue(have)
	}
	o := transfer.ExportOptions{Store: w.Store, Accounts: ids, Have: have, Now: time.Now()}
	done, err := transfer.Export(context.Background(), o, a.Add)
	err = errors.Join(err, a.Close())
	return b.Bytes(), done, err
}

// same imports an archive and compares accounts with what must be in them.
func same(t *testing.T, data []byte, want map[string][]string) {
	t.Helper()
	to := newWorld(t)
	res, err := to.imported(archive.Read(bytes.NewReader(data)), nil)
	if err != nil || res.Failed != 0 || len(res.Problems) != 0 || res.Accounts != len(want) || res.Present != 0 {
		t.Fatalf("%+v %v", res, err)
	}
	for address, lines := range want {
		id, err := to.Lookup(t.Context(), address)
		must(t, err)
		if d := cmp.Diff(lines, to.told(t, id)); d != "" {
			t.Fatalf("%s:\n%s", address, d)
		}
	}
}

// TestGoesOn: an export that was cut anywhere, once and again, becomes an archive
// of all there is, which has nothing twice.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	from := newWorld(t)
	want := map[string][]string{}
	for _, address := range []string{"a@x.test", "b@x.test"} {
		want[address] = from.told(t, from.fill(t, address, 36))
	}
	whole := from.export(t)
	for cut := 1024; cut < len(whole); cut += 1 + len(whole)/12 {
		data, first, err := from.goOn(whole[:cut])
		must(t, err)
		if cut > len(whole)/2 && first.Messages > 60 {
			t.Errorf("cut at %d of %d: %d messages are written anew", cut, len(whole), first.Messages)
		}
		data, _, err = from.goOn(data[:cut+(len(data)-cut)/2])
		must(t, err)
		same(t, data, want)
	}
	data, done, err := from.goOn(whole) // which lacks nothing but its name
	must(t, err)
	if done.Messages != 0 || !bytes.Equal(data, whole) {
		t.Errorf("a whole one gets %d messages, has %d bytes and had %d", done.Messages, len(data), len(whole))
	}
	torn := append(slices.Clone(whole[:len(whole)/2]), make([]byte, 9000)...) // after a power cut
	data, _, err = from.goOn(torn)
	must(t, err)
	same(t, data, want)
}

// TestGoesOnLater: what came after the cut is added, wherever it lies, and what
// has gone stays.
func TestGoesOnLater(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	a, b := w.fill(t, "a@x.test", 40), w.fill(t, "b@x.test", 40)
	letter := func(id mailstore.AcctID, box string) mailstore.Stored {
		m := w.pool.Message()
		defer m.Close()
		_, _ = fmt.Fprint(m, "Subject: the same, many times\r\n\r\n")
		out := w.DepositMany(ctx, id, []mailstore.Incoming{{Message: m, Deposit: mailstore.Deposit{Mailbox: box}}})[0]
		must(t, out.Err)
		return out
	}
	kept := letter(a, "INBOX")
	_, err := w.Copy(ctx, a, kept.Mailbox, []mailstore.UID{kept.UID}, "Wörk/Ünder")
	must(t, err)
	whole := w.export(t)
	cut := whole[:len(whole)*9/10] // in the last mailboxes of b
	letter(a, "INBOX")
	letter(b, "INBOX")
	_, err = w.CreateMailbox(ctx, a, "late", "")
	must(t, err)
	letter(a, "late")
	_, err = w.Copy(ctx, a, kept.Mailbox, []mailstore.UID{kept.UID}, "日本") // a link to what is there
	must(t, err)
	letter(w.account(t, "c@x.test"), "INBOX")
	want := map[string][]string{}
	for _, address := range []string{"a@x.test", "b@x.test", "c@x.test"} {
		id, err := w.Lookup(ctx, address)
		must(t, err)
		want[address] = w.told(t, id)
	}
	_, _, err = w.Expunge(ctx, a, kept.Mailbox, []mailstore.UID{kept.UID}, false)
	must(t, err)
	data, done, err := w.goOn(cut)
	must(t, err)
	if done.Messages > 40 {
		t.Errorf("%d messages were added", done.Messages)
	}
	same(t, data, want)
}

// TestGoesOnRefuses: nothing is added to an archive of another store or account.
func TestGoesOnRefuses(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t), newWorld(t)
	a, b := w.fill(t, "a@x.test", 5), w.fill(t, "b@x.test", 5)
	other.fill(t, "a@x.test", 5)
	cut := w.export(t)
	cut = cut[:len(cut)-2048]
	for name, c := range map[string]struct {
		w    *world
		data []byte
		ids  []mailstore.AcctID
		want error
	}{
		"another store":       {other, cut, nil, transfer.ErrOtherStore},
		"one account of many": {w, cut, []mailstore.AcctID{a}, transfer.ErrOtherAccount},
		"another account":     {w, w.export(t, a)[:9000], []mailstore.AcctID{b}, transfer.ErrOtherAccount},
		"no archive":          {w, []byte("my only copy"), nil, archive.ErrNotArchive},
	} {
		if _, _, err := c.w.goOn(c.data, c.ids...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
