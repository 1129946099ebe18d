package mailstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/boxname"
	"github.com/eidermail/eider/internal/mailstore/row"
)

func (e *env) names(t tester, id mailstore.AcctID) []string {
	t.Helper()
	boxes, err := e.Mailboxes(context.Background(), id)
	must(t, err)
	var names []string
	for _, b := range boxes {
		names = append(names, b.Name)
	}
	return names
}

func TestMailboxNames(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	create := func(name string) error {
		_, err := e.CreateMailbox(ctx, id, name, "")
		return err
	}
	for _, bad := range []string{"", "/", "/a", "a//b", "a\x00b", "a\nb", "a\u0085b", "a\xffb", "a\u2028b",
		strings.Repeat("x", boxname.MaxBytes+1), strings.Repeat("a/", boxname.MaxLevels) + "a"} {
		wantKind(t, create(bad), mailstore.Invalid)
	}
	for _, name := range []string{"inbox", "INBOX", "Inbox/"} {
		wantKind(t, create(name), mailstore.Exist)
	}
	must(t, create("b/c/"))
	must(t, create("inbox/Sub"))
	must(t, create("e\u0301t\u00e9")) // decomposed and composed
	wantKind(t, create("\u00e9te\u0301"), mailstore.Exist)
	must(t, create("B")) // case counts
	long := strings.Repeat("é", boxname.MaxBytes/2)
	must(t, create(long))
	must(t, create(long[:len(long)-2]))
	if got := fmt.Sprintf("%q", e.names(t, id)[:6]); got != `["INBOX" "B" "INBOX/Sub" "b" "b/c" "e`+"\u0301"+`t`+"\u00e9"+`"]` {
		t.Errorf("names %s", got)
	}
	m, err := e.Mailbox(ctx, id, "iNbOx/Sub")
	must(t, err)
	if m.Name != "INBOX/Sub" || m.ObjectID == "" {
		t.Errorf("mailbox %+v", m)
	}
	byID, err := e.MailboxByID(ctx, id, m.ID)
	must(t, err)
	if byID != m {
		t.Errorf("%+v by id, %+v by name", byID, m)
	}
	_, err = e.Mailbox(ctx, id, "nope")
	wantKind(t, err, mailstore.NotExist)
	_, err = e.tryDeposit(t, nil, mailstore.Deposit{Mailbox: "nope"}, id)
	wantKind(t, err, mailstore.NotExist)
	e.check(t)
}

func TestRenameAndDelete(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	for _, n := range []string{"a/b/c", "a/bb", "x"} {
		_, err := e.CreateMailbox(ctx, id, n, "")
		must(t, err)
	}
	d := e.deposit(t, mail(1), mailstore.Deposit{Mailbox: "a/b/c"}, id)[0]
	before, err := e.Mailbox(ctx, id, "a/b/c")
	must(t, err)
	wantKind(t, e.RenameMailbox(ctx, id, "a/b", "x"), mailstore.Exist)
	wantKind(t, e.RenameMailbox(ctx, id, "a/b", "a/b/d"), mailstore.Invalid)
	wantKind(t, e.RenameMailbox(ctx, id, "nope", "y"), mailstore.NotExist)
	wantKind(t, e.RenameMailbox(ctx, id, "x", "inbox"), mailstore.Exist)
	must(t, e.RenameMailbox(ctx, id, "a/b", "new/deep/b"))
	if got := fmt.Sprint(e.names(t, id)); got != "[INBOX a a/bb new new/deep new/deep/b new/deep/b/c x]" {
		t.Errorf("names %s", got)
	}
	after, err := e.Mailbox(ctx, id, "new/deep/b/c")
	must(t, err)
	if after.ID != before.ID || after.UIDValidity != before.UIDValidity || after.ObjectID != before.ObjectID {
		t.Errorf("renamed %+v is %+v", before, after)
	}
	m, _, err := e.Place(ctx, id, d.Msg)
	must(t, err)
	if m.Name != "new/deep/b/c" {
		t.Errorf("message is in %q", m.Name)
	}
	wantKind(t, e.DeleteMailbox(ctx, id, "INBOX"), mailstore.Permission)
	wantKind(t, e.DeleteMailbox(ctx, id, "new"), mailstore.Invalid)
	wantKind(t, e.DeleteMailbox(ctx, id, "nope"), mailstore.NotExist)
	must(t, e.DeleteMailbox(ctx, id, "new/deep/b/c"))
	_, _, err = e.Place(ctx, id, d.Msg)
	wantKind(t, err, mailstore.NotExist)
	_, err = e.Content(ctx, id, d.Msg)
	wantKind(t, err, mailstore.NotExist)
	again, err := e.CreateMailbox(ctx, id, "new/deep/b/c", "")
	must(t, err)
	if again.UIDValidity <= after.UIDValidity || again.ID == after.ID {
		t.Errorf("a mailbox made again re-uses %+v: %+v", after, again)
	}
	e.check(t)
}

func TestRenameInbox(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	e.fill(t, id, 1300)
	d := e.deposit(t, mail(1), mailstore.Deposit{}, id)[0]
	must(t, e.RenameMailbox(ctx, id, "inbox", "old/mail"))
	inbox, err := e.Mailbox(ctx, id, "INBOX")
	must(t, err)
	old, entry, err := e.Place(ctx, id, d.Msg)
	must(t, err)
	if inbox.Exists != 0 || inbox.UIDNext != 1302 || old.Name != "old/mail" || old.Exists != 1301 || entry.UID != 1301 {
		t.Errorf("INBOX %+v, old %+v, entry %+v", inbox, old, entry)
	}
	e.check(t)
}

// A large mailbox goes in groups; meanwhile its name is free and its room comes back.
func TestDeleteLargeMailbox(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{Defaults: mailstore.AccountLimits{Retention: time.Hour}})
	ctx := context.Background()
	id := e.account(t, "a@b")
	e.fill(t, id, 2500)
	must(t, e.RenameMailbox(ctx, id, "INBOX", "large"))
	must(t, e.DeleteMailbox(ctx, id, "large"))
	if got := fmt.Sprint(e.names(t, id)); got != "[INBOX]" {
		t.Errorf("names %s", got)
	}
	a, err := e.Account(ctx, id)
	must(t, err)
	if a.Messages == 0 || a.Messages == 2500 {
		t.Errorf("%d rows right after a large deletion", a.Messages)
	}
	e.check(t)
	e.deposit(t, nil, mailstore.Deposit{MakeRoom: true}, id)
	if r, _ := e.jan.Pass(ctx); r.Mailboxes != 1 || r.Failed != 0 {
		t.Errorf("janitor %+v", r)
	}
	a, err = e.Account(ctx, id)
	must(t, err)
	if a.Messages != 1 {
		t.Errorf("%d rows in the end", a.Messages)
	}
	if sum := e.check(t); sum.Deadlines != 1 {
		t.Errorf("%+v", sum)
	}
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	must(t, e.EnsureDefaults(ctx, id))
	must(t, e.EnsureDefaults(ctx, id))
	must(t, e.Subscribe(ctx, id, "not/there", true))
	must(t, e.Subscribe(ctx, id, "junk", false))
	must(t, e.Subscribe(ctx, id, "Junk", false))
	must(t, e.DeleteMailbox(ctx, id, "Sent"))
	names, err := e.Subscriptions(ctx, id)
	must(t, err)
	if got := fmt.Sprint(names); got != "[Drafts INBOX Sent Trash not/there]" {
		t.Errorf("subscriptions %s", got)
	}
	must(t, e.EnsureDefaults(ctx, id))
	boxes, err := e.Mailboxes(ctx, id)
	must(t, err)
	var got []string
	for _, b := range boxes {
		got = append(got, fmt.Sprint(b.Name, b.SpecialUse, b.Subscribed))
	}
	if fmt.Sprint(got) != `[INBOXtrue Drafts\Draftstrue Junk\Junkfalse Trash\Trashtrue]` {
		t.Errorf("mailboxes %v", got)
	}
}

func TestTooManyMailboxes(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	for i := 1; i < mailstore.MaxMailboxes; i++ {
		_, err := e.CreateMailbox(ctx, id, fmt.Sprint(i), "")
		must(t, err)
	}
	_, err := e.CreateMailbox(ctx, id, "one more", "")
	wantKind(t, err, mailstore.Limit)
	must(t, e.DeleteMailbox(ctx, id, "7"))
	_, err = e.CreateMailbox(ctx, id, "one more", "")
	must(t, err)
	e.check(t)
}

func TestFlags(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	e.fill(t, id, 1200)
	all := make([]mailstore.UID, 1300)
	for i := range all {
		all[i] = mailstore.UID(1300 - i)
	}
	r, err := e.SetFlags(ctx, id, 1, all, mailstore.FlagChange{Op: mailstore.FlagsAdd, Flags: mailstore.Seen, Keywords: []string{"Work"}})
	must(t, err)
	if len(r.Changed) != 1200 || len(r.Missing) != 100 || r.Missing[0] != 1201 || r.ModSeq == 0 {
		t.Errorf("%d changed, %d missing", len(r.Changed), len(r.Missing))
	}
	m, err := e.Mailbox(ctx, id, "INBOX")
	must(t, err)
	if m.Unseen != 0 || m.HighestModSeq != r.ModSeq {
		t.Errorf("mailbox %+v after %d", m, r.ModSeq)
	}
	// In another case it is the same keyword, as it was first written.
	same, err := e.SetFlags(ctx, id, 1, all, mailstore.FlagChange{Op: mailstore.FlagsReplace, Flags: mailstore.Seen, Keywords: []string{"WORK"}})
	must(t, err)
	if len(same.Changed) != 0 || same.ModSeq != 0 {
		t.Errorf("%d changed to what they were", len(same.Changed))
	}
	one, err := e.SetFlags(ctx, id, 1, []mailstore.UID{5}, mailstore.FlagChange{Op: mailstore.FlagsRemove, Keywords: []string{"wOrk"}})
	must(t, err)
	if len(one.Changed) != 1 || len(one.Changed[0].Keywords) != 0 || one.Changed[0].Flags != mailstore.Seen {
		t.Errorf("%+v", one.Changed)
	}
	cond, err := e.SetFlags(ctx, id, 1, []mailstore.UID{4, 5, 6}, mailstore.FlagChange{Op: mailstore.FlagsAdd,
		Flags: mailstore.Flagged, UnchangedSince: r.ModSeq, HasUnchangedSince: true})
	must(t, err)
	if fmt.Sprint(uidsOf(cond.Changed), cond.Modified) != "[4 6] [5]" {
		t.Errorf("conditional store: %+v", cond)
	}
	zero, err := e.SetFlags(ctx, id, 1, []mailstore.UID{4}, mailstore.FlagChange{Op: mailstore.FlagsAdd,
		Flags: mailstore.Draft, HasUnchangedSince: true})
	must(t, err)
	if len(zero.Modified) != 1 {
		t.Errorf("UNCHANGEDSINCE 0: %+v", zero)
	}
	var many []string
	for i := range mailstore.MaxKeywords + 1 {
		many = append(many, fmt.Sprint("k", i))
	}
	_, err = e.SetFlags(ctx, id, 1, []mailstore.UID{1}, mailstore.FlagChange{Keywords: many})
	wantKind(t, err, mailstore.Limit)
	_, err = e.SetFlags(ctx, id, 1, []mailstore.UID{1}, mailstore.FlagChange{Op: mailstore.FlagsAdd, Keywords: many[1:]})
	wantKind(t, err, mailstore.Limit) // one more than there is room for beside Work
	for _, bad := range []string{"", "a b", "a\\", "é", "(", strings.Repeat("x", mailstore.MaxKeyword+1)} {
		_, err = e.SetFlags(ctx, id, 1, []mailstore.UID{1}, mailstore.FlagChange{Keywords: []string{bad}})
		wantKind(t, err, mailstore.Invalid)
	}
	_, err = e.SetFlags(ctx, id, 99, []mailstore.UID{1}, mailstore.FlagChange{})
	wantKind(t, err, mailstore.NotExist)
	e.check(t)
}

func TestRecent(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	e.fill(t, id, 12)
	for _, want := range []mailstore.UID{1, 13, 13} {
		if got, err := e.MarkNotRecent(ctx, id, 1); got != want || err != nil {
			t.Errorf("recent floor was %d, %v; want %d", got, err, want)
		}
	}
	e.check(t)
}

func TestCopyAndMove(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		e := newEnv(t, open(t), mailstore.Options{Defaults: mailstore.AccountLimits{Messages: 3000, Retention: time.Hour}})
		ctx := context.Background()
		id := e.account(t, "a@b")
		e.fill(t, id, 1200)
		big := e.deposit(t, make([]byte, 600_000), mailstore.Deposit{Keywords: []string{"k"}, Flags: mailstore.Seen}, id)[0]
		box, err := e.CreateMailbox(ctx, id, "box", "")
		must(t, err)
		e.clock.add(10 * time.Minute)
		uids := []mailstore.UID{big.UID, 7, 9999, 7}
		for u := range mailstore.UID(1100) {
			uids = append(uids, 1100-u)
		}
		c, err := e.Copy(ctx, id, 1, uids, "box")
		must(t, err)
		if len(c.Source) != 1101 || c.Source[0] != big.UID || c.Source[1] != 7 || c.Dest[0] != 1 || c.Dest[1100] != 1101 {
			t.Errorf("copied %d rows", len(c.Source))
		}
		es, err := e.EntriesByUID(ctx, id, box.ID, []mailstore.UID{1})
		must(t, err)
		orig, err := e.EntriesByUID(ctx, id, 1, []mailstore.UID{big.UID})
		must(t, err)
		got, was := es[0], orig[0]
		if got.Msg != was.Msg || got.Flags != was.Flags || len(got.Keywords) != 1 || !got.ExpireAt.Equal(was.ExpireAt) ||
			!got.InternalDate.Equal(was.InternalDate) || !got.SaveDate.After(was.SaveDate) || got.ModSeq <= was.ModSeq {
			t.Errorf("copy %+v of %+v", got, was)
		}
		// A copy that does not fit is taken out again, group by group.
		_, err = e.Copy(ctx, id, box.ID, uids, "INBOX")
		wantKind(t, err, mailstore.Quota)
		inbox, err := e.Mailbox(ctx, id, "INBOX")
		must(t, err)
		if inbox.Exists != 1201 {
			t.Errorf("%d rows in INBOX after a COPY that failed", inbox.Exists)
		}
		moved, err := e.Move(ctx, id, 1, uids, "box")
		must(t, err)
		inbox, err = e.Mailbox(ctx, id, "INBOX")
		must(t, err)
		if len(moved.Source) != 1101 || inbox.Exists != 100 {
			t.Errorf("%d moved, %d left", len(moved.Source), inbox.Exists)
		}
		infos, err := e.Infos(ctx, id, big.Msg)
		must(t, err)
		if infos[0].Refs != 2 {
			t.Errorf("%d rows name the message", infos[0].Refs)
		}
		e.wantContent(t, id, big.Msg, make([]byte, 600_000))
		_, err = e.Copy(ctx, id, 1, []mailstore.UID{1}, "nope")
		wantKind(t, err, mailstore.NotExist)
		none, err := e.Copy(ctx, id, 1, nil, "box")
		if err != nil || none.UIDValidity != box.UIDValidity {
			t.Errorf("copy of nothing: %+v, %v", none, err)
		}
		e.check(t)
	})
}

func TestEntries(t *testing.T) {
	t.Parallel()
	e := newEnv(t, memkv.New(), mailstore.Options{})
	ctx := context.Background()
	id := e.account(t, "a@b")
	e.fill(t, id, 20)
	_, _, err := e.Expunge(ctx, id, 1, []mailstore.UID{3, 11, 12}, false)
	must(t, err)
	for _, c := range []struct {
		from, to mailstore.UID
		reverse  bool
		limit    int
		want     string
	}{
		{0, 0, false, 3, "[1 2 4]"}, {0, 0, true, 3, "[20 19 18]"}, {10, 14, false, 0, "[10 13 14]"},
		{10, 14, true, 2, "[14 13]"}, {11, 12, false, 0, "[]"}, {14, 10, false, 0, "[]"},
		{19, 0, false, 0, "[19 20]"}, {19, 4294967295, false, 0, "[19 20]"}, {30, 0, false, 0, "[]"},
	} {
		es, err := e.Entries(ctx, id, 1, mailstore.Rows{From: c.from, To: c.to, Reverse: c.reverse, Limit: c.limit})
		if err != nil || fmt.Sprint(uidsOf(es)) != c.want {
			t.Errorf("%+v: %v, %v", c, uidsOf(es), err)
		}
	}
	es, err := e.EntriesByUID(ctx, id, 1, []mailstore.UID{5, 3, 1, 5})
	if err != nil || fmt.Sprint(uidsOf(es)) != "[1 5]" {
		t.Errorf("%v, %v", uidsOf(es), err)
	}
}

func TestFormatIsChecked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	store := memkv.New()
	e := newEnv(t, store, mailstore.Options{})
	again := newEnv(t, store, mailstore.Options{})
	if string(e.Installation()) != string(again.Installation()) || len(e.Installation()) != 16 {
		t.Error("the installation changes its id")
	}
	future := row.Installation{Format: row.FormatVersion + 1, ID: []byte("x")}
	must(t, store.Update(ctx, [][]byte{row.Format()}, func(tx kv.Tx) error {
		tx.Put(row.Format(), future.Append(nil))
		return nil
	}))
	_, err := mailstore.Open(ctx, mailstore.Options{KV: store})
	wantKind(t, err, mailstore.Invalid)
	if !strings.Contains(err.Error(), "format 2") {
		t.Errorf("error %v", err)
	}
}
