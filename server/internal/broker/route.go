package broker

import (
	"hash/maphash"
	"slices"
)

// subscription is one filter of one session.
type subscription struct {
	to      *outlet // where its messages wait
	key     *outlet // by which the tree tells it from others of the same filter: where it began
	orphan  bool    // made on a data stream of an earlier connection: who subscribes again moves it
	ids     []byte  // encoded Subscription Identifier property, nil without one
	qos     byte    // granted
	noLocal bool
	rap     bool    // Retain As Published
	member  *member // of a shared subscription, else nil
}

// grant is what a stream of a session gets of a topic: its matching subscriptions merged into
// one copy with the highest QoS [MQTT-3.3.4-2] and all identifiers [MQTT-3.3.4-4].
type grant struct {
	ids  []byte
	qos  int8 // -1: nothing
	rap  bool
	made bool // ids is a slice of its own
}

// receiver is a stream of a session with at least one subscription that matches a topic.
type receiver struct {
	to      *outlet
	all     grant
	own     grant // for messages of the session's own client: without No Local subscriptions
	noLocal bool  // own differs from all
}

// receivers are who gets the messages of a topic.
type receivers struct {
	streams []receiver
	groups  []*shareGroup // of which one member each gets them
}

func (r *receivers) count() int { return len(r.streams) + len(r.groups) }

// router finds the receivers of a topic. It keeps what it found until a subscription
// changes anywhere. Routers are pooled: in effect there is one per processor, so that
// they need no lock.
type router struct {
	generation [2]uint64 // of the tree of subscriptions and of that of groups
	seed       maphash.Seed
	cache      map[string]*receivers
	cached     int                // receivers in cache
	seen       [seenTopics]uint64 // hashes of topics met lately
	matches    []*subscription    // scratch
	scratch    receivers          // scratch
	index      map[*outlet]int    // scratch, place in scratch
}

const (
	// maxCachedReceivers limits the cache of a router: receivers and topics
	// together, about 100 bytes each.
	maxCachedReceivers = 128 << 10
	// seenTopics is how many topics a router remembers to have met once. Only the
	// second meeting puts a topic into the cache, so that topics used once, such as
	// those of replies, cost no memory.
	seenTopics = 256
	// indexReceivers is the number of matches from which merging uses a map.
	indexReceivers = 16
)

func newRouter() any {
	return &router{
		seed:  maphash.MakeSeed(),
		cache: make(map[string]*receivers),
		index: make(map[*outlet]int),
	}
}

// receivers gives the receivers of a topic, valid until the next call.
func (r *router) receivers(b *Broker, topic []byte) *receivers {
	if g := [2]uint64{b.subs.Generation(), b.shares.tree.Generation()}; g != r.generation {
		clear(r.cache)
		r.generation, r.cached = g, 0
	}
	if found, ok := r.cache[string(topic)]; ok {
		return found
	}
	r.matches = b.subs.Match(topic, r.matches[:0])
	r.merge()
	clear(r.matches)
	r.scratch.groups = b.shares.tree.Match(topic, r.scratch.groups[:0])
	if !r.meet(topic) {
		return &r.scratch
	}
	return r.store(topic)
}

// meet notes a topic and reports whether it had been noted before.
func (r *router) meet(topic []byte) bool {
	h := maphash.Bytes(r.seed, topic)
	slot := &r.seen[h%seenTopics]
	before := *slot
	*slot = h
	return before == h
}

// store puts a copy of scratch into the cache.
func (r *router) store(topic []byte) *receivers {
	cost := 1 + r.scratch.count()
	if cost > maxCachedReceivers {
		return &r.scratch
	}
	if r.cached+cost > maxCachedReceivers {
		clear(r.cache)
		r.cached = 0
	}
	found := &receivers{slices.Clone(r.scratch.streams), slices.Clone(r.scratch.groups)}
	r.cache[string(topic)] = found
	r.cached += cost
	return found
}

// merge makes one receiver of all matches of a stream.
func (r *router) merge() {
	clear(r.scratch.streams)
	found := r.scratch.streams[:0]
	for _, sub := range r.matches {
		at := r.place(found, sub.to)
		if at < 0 {
			at = len(found)
			found = append(found, receiver{to: sub.to, all: grant{qos: -1}, own: grant{qos: -1}})
			if len(r.matches) >= indexReceivers {
				r.index[sub.to] = at
			}
		}
		rec := &found[at]
		rec.all.add(sub)
		if sub.noLocal {
			rec.noLocal = true
		} else {
			rec.own.add(sub)
		}
	}
	r.scratch.streams = found
	clear(r.index)
}

// place finds a stream in found, -1 when it is not there.
func (r *router) place(found []receiver, to *outlet) int {
	if len(r.matches) >= indexReceivers {
		if at, ok := r.index[to]; ok {
			return at
		}
		return -1
	}
	for i := range found {
		if found[i].to == to {
			return i
		}
	}
	return -1
}

// add merges one more subscription. The identifiers of a subscription are shared; of
// several a new slice is made, because deliveries keep it. It grows by doubling: a
// client may have thousands of subscriptions that match.
func (g *grant) add(sub *subscription) {
	g.qos = max(g.qos, int8(sub.qos))
	g.rap = g.rap || sub.rap
	switch {
	case len(sub.ids) == 0:
	case len(g.ids) == 0:
		g.ids = sub.ids
	case !g.made:
		g.ids = append(append(make([]byte, 0, 2*(len(g.ids)+len(sub.ids))), g.ids...), sub.ids...)
		g.made = true
	default:
		g.ids = append(g.ids, sub.ids...)
	}
}

// route delivers m to every stream with a matching subscription and to one of each
// group, and stores it if it is to be retained. It gives the number of receivers. The
// caller keeps its reference. Any goroutine; no lock may be held.
func (b *Broker) route(m *Message) (n int) {
	if m.retain {
		b.retain(m)
	}
	r := b.routers.Get().(*router)
	defer b.routers.Put(r)
	found := r.receivers(b, m.Topic())
	d := delivery{m: m, live: true}
	for i := range found.streams {
		rec := &found.streams[i]
		g := &rec.all
		if rec.noLocal && rec.to.s.id == m.from { // [MQTT-3.8.3-3]
			g = &rec.own
		}
		if g.qos < 0 {
			continue
		}
		d.ids, d.qos, d.retain = g.ids, min(m.qos, byte(g.qos)), m.retain && g.rap
		rec.to.deliver(&d)
		n++
	}
	for _, g := range found.groups {
		if g.deliver(m) {
			n++
		}
	}
	return n
}
