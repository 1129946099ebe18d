package backup_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/backup"
	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/spool"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a mail store with a clock that is moved.
type world struct {
	*mailstore.Store
	kv   kv.Store
	pool *spool.Pool
	now  time.Time
}

func open(t testing.TB, store kv.Store, now time.Time) *world {
	t.Helper()
	w := &world{kv: store, pool: spool.New(spool.Options{}), now: now}
	var err error
	w.Store, err = mailstore.Open(context.Background(), mailstore.Options{KV: store,
		Now: func() time.Time { return w.now }, Defaults: mailstore.AccountLimits{Retention: time.Hour}})
	must(t, err)
	return w
}

func (w *world) put(t testing.TB, id mailstore.AcctID, box string, size int) mailstore.Deposited {
	t.Helper()
	m := w.pool.Message()
	defer m.Close()
	_, _ = m.Write(bytes.Repeat([]byte("line of mail\r\n"), size/14+1))
	d, err := w.Deposit(context.Background(), []mailstore.AcctID{id}, mailstore.Deposit{Mailbox: box}, m)
	must(t, err)
	return d[0]
}

func (w *world) clean(t testing.TB) {
	t.Helper()
	sum, err := fsck.Run(context.Background(), w.kv, func(f fsck.Fault) { t.Errorf("fsck: %s", f) })
	if err != nil || sum.Faults != 0 {
		t.Errorf("fsck: %d faults, %v", sum.Faults, err)
	}
}

func fill(t testing.TB) (*world, mailstore.AcctID) {
	ctx := context.Background()
	w := open(t, memkv.New(), time.Now())
	a, err := w.CreateAccount(ctx, mailstore.NewAccount{Address: "a@b.test", Credential: []byte("c"), ExpireIdle: time.Hour})
	must(t, err)
	for _, n := range []string{"box/sub", "gone"} {
		_, err := w.CreateMailbox(ctx, a.ID, n, "")
		must(t, err)
	}
	for i := range 30 {
		w.put(t, a.ID, []string{"INBOX", "box", "gone"}[i%3], i*100)
	}
	w.put(t, a.ID, "INBOX", 700_000)
	_, err = w.Copy(ctx, a.ID, 1, []mailstore.UID{1, 2}, "box")
	must(t, err)
	must(t, w.DeleteMailbox(ctx, a.ID, "gone"))
	return w, a.ID
}

func (w *world) backup(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := backup.Write(context.Background(), w.kv, &b, w.now)
	must(t, err)
	return b.Bytes()
}

// TestRestore: what comes back is what was there, and nothing that the lost
// store gave out later is given out again.
func TestRestore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, id := fill(t)
	data := w.backup(t)
	before, err := w.Mailboxes(ctx, id)
	must(t, err)
	// What happens after the backup, and is lost.
	var lost []mailstore.Deposited
	for range 2000 {
		lost = append(lost, w.put(t, id, "INBOX", 10))
	}
	made, err := w.CreateMailbox(ctx, id, "made later", "")
	must(t, err)
	first := made
	acct, err := w.Account(ctx, id)
	must(t, err)
	for round := range 3 { // each restored from the same backup, a second later
		now := w.now.Add(10*24*time.Hour + time.Duration(round)*time.Second)
		store := memkv.New()
		_, err = backup.Restore(ctx, store, bytes.NewReader(data), now)
		must(t, err)
		r := open(t, store, now)
		r.clean(t)
		after, err := r.Mailboxes(ctx, id)
		must(t, err)
		if len(after) != len(before) {
			t.Fatalf("%d mailboxes, %d before", len(after), len(before))
		}
		for i, b := range after {
			old := before[i]
			if b.Name != old.Name || b.Exists != old.Exists || b.UIDNext != old.UIDNext || b.ObjectID != old.ObjectID {
				t.Errorf("mailbox %+v, was %+v", b, old)
			}
			if b.UIDValidity <= old.UIDValidity || b.UIDValidity <= first.UIDValidity || b.HighestModSeq <= lost[1999].ModSeq {
				t.Errorf("%s: UIDVALIDITY %d, was %d; HIGHESTMODSEQ %d, given out were %d", b.Name, b.UIDValidity,
					old.UIDValidity, b.HighestModSeq, lost[1999].ModSeq)
			}
			before[i].UIDValidity = b.UIDValidity // the next round must be above this one
			ch, err := r.Changes(ctx, id, b.ID, acct.Epoch, lost[1999].ModSeq)
			must(t, err)
			if !ch.Resync {
				t.Errorf("%s: a client that saw later changes is told %+v", b.Name, ch)
			}
		}
		d := r.put(t, id, "INBOX", 10)
		if d.Msg <= lost[1999].Msg || d.ModSeq <= lost[1999].ModSeq {
			t.Errorf("new mail is message %d at %d, given out were %d at %d", d.Msg, d.ModSeq, lost[1999].Msg, lost[1999].ModSeq)
		}
		again, err := r.CreateMailbox(ctx, id, "made later", "")
		must(t, err)
		if again.UIDValidity <= made.UIDValidity || again.ID <= made.ID {
			t.Errorf("a mailbox made again: %+v, was %+v", again, made)
		}
		made.UIDValidity = again.UIDValidity
		r.clean(t)
		for it, err := range store.Scan(ctx, kv.Prefix([]byte{row.TagDeadline})) {
			must(t, err)
			if k, _ := row.ParseKey(it.Key); k.UID != 0 && int64(k.Time) <= now.Unix() {
				t.Errorf("a restored message goes at once: %v", time.Unix(int64(k.Time), 0))
			}
		}
	}
}

// TestBadBackups: a backup that was cut or changed anywhere is refused.
func TestBadBackups(t *testing.T) {
	t.Parallel()
	w, _ := fill(t)
	data := w.backup(t)
	read := func(b []byte) error {
		_, err := backup.Read(bytes.NewReader(b), func(_, _ []byte) error { return nil })
		return err
	}
	must(t, read(data))
	for n := 0; n < len(data); n += 1 + len(data)/500 {
		if err := read(data[:n]); !errors.Is(err, backup.ErrCut) && !errors.Is(err, backup.ErrNotBackup) {
			t.Errorf("cut at %d: %v", n, err)
		}
		flipped := bytes.Clone(data)
		flipped[n] ^= 1 << (n % 8)
		if err := read(flipped); err == nil {
			t.Errorf("a bit flipped at %d passes", n)
		}
	}
	if _, err := backup.Restore(context.Background(), w.kv, bytes.NewReader(data), w.now); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("into a store with mail: %v", err)
	}
	if err := read([]byte("From me")); !errors.Is(err, backup.ErrNotBackup) {
		t.Errorf("no backup: %v", err)
	}
}

// TestBrokenWriter: the error of where it is written comes back.
func TestBrokenWriter(t *testing.T) {
	t.Parallel()
	w, _ := fill(t)
	full := errors.New("no space")
	r, pipe := io.Pipe()
	r.CloseWithError(full)
	if _, err := backup.Write(context.Background(), w.kv, pipe, w.now); !errors.Is(err, full) {
		t.Errorf("written to a full disk: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	w := open(f, memkv.New(), time.Unix(1e9, 0))
	f.Add(w.backup(f))
	f.Add(fmt.Appendf(nil, "eider-backup 1\nR\x00\x00\x00\x01x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = backup.Restore(context.Background(), memkv.New(), bytes.NewReader(b), time.Unix(1e9, 0))
	})
}

// TestLargestFrame: a frame that says it is larger than any is refused before its
// bytes are waited for; one as large as may be is only cut off.
func TestLargestFrame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size uint32
		want error
	}{{backup.MaxFrame, backup.ErrCut}, {backup.MaxFrame + 1, backup.ErrDamaged}, {1<<32 - 1, backup.ErrDamaged}} {
		in := binary.BigEndian.AppendUint32([]byte("eider-backup 1\nR"), c.size)
		if _, err := backup.Read(bytes.NewReader(in), func(_, _ []byte) error { return nil }); !errors.Is(err, c.want) {
			t.Errorf("a frame of %d bytes: %v, want %v", c.size, err, c.want)
		}
	}
}
