package row_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/mailstore/row"
	"github.com/eidermail/eider/internal/message"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// codec is a kind of value, decoded and encoded again.
type codec struct {
	name    string
	sample  func() []byte
	rewrite func([]byte) ([]byte, error)
	// rewritten kinds must keep fields that they do not know.
	keeps bool
}

func codecs() []codec {
	return []codec{
		{"head", func() []byte {
			h := row.HeadRow{ModSeq: 9, NextMsg: 3, NextMbox: 2, NextValidity: 77, Epoch: 4, State: 1, Bytes: 1000,
				Messages: 3, Mailboxes: 2, FirstMsg: 1, LimitRetention: -1, LimitBytes: 5, LimitMessages: 6,
				Address: "a@b", Names: []string{"a@b", ""}, Name: "n", Label: "l", Created: -5, LastUsed: 7, Idle: 8,
				Deadline: 9, CredEpoch: 10, LinkEpoch: 11, Generated: true, CatchAll: true, Disabled: true, Defaults: true}
			return h.Append(nil)
		}, func(b []byte) ([]byte, error) { h, err := row.DecodeHead(b); return h.Append(nil), err }, true},
		{"installation", func() []byte {
			i := row.Installation{Format: 1, ID: []byte("0123456789abcdef"), Created: 99}
			return i.Append(nil)
		}, func(b []byte) ([]byte, error) { i, err := row.DecodeInstallation(b); return i.Append(nil), err }, true},
		{"mailbox", func() []byte {
			m := row.MailboxRow{Name: "INBOX", UIDValidity: 1, UIDNext: 2, Exists: 3, Unseen: 4, Deleted: 5, Bytes: 6,
				Highest: 7, LogFloor: 8, LogStart: 9, LogCount: 10, LogOldest: 11, SpecialUse: `\Sent`, ObjectID: 12,
				RecentFloor: 13, State: 1, Created: 14, Due: 15}
			return m.Append(nil)
		}, func(b []byte) ([]byte, error) { m, err := row.DecodeMailbox(b); return m.Append(nil), err }, true},
		{"entry", func() []byte {
			e := row.EntryRow{Msg: 1, Flags: 31, Keywords: []string{"a", "b"}, ModSeq: 2, Internal: -100, Saved: 5,
				Size: 6, Expire: 7}
			return e.Append(nil)
		}, func(b []byte) ([]byte, error) { e, err := row.DecodeEntry(b); return e.Append(nil), err }, true},
		{"log", func() []byte {
			l := row.LogRow{Prev: 1, Time: 2, Added: row.Runs{{1, 1}, {3, 9}}, Changed: row.Runs{{5, 5}},
				Vanished: row.Runs{{1, 4294967295}}}
			return l.Append(nil)
		}, func(b []byte) ([]byte, error) { l, err := row.DecodeLog(b); return l.Append(nil), err }, true},
		{"info", func() []byte {
			x := row.InfoRow{Size: 1, Places: []row.Place{{1, 2}, {3, 4}}, Thread: 5, Hashes: []uint64{6, 1 << 63},
				Blobs: []row.BlobID{{1}, {2}}, Envelope: []byte("e"), Index: []byte("i"), NoIndex: true}
			return x.Append(nil)
		}, func(b []byte) ([]byte, error) { x, err := row.DecodeInfo(b); return x.Append(nil), err }, true},
		{"blob", func() []byte {
			r := row.BlobRow{State: 1, Codec: 2, Size: 3, Upload: 4, Chunks: 5, Created: 6}
			r.Stored, r.Dict, r.By = 7, 8, 9
			return r.Append(nil)
		}, func(b []byte) ([]byte, error) { r, err := row.DecodeBlob(b); return r.Append(nil), err }, true},
		{"body", func() []byte {
			r := row.BodyRow{Kind: row.InBlob, Codec: 1, Size: 1 << 40, CRC: 7, Blob: row.BlobID{9}}
			return r.Append(nil)
		}, func(b []byte) ([]byte, error) {
			r, err := row.DecodeBody(b)
			out := r.Append(nil)
			if r.Kind == row.Inline {
				out = append(out, r.Data...)
			}
			return out, err
		}, false},
		{"recipe", func() []byte {
			r := row.BodyRow{Kind: row.Recipe, Codec: 1, Size: 1 << 40, CRC: 7, Blobs: []row.BlobID{{9}, {8}}, Dict: 3, Raw: 4,
				RawCRC: 5, Segments: []byte("s"), SkeletonBlob: 2, Data: []byte("d")}
			return r.Append(nil)
		}, func(b []byte) ([]byte, error) { r, err := row.DecodeBody(b); return r.Append(nil), err }, false},
		{"dictionary", func() []byte {
			r := row.DictRow{Created: 1, Sampled: 2, Saved: 3, Data: []byte("d")}
			return r.Append(nil)
		}, func(b []byte) ([]byte, error) { r, err := row.DecodeDict(b); return r.Append(nil), err }, true},
		{"envelope", func() []byte {
			e := row.Envelope{From: "f", To: []string{"a", ""}, ToCount: 3, Helo: "h", Protocol: "ESMTP", Client: "::1",
				TLS: "t", User: "u", Received: time.UnixMilli(123456).UTC(), Body: "8BITMIME"}
			return e.Append(nil)
		}, func(b []byte) ([]byte, error) { e, err := row.DecodeEnvelope(b); return e.Append(nil), err }, false},
		{"thread", func() []byte { return row.ThreadRow{Thread: 1, Msg: 2}.Append(nil) },
			func(b []byte) ([]byte, error) { t, err := row.DecodeThread(b); return t.Append(nil), err }, false},
		{"acct", func() []byte { return row.AppendAcct(nil, 7) },
			func(b []byte) ([]byte, error) { a, err := row.DecodeAcct(b); return row.AppendAcct(nil, a), err }, false},
		{"mbox", func() []byte { return row.AppendMbox(nil, 7) },
			func(b []byte) ([]byte, error) { a, err := row.DecodeMbox(b); return row.AppendMbox(nil, a), err }, false},
		{"subscription", func() []byte { return row.AppendSubscription(nil, "é") },
			func(b []byte) ([]byte, error) {
				a, err := row.DecodeSubscription(b)
				return row.AppendSubscription(nil, a), err
			}, false},
		{"upload", func() []byte { return row.AppendUpload(nil, row.UploadDead) },
			func(b []byte) ([]byte, error) { a, err := row.DecodeUpload(b); return row.AppendUpload(nil, a), err }, false},
		{"index", func() []byte { return row.AppendIndex(nil, sampleIndex()) },
			func(b []byte) ([]byte, error) { x, err := row.DecodeIndex(b); return row.AppendIndex(nil, &x), err }, false},
	}
}

func sampleIndex() *message.Index {
	from := []message.Address{{Name: "A", Mailbox: "a", Host: "h"}, {Mailbox: "g", Group: true}, {Group: true}}
	env := message.Envelope{Date: "d", SentAt: time.Unix(1000, 0).In(time.FixedZone("", -3600)), Subject: "s", From: from,
		Sender: from, ReplyTo: from[:1], To: from[1:], InReplyTo: "<x>", MessageID: "<y>"}
	leaf := &message.Part{Type: "text", Subtype: "plain", Params: []message.Param{{Name: "charset", Value: "utf-8"}},
		Encoding: "base64", Header: message.Span{Start: 5, End: 10}, Body: message.Span{Start: 10, End: 30}, Lines: 3,
		Disposition: "attachment", DispParams: []message.Param{{Name: "filename", Value: "é"}}, Language: []string{"de", ""},
		ID: "<i>", Description: "d", MD5: "m", Location: "l"}
	inner := &message.Part{Type: "message", Subtype: "rfc822", Message: &message.Embedded{Envelope: env, Root: leaf}}
	empty := &message.Part{Type: "message", Subtype: "rfc822", Message: &message.Embedded{}}
	return &message.Index{Size: 99, Envelope: env, References: []string{"a", "b"}, Preview: "p",
		Attachments: []message.Attachment{{ID: "ATT00001", Path: "1.2", Name: "n", Type: "image/png", ContentID: "c",
			Inline: true, Size: 5, DecodedSize: 4}}, Defects: []string{"odd"},
		Root: &message.Part{Type: "multipart", Subtype: "mixed", Parts: []*message.Part{leaf, inner, empty, leaf}}}
}

func TestIndexIsKept(t *testing.T) {
	t.Parallel()
	want := sampleIndex()
	got, err := row.DecodeIndex(row.AppendIndex(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Comparer(func(a, b time.Time) bool {
		_, za := a.Zone()
		_, zb := b.Zone()
		return a.Equal(b) && za == zb
	})
	if d := cmp.Diff(*want, got, same); d != "" {
		t.Error(d)
	}
}

func TestValuesAreKept(t *testing.T) {
	t.Parallel()
	for _, c := range codecs() {
		b := c.sample()
		got, err := c.rewrite(b)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: %x rewritten is %x, %v", c.name, b, got, err)
		}
		for n := range b {
			// A cut value is an error or a shorter one, never a panic.
			_, _ = c.rewrite(b[:n])
		}
		if _, err := c.rewrite(nil); err == nil && c.name != "envelope" {
			t.Errorf("%s: no value decodes", c.name)
		}
		newer := append([]byte{b[0] + 1}, b[1:]...)
		if _, err := c.rewrite(newer); err == nil {
			t.Errorf("%s: an unknown version decodes", c.name)
		}
	}
}

// An older program beside a newer one must not drop what it does not know.
func TestUnknownFieldsSurvive(t *testing.T) {
	t.Parallel()
	extra := protowire.AppendTag(nil, 500, protowire.BytesType)
	extra = protowire.AppendBytes(extra, []byte("from the future"))
	extra = protowire.AppendFixed64(protowire.AppendTag(extra, 501, protowire.Fixed64Type), 42)
	for _, c := range codecs() {
		if !c.keeps {
			continue
		}
		b := append(c.sample(), extra...)
		got, err := c.rewrite(b)
		if err != nil || !bytes.Contains(got, extra) {
			t.Errorf("%s: unknown fields are gone: %x, %v", c.name, got, err)
		}
		again, err := c.rewrite(got)
		if err != nil || !bytes.Equal(got, again) {
			t.Errorf("%s: unknown fields are doubled or moved: %x, %x, %v", c.name, got, again, err)
		}
	}
}

func TestEveryFieldIsKept(t *testing.T) {
	t.Parallel()
	// A field added to a struct and forgotten in its codec shows here.
	var h row.HeadRow
	var m row.MailboxRow
	var e row.EntryRow
	for _, v := range []any{&h, &m, &e} {
		s := reflect.ValueOf(v).Elem()
		for i := range s.NumField() {
			switch f := s.Field(i); {
			case !f.CanSet():
			case f.CanUint():
				f.SetUint(uint64(i + 1))
			case f.CanInt():
				f.SetInt(int64(i + 1))
			case f.Kind() == reflect.String:
				f.SetString("x")
			case f.Kind() == reflect.Bool:
				f.SetBool(true)
			case f.Type() == reflect.TypeFor[[]string]():
				f.Set(reflect.ValueOf([]string{"y"}))
			}
		}
	}
	h2, _ := row.DecodeHead(h.Append(nil))
	m2, _ := row.DecodeMailbox(m.Append(nil))
	e2, _ := row.DecodeEntry(e.Append(nil))
	if !reflect.DeepEqual(h, h2) || !reflect.DeepEqual(m, m2) || !reflect.DeepEqual(e, e2) {
		t.Errorf("a field is lost:\n%+v\n%+v\n%+v\n%+v\n%+v\n%+v", h, h2, m, m2, e, e2)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		uids := rapid.SliceOf(rapid.Uint32Range(1, 30)).Draw(t, "uids")
		var r row.Runs
		for _, u := range uids {
			r = r.Add(u)
		}
		want := slices.Compact(slices.Sorted(slices.Values(uids)))
		if got := slices.Collect(r.All); !slices.Equal(got, want) || r.Len() != len(want) {
			t.Fatalf("runs %v hold %v, want %v", r, got, want)
		}
		for i, run := range r {
			if run.From > run.To || i > 0 && run.From <= r[i-1].To+1 {
				t.Fatalf("runs touch or are out of order: %v", r)
			}
		}
		for u := range uint32(32) {
			if r.Has(u) != slices.Contains(want, u) {
				t.Fatalf("%v has %d: %v", r, u, r.Has(u))
			}
		}
	})
}

// allKeys is one key of every kind.
func allKeys() [][]byte {
	id := row.BlobID{3, 1, 4}
	return [][]byte{
		row.Format(), row.KeyRing(1, 2), row.Head(7), row.Name("a@b"), row.Credential(7), row.Mailbox(7, 1),
		row.MailboxName(7, "INBOX"), row.Subscription(7, "INBOX"), row.Entry(7, 1, 5), row.Info(7, 9), row.Body(7, 9),
		row.Thread(7, 1<<63), row.Log(7, 1, 99), row.Deadline(1000, 7, 1, 5), row.Lease(3), row.Blob(id),
		row.Chunk(id, 8, 2), row.Link(id, 7, 9), row.Garbage(20000, id, 7, 9), row.Upload(1000, 8, id),
		row.Dict(5),
	}
}

func TestKeysParse(t *testing.T) {
	t.Parallel()
	for _, k := range allKeys() {
		if _, ok := row.ParseKey(k); !ok {
			t.Errorf("key %q does not parse", k)
		}
		if k[0] == row.TagName || k[0] == row.TagMailboxName || k[0] == row.TagSubscription {
			continue
		}
		if _, ok := row.ParseKey(append(bytes.Clone(k), 0)); ok {
			t.Errorf("key %q parses with a byte too many", k)
		}
		if _, ok := row.ParseKey(k[:len(k)-1]); ok {
			t.Errorf("key %q parses with a byte too few", k)
		}
	}
	p, _ := row.ParseKey(row.Deadline(1000, 7, 1, 5))
	if p.Time != 1000 || p.Acct != 7 || p.Mbox != 1 || p.UID != 5 {
		t.Errorf("deadline parses as %+v", p)
	}
	if n := len(row.MailboxName(1, string(bytes.Repeat([]byte("é"), 256)))); n > 512 {
		t.Errorf("key of the longest mailbox name has %d bytes", n)
	}
}

// Keys sort as their fields do.
func TestKeysSort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (uint64, uint32, uint32) {
			return rapid.Uint64().Draw(t, label), rapid.Uint32().Draw(t, label), rapid.Uint32().Draw(t, label)
		}
		a1, m1, u1 := draw("first")
		a2, m2, u2 := draw("second")
		want := slices.Compare([]uint64{a1, uint64(m1), uint64(u1)}, []uint64{a2, uint64(m2), uint64(u2)})
		if got := bytes.Compare(row.Entry(a1, m1, u1), row.Entry(a2, m2, u2)); got != want {
			t.Fatalf("order %d, want %d", got, want)
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, k := range allKeys() {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := row.ParseKey(b); ok && len(b) > 600 && b[0] != row.TagName {
			if b[0] != row.TagMailboxName && b[0] != row.TagSubscription {
				t.Errorf("key of %d bytes parses", len(b))
			}
		}
		for _, d := range row.Domains(b) {
			if len(b) > 0 && len(d) == 0 {
				t.Error("key without a domain")
			}
		}
	})
}

func FuzzValue(f *testing.F) {
	for i, c := range codecs() {
		f.Add(i, c.sample())
	}
	all := codecs()
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		c := all[uint(i)%uint(len(all))]
		once, err := c.rewrite(b)
		if err != nil {
			return
		}
		twice, err := c.rewrite(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s: %x is rewritten as %x, and that as %x, %v", c.name, b, once, twice, err)
		}
	})
}
