package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// catchAll is the catch-all's login in the ready file.
type catchAll struct {
	User string `json:"user"`
	Pass string `json:"pass"`
}

// writeReady writes the ready file at once and whole, for its owner only: it
// holds a password.
func (s *Server) writeReady(path string) error {
	all := map[string]any{}
	addrs := s.Addrs()
	for _, l := range s.o.Config.Listeners() {
		if a, ok := addrs[l.Name]; ok {
			all[l.Name] = a
		} else {
			all[l.Name] = nil
		}
	}
	all["pid"] = os.Getpid()
	all["web"] = s.WebURL()
	all["ca"] = nil
	if ca := s.certs.CAFile(); ca != "" {
		all["ca"] = ca
	}
	all["catchAll"] = nil
	if s.catch.Acct != 0 {
		all["catchAll"] = catchAll{User: s.catch.Address, Pass: s.catch.Password}
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".ready-*") // 0600 by CreateTemp
	if err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("--ready-file: %w", err)
	}
	return nil
}

// removeReady takes away a ready file, so that nobody reads a stale one.
func removeReady(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--ready-file: %w", err)
	}
	return nil
}
