package broker

import (
	"fmt"
	"hash/maphash"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// resolver is the receiver's side of topic aliases.
type resolver struct {
	t     *testing.T
	most  uint32
	names map[uint32]string
	saved int // messages without a topic name
}

func (r *resolver) topics(got []packet.Packet) (names []string) {
	for _, q := range got {
		q := q.(*packet.Publish)
		name := string(q.Topic)
		alias, ok := q.Properties.Uint(packet.TopicAlias)
		require.LessOrEqual(r.t, alias, r.most) // MQTT-3.1.2-26
		require.True(r.t, !ok || alias > 0)     // MQTT-3.3.2-8
		switch {
		case ok && name == "":
			r.saved++
			name = r.names[alias]
			require.NotEmpty(r.t, name)
		case ok:
			r.names[alias] = name
		}
		names = append(names, name)
	}
	return names
}

func TestOutgoingAliases(t *testing.T) { // MQTT-3.1.2-26, MQTT-3.1.2-27
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	s := w.connect(packet.V50, "s", resume, expiry(60), uintProp(packet.TopicAliasMaximum, 3))
	s.subscribe(1, "#")
	r := &resolver{t: t, most: 3, names: map[uint32]string{}}
	for round := range 5 {
		var want []string
		for i := range 5 {
			topic := fmt.Sprint("topic/", i)
			want = append(want, topic)
			p.send(pub(topic, "x", byte(i%2), 1))
		}
		assert.Equal(t, want, r.topics(s.take()), round)
	}
	assert.Equal(t, 3*3, r.saved, "three topics have an alias from the third round on")

	p.send(pub("t", "short", 0, 0), pub("t", "short", 0, 0), pub("t", "short", 0, 0))
	assert.Equal(t, []string{"t", "t", "t"}, r.topics(s.take()))
	s.lose() // aliases end with the connection
	s = w.connect(packet.V50, "s", resume, expiry(60), uintProp(packet.TopicAliasMaximum, 3))
	r = &resolver{t: t, most: 3, names: map[uint32]string{}}
	for _, name := range r.topics(s.take()) {
		assert.True(t, strings.HasPrefix(name, "topic/"))
	}
	proves(t, "MQTT-3.1.2-26", "MQTT-3.3.2-8")
}

// However the hashes of the topics fall: as many topics as are remembered get an alias
// when they are sent again, and topics beyond do not keep all of them from it.
func TestOutgoingAliasesDoNotDependOnHashes(t *testing.T) {
	a := &outAliases{seed: maphash.MakeSeed(), slots: make([]outAlias, aliasSeen)}
	send := func(topic string) *outgoing {
		o := &outgoing{delivery: delivery{m: newMessage([]byte(topic), nil, nil)}}
		a.choose(o, maxAliased)
		return o
	}
	var colliding []string
	for i := 0; len(colliding) < aliasSeen; i++ {
		topic := fmt.Sprint("topic/", i)
		if maphash.String(a.seed, topic)%aliasSeen == 0 {
			colliding = append(colliding, topic)
		}
	}
	for i := range 4 * aliasSeen {
		assert.Zero(t, send(fmt.Sprint("sent once/", i)).alias)
	}
	clear(a.seen[:])
	for _, topic := range colliding {
		assert.Zero(t, send(topic).alias)
	}
	for _, topic := range colliding {
		o := send(topic)
		assert.NotZero(t, o.alias)
		assert.False(t, o.known)
	}
	for _, topic := range colliding {
		assert.True(t, send(topic).known)
	}
}

// Aliases that are no longer used go to other topics.
func TestOutgoingAliasesAreGivenAnew(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	s := w.connect(packet.V50, "s", uintProp(packet.TopicAliasMaximum, 2))
	s.subscribe(0, "#")
	r := &resolver{t: t, most: 2, names: map[uint32]string{}}
	for i := range 4 * aliasIdle {
		topic := fmt.Sprint("topic/", i/aliasIdle)
		p.send(pub(topic, "x", 0, 0))
		require.Equal(t, []string{topic}, r.topics(s.take()))
	}
	assert.Equal(t, 4*(aliasIdle-2), r.saved)
}

func TestOutgoingAliasesFitThePacket(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "p")
	topic := strings.Repeat("t", 100)
	size := pub(topic, "x", 0, 0).Size(packet.V50)
	for limit := size; limit < size+8; limit++ {
		s := w.connect(packet.V50, "s", uintProp(packet.TopicAliasMaximum, 2), uintProp(packet.MaximumPacketSize, uint32(limit)))
		s.subscribe(0, "#")
		r := &resolver{t: t, most: 2, names: map[uint32]string{}}
		for range 3 {
			p.send(pub(topic, "x", 0, 0))
			s.c.Flush(&s.out)
			assert.LessOrEqual(t, s.out.Len(), limit)
			require.Equal(t, []string{topic}, r.topics(s.take()))
		}
	}
}

func TestOutgoingAliasesOff(t *testing.T) {
	for name, w := range map[string]*world{
		"by the client": newWorld(t), "by configuration": newWorld(t, func(c *Config) { c.OutgoingTopicAliasMaximum = -1 }),
	} {
		var options []connectOption
		if name == "by configuration" {
			options = append(options, uintProp(packet.TopicAliasMaximum, 10))
		}
		p, s := w.connect(packet.V50, "p"), w.connect(packet.V50, "s", options...)
		s.subscribe(0, "#")
		for range 5 {
			p.send(pub("a/long/topic", "x", 0, 0))
			assert.False(t, expect[*packet.Publish](s).Properties.Has(packet.TopicAlias), name)
		}
	}
	proves(t, "MQTT-3.1.2-27")
}

func TestOutgoingAliasesDoNotAllocate(t *testing.T) {
	r := newRig(t, 1, packet.V50, 0)
	r.subs[0].outAliases = &outAliases{seed: maphash.MakeSeed(), slots: make([]outAlias, 16)}
	var frames [][]byte
	for i := range 20 {
		frames = append(frames, pub(fmt.Sprint("bench/topic", i, "/x"), "hello", 0, 0).AppendTo(nil, packet.V50))
	}
	once := func() {
		for _, f := range frames {
			_ = r.pub.Feed(f)
		}
		r.flush()
	}
	for range 10 {
		once()
	}
	allocs := testing.AllocsPerRun(100, once)
	if !raceEnabled {
		assert.Zero(t, allocs)
	}
}
