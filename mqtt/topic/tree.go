package topic

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
)

// Tree holds subscriptions: values under (filter, key). The key tells the
// subscribers of one filter apart. The zero value is an empty tree.
type Tree[K comparable, V any] struct {
	mu         sync.RWMutex
	root       node[K, V]
	size       int
	generation atomic.Uint64
}

// node stands for a sequence of levels.
type node[K comparable, V any] struct {
	children map[string]*node[K, V] // by level, without wildcards
	plus     *node[K, V]            // the child "+"
	here     set[K, V]              // filters that end with this level
	hash     set[K, V]              // filters that end with "#" below this level
}

func (n *node[K, V]) empty() bool {
	return len(n.children) == 0 && n.plus == nil && n.here.len() == 0 && n.hash.len() == 0
}

// Insert stores v under filter and key. If there was a value, it is replaced in one
// step: no Match misses both or finds both. The filter must be valid and not shared.
func (t *Tree[K, V]) Insert(filter string, key K, v V) (old V, replaced bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.generation.Add(1)
	old, replaced = t.root.make(filter).put(key, v)
	if !replaced {
		t.size++
	}
	return old, replaced
}

// Remove deletes the value under filter and key, and every node that nothing needs
// any longer. Filters are compared as strings: wildcards in filter stand for
// themselves.
func (t *Tree[K, V]) Remove(filter string, key K) (old V, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, ok = t.root.remove(filter, key)
	if ok {
		t.size--
		t.generation.Add(1)
	}
	return old, ok
}

// Match appends to dst the value of every filter that matches the topic name, in no
// particular order. It does not allocate when dst has the capacity.
func (t *Tree[K, V]) Match(name []byte, dst []V) []V {
	if len(name) == 0 {
		return dst
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if name[0] == '$' { // no wildcard in the first level [MQTT-4.7.2-1]
		return t.root.matchChild(name, dst)
	}
	return t.root.match(name, dst)
}

// Generation changes with every Insert and successful Remove. A result of Match is
// still right as long as the generation is the one read before that Match.
func (t *Tree[K, V]) Generation() uint64 { return t.generation.Load() }

// Len is the number of values.
func (t *Tree[K, V]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.size
}

// match appends what matches name below n.
func (n *node[K, V]) match(name []byte, dst []V) []V {
	dst = n.hash.appendTo(dst)
	if n.plus != nil {
		if i := bytes.IndexByte(name, '/'); i >= 0 {
			dst = n.plus.match(name[i+1:], dst)
		} else {
			dst = n.plus.end(dst)
		}
	}
	return n.matchChild(name, dst)
}

// matchChild appends what matches name by its first level literally.
func (n *node[K, V]) matchChild(name []byte, dst []V) []V {
	if len(n.children) == 0 {
		return dst
	}
	i := bytes.IndexByte(name, '/')
	if i < 0 {
		if c := n.children[string(name)]; c != nil {
			dst = c.end(dst)
		}
		return dst
	}
	if c := n.children[string(name[:i])]; c != nil {
		dst = c.match(name[i+1:], dst)
	}
	return dst
}

// end appends what matches a name whose last level is n: "a" and "a/#" match a.
func (n *node[K, V]) end(dst []V) []V {
	return n.hash.appendTo(n.here.appendTo(dst))
}

// make gives the set of a filter below n and makes the nodes on the way.
func (n *node[K, V]) make(filter string) *set[K, V] {
	for {
		level, rest, more := strings.Cut(filter, "/")
		if level == "#" {
			return &n.hash
		}
		n = n.makeChild(level)
		if !more {
			return &n.here
		}
		filter = rest
	}
}

func (n *node[K, V]) makeChild(level string) *node[K, V] {
	if level == "+" {
		if n.plus == nil {
			n.plus = new(node[K, V])
		}
		return n.plus
	}
	c := n.children[level]
	if c == nil {
		c = new(node[K, V])
		if n.children == nil {
			n.children = make(map[string]*node[K, V])
		}
		n.children[strings.Clone(level)] = c
	}
	return c
}

// remove deletes the value of filter and key below n, and the nodes that become
// empty.
func (n *node[K, V]) remove(filter string, key K) (old V, ok bool) {
	level, rest, more := strings.Cut(filter, "/")
	if level == "#" {
		return n.hash.remove(key)
	}
	c := n.plus
	if level != "+" {
		c = n.children[level]
	}
	switch {
	case c == nil:
		return old, false
	case more:
		old, ok = c.remove(rest, key)
	default:
		old, ok = c.here.remove(key)
	}
	if ok && c.empty() {
		n.drop(level)
	}
	return old, ok
}

func (n *node[K, V]) drop(level string) {
	if level == "+" {
		n.plus = nil
		return
	}
	delete(n.children, level)
	if len(n.children) == 0 {
		n.children = nil // a Go map never shrinks
	}
}
