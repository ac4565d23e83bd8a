package broker

import (
	"bytes"
	"hash/maphash"
	"math/rand/v2"

	"github.com/ngmq/ngmq/mqtt/packet"
)

const (
	// maxOutgoingAliases is the most that OutgoingTopicAliasMaximum may be: every message
	// looks at all of them.
	maxOutgoingAliases = 256
	// minAliased and maxAliased are the sizes of topic names, in bytes, that get an alias:
	// it costs 3 bytes, and the names are kept for each connection.
	minAliased = 5
	maxAliased = 1024
	// aliasIdle is for how many messages an alias must not have been used before it is
	// given to another topic: with more topics than aliases most of them stay what they
	// are.
	aliasIdle = 1024
	// aliasSeen is how many topics are remembered that have been sent once, while an
	// alias is free: as many get theirs when they are sent again, whatever their hashes.
	aliasSeen = 32
	// aliasSize is the size of a Topic Alias property.
	aliasSize = 3
)

// outAliases are the topic aliases of one connection towards the client (MQTT 5.0
// section 3.3.2.3.4), first come, first served. A topic gets one when it is sent for the
// second time. The goroutine that flushes owns it.
type outAliases struct {
	seed  maphash.Seed
	slots []outAlias        // alias - 1
	seen  [aliasSeen]uint64 // hashes, 0 = none
	now   uint64            // messages so far
}

type outAlias struct {
	hash  uint64
	used  uint64 // when
	topic []byte
}

// choose gives o its alias. limit is the client's Maximum Packet Size.
func (a *outAliases) choose(o *outgoing, limit int) {
	topic := o.m.Topic()
	if len(topic) < minAliased || len(topic) > maxAliased {
		return
	}
	a.now++
	hash := maphash.Bytes(a.seed, topic)
	free := -1
	for i := range a.slots {
		s := &a.slots[i]
		if s.hash == hash && bytes.Equal(s.topic, topic) {
			s.used = a.now
			o.alias, o.known = uint16(i+1), true
			return
		}
		if s.used == 0 || a.now-s.used > aliasIdle {
			free = i
		}
	}
	// The alias may make the two lengths in the packet longer too.
	if free < 0 || !a.again(hash) || o.size(packet.V50)+aliasSize+2 > limit {
		return
	}
	s := &a.slots[free]
	s.hash, s.used, s.topic = hash, a.now, append(s.topic[:0], topic...)
	o.alias = uint16(free + 1)
}

// again tells whether the topic is one of those sent once, and forgets it. If not, it
// becomes one of them, where there is no room in the place of any other.
func (a *outAliases) again(hash uint64) bool {
	place := -1
	for i, seen := range a.seen {
		if seen == hash {
			a.seen[i] = 0
			return true
		}
		if seen == 0 {
			place = i
		}
	}
	if place < 0 {
		place = rand.IntN(aliasSeen)
	}
	a.seen[place] = hash
	return false
}
