package topic

// set holds the values of one filter by key: a slice, because reading it all is what
// matters, and from indexAbove values on an index, so that a filter with very many
// subscribers can be changed cheaply.
type set[K comparable, V any] struct {
	items []item[K, V]
	index map[K]int // position in items; nil while there are few
}

type item[K comparable, V any] struct {
	key   K
	value V
}

// Sizes at which the index of a set comes and goes. They differ, so that a set of a
// size in between does not build it again and again.
const (
	indexAbove = 32
	indexBelow = 8
)

func (s *set[K, V]) len() int { return len(s.items) }

func (s *set[K, V]) appendTo(dst []V) []V {
	for i := range s.items {
		dst = append(dst, s.items[i].value)
	}
	return dst
}

func (s *set[K, V]) find(key K) (at int, ok bool) {
	if s.index != nil {
		at, ok = s.index[key]
		return at, ok
	}
	for i := range s.items {
		if s.items[i].key == key {
			return i, true
		}
	}
	return 0, false
}

func (s *set[K, V]) put(key K, v V) (old V, replaced bool) {
	if at, ok := s.find(key); ok {
		old, s.items[at].value = s.items[at].value, v
		return old, true
	}
	s.items = append(s.items, item[K, V]{key, v})
	if s.index != nil {
		s.index[key] = len(s.items) - 1
	} else if len(s.items) > indexAbove {
		s.buildIndex()
	}
	return old, false
}

func (s *set[K, V]) buildIndex() {
	s.index = make(map[K]int, 2*len(s.items))
	for i := range s.items {
		s.index[s.items[i].key] = i
	}
}

func (s *set[K, V]) remove(key K) (old V, ok bool) {
	at, ok := s.find(key)
	if !ok {
		return old, false
	}
	old = s.items[at].value
	last := len(s.items) - 1
	s.items[at] = s.items[last]
	s.items[last] = item[K, V]{}
	s.items = s.items[:last]
	if s.index != nil {
		delete(s.index, key)
		if at < last {
			s.index[s.items[at].key] = at
		}
	}
	s.shrink()
	return old, true
}

// shrink gives memory back after a removal.
func (s *set[K, V]) shrink() {
	n := len(s.items)
	if n < indexBelow {
		s.index = nil
	}
	switch {
	case n == 0:
		s.items = nil
	case cap(s.items) > 64 && n < cap(s.items)/4:
		s.items = append(make([]item[K, V], 0, cap(s.items)/2), s.items...)
		if s.index != nil {
			s.buildIndex()
		}
	}
}
