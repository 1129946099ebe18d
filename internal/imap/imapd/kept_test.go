package imapd

import (
	"strings"
	"testing"

	"github.com/eidermail/eider/internal/imap/memo"
	"github.com/eidermail/eider/internal/mailstore"
)

// TestListingsAreBounded: a mailbox of maxListing rows is kept, a larger one is
// not; of several that have more than maxListed together those are forgotten
// that were used longest ago.
func TestListingsAreBounded(t *testing.T) {
	t.Parallel()
	var ls listings
	weigh := func(box mailstore.MailboxID, n int) {
		k := listingKey{1, box}
		ls.weigh(k, ls.of(k), n)
	}
	kept := func(box mailstore.MailboxID) bool { return ls.m[listingKey{1, box}] != nil }
	weigh(1, maxListing)
	weigh(2, maxListing+1)
	if !kept(1) || kept(2) {
		t.Errorf("of maxListing rows: kept %v; one more: kept %v", kept(1), kept(2))
	}
	weigh(3, maxListed-maxListing)
	if !kept(1) || !kept(3) || ls.rows != maxListed {
		t.Errorf("maxListed rows: %d are counted, kept %v and %v", ls.rows, kept(1), kept(3))
	}
	ls.of(listingKey{1, 1})
	weigh(4, 1)
	if !kept(1) || kept(3) || !kept(4) || ls.rows != maxListing+1 {
		t.Errorf("one row more: %d are counted, kept %v, %v and %v", ls.rows, kept(1), kept(3), kept(4))
	}
	weigh(1, maxListing+1) // it has grown
	if kept(1) || ls.rows != 1 {
		t.Errorf("a mailbox that has grown is kept: %v, %d rows are counted", kept(1), ls.rows)
	}
}

// TestSummariesAreBounded: what is kept to sort and search is no more than maxSummaries.
func TestSummariesAreBounded(t *testing.T) {
	t.Parallel()
	b := &backend{summaries: memo.New[summary](maxSummaries)}
	text := strings.Repeat("s", 1000)
	const n = 2 * maxSummaries / 1000
	key := func(i uint64) memo.Key { return memo.Key{Account: 1, Message: i, Item: fieldItem} }
	for i := range uint64(n) {
		b.remember(key(i), summary{text: text})
	}
	bytes := 0
	for i := range uint64(n) {
		if s, ok, _ := b.summaries.Get(key(i)); ok {
			bytes += len(s.text)
		}
	}
	if bytes > maxSummaries || bytes < maxSummaries/3 {
		t.Errorf("%d bytes are kept, at most %d", bytes, maxSummaries)
	}
}
