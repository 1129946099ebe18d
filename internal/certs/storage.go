package certs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/lease"
	"github.com/eidermail/eider/internal/mailstore/row"
)

// Pace: time for the store to take or give one file of ACME.
const StorageTime = 30 * time.Second

// Limit: files of ACME that are listed.
const MaxFiles = 10_000

// Pace: longest time that a lock is held. Who orders in vain tries again for
// weeks, and must not keep the others, which may reach the ACME server, from it.
const LockTime = ObtainTime + time.Minute

// lockTTL is how long a lock outlives the server that held it.
const lockTTL = 30 * time.Second

// Storage keeps ACME's account, keys and certificates in the store, so that
// servers need no shared files and renew once for all. Each file is a row and
// its own guard; locks are leases.
type Storage struct {
	kv kv.Store

	mu    sync.Mutex
	locks map[string]*lock // held by this process
}

// lock is a lease that is held until free is closed, or for LockTime.
type lock struct {
	free chan struct{}
	done chan struct{} // closed when it is given back
}

var _ certmagic.Storage = (*Storage)(nil)

// NewStorage returns the files and locks of ACME in a store.
func NewStorage(store kv.Store) *Storage { return &Storage{kv: store, locks: map[string]*lock{}} }

// The kinds of rows under row.TagCert.
const (
	kindFile = 'd'
	kindLock = 'l'
)

func certKey(kind byte, name string) []byte {
	return append([]byte{row.TagCert, kind}, name...)
}

// Store writes a file.
func (s *Storage) Store(ctx context.Context, name string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, StorageTime)
	defer cancel()
	key := certKey(kindFile, name)
	b := encodeFile(file{value, time.Now()})
	return s.kv.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
		tx.Put(key, b)
		return nil
	})
}

// Load reads a file.
func (s *Storage) Load(ctx context.Context, name string) ([]byte, error) {
	f, err := s.load(ctx, name)
	return f.value, err
}

func (s *Storage) load(ctx context.Context, name string) (file, error) {
	ctx, cancel := context.WithTimeout(ctx, StorageTime)
	defer cancel()
	items, err := s.kv.GetMulti(ctx, certKey(kindFile, name))
	if err != nil {
		return file{}, err
	}
	if items[0].Rev == 0 {
		return file{}, fs.ErrNotExist
	}
	return decodeFile(items[0].Value)
}

// Delete removes a file, and all below it.
func (s *Storage) Delete(ctx context.Context, name string) error {
	below, err := s.List(ctx, name, true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, n := range append(below, name) {
		key := certKey(kindFile, n)
		err := s.kv.Update(ctx, [][]byte{key}, func(tx kv.Tx) error { tx.Delete(key); return nil }, kv.Reclaim())
		if err != nil {
			return err
		}
	}
	return nil
}

// Exists tells whether there is such a file or folder.
func (s *Storage) Exists(ctx context.Context, name string) bool {
	_, err := s.Stat(ctx, name)
	return err == nil
}

// List names what is in a folder.
func (s *Storage) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, StorageTime)
	defer cancel()
	if folder != "" {
		folder = strings.TrimSuffix(folder, "/") + "/"
	}
	var out []string
	q := kv.Prefix(certKey(kindFile, folder))
	q.KeysOnly, q.Limit = true, MaxFiles
	for it, err := range s.kv.Scan(ctx, q) {
		if err != nil {
			return nil, err
		}
		name := string(it.Key[2:])
		if first, _, deeper := strings.Cut(name[len(folder):], "/"); deeper && !recursive {
			name = folder + first
		}
		if len(out) == 0 || out[len(out)-1] != name { // they come sorted
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, fs.ErrNotExist
	}
	return out, nil
}

// Stat tells of a file or folder.
func (s *Storage) Stat(ctx context.Context, name string) (certmagic.KeyInfo, error) {
	f, err := s.load(ctx, name)
	if err == nil {
		return certmagic.KeyInfo{Key: name, Modified: f.modified, Size: int64(len(f.value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	if _, err := s.List(ctx, name, false); err != nil {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: name}, nil
}

// Lock waits for a lock and renews it until Unlock, at most for LockTime. A
// server that was frozen can lose it meanwhile: then two ask for the same
// certificate, which costs an order and harms nothing.
func (s *Storage) Lock(ctx context.Context, name string) error {
	l := &lock{free: make(chan struct{}), done: make(chan struct{})}
	held, failed := make(chan struct{}), make(chan error, 1)
	wait, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(l.done)
		defer cancel()
		failed <- lease.Run(wait, s.kv, certKey(kindLock, name), lockTTL, func(ctx context.Context, _ *lease.Lease) error {
			close(held)
			most := time.NewTimer(LockTime)
			defer most.Stop()
			select {
			case <-l.free:
			case <-most.C:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	select {
	case <-held:
	case err := <-failed:
		return fmt.Errorf("certs: lock: %w", err)
	case <-ctx.Done():
		cancel()
		<-l.done
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locks[name] = l
	return nil
}

// Unlock gives a lock back, if it is still held.
func (s *Storage) Unlock(_ context.Context, name string) error {
	s.mu.Lock()
	l := s.locks[name]
	delete(s.locks, name)
	s.mu.Unlock()
	if l == nil {
		return fmt.Errorf("certs: %q is not locked", name)
	}
	close(l.free)
	<-l.done
	return nil
}

// file is a row of kindFile. It holds nothing that an older server must keep
// when it writes a file anew.
type file struct {
	value    []byte
	modified time.Time
}

const (
	fileVersion                    = 1
	fieldValue    protowire.Number = 1
	fieldModified protowire.Number = 2 // milliseconds since 1970
)

func encodeFile(f file) []byte {
	b := []byte{fileVersion}
	b = protowire.AppendBytes(protowire.AppendTag(b, fieldValue, protowire.BytesType), f.value)
	b = protowire.AppendTag(b, fieldModified, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(f.modified.UnixMilli()))
}

// errFile is a row that cannot be read.
var errFile = errors.New("certs: unreadable row of ACME")

func decodeFile(b []byte) (file, error) {
	var f file
	if len(b) == 0 || b[0] != fileVersion {
		return f, errFile
	}
	for b = b[1:]; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return file{}, errFile
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return file{}, errFile
		}
		switch {
		case num == fieldValue && typ == protowire.BytesType:
			f.value, _ = protowire.ConsumeBytes(b[n:])
		case num == fieldModified && typ == protowire.VarintType:
			ms, _ := protowire.ConsumeVarint(b[n:])
			f.modified = time.UnixMilli(int64(ms))
		}
		b = b[n+m:]
	}
	return f, nil
}
