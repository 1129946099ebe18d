package fsck_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/spool"
)

// world is a store with a bit of everything in it.
type world struct {
	kv   kv.Store
	id   uint64
	dead uint64 // an account that is being deleted
	box  uint32 // a mailbox with copies
	gone uint32 // a mailbox that is being deleted
	blob row.BlobID
	big  uint64 // the message in it
	now  time.Time
}

func newWorld(t *testing.T) *world {
	ctx := context.Background()
	w := &world{kv: memkv.New(), now: time.Unix(1_760_000_000, 0)}
	s, err := mailstore.Open(ctx, mailstore.Options{KV: w.kv, Now: func() time.Time { return w.now },
		Defaults: mailstore.AccountLimits{Retention: time.Hour}})
	must(t, err)
	account := func(address string) mailstore.AcctID {
		a, err := s.CreateAccount(ctx, mailstore.NewAccount{
			Address: address, Credential: []byte("c"), ExpireIdle: 24 * time.Hour})
		must(t, err)
		return a.ID
	}
	id, dead := account("a@b"), account("c@d")
	w.id, w.dead = uint64(id), uint64(dead)
	pool := spool.New(spool.Options{})
	put := func(id mailstore.AcctID, b []byte, box string) mailstore.Deposited {
		m := pool.Message()
		defer m.Close()
		_, _ = m.Write(b)
		d, err := s.Deposit(ctx, []mailstore.AcctID{id}, mailstore.Deposit{Mailbox: box}, m)
		must(t, err)
		return d[0]
	}
	for _, name := range []string{"box", "gone"} {
		_, err := s.CreateMailbox(ctx, id, name, "")
		must(t, err)
	}
	for i := range 5 {
		put(id, fmt.Appendf(nil, "Message-ID: <%d@x>\r\nIn-Reply-To: <%d@x>\r\n\r\ntext\r\n", i, i-1), "INBOX")
	}
	w.big = uint64(put(id, bytes.Repeat([]byte("large"), 120_000), "INBOX").Msg)
	c, err := s.Copy(ctx, id, 1, []mailstore.UID{1, 2, 6}, "box")
	must(t, err)
	w.box = uint32(c.Mailbox)
	_, err = s.SetFlags(ctx, id, 1, []mailstore.UID{1, 3}, mailstore.FlagChange{Flags: mailstore.Seen | mailstore.Deleted})
	must(t, err)
	_, _, err = s.Expunge(ctx, id, 1, []mailstore.UID{4}, false)
	must(t, err)
	// More rows than a deletion removes at once, so that one is under way.
	for i := range 1100 {
		put(id, fmt.Appendf(nil, "%d", i), "gone")
	}
	must(t, s.DeleteMailbox(ctx, id, "gone"))
	put(dead, []byte("x"), "INBOX")
	must(t, s.DeleteAccount(ctx, dead))
	w.find(t, row.TagMailbox, func(k row.Key, v []byte) bool {
		m, _ := row.DecodeMailbox(v)
		if k.Acct == w.id && m.State == row.Deleting {
			w.gone = k.Mbox
		}
		return false
	})
	_, v := w.find(t, row.TagInfo, func(k row.Key, _ []byte) bool { return k.Acct == w.id && k.Msg == w.big })
	x, err := row.DecodeInfo(v)
	must(t, err)
	w.blob = x.Blobs[0]
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clone is the same world in a store of its own.
func (w *world) clone(t *testing.T) *world {
	t.Helper()
	c := *w
	c.kv = memkv.New()
	ctx := context.Background()
	for it, err := range w.kv.Scan(ctx, kv.Range{}) {
		must(t, err)
		must(t, c.kv.Update(ctx, [][]byte{it.Key}, func(tx kv.Tx) error {
			tx.Put(it.Key, it.Value)
			return nil
		}))
	}
	return &c
}

// find is the first row of a kind that ok takes.
func (w *world) find(t *testing.T, tag byte, ok func(row.Key, []byte) bool) (key, value []byte) {
	t.Helper()
	for it, err := range w.kv.Scan(context.Background(), kv.Prefix([]byte{tag})) {
		must(t, err)
		k, _ := row.ParseKey(it.Key)
		if ok(k, it.Value) {
			return it.Key, it.Value
		}
	}
	return nil, nil
}

func (w *world) get(t *testing.T, key []byte) []byte {
	t.Helper()
	items, err := w.kv.GetMulti(context.Background(), key)
	must(t, err)
	if items[0].Rev == 0 {
		t.Fatalf("no row %s to corrupt", fsck.KeyText(key))
	}
	return items[0].Value
}

// set writes a row past all rules; nil deletes it.
func (w *world) set(t *testing.T, key, value []byte) {
	t.Helper()
	must(t, w.kv.Update(context.Background(), [][]byte{key}, func(tx kv.Tx) error {
		if value == nil {
			tx.Delete(key)
		} else {
			tx.Put(key, value)
		}
		return nil
	}))
}

func (w *world) run(t *testing.T) (fsck.Summary, []string) {
	t.Helper()
	var faults []string
	sum, err := fsck.Run(context.Background(), w.kv, func(f fsck.Fault) { faults = append(faults, f.String()) })
	must(t, err)
	if sum.Faults != len(faults) {
		t.Errorf("summary counts %d faults, %d were reported", sum.Faults, len(faults))
	}
	return sum, faults
}

func TestCleanStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sum, faults := w.run(t)
	for _, f := range faults {
		t.Error(f)
	}
	if sum.Accounts != 2 || sum.Mailboxes != 3 || sum.Blobs != 1 || sum.Links != 1 || sum.Rows < 9 || sum.Bytes < 600_000 {
		t.Errorf("looked at %+v", sum)
	}
	if w.gone == 0 {
		t.Error("the world has no mailbox that is being deleted")
	}
}

// head, mailbox, entry and info change one row.
func (w *world) head(t *testing.T, f func(*row.HeadRow)) {
	h, err := row.DecodeHead(w.get(t, row.Head(w.id)))
	must(t, err)
	f(&h)
	w.set(t, row.Head(w.id), h.Append(nil))
}

func (w *world) mailbox(t *testing.T, f func(*row.MailboxRow)) {
	m, err := row.DecodeMailbox(w.get(t, row.Mailbox(w.id, 1)))
	must(t, err)
	f(&m)
	w.set(t, row.Mailbox(w.id, 1), m.Append(nil))
}

func (w *world) entry(t *testing.T, f func(*row.EntryRow)) {
	e, err := row.DecodeEntry(w.get(t, row.Entry(w.id, 1, 2)))
	must(t, err)
	f(&e)
	w.set(t, row.Entry(w.id, 1, 2), e.Append(nil))
}

func (w *world) info(t *testing.T, f func(*row.InfoRow)) {
	x, err := row.DecodeInfo(w.get(t, row.Info(w.id, 2)))
	must(t, err)
	f(&x)
	w.set(t, row.Info(w.id, 2), x.Append(nil))
}

func (w *world) firstLog(t *testing.T) []byte {
	k, _ := w.find(t, row.TagLog, func(k row.Key, _ []byte) bool { return k.Acct == w.id && k.Mbox == 1 })
	return k
}

// corruptions break the store in one way each, and say what must be found.
var corruptions = []struct {
	name, want string
	do         func(t *testing.T, w *world)
}{
	{"format gone", "no format row", func(t *testing.T, w *world) { w.set(t, row.Format(), nil) }},
	{"format newer", "format 9", func(t *testing.T, w *world) {
		i := row.Installation{Format: 9, ID: []byte("x")}
		w.set(t, row.Format(), i.Append(nil))
	}},
	{"unknown tag", "unknown kind", func(t *testing.T, w *world) { w.set(t, []byte("!x"), []byte("y")) }},
	{"head modseq", "above the account's", func(t *testing.T, w *world) {
		w.head(t, func(h *row.HeadRow) { h.ModSeq = 2 })
	}},
	{"head bytes", "head counts", func(t *testing.T, w *world) { w.head(t, func(h *row.HeadRow) { h.Bytes++ }) }},
	{"head messages", "head counts", func(t *testing.T, w *world) { w.head(t, func(h *row.HeadRow) { h.Messages-- }) }},
	{"head mailboxes", "mailboxes, there are", func(t *testing.T, w *world) {
		w.head(t, func(h *row.HeadRow) { h.Mailboxes++ })
	}},
	{"head msgid", "message id was not given out", func(t *testing.T, w *world) {
		w.head(t, func(h *row.HeadRow) { h.NextMsg = 2 })
	}},
	{"head first", "below the account's first", func(t *testing.T, w *world) {
		w.head(t, func(h *row.HeadRow) { h.FirstMsg = 3 })
	}},
	{"head mbox", "mailbox id was not", func(t *testing.T, w *world) { w.head(t, func(h *row.HeadRow) { h.NextMbox = 2 }) }},
	{"head validity", "UIDVALIDITY was not", func(t *testing.T, w *world) {
		w.head(t, func(h *row.HeadRow) { h.NextValidity = 5 })
	}},
	{"head deadline", "deadline", func(t *testing.T, w *world) { w.head(t, func(h *row.HeadRow) { h.Deadline++ }) }},
	{"head name", "name", func(t *testing.T, w *world) { w.head(t, func(h *row.HeadRow) { h.Names = []string{"z@z"} }) }},
	{"head damaged", "corrupt", func(t *testing.T, w *world) { w.set(t, row.Head(w.id), []byte{1, 255}) }},
	{"head gone", "account that is not there", func(t *testing.T, w *world) { w.set(t, row.Head(w.id), nil) }},
	{"credential gone", "without a credential", func(t *testing.T, w *world) { w.set(t, row.Credential(w.id), nil) }},
	{"name gone", "does not lead", func(t *testing.T, w *world) {
		k, _ := w.find(t, row.TagName, func(row.Key, []byte) bool { return true })
		w.set(t, k, nil)
	}},
	{"name of nobody", "name of an account that is not there", func(t *testing.T, w *world) {
		w.set(t, row.Name("q@q"), row.AppendAcct(nil, 12345))
	}},
	{"name of the dead", "being deleted", func(t *testing.T, w *world) {
		w.set(t, row.Name("q@q"), row.AppendAcct(nil, w.dead))
	}},
	{"second name", "does not know", func(t *testing.T, w *world) {
		w.set(t, row.Name("q@q"), row.AppendAcct(nil, w.id))
	}},
	{"dead without deadline", "no deadline", func(t *testing.T, w *world) {
		k, _ := w.find(t, row.TagDeadline, func(k row.Key, _ []byte) bool { return k.Acct == w.dead && k.Mbox == 0 })
		w.set(t, k, nil)
	}},
	{"mailbox uidnext", "UID was not given out", func(t *testing.T, w *world) {
		w.mailbox(t, func(m *row.MailboxRow) { m.UIDNext = 3; m.RecentFloor = 1 })
	}},
	{"mailbox exists", "mailbox counts", func(t *testing.T, w *world) { w.mailbox(t, func(m *row.MailboxRow) { m.Exists++ }) }},
	{"mailbox unseen", "mailbox counts", func(t *testing.T, w *world) { w.mailbox(t, func(m *row.MailboxRow) { m.Unseen++ }) }},
	{"mailbox deleted", "mailbox counts", func(t *testing.T, w *world) { w.mailbox(t, func(m *row.MailboxRow) { m.Deleted++ }) }},
	{"mailbox bytes", "mailbox counts", func(t *testing.T, w *world) { w.mailbox(t, func(m *row.MailboxRow) { m.Bytes++ }) }},
	{"mailbox highest", "the log ends", func(t *testing.T, w *world) { w.mailbox(t, func(m *row.MailboxRow) { m.Highest++ }) }},
	{"mailbox floor", "log floor", func(t *testing.T, w *world) {
		w.mailbox(t, func(m *row.MailboxRow) { m.LogFloor = m.Highest + 1 })
	}},
	{"mailbox log count", "log records", func(t *testing.T, w *world) { w.mailbox(t, func(m *row.MailboxRow) { m.LogCount++ }) }},
	{"mailbox recent", "recent floor", func(t *testing.T, w *world) {
		w.mailbox(t, func(m *row.MailboxRow) { m.RecentFloor = m.UIDNext + 1 })
	}},
	{"mailbox validity twice", "UIDVALIDITY of another", func(t *testing.T, w *world) {
		o, _ := row.DecodeMailbox(w.get(t, row.Mailbox(w.id, w.box)))
		w.mailbox(t, func(m *row.MailboxRow) { m.UIDValidity = o.UIDValidity })
	}},
	{"mailbox gone", "mailbox that is not there", func(t *testing.T, w *world) { w.set(t, row.Mailbox(w.id, w.box), nil) }},
	{"mailbox damaged", "corrupt", func(t *testing.T, w *world) { w.set(t, row.Mailbox(w.id, w.box), []byte{9}) }},
	{"mailbox name gone", "without a name", func(t *testing.T, w *world) { w.set(t, row.MailboxName(w.id, "box"), nil) }},
	{"mailbox name of nothing", "name of a mailbox", func(t *testing.T, w *world) {
		w.set(t, row.MailboxName(w.id, "zzz"), row.AppendMbox(nil, 99))
	}},
	{"mailbox named twice", "second name", func(t *testing.T, w *world) {
		w.set(t, row.MailboxName(w.id, "zzz"), row.AppendMbox(nil, w.box))
	}},
	{"no inbox", "no INBOX", func(t *testing.T, w *world) { w.set(t, row.MailboxName(w.id, "INBOX"), nil) }},
	{"deleting without deadline", "no deadline", func(t *testing.T, w *world) {
		m, _ := row.DecodeMailbox(w.get(t, row.Mailbox(w.id, w.gone)))
		w.set(t, row.Deadline(m.Due, w.id, w.gone, 0), nil)
	}},
	{"subscription damaged", "corrupt", func(t *testing.T, w *world) {
		w.set(t, row.Subscription(w.id, "INBOX"), []byte{8})
	}},
	{"entry gone", "not there", func(t *testing.T, w *world) { w.set(t, row.Entry(w.id, 1, 2), nil) }},
	{"entry damaged", "corrupt", func(t *testing.T, w *world) { w.set(t, row.Entry(w.id, 1, 2), []byte{1, 8}) }},
	{"entry modseq", "the log's last", func(t *testing.T, w *world) { w.entry(t, func(e *row.EntryRow) { e.ModSeq-- }) }},
	{"entry modseq high", "highest is", func(t *testing.T, w *world) {
		w.entry(t, func(e *row.EntryRow) { e.ModSeq = 1 << 40 })
	}},
	{"entry size", "size", func(t *testing.T, w *world) { w.entry(t, func(e *row.EntryRow) { e.Size++ }) }},
	{"entry message", "not there", func(t *testing.T, w *world) { w.entry(t, func(e *row.EntryRow) { e.Msg = 999_999 }) }},
	{"entry expiry", "deadline", func(t *testing.T, w *world) { w.entry(t, func(e *row.EntryRow) { e.Expire++ }) }},
	{"entry extra", "not in the log", func(t *testing.T, w *world) {
		w.set(t, row.Entry(w.id, 1, 4), w.get(t, row.Entry(w.id, 1, 2)))
		for it, err := range w.kv.Scan(context.Background(), kv.Prefix(row.Logs(w.id, 1))) {
			must(t, err)
			l, _ := row.DecodeLog(it.Value)
			if l.Vanished.Has(4) || l.Added.Has(4) {
				l.Vanished, l.Added = nil, row.Runs{{From: 1000, To: 1000}}
				w.set(t, it.Key, l.Append(nil))
			}
		}
	}},
	{"entry vanished", "vanished", func(t *testing.T, w *world) {
		w.set(t, row.Entry(w.id, 1, 4), w.get(t, row.Entry(w.id, 1, 2)))
	}},
	{"info gone", "which is not there", func(t *testing.T, w *world) { w.set(t, row.Info(w.id, 2), nil) }},
	{"info damaged", "corrupt", func(t *testing.T, w *world) { w.set(t, row.Info(w.id, 2), []byte{1, 255}) }},
	{"info places", "is named by", func(t *testing.T, w *world) { w.info(t, func(x *row.InfoRow) { x.Places = x.Places[1:] }) }},
	{"info size", "size", func(t *testing.T, w *world) { w.info(t, func(x *row.InfoRow) { x.Size++ }) }},
	{"info index", "index", func(t *testing.T, w *world) { w.info(t, func(x *row.InfoRow) { x.Index = []byte{1, 255} }) }},
	{"info no index", "neither", func(t *testing.T, w *world) { w.info(t, func(x *row.InfoRow) { x.Index = nil }) }},
	{"info envelope", "envelope", func(t *testing.T, w *world) { w.info(t, func(x *row.InfoRow) { x.Envelope = []byte{7} }) }},
	{"info hashes", "thread row", func(t *testing.T, w *world) { w.info(t, func(x *row.InfoRow) { x.Hashes = nil }) }},
	{"info unknown", "is named by", func(t *testing.T, w *world) {
		w.set(t, row.Info(w.id, 4), w.get(t, row.Info(w.id, 2)))
	}},
	{"body gone", "without a body", func(t *testing.T, w *world) { w.set(t, row.Body(w.id, 2), nil) }},
	{"body extra", "body without a message", func(t *testing.T, w *world) {
		w.set(t, row.Body(w.id, 4), w.get(t, row.Body(w.id, 2)))
	}},
	{"body bit", "corrupt", func(t *testing.T, w *world) {
		b := bytes.Clone(w.get(t, row.Body(w.id, 2)))
		b[len(b)-1] ^= 1
		w.set(t, row.Body(w.id, 2), b)
	}},
	{"body short", "corrupt", func(t *testing.T, w *world) {
		b := w.get(t, row.Body(w.id, 2))
		w.set(t, row.Body(w.id, 2), b[:len(b)-1])
	}},
	{"thread of nobody", "thread row", func(t *testing.T, w *world) {
		w.set(t, row.Thread(w.id, 5), row.ThreadRow{Thread: 1, Msg: 999}.Append(nil))
	}},
	{"log record gone", "", func(t *testing.T, w *world) { w.set(t, w.firstLog(t), nil) }},
	{"log damaged", "corrupt", func(t *testing.T, w *world) { w.set(t, w.firstLog(t), []byte{1, 255}) }},
	{"log chain", "record follows", func(t *testing.T, w *world) {
		k := w.firstLog(t)
		l, _ := row.DecodeLog(w.get(t, k))
		l.Prev++
		w.set(t, k, l.Append(nil))
	}},
	{"log of no mailbox", "log of a mailbox", func(t *testing.T, w *world) {
		w.set(t, row.Log(w.id, 77, 5), w.get(t, w.firstLog(t)))
	}},
	{"log outside", "outside the log", func(t *testing.T, w *world) {
		w.set(t, row.Log(w.id, 1, 1), w.get(t, w.firstLog(t)))
	}},
	{"deadline gone", "without its deadline", func(t *testing.T, w *world) {
		e, _ := row.DecodeEntry(w.get(t, row.Entry(w.id, 1, 2)))
		w.set(t, row.Deadline(e.Expire, w.id, 1, 2), nil)
	}},
	{"deadline of nothing", "deadline of what", func(t *testing.T, w *world) {
		w.set(t, row.Deadline(5, w.id, 1, 99), []byte{})
	}},
	{"deadline early", "expires at", func(t *testing.T, w *world) { w.set(t, row.Deadline(5, w.id, 1, 2), []byte{}) }},
	{"deadline of a living mailbox", "not being deleted", func(t *testing.T, w *world) {
		w.set(t, row.Deadline(5, w.id, 1, 0), []byte{})
	}},
	{"deadline of an account", "whose deadline is", func(t *testing.T, w *world) {
		w.set(t, row.Deadline(5, w.id, 0, 0), []byte{})
	}},
	{"deadline shard", "bad key", func(t *testing.T, w *world) {
		k := row.Deadline(5, w.id, 1, 2)
		k[1] = (k[1] + 1) % row.Shards
		w.set(t, k, []byte{})
	}},
	{"orphan", "account that is not there", func(t *testing.T, w *world) {
		w.set(t, row.Info(4242, 1), w.get(t, row.Info(w.id, 2)))
	}},
	{"blob gone", "blob", func(t *testing.T, w *world) { w.set(t, row.Blob(w.blob), nil) }},
	{"blob damaged", "corrupt", func(t *testing.T, w *world) { w.set(t, row.Blob(w.blob), []byte{1, 255}) }},
	{"chunk gone", "chunk", func(t *testing.T, w *world) {
		b, _ := row.DecodeBlob(w.get(t, row.Blob(w.blob)))
		w.set(t, row.Chunk(w.blob, b.Upload, 1), nil)
	}},
	{"last chunk gone", "blob of", func(t *testing.T, w *world) {
		b, _ := row.DecodeBlob(w.get(t, row.Blob(w.blob)))
		w.set(t, row.Chunk(w.blob, b.Upload, b.Chunks-1), nil)
	}},
	{"chunk bit", "chunk 1: ", func(t *testing.T, w *world) {
		b, _ := row.DecodeBlob(w.get(t, row.Blob(w.blob)))
		c := bytes.Clone(w.get(t, row.Chunk(w.blob, b.Upload, 1)))
		c[5] ^= 4
		w.set(t, row.Chunk(w.blob, b.Upload, 1), c)
	}},
	{"chunk of nothing", "no blob and no upload", func(t *testing.T, w *world) {
		w.set(t, row.Chunk(row.BlobID{1}, 2, 0), []byte("x"))
	}},
	{"chunk of another upload", "no blob and no upload", func(t *testing.T, w *world) {
		w.set(t, row.Chunk(w.blob, 2, 0), []byte("x"))
	}},
	{"link gone", "without its link", func(t *testing.T, w *world) { w.set(t, row.Link(w.blob, w.id, w.big), nil) }},
	{"blob leaked", "without a link", func(t *testing.T, w *world) {
		id := row.BlobID{7}
		b := row.BlobRow{}
		w.set(t, row.Blob(id), b.Append(nil))
	}},
	{"link of nobody", "link of a message", func(t *testing.T, w *world) {
		w.set(t, row.Link(w.blob, w.id, 2), []byte{})
	}},
	{"link to nothing", "link to a blob", func(t *testing.T, w *world) {
		w.set(t, row.Link(row.BlobID{9}, w.id, 2), []byte{})
	}},
	{"blob in no state", "in state 7", func(t *testing.T, w *world) {
		w.blobRow(t, func(b *row.BlobRow) { b.State = 7 })
	}},
	{"blob with no codec", "codec 9", func(t *testing.T, w *world) {
		w.blobRow(t, func(b *row.BlobRow) { b.Codec = 9 })
	}},
	{"blob that counts wrong", "they take", func(t *testing.T, w *world) {
		w.blobRow(t, func(b *row.BlobRow) { b.Stored++ })
	}},
	{"blob of another size", "body needs", func(t *testing.T, w *world) {
		w.blobRow(t, func(b *row.BlobRow) { b.Size-- })
	}},
	{"condemned for ever", "condemned blob without a candidate", func(t *testing.T, w *world) {
		w.blobRow(t, func(b *row.BlobRow) { b.State = row.BlobCondemned })
		for it, err := range w.kv.Scan(context.Background(), kv.Prefix([]byte{row.TagGarbage})) {
			must(t, err)
			w.set(t, it.Key, nil)
		}
	}},
	{"chunk of no frame", "no frame", func(t *testing.T, w *world) {
		b, _ := row.DecodeBlob(w.get(t, row.Blob(w.blob)))
		w.set(t, row.Chunk(w.blob, b.Upload, 1), []byte{1})
	}},
	{"dictionary damaged", "dictionary", func(t *testing.T, w *world) {
		d := row.DictRow{Data: []byte("none")}
		w.set(t, row.Dict(9), d.Append(nil))
	}},
	{"dictionary key", "bad key", func(t *testing.T, w *world) { w.set(t, append(row.Dict(9), 1), []byte{1}) }},
	{"dictionary lost", "unknown dictionary", func(t *testing.T, w *world) {
		w.bodyRow(t, 2, func(r *row.BodyRow) {
			b, _ := base64.StdEncoding.DecodeString("KLUv/SMJAAAAIAkAAEFCQw==")
			r.Codec, r.Data = row.Zstd, append(b[:5:5], []byte{9, 0, 0, 0, byte(r.Raw)}...)
		})
	}},
	{"skeleton bit", "corrupt", func(t *testing.T, w *world) {
		w.bodyRow(t, 2, func(r *row.BodyRow) { r.Data[len(r.Data)/2] ^= 1 })
	}},
	{"skeleton cut", "corrupt", func(t *testing.T, w *world) {
		w.bodyRow(t, 2, func(r *row.BodyRow) { r.Data = r.Data[:len(r.Data)-1] })
	}},
	{"recipe bit", "recipe", func(t *testing.T, w *world) {
		w.bodyRow(t, w.big, func(r *row.BodyRow) { r.Segments[0] ^= 4 })
	}},
	{"recipe sum", "checksum of the recipe", func(t *testing.T, w *world) {
		w.bodyRow(t, w.big, func(r *row.BodyRow) { r.RawCRC++ })
	}},
	{"recipe of another blob", "does not link", func(t *testing.T, w *world) {
		w.bodyRow(t, w.big, func(r *row.BodyRow) { r.Blobs[0][3]++ })
	}},
	{"body kind", "unknown kind", func(t *testing.T, w *world) {
		old, err := row.DecodeBody(w.get(t, row.Body(w.id, 2)))
		must(t, err)
		r := row.BodyRow{Kind: 77, Size: old.Size}
		w.set(t, row.Body(w.id, 2), append(r.Append(nil), make([]byte, old.Size)...))
	}},
	{"upload damaged", "corrupt", func(t *testing.T, w *world) {
		w.set(t, row.Upload(1, 2, row.BlobID{3}), []byte{1, 255})
	}},
	{"candidate shard", "bad key", func(t *testing.T, w *world) {
		k := row.Garbage(1, w.blob, 2, 3)
		k[1] = (k[1] + 1) % row.Shards
		w.set(t, k, []byte{})
	}},
}

// blobRow changes the header of the world's blob.
func (w *world) blobRow(t *testing.T, change func(b *row.BlobRow)) {
	b, err := row.DecodeBlob(w.get(t, row.Blob(w.blob)))
	must(t, err)
	change(&b)
	w.set(t, row.Blob(w.blob), b.Append(nil))
}

// bodyRow changes the body of a message.
func (w *world) bodyRow(t *testing.T, msg uint64, change func(r *row.BodyRow)) {
	r, err := row.DecodeBody(bytes.Clone(w.get(t, row.Body(w.id, msg))))
	must(t, err)
	change(&r)
	w.set(t, row.Body(w.id, msg), r.Append(nil))
}

// TestEachCorruptionIsFound: a check that cannot fail is no check.
func TestEachCorruptionIsFound(t *testing.T) {
	t.Parallel()
	base := newWorld(t)
	for _, c := range corruptions {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := base.clone(t)
			c.do(t, w)
			_, faults := w.run(t)
			if !strings.Contains(strings.Join(faults, "\n"), c.want) || len(faults) == 0 {
				t.Errorf("want a fault with %q, found:\n%s", c.want, strings.Join(faults, "\n"))
			}
		})
	}
}

// A candidate holds a blob that is waiting to be collected, and a journal row an upload.
func TestWhatIsUnderWayIsNoFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := row.BlobID{7}
	b := row.BlobRow{}
	w.set(t, row.Blob(id), b.Append(nil))
	w.set(t, row.Garbage(20000, id, 1, 2), []byte{})
	w.set(t, row.Upload(5, 6, row.BlobID{8}), row.AppendUpload(nil, row.UploadLive))
	w.set(t, row.Chunk(row.BlobID{8}, 6, 0), []byte("x"))
	if _, faults := w.run(t); len(faults) > 0 {
		t.Error(faults)
	}
}

// TestMostFaults: of one account MaxFaults are reported, and all are counted.
func TestMostFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range uint32(fsck.MaxFaults + 50) { // entries of messages that are not there
		w.set(t, row.Entry(w.id, 1, 1000+i), (&row.EntryRow{Msg: uint64(1000 + i), ModSeq: 1}).Append(nil))
	}
	told := map[string]int{}
	sum, err := fsck.Run(t.Context(), w.kv, func(f fsck.Fault) { told[fmt.Sprint(f.Key[:9])]++ })
	must(t, err)
	most := 0
	for _, n := range told {
		most = max(most, n)
	}
	if most > fsck.MaxFaults || sum.Faults < fsck.MaxFaults+50 {
		t.Errorf("%d faults, %d are told of one account", sum.Faults, most)
	}
}
