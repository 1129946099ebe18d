// Package paging turns an engine's reading of one page into the Scan of the
// contract: page after page, nothing held open between them.
package paging

import (
	"bytes"
	"context"
	"iter"

	"github.com/eidermail/eider/internal/kv"
)

// itemCost is what one item counts in a page beside its bytes.
const itemCost = 64

// Page is one page that is being filled.
type Page struct {
	Items []kv.Item
	size  int
	cut   bool
}

// Add appends an item and tells whether there is room for more. A range's
// Limit ends a page too.
func (p *Page) Add(it kv.Item, limit int) (more bool) {
	p.Items = append(p.Items, it)
	p.size += itemCost + len(it.Key) + len(it.Value)
	p.cut = p.size >= kv.PageBytes
	return !p.cut && len(p.Items) != limit
}

// Fits is about how many more items like those in the page have room in it.
func (p *Page) Fits() int {
	if p.size == 0 {
		return 0
	}
	return max(0, kv.PageBytes-p.size) * len(p.Items) / p.size
}

// Cut ends the page before it is full. There must be an item in it.
func (p *Page) Cut() { p.cut = true }

// Scan yields a range page by page. fill adds to an empty page until there is
// no more room or the range ends.
func Scan(ctx context.Context, r kv.Range, fill func(kv.Range, *Page) error) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		r := r
		var p Page
		for {
			p = Page{Items: p.Items[:0]}
			err := ctx.Err()
			if err == nil {
				err = fill(r, &p)
			}
			if err != nil {
				yield(kv.Item{}, err)
				return
			}
			for _, it := range p.Items {
				if !yield(it, nil) {
					return
				}
			}
			if !p.cut || r.Limit == len(p.Items) {
				return
			}
			if r.Limit > 0 {
				r.Limit -= len(p.Items)
			}
			last := p.Items[len(p.Items)-1].Key
			if r.Reverse {
				r.End = last
			} else {
				r.Start = append(bytes.Clone(last), 0) // the smallest key after last
			}
		}
	}
}
