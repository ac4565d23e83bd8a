package topic

import (
	"bytes"
	"iter"
	"strings"
)

// Names holds one value per topic name and finds those that match a filter. It is
// for retained messages. The zero value is empty. It has no lock: any number of
// readers, or one writer.
type Names[V any] struct {
	root  nameNode[V]
	size  int
	nodes int
}

type nameNode[V any] struct {
	children map[string]*nameNode[V]
	value    V
	used     bool
}

// Set stores v under name and gives what was there.
func (t *Names[V]) Set(name []byte, v V) (old V, replaced bool) {
	n := &t.root
	for more := true; more; {
		var level []byte
		level, name, more = bytes.Cut(name, []byte{'/'})
		n = t.makeChild(n, level)
	}
	old, replaced = n.value, n.used
	n.value, n.used = v, true
	if !replaced {
		t.size++
	}
	return old, replaced
}

// Find gives the value of a name.
func (t *Names[V]) Find(name []byte) (v V, ok bool) {
	n := &t.root
	for more := true; more; {
		var level []byte
		level, name, more = bytes.Cut(name, []byte{'/'})
		if n = n.children[string(level)]; n == nil {
			return v, false
		}
	}
	return n.value, n.used
}

// Delete removes the value of a name, and every node that nothing needs any longer.
func (t *Names[V]) Delete(name []byte) (old V, ok bool) {
	old, ok = t.remove(&t.root, name)
	if ok {
		t.size--
	}
	return old, ok
}

// Len is the number of values.
func (t *Names[V]) Len() int { return t.size }

// Nodes is the number of levels that are stored, those that names share counted once:
// what the memory of the tree grows with. A node takes about 300 bytes.
func (t *Names[V]) Nodes() int { return t.nodes }

// Match looks for the values of the names that match the filter, which must be valid
// and not shared, in no particular order. It yields once for every node of the tree
// that it looks at, so that the caller can limit the work: ok tells whether v is a
// value that matches.
//
// t may change between two steps, not during one. A value that is there all the time
// is then yielded once, a value that comes or goes meanwhile once or not at all.
func (t *Names[V]) Match(filter string) iter.Seq2[V, bool] {
	return func(yield func(V, bool) bool) {
		level, rest, more := strings.Cut(filter, "/")
		if level != "#" && level != "+" {
			t.root.match(filter, yield)
			return
		}
		for name, c := range t.root.children {
			if strings.HasPrefix(name, "$") { // [MQTT-4.7.2-1]
				if !c.pass(yield) {
					return
				}
			} else if !c.matchBelow(level, rest, more, yield) {
				return
			}
		}
	}
}

// match yields what matches below n. false: stop.
func (n *nameNode[V]) match(filter string, yield func(V, bool) bool) bool {
	level, rest, more := strings.Cut(filter, "/")
	if level != "#" && level != "+" {
		c := n.children[level]
		return c == nil || c.matchBelow(level, rest, more, yield)
	}
	for _, c := range n.children {
		if !c.matchBelow(level, rest, more, yield) {
			return false
		}
	}
	return true
}

// matchBelow yields what matches at n, which has matched level, and below.
func (n *nameNode[V]) matchBelow(level, rest string, more bool, yield func(V, bool) bool) bool {
	switch {
	case level == "#":
		return n.all(yield)
	case !more:
		return n.here(yield)
	case rest == "#": // the parent level matches too
		return n.here(yield) && n.match(rest, yield)
	}
	return n.pass(yield) && n.match(rest, yield)
}

// here yields n with its value, if it has one.
func (n *nameNode[V]) here(yield func(V, bool) bool) bool { return yield(n.value, n.used) }

// pass yields n without a value.
func (n *nameNode[V]) pass(yield func(V, bool) bool) bool {
	var none V
	return yield(none, false)
}

func (n *nameNode[V]) all(yield func(V, bool) bool) bool {
	if !n.here(yield) {
		return false
	}
	for _, c := range n.children {
		if !c.all(yield) {
			return false
		}
	}
	return true
}

func (t *Names[V]) makeChild(n *nameNode[V], level []byte) *nameNode[V] {
	c := n.children[string(level)]
	if c == nil {
		t.nodes++
		c = new(nameNode[V])
		if n.children == nil {
			n.children = make(map[string]*nameNode[V])
		}
		n.children[string(level)] = c
	}
	return c
}

func (t *Names[V]) remove(n *nameNode[V], name []byte) (old V, ok bool) {
	level, rest, more := bytes.Cut(name, []byte{'/'})
	c := n.children[string(level)]
	if c == nil {
		return old, false
	}
	if more {
		old, ok = t.remove(c, rest)
	} else if old, ok = c.value, c.used; ok {
		var zero V
		c.value, c.used = zero, false
	}
	if ok && !c.used && len(c.children) == 0 {
		t.nodes--
		delete(n.children, string(level))
		if len(n.children) == 0 {
			n.children = nil
		}
	}
	return old, ok
}
