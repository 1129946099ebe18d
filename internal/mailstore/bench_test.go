package mailstore_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv/combine"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
)

// BenchmarkDeposit delivers messages of 8 KB by 20 callers, on Pebble with
// every commit on the disk.
func BenchmarkDeposit(b *testing.B) {
	for _, accounts := range []int{1, 20} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) { benchmarkDeposit(b, accounts) })
	}
}

func benchmarkDeposit(b *testing.B, accounts int) {
	engine, err := pebblekv.Open(pebblekv.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer engine.Close()
	s, err := mailstore.Open(context.Background(), mailstore.Options{
		KV: combine.New(engine, combine.Options{}), Bus: membus.New(),
		Defaults: mailstore.AccountLimits{Retention: 24 * time.Hour}})
	if err != nil {
		b.Fatal(err)
	}
	var ids []mailstore.AcctID
	for i := range accounts {
		a, err := s.CreateAccount(context.Background(), mailstore.NewAccount{
			Address: fmt.Sprintf("a%d@x", i), Credential: []byte("c")})
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	pool := spool.New(spool.Options{})
	text := bytes.Repeat([]byte("This is a line of text in a message that somebody sent to us.\r\n"), 120)
	var n atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for {
				i := n.Add(1)
				if i > int64(b.N) {
					return
				}
				m := pool.Message()
				fmt.Fprintf(m, "From: a@b\r\nTo: c@d\r\nMessage-ID: <%d@x>\r\nSubject: number %d\r\nMIME-Version: 1.0\r\n"+
					"Content-Type: text/plain; charset=utf-8\r\n\r\n", i, i)
				m.Write(text)
				if _, err := s.Deposit(context.Background(), ids[int(i)%accounts:][:1], mailstore.Deposit{}, m); err != nil {
					b.Error(err)
					return
				}
				m.Close()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
