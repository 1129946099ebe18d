package repair

import (
	"bytes"
	"context"
	"crypto/rand"
	"slices"

	"github.com/eidermail/eider/internal/fsck"
	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/census"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// other mends a row that is of no single account.
func (r *run) other(f *faults, x fsck.Fault) error {
	k, ok := row.ParseKey(x.Key)
	if !ok {
		if len(x.Key) == 0 || !ofAccount(x.Key[0]) && !shared(x.Key[0]) {
			return nil
		}
		return r.remove(x.Key)
	}
	switch k.Tag {
	case row.TagFormat:
		return r.format()
	case row.TagName:
		return r.name(x.Key)
	case row.TagDeadline:
		return r.deadline(x.Key, k)
	case row.TagBlob:
		return r.blob(f, k.Blob)
	case row.TagChunk:
		return r.chunks(k)
	case row.TagLink:
		return r.link(x.Key, k)
	case row.TagUpload, row.TagGarbage, row.TagDict:
		return r.remove(x.Key)
	case row.TagCount:
		return r.count(x.Key)
	}
	return nil
}

// count counts the accounts of a shard again, under the guard that every new
// account takes.
func (r *run) count(key []byte) error {
	_, err := r.commit([][]byte{key}, func(tx kv.Tx) ([]write, error) {
		live, err := census.Live(r.ctx, tx)
		if err != nil {
			return nil, err
		}
		for i := range live {
			if k := row.Count(byte(i)); bytes.Equal(k, key) {
				return []write{{k, row.AppendCount(nil, live[i])}}, nil
			}
		}
		return nil, nil
	})
	return err
}

// remove takes away a row that nothing can use.
func (r *run) remove(key []byte) error {
	_, err := r.commit(row.Domains(key)[:1], func(kv.Tx) ([]write, error) { return []write{{key, nil}}, nil })
	return err
}

// format writes a missing format row; one of another program is left.
func (r *run) format() error {
	n, err := r.commit([][]byte{row.Format()}, func(tx kv.Tx) ([]write, error) {
		if i, err := row.DecodeInstallation(tx.Guard(0).Value); tx.Guard(0).Rev != 0 &&
			(err == nil && i.Format != row.FormatVersion) {
			return nil, nil
		}
		id := make([]byte, 16)
		rand.Read(id)
		i := row.Installation{Format: row.FormatVersion, ID: id, Created: r.Now().Unix()}
		return []write{{row.Format(), i.Append(nil)}}, nil
	})
	if n > 0 {
		r.lost("the installation's id: there is a new one")
	}
	return err
}

// name removes a name that leads to no account. Where there is one, the account
// learns of the name when it is mended.
func (r *run) name(key []byte) error {
	items, err := r.KV.GetMulti(r.ctx, key)
	if err != nil {
		return err
	}
	acct, _ := row.DecodeAcct(items[0].Value)
	_, err = r.commit([][]byte{row.Head(acct), key}, func(tx kv.Tx) ([]write, error) {
		h, err := row.DecodeHead(tx.Guard(0).Value)
		if tx.Guard(1).Rev == 0 || tx.Guard(0).Rev != 0 && (err != nil || h.State == row.Live) {
			return nil, nil
		}
		if tx.Guard(0).Rev == 0 {
			if some, err := hasMail(r.ctx, tx, acct); err != nil || some {
				return nil, err // the account's head is lost, not the account
			}
		}
		return []write{{key, nil}}, nil
	})
	return err
}

// hasMail tells whether there are rows of an account whose head is gone.
func hasMail(ctx context.Context, rd kv.Reader, acct uint64) (bool, error) {
	for _, tag := range []byte{row.TagMailbox, row.TagEntry, row.TagBody} {
		q := kv.Prefix(row.OfAccount(tag, acct))
		q.Limit, q.KeysOnly = 1, true
		for _, err := range rd.Scan(ctx, q) {
			return err == nil, err
		}
	}
	return false, nil
}

// deadline removes a deadline of what is not there, or goes at another time.
func (r *run) deadline(key []byte, k row.Key) error {
	_, err := r.commit([][]byte{row.Head(k.Acct)}, func(tx kv.Tx) ([]write, error) {
		items, err := tx.GetMulti(r.ctx, key, row.Entry(k.Acct, k.Mbox, k.UID), row.Mailbox(k.Acct, k.Mbox))
		if err != nil || items[0].Rev == 0 {
			return nil, err
		}
		right := false
		switch {
		case k.Mbox == 0:
			h, err := row.DecodeHead(tx.Guard(0).Value)
			right = tx.Guard(0).Rev != 0 && err == nil && h.Deadline == k.Time
		case k.UID == 0:
			m, err := row.DecodeMailbox(items[2].Value)
			right = items[2].Rev != 0 && err == nil && m.State == row.Deleting && m.Due == k.Time
		default:
			// A row that cannot be read gets its time from here.
			e, err := row.DecodeEntry(items[1].Value)
			right = items[1].Rev != 0 && (err != nil || e.Expire == k.Time)
		}
		if right {
			return nil, nil
		}
		return []write{{key, nil}}, nil
	})
	return err
}

// blob gives a blob that nobody links a candidate, so that it is collected. The
// header of one is made again from its chunks, if they are all there; else it is
// removed, and the messages that need it with it.
func (r *run) blob(f *faults, id row.BlobID) error {
	var links []row.Key
	for it, err := range r.KV.Scan(r.ctx, kv.Prefix(row.Links(id))) {
		if err != nil {
			return err
		}
		if k, ok := row.ParseKey(it.Key); ok {
			links = append(links, k)
		}
	}
	_, err := r.commit([][]byte{row.Blob(id)}, func(tx kv.Tx) ([]write, error) {
		b, err := row.DecodeBlob(tx.Guard(0).Value)
		readable := tx.Guard(0).Rev != 0 && err == nil
		seen, whole, err := r.blobs().Survey(r.ctx, tx, id, b.Upload)
		if err != nil {
			return nil, err
		}
		var out []write
		if whole && (!readable || b.State > row.BlobCondemned || b.Codec != seen.Codec || b.Size != seen.Size ||
			b.Chunks != seen.Chunks || b.Stored != 0 && b.Stored != seen.Stored) {
			if readable || len(links) > 0 {
				out = append(out, write{row.Blob(id), seen.Append(nil)})
			}
			b, readable = seen, true
		}
		if whole && readable || readable && b.Size == 0 && b.Chunks == 0 {
			day := uint32(r.Now().Unix() / (24 * 60 * 60))
			return append(out, write{row.Garbage(day, id, 0, random()), []byte{}}), nil
		}
		for _, k := range links {
			f.account(r, k.Acct).damaged[k.Msg] = true
		}
		if tx.Guard(0).Rev == 0 {
			return nil, nil
		}
		return []write{{row.Blob(id), nil}}, nil
	})
	return err
}

// chunks removes the chunks of an upload that is no blob's and is not under way.
func (r *run) chunks(k row.Key) error {
	for {
		n, err := r.commit([][]byte{row.Blob(k.Blob)}, func(tx kv.Tx) ([]write, error) {
			if b, err := row.DecodeBlob(tx.Guard(0).Value); tx.Guard(0).Rev != 0 && err == nil && b.Upload == k.Upload {
				return nil, nil
			}
			var out []write
			q := kv.Prefix(row.Chunks(k.Blob, k.Upload))
			q.Limit, q.KeysOnly = 8, true // they are large, and are kept
			for it, err := range tx.Scan(r.ctx, q) {
				if err != nil {
					return nil, err
				}
				out = append(out, write{bytes.Clone(it.Key), nil})
			}
			return out, nil
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// link removes a link to nothing, or of a message that does not need it.
func (r *run) link(key []byte, k row.Key) error {
	_, err := r.commit([][]byte{row.Head(k.Acct), row.Blob(k.Blob)}, func(tx kv.Tx) ([]write, error) {
		items, err := tx.GetMulti(r.ctx, key, row.Info(k.Acct, k.Msg))
		if err != nil || items[0].Rev == 0 {
			return nil, err
		}
		x, err := row.DecodeInfo(items[1].Value)
		if tx.Guard(1).Rev != 0 && items[1].Rev != 0 && (err != nil || slices.Contains(x.Blobs, k.Blob)) {
			return nil, nil
		}
		out := []write{{key, nil}}
		if tx.Guard(1).Rev != 0 {
			day := uint32(r.Now().Unix() / (24 * 60 * 60))
			out = append(out, write{row.Garbage(day, k.Blob, k.Acct, k.Msg), []byte{}})
		}
		return out, nil
	})
	return err
}
