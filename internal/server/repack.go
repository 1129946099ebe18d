package server

import (
	"errors"

	"github.com/eidermail/eider/internal/janitor/repack"
)

// openRepack makes the loop that packs cold mail anew, and shows what it did.
func (s *Server) openRepack() error {
	s.repack = repack.New(repack.Options{KV: s.kv, Blobs: s.mail.Blobs(), Log: s.o.Log, Now: s.o.Now,
		After: s.o.Config.Repack.Std(), Compact: s.o.Compact})
	gauge := func(name, help string, f func(repack.Stats) int64) error {
		return s.o.Metrics.GaugeFunc("eider_repack_"+name, help, func() float64 { return float64(f(s.repack.Stats())) })
	}
	return errors.Join(
		gauge("rows", "Rows of stored mail that this server has packed anew since it started.",
			func(st repack.Stats) int64 { return st.Rows }),
		gauge("before_bytes", "Bytes that these rows took before.", func(st repack.Stats) int64 { return st.Before }),
		gauge("after_bytes", "Bytes that they take now.", func(st repack.Stats) int64 { return st.After }),
		gauge("dictionaries", "Dictionaries that this server has trained on stored mail since it started.",
			func(st repack.Stats) int64 { return st.Dictionaries }),
	)
}
