package fsck

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// orphans looks for rows of accounts that are not there: of each kind, one
// seek per account.
func (r *run) orphans() error {
	for _, tag := range []byte{row.TagMailbox, row.TagMailboxName, row.TagSubscription, row.TagCredential,
		row.TagEntry, row.TagInfo, row.TagBody, row.TagThread, row.TagLog} {
		for at := []byte{tag}; at != nil; {
			key, err := r.first(at, kv.PrefixEnd([]byte{tag}))
			if err != nil {
				return err
			}
			if key == nil {
				break
			}
			k, ok := row.ParseKey(key)
			if !ok {
				r.fault(key, "bad key")
				at = append(bytes.Clone(key), 0)
				continue
			}
			at = kv.PrefixEnd(row.OfAccount(tag, k.Acct))
			if ok, err := present(r.ctx, r.kv, row.Head(k.Acct)); err != nil {
				return err
			} else if ok[0] {
				continue
			}
			err = r.confirmOne(key, [][]byte{row.Head(k.Acct)}, func(rd kv.Reader) (string, error) {
				ok, err := present(r.ctx, rd, row.Head(k.Acct), key)
				if err != nil || ok[0] || !ok[1] {
					return "", err
				}
				return "row of an account that is not there", nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// first is the first key in [from, end), or nil.
func (r *run) first(from, end []byte) ([]byte, error) {
	for it, err := range r.kv.Scan(r.ctx, kv.Range{Start: from, End: end, Limit: 1, KeysOnly: true}) {
		return it.Key, err
	}
	return nil, nil
}

// each calls f for every row of a kind.
func (r *run) each(tag byte, keysOnly bool, f func(k row.Key, it kv.Item) error) error {
	q := kv.Prefix([]byte{tag})
	q.KeysOnly = keysOnly
	for it, err := range r.kv.Scan(r.ctx, q) {
		if err != nil {
			return err
		}
		k, ok := row.ParseKey(it.Key)
		if !ok {
			r.fault(it.Key, "bad key")
			continue
		}
		if err := f(k, it); err != nil {
			return err
		}
	}
	return nil
}

// names checks that each name leads to an account that knows it.
func (r *run) names() error {
	check := func(rd kv.Reader, key []byte) (acct uint64, text string, err error) {
		items, err := rd.GetMulti(r.ctx, key)
		if err != nil || items[0].Rev == 0 {
			return 0, "", err
		}
		acct, err = row.DecodeAcct(items[0].Value)
		if err != nil {
			return 0, err.Error(), nil
		}
		heads, err := rd.GetMulti(r.ctx, row.Head(acct))
		if err != nil {
			return 0, "", err
		}
		h, err := row.DecodeHead(heads[0].Value)
		switch {
		case heads[0].Rev == 0:
			return acct, "name of an account that is not there", nil
		case err != nil:
			return acct, "", nil // reported with the account
		case h.State != row.Live:
			return acct, "name of an account that is being deleted", nil
		case !slices.Contains(h.Names, string(key[1:])):
			return acct, "name that its account does not know", nil
		}
		return acct, "", nil
	}
	return r.each(row.TagName, true, func(_ row.Key, it kv.Item) error {
		acct, text, err := check(r.kv, it.Key)
		if err != nil || text == "" {
			return err
		}
		return r.confirmOne(it.Key, [][]byte{row.Head(acct), it.Key}, func(rd kv.Reader) (string, error) {
			_, text, err := check(rd, it.Key)
			return text, err
		})
	})
}

// deadlines checks that each deadline is of something.
func (r *run) deadlines() error {
	var keys, targets [][]byte
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		items, err := r.kv.GetMulti(r.ctx, targets...)
		if err != nil {
			return err
		}
		for i := range items {
			if deadlineFault(keys[i], items[i]) == "" {
				continue
			}
			key, target := keys[i], targets[i]
			k, _ := row.ParseKey(key)
			err := r.confirmOne(key, [][]byte{row.Head(k.Acct)}, func(rd kv.Reader) (string, error) {
				again, err := rd.GetMulti(r.ctx, target, key)
				if err != nil || again[1].Rev == 0 {
					return "", err
				}
				return deadlineFault(key, again[0]), nil
			})
			if err != nil {
				return err
			}
		}
		keys, targets = nil, nil
		return nil
	}
	err := r.each(row.TagDeadline, true, func(k row.Key, it kv.Item) error {
		r.sum.Deadlines++
		target := row.Entry(k.Acct, k.Mbox, k.UID)
		switch {
		case k.Mbox == 0:
			target = row.Head(k.Acct)
		case k.UID == 0:
			target = row.Mailbox(k.Acct, k.Mbox)
		}
		keys, targets = append(keys, it.Key), append(targets, target)
		if len(keys) < 500 {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// deadlineFault compares a deadline with what it is of.
func deadlineFault(key []byte, target kv.Item) string {
	k, _ := row.ParseKey(key)
	if target.Rev == 0 {
		return "deadline of what is not there"
	}
	switch {
	case k.Mbox == 0:
		if h, err := row.DecodeHead(target.Value); err == nil && h.Deadline != k.Time {
			return fmt.Sprintf("deadline of an account whose deadline is %d", h.Deadline)
		}
	case k.UID == 0:
		m, err := row.DecodeMailbox(target.Value)
		if err == nil && (m.State != row.Deleting || m.Due != k.Time) {
			return "deadline of a mailbox that is not being deleted"
		}
	default:
		if e, err := row.DecodeEntry(target.Value); err == nil && e.Expire != k.Time {
			return fmt.Sprintf("deadline of a row that expires at %d", e.Expire)
		}
	}
	return ""
}

// blobs checks that each blob has its chunks, and a link or a candidate.
func (r *run) blobs() error {
	candidates := map[row.BlobID]bool{}
	err := r.each(row.TagGarbage, true, func(k row.Key, _ kv.Item) error {
		r.sum.Candidates++
		candidates[k.Blob] = true
		return nil
	})
	if err != nil {
		return err
	}
	return r.each(row.TagBlob, false, func(k row.Key, it kv.Item) error {
		r.sum.Blobs++
		text, err := r.blobFault(r.kv, k.Blob, candidates)
		if err != nil || text == "" {
			return err
		}
		return r.confirmOne(it.Key, [][]byte{it.Key}, func(rd kv.Reader) (string, error) {
			return r.blobFault(rd, k.Blob, nil)
		})
	})
}

// blobFault checks one blob. Without a set of candidates it looks for one itself.
func (r *run) blobFault(rd kv.Reader, id row.BlobID, candidates map[row.BlobID]bool) (string, error) {
	items, err := rd.GetMulti(r.ctx, row.Blob(id))
	if err != nil || items[0].Rev == 0 {
		return "", err
	}
	b, err := row.DecodeBlob(items[0].Value)
	if err != nil {
		return err.Error(), nil
	}
	if b.State > row.BlobCondemned {
		return fmt.Sprintf("blob in state %d", b.State), nil
	}
	if b.Codec != row.Plain && b.Codec != row.Framed {
		return fmt.Sprintf("blob with codec %d", b.Codec), nil
	}
	if text, err := r.shared.Check(r.ctx, rd, id, &b); err != nil || text != "" {
		return text, err
	}
	linked := false
	links := kv.Prefix(row.Links(id))
	links.Limit, links.KeysOnly = 1, true
	for _, err := range rd.Scan(r.ctx, links) {
		if err != nil {
			return "", err
		}
		linked = true
	}
	// A condemned blob needs its candidate, linked or not: it is revived by that.
	if linked && b.State == row.BlobLive || candidates[id] {
		return "", nil
	}
	if candidates == nil {
		// The link may have gone, and the candidate come, since the set was read.
		for it, err := range rd.Scan(r.ctx, kv.Prefix(row.Garbages(id[0]%row.Shards))) {
			if err != nil {
				return "", err
			}
			if k, ok := row.ParseKey(it.Key); ok && k.Blob == id {
				return "", nil
			}
		}
	}
	if b.State == row.BlobCondemned {
		return "condemned blob without a candidate", nil
	}
	return "blob without a link and without a candidate", nil
}

// chunks checks that each upload's chunks belong to a blob or stand in the journal.
func (r *run) chunks() error {
	uploads := map[row.UploadID]bool{}
	err := r.each(row.TagUpload, false, func(k row.Key, it kv.Item) error {
		r.sum.Uploads++
		uploads[k.Upload] = true
		if _, err := row.DecodeUpload(it.Value); err != nil {
			r.fault(it.Key, "%v", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for at := []byte{row.TagChunk}; at != nil; {
		key, err := r.first(at, kv.PrefixEnd([]byte{row.TagChunk}))
		if err != nil || key == nil {
			return err
		}
		k, ok := row.ParseKey(key)
		if !ok {
			r.fault(key, "bad key")
			at = append(bytes.Clone(key), 0)
			continue
		}
		r.sum.Chunks++
		at = kv.PrefixEnd(row.Chunks(k.Blob, k.Upload))
		check := func(rd kv.Reader, again bool) (string, error) { return r.uploadFault(rd, key, uploads, again) }
		if text, err := check(r.kv, false); err != nil {
			return err
		} else if text == "" {
			continue
		}
		err = r.confirmOne(key, [][]byte{row.Blob(k.Blob)},
			func(rd kv.Reader) (string, error) { return check(rd, true) })
		if err != nil {
			return err
		}
	}
	return nil
}

// uploadFault looks for who owns a chunk.
func (r *run) uploadFault(rd kv.Reader, key []byte, uploads map[row.UploadID]bool, again bool) (string, error) {
	k, _ := row.ParseKey(key)
	items, err := rd.GetMulti(r.ctx, row.Blob(k.Blob), key)
	if err != nil || items[1].Rev == 0 {
		return "", err
	}
	if b, err := row.DecodeBlob(items[0].Value); items[0].Rev != 0 && (err != nil || b.Upload == k.Upload) {
		return "", nil
	}
	if uploads[k.Upload] && !again {
		return "", nil
	}
	if again {
		q := kv.Prefix(row.Uploads(k.Blob[0] % row.Shards))
		q.KeysOnly = true
		for it, err := range rd.Scan(r.ctx, q) {
			if err != nil {
				return "", err
			}
			if u, ok := row.ParseKey(it.Key); ok && u.Upload == k.Upload {
				return "", nil
			}
		}
	}
	return "chunk of no blob and no upload", nil
}

// links checks that each link is of a message that knows it, and to a blob.
func (r *run) links() error {
	check := func(rd kv.Reader, key []byte) (string, error) {
		k, _ := row.ParseKey(key)
		items, err := rd.GetMulti(r.ctx, key, row.Blob(k.Blob), row.Info(k.Acct, k.Msg))
		if err != nil || items[0].Rev == 0 {
			return "", err
		}
		if items[1].Rev == 0 {
			return "link to a blob that is not there", nil
		}
		x, err := row.DecodeInfo(items[2].Value)
		if items[2].Rev == 0 || err == nil && !slices.Contains(x.Blobs, k.Blob) {
			return "link of a message that is not there or does not know it", nil
		}
		return "", nil
	}
	return r.each(row.TagLink, true, func(k row.Key, it kv.Item) error {
		r.sum.Links++
		text, err := check(r.kv, it.Key)
		if err != nil || text == "" {
			return err
		}
		return r.confirmOne(it.Key, [][]byte{row.Head(k.Acct), row.Blob(k.Blob)},
			func(rd kv.Reader) (string, error) { return check(rd, it.Key) })
	})
}

// journal checks the candidates' keys; what they are of is checked with the blobs.
func (r *run) journal() error {
	return r.each(row.TagGarbage, true, func(row.Key, kv.Item) error { return nil })
}
