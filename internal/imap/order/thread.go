package order

import (
	"cmp"
	"slices"
)

// Thread is a message with the messages below it. UID 0 stands for a message
// that is not there, or for several that have only their subject in common.
type Thread struct {
	UID      uint32
	Children []*Thread
}

// BySubject gathers messages by base subject (RFC 5256 §3 ORDEREDSUBJECT):
// the first of each is the parent of the others.
func BySubject(ms []Message) []*Thread {
	sorted := slices.Clone(ms)
	slices.SortStableFunc(sorted, func(a, b Message) int { return cmp.Compare(a.Sent, b.Sent) })
	var out []*Thread
	first := make(map[string]*Thread)
	for i := range sorted {
		m := &sorted[i]
		if t := first[m.Subject]; t != nil {
			t.Children = append(t.Children, &Thread{UID: m.UID})
			continue
		}
		t := &Thread{UID: m.UID}
		first[m.Subject] = t
		out = append(out, t)
	}
	return out
}

// node is a message, or one that others refer to, while threads are made.
type node struct {
	m        *Message // nil: it is not there
	parent   *node
	children []*node
	sent     int64
}

// Limit: how deep replies may follow each other in a thread of IMAP THREAD;
// deeper ones start threads of their own.
const MaxDepth = 5_000

// ByReferences gathers messages by what they refer to, and then threads by
// subject (RFC 5256 §3 REFERENCES).
func ByReferences(ms []Message) []*Thread {
	f := forest{byID: make(map[string]*node, len(ms)), all: make([]*node, 0, len(ms))}
	for i := range ms {
		f.add(&ms[i])
	}
	var roots []*node
	for _, n := range f.all {
		if n.parent == nil {
			roots = append(roots, n)
		}
	}
	roots = pruned(roots, true)
	for _, r := range roots {
		r.settle()
	}
	byDate(roots)
	roots = merged(roots)
	for _, r := range roots {
		r.settle()
	}
	byDate(roots)
	return threads(roots)
}

// forest are the messages and those they refer to.
type forest struct {
	byID map[string]*node
	all  []*node
}

func (f *forest) node(id string) *node {
	n := f.byID[id]
	if n == nil {
		n = &node{}
		f.byID[id] = n
		f.all = append(f.all, n)
	}
	return n
}

// add is step 1 of the algorithm.
func (f *forest) add(m *Message) {
	var n *node
	if m.ID != "" {
		n = f.node(m.ID)
	}
	if n == nil || n.m != nil { // no id, or one that is taken
		n = &node{}
		f.all = append(f.all, n)
	}
	n.m = m
	var last *node
	for _, id := range m.References {
		r := f.node(id)
		if last != nil && r.parent == nil {
			r.linkTo(last)
		}
		last = r
	}
	if last == nil || last == n.parent {
		return
	}
	if n.parent != nil {
		if !n.mayBelow(last) {
			return
		}
		n.unlink()
	}
	n.linkTo(last)
}

// mayBelow tells that p is neither n nor below it, nor too deep.
func (n *node) mayBelow(p *node) bool {
	if len(n.children) == 0 && n != p && p.parent == nil {
		return true
	}
	depth := 0
	for ; p != nil; p = p.parent {
		if depth++; p == n || depth > MaxDepth {
			return false
		}
	}
	return true
}

func (n *node) linkTo(p *node) {
	if n.mayBelow(p) {
		n.parent = p
		p.children = append(p.children, n)
	}
}

func (n *node) unlink() {
	i := slices.Index(n.parent.children, n)
	n.parent.children = slices.Delete(n.parent.children, i, i+1)
	n.parent = nil
}

// pruned is step 3: of the messages that are not there, those without children
// go, and children take the place of the others; at the root only a single one.
func pruned(list []*node, root bool) []*node {
	var out []*node
	for _, n := range list {
		n.children = pruned(n.children, false)
		switch {
		case n.m != nil:
			out = append(out, n)
		case len(n.children) == 0:
		case !root || len(n.children) == 1:
			for _, c := range n.children {
				c.parent = n.parent
			}
			out = append(out, n.children...)
		default:
			out = append(out, n)
		}
	}
	return out
}

// settle sorts what is below n by date (steps 4 and 6); a message that is not
// there has the date of its first child.
func (n *node) settle() {
	for _, c := range n.children {
		c.settle()
	}
	byDate(n.children)
	switch {
	case n.m != nil:
		n.sent = n.m.Sent
	case len(n.children) > 0:
		n.sent = n.children[0].sent
	}
}

func byDate(list []*node) {
	slices.SortStableFunc(list, func(a, b *node) int {
		if c := cmp.Compare(a.sent, b.sent); c != 0 {
			return c
		}
		return cmp.Compare(a.uid(), b.uid())
	})
}

// uid is that of the message, or of the first one below.
func (n *node) uid() uint32 {
	for n.m == nil && len(n.children) > 0 {
		n = n.children[0]
	}
	if n.m == nil {
		return 0
	}
	return n.m.UID
}

// subject is that of the message, or of the first one below (step 5.B.1).
func (n *node) subject() (base string, reply bool) {
	m := n.m
	if m == nil {
		m = n.children[0].m
	}
	if m == nil {
		return "", false
	}
	return m.Subject, m.Reply
}

// merged is step 5: threads with the same base subject become one.
func merged(roots []*node) []*node {
	table := make(map[string]*node)
	for _, n := range roots {
		base, reply := n.subject()
		if base == "" {
			continue
		}
		old := table[base]
		if old == nil {
			table[base] = n
			continue
		}
		_, oldReply := old.subject()
		if old.m != nil && n.m == nil || old.m != nil && oldReply && !reply {
			table[base] = n
		}
	}
	gone := make(map[*node]bool)
	for _, n := range roots {
		base, reply := n.subject()
		top := table[base]
		if base == "" || top == n {
			continue
		}
		gone[n] = true
		_, topReply := top.subject()
		switch {
		case top.m == nil && n.m == nil:
			top.children = append(top.children, n.children...)
		case top.m == nil, reply && !topReply:
			top.children = append(top.children, n)
		default:
			both := *top
			*top = node{children: []*node{&both, n}}
		}
	}
	return slices.DeleteFunc(roots, func(n *node) bool { return gone[n] })
}

func threads(list []*node) []*Thread {
	out := make([]*Thread, len(list))
	for i, n := range list {
		out[i] = &Thread{Children: threads(n.children)}
		if n.m != nil {
			out[i].UID = n.m.UID
		}
	}
	return out
}

// Append writes a thread (RFC 5256 §4): name gives a message its number.
func (t *Thread) Append(b []byte, name func(b []byte, uid uint32) []byte) []byte {
	return append(t.members(append(b, '('), name), ')')
}

func (t *Thread) members(b []byte, name func([]byte, uint32) []byte) []byte {
	for {
		if t.UID != 0 {
			b = name(b, t.UID)
		}
		switch {
		case len(t.Children) == 0:
			return b
		case len(t.Children) == 1 && t.UID != 0:
			b = append(b, ' ')
			t = t.Children[0]
			continue
		case t.UID != 0:
			b = append(b, ' ')
		}
		for _, c := range t.Children {
			b = c.Append(b, name)
		}
		return b
	}
}
