package bench

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/eidermail/eider/internal/kv"
	"github.com/eidermail/eider/internal/kv/pebblekv"
	"github.com/eidermail/eider/test/corpus"
	"github.com/eidermail/eider/test/harness"
)

var storage = flag.Bool("bench-storage", false, "measure what stored mail takes, with Dovecot beside it")

const (
	// arrivalRatio is what mail may take of its maildir.
	arrivalRatio = 0.40
	// packedRatio is the same once the janitor has trained and packed anew.
	packedRatio = 0.365
	// partOfMail messages of the corpus may take partRatio.
	partOfMail = 300
	partRatio  = 0.55
	// maxLogBytes is what the write-ahead log may take, which is counted apart.
	maxLogBytes = 64 << 20
)

// TestStorage delivers the everyday mail in its order, one message after
// another, stops, and counts every byte of the data directory, beside Dovecot
// with the same mail. Without -bench-storage it delivers a part of it, where
// less is the same and the program's own files count for more.
func TestStorage(t *testing.T) {
	msgs, most := corpus.Everyday(t), arrivalRatio
	formats := []string{"maildir", "mdbox", "mdbox+zstd"}
	if !*storage {
		msgs, most, formats = msgs[:partOfMail], partRatio, nil
	}
	maildir := int64(0)
	for _, m := range msgs {
		maildir += blocks(int64(len(m.Data)))
	}
	mail := Stuff(msgs)
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d messages; as maildir in 4 KiB blocks %d bytes\n", len(msgs), maildir)
	line := func(what string, n int64) {
		fmt.Fprintf(&b, "%-34s %12d bytes  %6.4f of maildir\n", what, n, float64(n)/float64(maildir))
	}

	s := harness.Start(t, "--account-quota", "100GB", "--account-messages", "10000000", "--repack", "0")
	a := s.NewAccount(t)
	deliverAll(t, Target{Addr: s.SMTP, Rcpt: rcpts(1), Login: func(int) Login { return Login{a.User, a.Pass} }}, mail)
	s.Stop(t)
	arrival := measure(t, s.Dir)
	line("eider, on arrival", arrival.total)
	arrival.print(&b, maildir)
	packed := arrival
	if *storage {
		packed = packAll(t, s.Dir, &b)
		line("eider, trained and packed anew", packed.total)
		packed.print(&b, maildir)
	} else {
		s.Restart(t)
		s.Fsck(t)
		s.Stop(t)
	}

	for _, format := range formats {
		p := Dovecot(t, format, 1)
		deliverAll(t, p.Target, mail)
		line("Dovecot "+format+", 4 KiB blocks", dirBlocks(t, p.Dir))
	}
	t.Log(b.String())
	if r := float64(arrival.total) / float64(maildir); r > most {
		t.Errorf("on arrival mail takes %.4f of its maildir, at most %.3f", r, most)
	}
	if r := float64(packed.total) / float64(maildir); *storage && r > packedRatio {
		t.Errorf("packed anew mail takes %.4f of its maildir, at most %.3f", r, packedRatio)
	}
	if arrival.log > maxLogBytes {
		t.Errorf("the log takes %d bytes, at most %d", arrival.log, maxLogBytes)
	}
}

// packAll lets a server take all mail for cold, waits until it has nothing left
// to pack, and measures what is there after a clean stop.
func packAll(t *testing.T, dir string, b *strings.Builder) usage {
	t.Helper()
	s := harness.StartIn(t, dir, "--repack", "1s")
	_, took := harness.AwaitRepacked(t, s, 20*time.Minute)
	fmt.Fprintf(b, "    trained and packed in %v\n", took.Round(time.Second))
	s.Stop(t)
	u := measure(t, dir)
	s.Restart(t)
	s.Fsck(t)
	s.Stop(t)
	return u
}

func blocks(n int64) int64 { return (n + 4095) / 4096 * 4096 }

// deliverAll sends mail over one connection, in order.
func deliverAll(t *testing.T, to Target, mail [][]byte) {
	t.Helper()
	c, err := dial(to, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, m := range mail {
		if err := c.send(to.Rcpt(0), m); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}

// usage is what a data directory takes.
type usage struct {
	total  int64 // all but the log
	log    int64 // the write-ahead log
	tables int64
	others map[string]int64
	rows   map[byte]rowUsage
}

type rowUsage struct{ n, keys, values int64 }

// measure counts the bytes of the files, and of the rows in them.
func measure(t *testing.T, dir string) (u usage) {
	t.Helper()
	u.others, u.rows = map[string]int64{}, map[byte]rowUsage{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		switch n := st.Size(); {
		case filepath.Ext(p) == ".log":
			u.log += n
			return nil
		case filepath.Ext(p) == ".sst", filepath.Ext(p) == ".blob":
			u.tables += n
		default:
			u.others[strings.SplitN(d.Name(), "-", 2)[0]] += n
		}
		u.total += st.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := pebblekv.Open(pebblekv.Options{Dir: filepath.Join(dir, "store"), BallastBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for it, err := range s.Scan(context.Background(), kv.Range{}) {
		if err != nil {
			t.Fatal(err)
		}
		r := u.rows[it.Key[0]]
		r.n++
		r.keys += int64(len(it.Key))
		r.values += int64(len(it.Value))
		u.rows[it.Key[0]] = r
	}
	return u
}

// rowNames say what kinds of rows hold.
var rowNames = map[byte]string{'S': "bodies: skeletons, recipes", 'C': "shared parts, in chunks", 'X': "infos: MIME index, envelope",
	'E': "places: flags, dates", 'J': "change log", 'T': "deadlines", 'B': "headers of parts", 'L': "links to parts",
	'G': "candidates for collection", 't': "threads", 'Z': "dictionaries", 'A': "accounts", 'M': "mailboxes"}

// print tells where each byte went.
func (u *usage) print(b *strings.Builder, maildir int64) {
	var tags []byte
	sum := int64(0)
	for tag, r := range u.rows {
		tags = append(tags, tag)
		sum += r.keys + r.values
	}
	sort.Slice(tags, func(i, j int) bool {
		x, y := u.rows[tags[i]], u.rows[tags[j]]
		return x.keys+x.values > y.keys+y.values
	})
	for _, tag := range tags {
		r := u.rows[tag]
		name := rowNames[tag]
		if name == "" {
			name = "others"
		}
		fmt.Fprintf(b, "    %c %-32s %8d rows %12d bytes, keys %9d  %6.4f\n", tag, name, r.n, r.values, r.keys,
			float64(r.keys+r.values)/float64(maildir))
	}
	fmt.Fprintf(b, "    rows before the engine packs them %d; tables of the engine %d (%+d)\n", sum, u.tables, u.tables-sum)
	var names []string
	for n := range u.others {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(b, "    file %-28s %12d bytes\n", n, u.others[n])
	}
	fmt.Fprintf(b, "    counted apart: log %d bytes\n", u.log)
}

// dirBlocks is what the files of a directory take in blocks.
func dirBlocks(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			n += blocks(st.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
