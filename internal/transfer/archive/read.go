package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
)

// reader is one reading of an archive.
type reader struct {
	tar   *tar.Reader
	yield func(Item, error) bool
	head  bool // the archive's head was read
	ended bool
	next  *Message // its bytes must come next
}

// Read yields the items of an archive. A *Skipped error is about one part, and
// the sequence goes on; any other error ends it. An archive that is cut gives
// ErrCut after the last item that was whole.
func Read(r io.Reader) iter.Seq2[Item, error] { return read(r, false) }

// ReadOn is Read for what a Writer wrote that Continues an archive.
func ReadOn(r io.Reader) iter.Seq2[Item, error] { return read(r, true) }

func read(r io.Reader, head bool) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		a := &reader{tar: tar.NewReader(r), yield: yield, head: head}
		for {
			h, err := a.tar.Next()
			switch {
			case err == nil:
				if !a.member(h) {
					return
				}
				continue
			case !a.head && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
				err = fmt.Errorf("%w: %w", ErrNotArchive, err)
			case errors.Is(err, io.EOF) && a.ended:
				return
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
				err = ErrCut
			default:
				err = fmt.Errorf("the archive is damaged: %w", err)
			}
			yield(Item{}, err)
			return
		}
	}
}

// skip tells of a part that cannot be read.
func (a *reader) skip(where, format string, args ...any) bool {
	return a.yield(Item{}, &Skipped{where, fmt.Errorf(format, args...)})
}

// member takes one file of the tar.
func (a *reader) member(h *tar.Header) bool {
	name := h.Name
	if !a.head && name != "eider/archive.json" {
		a.yield(Item{}, ErrNotArchive)
		return false
	}
	stem, kind := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
	if a.next != nil && (kind != ".eml" || stem != a.next.Path) {
		m := a.next
		a.next = nil
		if !a.skip(m.Path, "its bytes are not in the archive") {
			return false
		}
	}
	switch {
	case kind == ".eml":
		return a.body(h, stem)
	case h.Typeflag == tar.TypeDir:
		return true
	case h.Typeflag != tar.TypeReg || kind != ".json":
		return a.skip(name, "no part of an archive")
	}
	line, err := io.ReadAll(io.LimitReader(a.tar, MaxLine+1))
	if err != nil {
		return true // the next header will tell
	}
	if len(line) > MaxLine {
		return a.skip(name, "longer than %d bytes", MaxLine)
	}
	return a.line(name, stem, line)
}

// line takes a line of JSON.
func (a *reader) line(name, stem string, line []byte) bool {
	var it Item
	var err error
	switch path.Base(stem) {
	case "archive":
		it.Head = new(Head)
		if err = json.Unmarshal(line, it.Head); err != nil || it.Head.Format != "eider" {
			a.yield(Item{}, ErrNotArchive)
			return false
		}
		if it.Head.Version > Version {
			a.yield(Item{}, ErrVersion)
			return false
		}
		a.head = true
	case "account":
		it.Account = new(Account)
		err = json.Unmarshal(line, it.Account)
	case "mailbox":
		it.Mailbox = new(Mailbox)
		err = json.Unmarshal(line, it.Mailbox)
	case "end":
		a.ended = true
		return true
	default:
		m := &Message{Path: stem}
		if err = json.NewDecoder(bytes.NewReader(line)).Decode(m); err == nil {
			if m.Path = stem; m.Error == "" {
				a.next = m
				return true
			}
			it.Message = m
		}
	}
	if err != nil {
		return a.skip(name, "its JSON cannot be read: %w", err)
	}
	return a.yield(it, nil)
}

// body takes a message's bytes, whose line has come before.
func (a *reader) body(h *tar.Header, stem string) bool {
	m := a.next
	a.next = nil
	switch {
	case m == nil:
		return a.skip(h.Name, "no line of JSON says what it is")
	case h.Typeflag == tar.TypeLink && m.SameAs != "":
		return a.yield(Item{Message: m}, nil)
	case h.Typeflag != tar.TypeReg:
		return a.skip(h.Name, "neither a file nor a copy of one")
	}
	m.SameAs = ""
	if m.Size != h.Size {
		return a.skip(h.Name, "%d bytes, %d expected", h.Size, m.Size)
	}
	return a.yield(Item{Message: m, Body: a.tar}, nil)
}
