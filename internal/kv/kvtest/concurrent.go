package kvtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/eidermail/eider/internal/kv"
)

// register is one operation of the linearizability test.
type register struct {
	key      string
	cas      bool
	old, new uint64 // a cas writes new if the value is old
}

// registers is the model: each key holds a number; a cas answers what it found.
func registers() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			for _, o := range history {
				k := o.Input.(register).key
				byKey[k] = append(byKey[k], o)
			}
			var out [][]porcupine.Operation
			for _, h := range byKey {
				out = append(out, h)
			}
			return out
		},
		Init: func() any { return uint64(0) },
		Step: func(state, input, output any) (bool, any) {
			in, found := input.(register), output.(uint64)
			if found != state.(uint64) {
				return false, state
			}
			if in.cas && found == in.old {
				return true, in.new
			}
			return true, state
		},
	}
}

// testLinearizable: guarded compare-and-set and plain reads of three keys, by
// six clients over three handles.
func testLinearizable(e *env) {
	const clients, each = 6, 120
	var (
		mu      sync.Mutex
		history []porcupine.Operation
		wg      sync.WaitGroup
		unique  atomic.Uint64
		start   = time.Now()
	)
	for c := range clients {
		s := e.handles[c%len(e.handles)]
		rnd := rand.New(rand.NewPCG(uint64(c), 7))
		wg.Go(func() {
			var last [3]uint64
			for range each {
				i := rnd.IntN(3)
				in := register{key: fmt.Sprintf("k%d", i), cas: rnd.IntN(2) == 0, old: last[i], new: unique.Add(1)}
				call := time.Since(start)
				found, err := in.do(e.ctx, s)
				if err != nil {
					e.Error(err)
					return
				}
				back := time.Since(start)
				if last[i] = found; in.cas && found == in.old {
					last[i] = in.new
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: c, Input: in, Output: found,
					Call: int64(call), Return: int64(back)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if r := porcupine.CheckOperationsTimeout(registers(), history, 20*time.Second); r != porcupine.Ok {
		e.Errorf("%d operations: the history is %v linearizable", len(history), r)
	}
}

// do runs the operation and returns the value it found.
func (in register) do(ctx context.Context, s kv.Store) (found uint64, err error) {
	key := []byte(in.key)
	if !in.cas {
		items, err := s.GetMulti(ctx, key)
		if err != nil {
			return 0, err
		}
		return number(items[0].Value), nil
	}
	err = s.Update(ctx, [][]byte{key}, func(tx kv.Tx) error {
		found = number(tx.Guard(0).Value)
		if found == in.old {
			tx.Put(key, encode(in.new))
		}
		return nil
	})
	return found, err
}

// testBank: money moves between accounts, two guards at a time; a View of all
// always sees the same sum.
func testBank(e *env) {
	const accounts, clients, each, all = 5, 6, 60, 1000
	var names [][]byte
	err := e.s.Update(e.ctx, [][]byte{[]byte("a0")}, func(tx kv.Tx) error {
		names = names[:0]
		for i := range accounts {
			names = append(names, row("a%d", i))
			tx.Put(names[i], encode(all/accounts))
		}
		return nil
	})
	if err != nil {
		e.Fatal(err)
	}
	audit := func(s kv.Store) {
		var sum uint64
		err := s.View(e.ctx, names, func(_ kv.Reader, items []kv.Item) error {
			sum = 0
			for _, it := range items {
				sum += number(it.Value)
			}
			return nil
		})
		if err != nil || sum != all {
			e.Errorf("the sum is %d, want %d (%v)", sum, all, err)
		}
	}
	var wg sync.WaitGroup
	for c := range clients {
		s := e.handles[c%len(e.handles)]
		rnd := rand.New(rand.NewPCG(uint64(c), 8))
		wg.Go(func() {
			for range each {
				from, to := rnd.IntN(accounts), rnd.IntN(accounts)
				if from == to {
					audit(s)
					continue
				}
				amount := uint64(rnd.IntN(50))
				err := s.Update(e.ctx, [][]byte{names[from], names[to]}, func(tx kv.Tx) error {
					have := number(tx.Guard(0).Value)
					if have < amount {
						return nil
					}
					tx.Put(names[from], encode(have-amount))
					tx.Put(names[to], encode(number(tx.Guard(1).Value)+amount))
					return nil
				})
				if err != nil {
					e.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	audit(e.s)
}

// testWriteSkew: two transactions read both rows and each clears one of them,
// so that one row stays. Under both guards, or under one and an Expect of the
// other row, both must never commit.
func testWriteSkew(e *env) {
	const rounds = 40
	for round := range 2 * rounds {
		x, y := row("x%d", round), row("y%d", round)
		err := e.s.Update(e.ctx, [][]byte{x, y}, func(tx kv.Tx) error {
			tx.Put(x, []byte("on"))
			tx.Put(y, []byte("on"))
			return nil
		})
		if err != nil {
			e.Fatal(err)
		}
		clearRow := func(s kv.Store, mine, other []byte) error {
			guards := [][]byte{mine, other}
			if round >= rounds {
				guards = guards[:1]
			}
			return s.Update(e.ctx, guards, func(tx kv.Tx) error {
				items, err := tx.GetMulti(e.ctx, mine, other)
				if err != nil {
					return err
				}
				if string(items[0].Value) == "on" && string(items[1].Value) == "on" {
					tx.Expect(other, items[1].Rev)
					tx.Put(mine, []byte("off"))
				}
				return nil
			})
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := clearRow(e.handles[0], x, y); err != nil {
				e.Error(err)
			}
		})
		wg.Go(func() {
			if err := clearRow(e.handles[1], y, x); err != nil {
				e.Error(err)
			}
		})
		wg.Wait()
		on := 0
		for _, k := range [][]byte{x, y} {
			if string(e.get(e.s, string(k)).Value) == "on" {
				on++
			}
		}
		if on != 1 {
			e.Fatalf("round %d: %d rows are left, want 1", round, on)
		}
	}
}

// testView: a View sees a commit in all its rows or in none.
func testView(e *env) {
	const rows = 20
	write := func(n uint64) error {
		return e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
			tx.Put([]byte("g"), encode(n))
			for i := range rows {
				tx.Put(row("r%02d", i), encode(n))
			}
			return nil
		})
	}
	if err := write(1); err != nil {
		e.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(2); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := write(n); err != nil {
				e.Error(err)
				return
			}
		}
	})
	for range 100 {
		ok := false
		err := e.handles[1].View(e.ctx, [][]byte{[]byte("g")}, func(r kv.Reader, guards []kv.Item) error {
			ok = true
			n, seen := number(guards[0].Value), 0
			for it, err := range r.Scan(e.ctx, kv.Prefix([]byte("r"))) {
				if err != nil {
					return err
				}
				seen++
				ok = ok && number(it.Value) == n
			}
			items, err := r.GetMulti(e.ctx, []byte("r00"), []byte("g"))
			if err != nil {
				return err
			}
			ok = ok && seen == rows && number(items[0].Value) == n && number(items[1].Value) == n
			return nil
		})
		if err != nil || !ok {
			e.Errorf("a View is torn (%v)", err)
			break
		}
	}
	close(stop)
	wg.Wait()
	mine := errors.New("mine")
	if err := e.s.View(e.ctx, nil, func(kv.Reader, []kv.Item) error { return mine }); err != mine {
		e.Errorf("View returned %v", err)
	}
}

// testHot: many deliver into one account over several handles, while readers
// scan it. Ids are dense and become visible in order, the head counts exactly,
// and each delivery is there once.
func testHot(e *env) {
	const workers, each = 12, 40
	head := []byte("A")
	var wg, readers sync.WaitGroup
	stop := make(chan struct{})
	for c := range 2 {
		s := e.handles[c%len(e.handles)]
		readers.Go(func() {
			seen := uint64(0)
			for done := false; !done; {
				select {
				case <-stop:
					done = true // and read once more
				default:
				}
				next := uint64(1)
				for it, err := range s.Scan(e.ctx, kv.Prefix([]byte("E"))) {
					if err != nil {
						e.Error(err)
						return
					}
					if id := number(it.Key[1:]); id != next {
						e.Errorf("id %d follows %d", id, next-1)
						return
					}
					next++
				}
				if next-1 < seen {
					e.Errorf("%d rows after %d were seen", next-1, seen)
				}
				seen = next - 1
			}
		})
	}
	for c := range workers {
		s := e.handles[c%len(e.handles)]
		wg.Go(func() {
			for i := range each {
				if err := deliver(e.ctx, s, head, row("%d/%d", c, i)); err != nil {
					e.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	readers.Wait()
	once := map[string]bool{}
	for it, err := range e.s.Scan(e.ctx, kv.Prefix([]byte("E"))) {
		if err != nil {
			e.Fatal(err)
		}
		if once[string(it.Value)] {
			e.Errorf("%s is there twice", it.Value)
		}
		once[string(it.Value)] = true
	}
	if n := number(e.get(e.s, "A").Value); n != workers*each || len(once) != workers*each {
		e.Errorf("head counts %d, %d rows, want %d", n, len(once), workers*each)
	}
}

// deliver takes the next id from the head and writes its row, in one commit.
func deliver(ctx context.Context, s kv.Store, head, what []byte) error {
	return s.Update(ctx, [][]byte{head}, func(tx kv.Tx) error {
		id := encode(number(tx.Guard(0).Value) + 1)
		tx.Put(head, id)
		tx.Put(append([]byte("E"), id...), what)
		return nil
	})
}

// testScanLong: a scan of many rows ends, and sees each row that stays, while
// others keep changing them.
func testScanLong(e *env) {
	const rows, group = 20_000, 5_000
	for i := 0; i < rows; i += group {
		err := e.s.Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
			for j := i; j < i+group; j++ {
				tx.Put(row("r%06d", j), make([]byte, 100))
			}
			return nil
		})
		if err != nil {
			e.Fatal(err)
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			err := e.handles[1].Update(e.ctx, [][]byte{[]byte("g")}, func(tx kv.Tx) error {
				tx.Put(row("r%06d", n*7919%rows), encode(uint64(n)))
				tx.Put(row("r%06dx", n*31%rows), nil) // comes and goes between the rows
				tx.Delete(row("r%06dx", (n-5)*31%rows))
				return nil
			})
			if err != nil {
				e.Error(err)
				return
			}
		}
	})
	for _, reverse := range []bool{false, true} {
		seen := 0
		for it, err := range e.s.Scan(e.ctx, kv.Range{Start: []byte("r"), Reverse: reverse}) {
			if err != nil {
				e.Fatal(err)
			}
			if len(it.Key) != 7 {
				continue
			}
			want := seen
			if reverse {
				want = rows - 1 - seen
			}
			if string(it.Key) != string(row("r%06d", want)) {
				e.Fatalf("row %d of the scan is %q", seen, it.Key)
			}
			seen++
		}
		if seen != rows {
			e.Errorf("%d rows seen, want %d", seen, rows)
		}
	}
	close(stop)
	wg.Wait()
}
