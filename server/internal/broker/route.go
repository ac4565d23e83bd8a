package broker

import (
	"hash/maphash"
)

// subscription is one filter of one session.
type subscription struct {
	s       *Session
	ids     []byte // encoded Subscription Identifier property, nil without one
	qos     byte   // granted
	noLocal bool
	rap     bool // Retain As Published
}

// grant is what a session gets of a topic: its matching subscriptions merged into one
// copy with the highest QoS [MQTT-3.3.4-2] and all identifiers [MQTT-3.3.4-4].
type grant struct {
	ids []byte
	qos int8 // -1: nothing
	rap bool
}

// receiver is a session with at least one subscription that matches a topic.
type receiver struct {
	s       *Session
	all     grant
	own     grant // for messages of the session's own client: without No Local subscriptions
	noLocal bool  // own differs from all
}

// router finds the receivers of a topic. It keeps what it found until a subscription
// changes anywhere. Routers are pooled: in effect there is one per processor, so that
// they need no lock.
type router struct {
	generation uint64
	seed       maphash.Seed
	cache      map[string][]receiver
	cached     int                // receivers in cache
	seen       [seenTopics]uint64 // hashes of topics met lately
	matches    []*subscription    // scratch
	scratch    []receiver         // scratch
	index      map[*Session]int   // scratch, place in scratch
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
		cache: make(map[string][]receiver),
		index: make(map[*Session]int),
	}
}

// receivers gives the receivers of a topic, valid until the next call.
func (r *router) receivers(b *Broker, topic []byte) []receiver {
	if g := b.subs.Generation(); g != r.generation {
		clear(r.cache)
		r.generation, r.cached = g, 0
	}
	if found, ok := r.cache[string(topic)]; ok {
		return found
	}
	r.matches = b.subs.Match(topic, r.matches[:0])
	r.merge()
	clear(r.matches)
	if !r.meet(topic) {
		return r.scratch
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
func (r *router) store(topic []byte) []receiver {
	cost := 1 + len(r.scratch)
	if cost > maxCachedReceivers {
		return r.scratch
	}
	if r.cached+cost > maxCachedReceivers {
		clear(r.cache)
		r.cached = 0
	}
	found := append(make([]receiver, 0, len(r.scratch)), r.scratch...)
	r.cache[string(topic)] = found
	r.cached += cost
	return found
}

// merge makes one receiver of all matches of a session.
func (r *router) merge() {
	clear(r.scratch)
	r.scratch = r.scratch[:0]
	for _, sub := range r.matches {
		at := r.place(sub.s)
		if at < 0 {
			at = len(r.scratch)
			r.scratch = append(r.scratch, receiver{s: sub.s, all: grant{qos: -1}, own: grant{qos: -1}})
			if len(r.matches) >= indexReceivers {
				r.index[sub.s] = at
			}
		}
		rec := &r.scratch[at]
		rec.all.add(sub)
		if sub.noLocal {
			rec.noLocal = true
		} else {
			rec.own.add(sub)
		}
	}
	clear(r.index)
}

// place finds a session in scratch, -1 when it is not there.
func (r *router) place(s *Session) int {
	if len(r.matches) >= indexReceivers {
		if at, ok := r.index[s]; ok {
			return at
		}
		return -1
	}
	for i := range r.scratch {
		if r.scratch[i].s == s {
			return i
		}
	}
	return -1
}

// add merges one more subscription. The identifiers of a subscription are shared; of
// several a new slice is made, because deliveries keep it.
func (g *grant) add(sub *subscription) {
	g.qos = max(g.qos, int8(sub.qos))
	g.rap = g.rap || sub.rap
	switch {
	case len(sub.ids) == 0:
	case len(g.ids) == 0:
		g.ids = sub.ids
	default:
		g.ids = append(g.ids[:len(g.ids):len(g.ids)], sub.ids...)
	}
}

// route delivers m to every session with a matching subscription and stores it if it
// is to be retained. It gives the number of receivers. The caller keeps its
// reference. Any goroutine; no lock may be held.
func (b *Broker) route(m *Message) (receivers int) {
	if m.retain {
		b.retain(m)
	}
	r := b.routers.Get().(*router)
	defer b.routers.Put(r)
	found := r.receivers(b, m.Topic())
	for i := range found {
		rec := &found[i]
		g := &rec.all
		if rec.noLocal && rec.s.id == m.from { // [MQTT-3.8.3-3]
			g = &rec.own
		}
		if g.qos < 0 {
			continue
		}
		rec.s.deliver(delivery{m: m, ids: g.ids, qos: min(m.qos, byte(g.qos)), retain: m.retain && g.rap, live: true})
		receivers++
	}
	return receivers
}
