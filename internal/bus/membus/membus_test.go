package membus_test

import (
	"testing"

	"github.com/eidermail/eider/internal/bus"
	"github.com/eidermail/eider/internal/bus/bustest"
	"github.com/eidermail/eider/internal/bus/membus"
)

func TestBus(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(testing.TB) bus.Bus { return membus.New() })
}

func BenchmarkPublish(b *testing.B) {
	s := membus.New()
	defer s.Close()
	_, cancel := s.Subscribe(1)
	defer cancel()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Publish(b.Context(), bus.Hint{Topic: 1, Modseq: uint64(i)})
	}
}
