package mailstore_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/kv/memkv"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/spool"
)

func TestSmoke(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, err := mailstore.Open(ctx, mailstore.Options{KV: memkv.New(), Bus: membus.New(),
		Defaults: mailstore.AccountLimits{Retention: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.CreateAccount(ctx, mailstore.NewAccount{Address: "a@x.test", Credential: []byte("c")})
	if err != nil {
		t.Fatal(err)
	}
	ch, cancel := s.Watch(a.ID)
	defer cancel()
	pool := spool.New(spool.Options{})
	m := pool.Message()
	want := []byte("Message-ID: <a@b>\r\nSubject: hi\r\n\r\nHello\r\n")
	m.Write(want)
	d, err := s.Deposit(ctx, []mailstore.AcctID{a.ID}, mailstore.Deposit{}, m)
	if err != nil {
		t.Fatal(err)
	}
	<-ch
	c, err := s.Content(ctx, a.ID, d[0].Msg)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if !bytes.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	snap, err := s.Snapshot(ctx, a.ID, 1)
	if err != nil || len(snap.Entries) != 1 {
		t.Fatal(snap, err)
	}
	infos, err := s.Infos(ctx, a.ID, d[0].Msg)
	if err != nil || infos[0].Index.Envelope.Subject != "hi" {
		t.Fatal(infos, err)
	}
	boxes, err := s.Mailboxes(ctx, a.ID)
	if err != nil || len(boxes) != 1 || boxes[0].Exists != 1 {
		t.Fatal(boxes, err)
	}
}
