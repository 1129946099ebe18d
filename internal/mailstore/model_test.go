package mailstore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore"
	"pgregory.net/rapid"
)

// modelRow, modelBox and modelAcct are the mail store as a simple Go program
// would have it.
type modelRow struct {
	msg     mailstore.MsgID
	body    int // index in bodies
	flags   mailstore.Flags
	keys    []string
	expires int64
}

type modelBox struct {
	id       mailstore.MailboxID
	validity uint32
	next     mailstore.UID
	rows     map[mailstore.UID]modelRow
}

type modelAcct struct {
	id    mailstore.AcctID
	boxes map[string]*modelBox
	dead  []*modelBox
}

type model struct {
	e         *env
	accts     []*modelAcct
	bodies    [][]byte
	followers []*follower
	made      int
}

const (
	modelRetention = time.Hour
	modelQuota     = 60
)

func TestModel(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, open openFunc) {
		rapid.Check(t, func(t *rapid.T) {
			m := newModel(t, open(t))
			t.Repeat(map[string]func(*rapid.T){
				"":        m.check,
				"deposit": m.deposit, "deposit2": m.deposit, "flags": m.flags, "copy": m.copy, "move": m.move,
				"expunge": m.expunge, "create": m.create, "rename": m.rename, "delete": m.deleteBox,
				"expire": m.expire, "follow": m.follow, "account": m.replaceAccount,
			})
			m.e.check(t)
			must(t, m.e.kv.Close())
		})
	})
}

func newModel(t *rapid.T, engine kv.Store) *model {
	m := &model{e: newEnv(t, engine, mailstore.Options{
		Defaults: mailstore.AccountLimits{Retention: modelRetention, Messages: modelQuota, Bytes: 3 << 20}})}
	for range 3 {
		m.newAccount(t)
	}
	return m
}

func (m *model) newAccount(t tester) {
	m.made++
	id := m.e.account(t, fmt.Sprintf("user%d@test", m.made))
	box, err := m.e.Mailbox(context.Background(), id, "inbox")
	must(t, err)
	m.accts = append(m.accts, &modelAcct{id: id, boxes: map[string]*modelBox{
		"INBOX": {id: box.ID, validity: box.UIDValidity, next: 1, rows: map[mailstore.UID]modelRow{}}}})
}

func (m *model) acct(t *rapid.T) *modelAcct { return rapid.SampledFrom(m.accts).Draw(t, "acct") }

func (a *modelAcct) name(t *rapid.T, label string) string {
	return rapid.SampledFrom(slices.Sorted(maps.Keys(a.boxes))).Draw(t, label)
}

func (a *modelAcct) rows() (n int) {
	for _, b := range a.boxes {
		n += len(b.rows)
	}
	return n
}

func (a *modelAcct) bytes(m *model) (n int64) {
	for _, b := range a.boxes {
		for _, r := range b.rows {
			n += int64(len(m.bodies[r.body]))
		}
	}
	return n
}

func (a *modelAcct) full(m *model, size, rows int) bool {
	return a.rows()+rows > modelQuota || a.bytes(m)+int64(size) > 3<<20
}

func (m *model) expiry() int64 { return m.e.clock.now().Add(modelRetention + time.Second - 1).Unix() }

func drawUIDs(t *rapid.T, b *modelBox) []mailstore.UID {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailstore.UID {
		return mailstore.UID(rapid.IntRange(1, int(b.next)+1).Draw(t, "uid"))
	}), 0, 12).Draw(t, "uids")
}

var modelKeywords = []string{"$Junk", "work", "WORK", "x"}

func drawFlags(t *rapid.T) (mailstore.Flags, []string) {
	return mailstore.Flags(rapid.IntRange(0, 31).Draw(t, "flags")),
		rapid.SliceOfNDistinct(rapid.SampledFrom(modelKeywords), 0, 2, strings.ToLower).Draw(t, "keywords")
}

// deposit stores one message in one to three accounts.
func (m *model) deposit(t *rapid.T) {
	n := rapid.IntRange(1, len(m.accts)).Draw(t, "accounts")
	accts := rapid.Permutation(m.accts).Draw(t, "which")[:n]
	name := "INBOX"
	if n == 1 {
		name = accts[0].name(t, "box")
	}
	size := rapid.SampledFrom([]int{0, 1, 100, 5000, 300_000}).Draw(t, "size")
	body := fmt.Appendf(nil, "Message-ID: <%d@m>\r\nIn-Reply-To: <%d@m>\r\n\r\n", len(m.bodies), len(m.bodies)/2)
	body = append(body, strings.Repeat("x", size)...)
	if size == 0 {
		body = nil
	}
	flags, keys := drawFlags(t)
	var ids []mailstore.AcctID
	full := false
	for _, a := range accts {
		ids = append(ids, a.id)
		full = full || a.full(m, len(body), 1)
	}
	done, err := m.e.tryDeposit(t, body, mailstore.Deposit{Mailbox: name, Flags: flags, Keywords: keys}, ids...)
	if full {
		wantKind(t, err, mailstore.Quota)
		return
	}
	must(t, err)
	m.bodies = append(m.bodies, body)
	for i, a := range accts {
		b := a.boxes[name]
		d := done[i]
		if d.Acct != a.id || d.UID != b.next || d.Mailbox != b.id || d.UIDValidity != b.validity {
			t.Fatalf("deposited %+v, want UID %d of mailbox %d", d, b.next, b.id)
		}
		slices.Sort(keys)
		b.rows[b.next] = modelRow{msg: d.Msg, body: len(m.bodies) - 1, flags: flags, keys: keys, expires: m.expiry()}
		b.next++
	}
}

func (m *model) flags(t *rapid.T) {
	a := m.acct(t)
	b := a.boxes[a.name(t, "box")]
	uids := drawUIDs(t, b)
	flags, keys := drawFlags(t)
	op := mailstore.FlagOp(rapid.IntRange(0, 2).Draw(t, "op"))
	r, err := m.e.SetFlags(context.Background(), a.id, b.id, uids, mailstore.FlagChange{Op: op, Flags: flags, Keywords: keys})
	must(t, err)
	changed := map[mailstore.UID]bool{}
	for _, u := range uids {
		old, ok := b.rows[u]
		if ok == slices.Contains(r.Missing, u) {
			t.Fatalf("UID %d: in the model %v, missing %v", u, ok, r.Missing)
		}
		if !ok {
			continue
		}
		now := old
		now.flags, now.keys = modelApply(op, old, flags, keys)
		if now.flags != old.flags || !slices.Equal(now.keys, old.keys) {
			changed[u] = true
			b.rows[u] = now
		}
	}
	if len(r.Changed) != len(changed) || (r.ModSeq != 0) != (len(changed) > 0) {
		t.Fatalf("changed %v at %d, want %v", uidsOf(r.Changed), r.ModSeq, changed)
	}
}

func modelApply(op mailstore.FlagOp, old modelRow, flags mailstore.Flags, keys []string) (mailstore.Flags, []string) {
	has := func(list []string, k string) bool {
		return slices.ContainsFunc(list, func(o string) bool { return strings.EqualFold(o, k) })
	}
	var out []string
	for _, k := range old.keys {
		if op == mailstore.FlagsAdd || has(keys, k) == (op == mailstore.FlagsReplace) {
			out = append(out, k)
		}
	}
	if op != mailstore.FlagsRemove {
		for _, k := range keys {
			if !has(out, k) {
				out = append(out, k)
			}
		}
	}
	slices.Sort(out)
	switch op {
	case mailstore.FlagsAdd:
		flags |= old.flags
	case mailstore.FlagsRemove:
		flags = old.flags &^ flags
	}
	return flags, out
}

func (m *model) copy(t *rapid.T) { m.transfer(t, m.e.Copy, false) }
func (m *model) move(t *rapid.T) { m.transfer(t, m.e.Move, true) }

func (m *model) transfer(t *rapid.T, f func(context.Context, mailstore.AcctID, mailstore.MailboxID, []mailstore.UID,
	string) (mailstore.Copied, error), move bool) {
	a := m.acct(t)
	src, name := a.boxes[a.name(t, "from")], a.name(t, "to")
	dst := a.boxes[name]
	var want []mailstore.UID
	size := 0
	uids := drawUIDs(t, src)
	for _, u := range uids {
		if r, ok := src.rows[u]; ok && !slices.Contains(want, u) {
			want = append(want, u)
			size += len(m.bodies[r.body])
		}
	}
	c, err := f(context.Background(), a.id, src.id, uids, name)
	if !move && a.full(m, size, len(want)) && len(want) > 0 {
		wantKind(t, err, mailstore.Quota)
		return
	}
	must(t, err)
	if !slices.Equal(c.Source, want) || len(c.Dest) != len(want) || c.Mailbox != dst.id || c.UIDValidity != dst.validity {
		t.Fatalf("copied %+v, want %v", c, want)
	}
	for i, u := range want {
		if c.Dest[i] != dst.next {
			t.Fatalf("destination UID %d, want %d", c.Dest[i], dst.next)
		}
		dst.rows[dst.next] = src.rows[u]
		dst.next++
		if move {
			delete(src.rows, u)
		}
	}
}

func (m *model) expunge(t *rapid.T) {
	a := m.acct(t)
	b := a.boxes[a.name(t, "box")]
	var uids []mailstore.UID
	if rapid.Bool().Draw(t, "some") {
		uids = append([]mailstore.UID{}, drawUIDs(t, b)...)
	}
	only := rapid.Bool().Draw(t, "only deleted")
	var want []mailstore.UID
	for u, r := range b.rows {
		if (uids == nil || slices.Contains(uids, u)) && (!only || r.flags&mailstore.Deleted != 0) {
			want = append(want, u)
		}
	}
	slices.Sort(want)
	gone, _, err := m.e.Expunge(context.Background(), a.id, b.id, uids, only)
	must(t, err)
	if !slices.Equal(gone, want) {
		t.Fatalf("expunged %v, want %v", gone, want)
	}
	for _, u := range want {
		delete(b.rows, u)
	}
}

var modelNames = []string{"a", "a/b", "a/b/c", "d", "d/b", "Ünï"}

func (m *model) create(t *rapid.T) {
	a := m.acct(t)
	name := rapid.SampledFrom(modelNames).Draw(t, "name")
	_, err := m.e.CreateMailbox(context.Background(), a.id, name, "")
	if a.boxes[name] != nil {
		wantKind(t, err, mailstore.Exist)
		return
	}
	must(t, err)
	m.refresh(t, a)
	if a.boxes[name] == nil {
		t.Fatalf("made %q, it is not there", name)
	}
}

// refresh takes mailboxes into the model that it did not know.
func (m *model) refresh(t *rapid.T, a *modelAcct) {
	boxes, err := m.e.Mailboxes(context.Background(), a.id)
	must(t, err)
	for _, b := range boxes {
		if a.boxes[b.Name] == nil {
			if b.Exists != 0 || b.UIDNext != 1 {
				t.Fatalf("new mailbox %+v", b)
			}
			for _, o := range slices.AppendSeq(slices.Clone(a.dead), maps.Values(a.boxes)) {
				if o.id == b.ID || o.validity == b.UIDValidity {
					t.Fatalf("mailbox %+v re-uses a number of %+v", b, o)
				}
			}
			a.boxes[b.Name] = &modelBox{id: b.ID, validity: b.UIDValidity, next: 1, rows: map[mailstore.UID]modelRow{}}
		}
	}
}

func (m *model) rename(t *rapid.T) {
	a := m.acct(t)
	from, to := a.name(t, "from"), rapid.SampledFrom(modelNames).Draw(t, "to")
	err := m.e.RenameMailbox(context.Background(), a.id, from, to)
	switch {
	case strings.HasPrefix(to, from+"/") && from != "INBOX":
		wantKind(t, err, mailstore.Invalid)
		return
	case a.boxes[to] != nil:
		wantKind(t, err, mailstore.Exist)
		return
	}
	must(t, err)
	if from == "INBOX" {
		inbox := a.boxes["INBOX"]
		boxes, err := m.e.Mailboxes(context.Background(), a.id)
		must(t, err)
		for _, b := range boxes {
			if b.Name != to {
				continue
			}
			n := &modelBox{id: b.ID, validity: b.UIDValidity, next: 1, rows: map[mailstore.UID]modelRow{}}
			for _, u := range slices.Sorted(maps.Keys(inbox.rows)) {
				n.rows[n.next] = inbox.rows[u]
				n.next++
			}
			inbox.rows = map[mailstore.UID]modelRow{}
			a.boxes[to] = n
		}
	} else {
		for _, name := range slices.Collect(maps.Keys(a.boxes)) {
			if name == from || strings.HasPrefix(name, from+"/") {
				a.boxes[to+name[len(from):]] = a.boxes[name]
				delete(a.boxes, name)
			}
		}
	}
	m.refresh(t, a)
}

func (m *model) deleteBox(t *rapid.T) {
	a := m.acct(t)
	name := a.name(t, "name")
	err := m.e.DeleteMailbox(context.Background(), a.id, name)
	if name == "INBOX" {
		wantKind(t, err, mailstore.Permission)
		return
	}
	for other := range a.boxes {
		if strings.HasPrefix(other, name+"/") {
			wantKind(t, err, mailstore.Invalid)
			return
		}
	}
	must(t, err)
	a.dead = append(a.dead, a.boxes[name])
	delete(a.boxes, name)
}

func (m *model) expire(t *rapid.T) {
	m.e.clock.add(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute)
	r, _ := m.e.jan.Pass(context.Background())
	if r.Failed > 0 {
		t.Fatalf("janitor: %+v", r)
	}
	now := m.e.clock.now().Unix()
	for _, a := range m.accts {
		for _, b := range a.boxes {
			maps.DeleteFunc(b.rows, func(_ mailstore.UID, r modelRow) bool { return r.expires <= now })
		}
	}
}

func (m *model) replaceAccount(t *rapid.T) {
	if m.made > 6 {
		return
	}
	a := m.accts[0]
	must(t, m.e.DeleteAccount(context.Background(), a.id))
	_, err := m.e.Account(context.Background(), a.id)
	wantKind(t, err, mailstore.NotExist)
	m.accts = m.accts[1:]
	m.followers = slices.DeleteFunc(m.followers, func(f *follower) bool { return f.acct == a.id })
	m.newAccount(t)
}

func (m *model) follow(t *rapid.T) {
	a := m.acct(t)
	b := a.boxes[a.name(t, "box")]
	f := &follower{e: m.e, acct: a.id, box: b.id}
	f.snapshot(t)
	m.followers = append(m.followers, f)
}

// check compares the store with the model.
func (m *model) check(t *rapid.T) {
	for _, a := range m.accts {
		acct, err := m.e.Account(context.Background(), a.id)
		must(t, err)
		if acct.Messages != int64(a.rows()) || acct.Bytes != a.bytes(m) {
			t.Fatalf("account has %d rows, %d bytes; want %d, %d", acct.Messages, acct.Bytes, a.rows(), a.bytes(m))
		}
		boxes, err := m.e.Mailboxes(context.Background(), a.id)
		must(t, err)
		if len(boxes) != len(a.boxes) {
			t.Fatalf("%d mailboxes, want %d", len(boxes), len(a.boxes))
		}
		for _, b := range boxes {
			m.checkBox(t, a, b)
		}
	}
	m.followers = slices.DeleteFunc(m.followers, func(f *follower) bool { return !f.follow(t) })
	for _, f := range m.followers {
		f.same(t)
		if f.resync > 1 {
			t.Fatalf("follower had to read its mailbox again")
		}
	}
}

func (m *model) checkBox(t *rapid.T, a *modelAcct, b mailstore.Mailbox) {
	want := a.boxes[b.Name]
	if want == nil || want.id != b.ID || want.validity != b.UIDValidity || want.next != b.UIDNext ||
		int(b.Exists) != len(want.rows) {
		t.Fatalf("mailbox %+v, want %+v", b, want)
	}
	es, err := m.e.Entries(context.Background(), a.id, b.ID, mailstore.Rows{})
	must(t, err)
	if len(es) != len(want.rows) {
		t.Fatalf("%d rows in %q, want %d", len(es), b.Name, len(want.rows))
	}
	for _, e := range es {
		w := want.rows[e.UID]
		if e.Msg != w.msg || e.Flags != w.flags || !slices.Equal(e.Keywords, w.keys) ||
			e.Size != int64(len(m.bodies[w.body])) || e.ExpireAt.Unix() != w.expires {
			t.Fatalf("row %+v of %q, want %+v", e, b.Name, w)
		}
	}
	if len(es) > 0 {
		e := es[len(es)/2]
		m.e.wantContent(t, a.id, e.Msg, m.bodies[want.rows[e.UID].body])
		box, got, err := m.e.Place(context.Background(), a.id, e.Msg)
		must(t, err)
		if got.Msg != e.Msg || a.boxes[box.Name] == nil || a.boxes[box.Name].rows[got.UID].msg != e.Msg {
			t.Fatalf("place of %d is %q %d", e.Msg, box.Name, got.UID)
		}
	}
}
