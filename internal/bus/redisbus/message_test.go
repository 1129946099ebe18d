package redisbus

import (
	"reflect"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus"
)

func FuzzDecode(f *testing.F) {
	f.Add("")
	f.Add(string(message{1, 2, nil}.encode()))
	f.Add(string(message{1, 2, []bus.Hint{{Topic: 3, Modseq: 4, Resync: true}, {Topic: bus.Nodes}}}.encode()))
	f.Fuzz(func(t *testing.T, s string) {
		m, err := decode(s)
		if err != nil {
			return
		}
		again, err := decode(string(m.encode()))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}

func TestOutboxForgetsAndSaysSo(t *testing.T) {
	t.Parallel()
	var o outbox
	o.init()
	for i := range MaxWaiting + 5 {
		o.add(bus.Hint{Topic: bus.Topic(i + 1), Modseq: 1})
	}
	o.add(bus.Hint{Topic: 1, Modseq: 7})
	first := o.take()
	if len(first) != MaxBatch || first[0] != (bus.Hint{Topic: bus.Everything, Resync: true}) {
		t.Fatalf("%d hints, the first %+v", len(first), first[0])
	}
	o.back(first)
	n, newest := 0, uint64(0)
	for h := o.take(); len(h) > 0; h = o.take() {
		for _, h := range h {
			if n++; h.Topic == 1 {
				newest = h.Modseq
			}
		}
	}
	if n != MaxWaiting+1 || newest != 7 {
		t.Errorf("%d hints, the newest of topic 1 is %d", n, newest)
	}
}

func TestEchoWatch(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	var w echoWatch
	for i, c := range []struct {
		after        time.Duration
		sent, echoed uint64
		want         bool
	}{
		{0, 0, 0, false}, {0, 1, 0, false}, {echoTime, 1, 0, false}, {time.Millisecond, 1, 0, true},
		{0, 2, 1, false}, {echoTime, 2, 1, false}, {echoTime, 2, 2, false}, {echoTime, 3, 2, false},
	} {
		now = now.Add(c.after)
		if got := w.missing(c.sent, c.echoed, now); got != c.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
