package pebblekv_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/pebblekv"
)

// deposit is what storing a mail writes: a head, four small rows and a body.
func deposit(ctx context.Context, s kv.Store, acct uint64, body []byte) error {
	var space [6][24]byte // keys must not change afterwards, so each call has its own
	key := func(i int, tag byte, n uint64) []byte {
		k := append(space[i][:0], tag)
		k = binary.BigEndian.AppendUint64(k, acct)
		return binary.BigEndian.AppendUint64(k, n)
	}
	head := key(0, 'A', 0)[:9]
	return s.Update(ctx, [][]byte{head}, func(tx kv.Tx) error {
		n := uint64(1)
		if g := tx.Guard(0); g.Rev != 0 {
			n = binary.BigEndian.Uint64(g.Value) + 1
		}
		row := make([]byte, 60)
		binary.BigEndian.PutUint64(row, n)
		tx.Put(head, row)
		tx.Put(key(1, 'E', n), row)
		tx.Put(key(2, 'X', n), row)
		tx.Put(key(3, 'J', n), row)
		tx.Put(key(4, 'T', n), row)
		tx.Put(key(5, 'S', n), body)
		return nil
	})
}

// BenchmarkDeposit stores mails durably, over the combiner, from 32 clients:
// into one account, and each client into its own.
func BenchmarkDeposit(b *testing.B) {
	const clients = 32
	for _, size := range []int{1 << 10, 33 << 10} {
		for _, c := range []struct {
			name  string
			accts uint64
		}{{"one", 1}, {"many", clients}} {
			b.Run(fmt.Sprintf("%dK/%s", size>>10, c.name), func(b *testing.B) {
				s := combine.New(open(b, pebblekv.Options{Dir: b.TempDir()}), combine.Options{})
				defer s.Close()
				body := make([]byte, size)
				for i := range body {
					body[i] = byte(i*7) ^ byte(i>>8)
				}
				var client atomic.Uint64
				b.SetParallelism(clients / 2) // times GOMAXPROCS
				b.ReportAllocs()
				b.SetBytes(int64(size))
				b.RunParallel(func(pb *testing.PB) {
					acct := client.Add(1) % c.accts
					for pb.Next() {
						if err := deposit(context.Background(), s, acct, body); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// BenchmarkDepositAlone stores one mail after the other: the cost of a commit.
func BenchmarkDepositAlone(b *testing.B) {
	s := combine.New(open(b, pebblekv.Options{Dir: b.TempDir()}), combine.Options{})
	defer s.Close()
	body := make([]byte, 1<<10)
	b.ReportAllocs()
	for b.Loop() {
		if err := deposit(context.Background(), s, 1, body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGet reads one and fifty rows.
func BenchmarkGet(b *testing.B) {
	s := open(b, pebblekv.Options{Dir: b.TempDir()})
	defer s.Close()
	for range 1000 {
		if err := deposit(context.Background(), s, 1, make([]byte, 1000)); err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range []int{1, 3, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			keys := make([][]byte, n)
			for i := range keys {
				k := binary.BigEndian.AppendUint64([]byte{'E'}, 1)
				keys[i] = binary.BigEndian.AppendUint64(k, uint64(i*13%1000+1))
			}
			b.ReportAllocs()
			for b.Loop() {
				items, err := s.GetMulti(context.Background(), keys...)
				if err != nil || items[n-1].Rev == 0 {
					b.Fatal(items[n-1], err)
				}
			}
		})
	}
}

// BenchmarkScan reads a thousand small rows.
func BenchmarkScan(b *testing.B) {
	s := open(b, pebblekv.Options{Dir: b.TempDir()})
	defer s.Close()
	for range 1000 {
		if err := deposit(context.Background(), s, 1, make([]byte, 1000)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range s.Scan(context.Background(), kv.Prefix([]byte{'E'})) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkOpenClose is what a command pays that opens the store for one write.
func BenchmarkOpenClose(b *testing.B) {
	dir := b.TempDir()
	for _, write := range []bool{false, true} {
		b.Run(fmt.Sprintf("write=%v", write), func(b *testing.B) {
			for b.Loop() {
				s := open(b, pebblekv.Options{Dir: dir})
				if write {
					if err := deposit(context.Background(), s, 1, make([]byte, 1000)); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
