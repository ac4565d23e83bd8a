package broker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// TestSessionsAgainstModel does random steps (connect, takeover, clean start, DISCONNECT,
// loss, wills, subscriptions, messages, acknowledgements, time) and compares each packet
// that the broker sends with what a simple model of the standard says. So there is one
// live client per identifier, nothing that was acknowledged is lost, a QoS 2 message
// comes once, and the order is kept; otherwise the seed in the name of the sub-test
// shows the steps again.
func TestSessionsAgainstModel(t *testing.T) {
	const seeds, steps = 60, 500
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := newModel(t, seed)
			for range steps {
				m.step()
				m.compare()
			}
			m.drain()
		})
	}
}

// model is what there should be.
type model struct {
	t        *testing.T
	w        *world
	r        *rand.Rand
	sessions map[string]*modelSession
	expected map[*peer][]modelPacket
	number   int    // of messages so far
	log      string // the last step

	publisher *peer
	open      []uint16 // QoS 2 messages of the publisher without PUBREL
	lastID    uint16
}

type modelSession struct {
	id                string
	peer              *peer // nil: no connection
	subs              map[string]byte
	queue             []*modelMessage
	flight            []*modelMessage // by first transmission
	resend            []*modelMessage // of flight, what this connection has not seen
	quota             int
	expiry            uint32
	expiresAt, willAt int64 // 0: not
	will              *modelWill
	seen              map[string]bool // QoS 2 messages
}

type modelMessage struct {
	payload  string
	qos      byte
	id       uint16
	released bool // PUBREC has come
	charged  bool // uses up Receive Maximum
}

type modelWill struct {
	topic, payload string
	delay          uint32
}

// modelPacket is a packet that the broker should send.
type modelPacket struct {
	kind    packet.Type
	code    packet.ReasonCode
	id      uint16 // of what answers
	present bool
	dup     bool
	m       *modelMessage
	s       *modelSession
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, w: newWorld(t), r: rand.New(rand.NewPCG(seed, 1)),
		sessions: map[string]*modelSession{}, expected: map[*peer][]modelPacket{},
	}
	m.publisher = m.w.connect(packet.V50, "publisher", resume, expiry(math.MaxUint32))
	return m
}

func (m *model) now() int64 { return m.w.now() }

// step does one thing at random.
func (m *model) step() {
	m.w.clock.advance(m.w.Broker, time.Duration(1+m.r.IntN(1000))) // no two things at the same time
	s := m.sessions[fmt.Sprint("c", m.r.IntN(4))]
	online := s != nil && s.peer != nil
	switch n := m.r.IntN(100); {
	case n < 15:
		m.connect(fmt.Sprint("c", m.r.IntN(4)))
	case n < 35:
		m.publishNew(byte(m.r.IntN(3)))
	case n < 42:
		m.publisherStep()
	case n < 50:
		m.pass(time.Duration(m.r.IntN(4000)) * time.Millisecond)
	case !online:
	case n < 55:
		m.log = "lose " + s.id
		s.peer.lose()
		m.leave(s, true)
	case n < 60:
		m.disconnect(s)
	case n < 70:
		m.subscribe(s)
	case n < 73:
		m.unsubscribe(s)
	default:
		m.acknowledge(s)
	}
}

// connect is a CONNECT of any kind, often while there is a connection.
func (m *model) connect(id string) {
	v, clean := versions[m.r.IntN(3)], m.r.IntN(4) == 0
	old := m.sessions[id]
	present := old != nil && !clean && old.expiry > 0
	var oldPeer *peer
	var due *modelWill
	if old != nil {
		oldPeer = old.peer
		if old.will != nil && (!present || oldPeer != nil && old.will.delay == 0) {
			due = old.will
		}
	}
	s := old
	if !present {
		s = &modelSession{id: id, subs: map[string]byte{}, seen: map[string]bool{}}
	}
	m.sessions[id] = s
	s.expiry, s.quota, s.will = 0, defaultMaxInflight, nil
	options := []connectOption{func(c *packet.Connect) { c.CleanStart = clean }}
	switch {
	case v == packet.V50:
		s.expiry, s.quota = []uint32{0, 3, 50, math.MaxUint32}[m.r.IntN(4)], []int{1, 2, 1000}[m.r.IntN(3)]
		options = append(options, expiry(s.expiry), uintProp(packet.ReceiveMaximum, uint32(s.quota)))
	case !clean:
		s.expiry = math.MaxUint32
	}
	if m.r.IntN(3) == 0 {
		options = append(options, m.newWill(s, v))
	}
	m.log = fmt.Sprintf("connect %s %s clean %t expiry %d quota %d takeover %t", id, v, clean, s.expiry, s.quota, oldPeer != nil)
	s.peer = m.dial(v, id, options)
	s.resend, s.expiresAt, s.willAt = slices.Clone(s.flight), 0, 0
	for _, f := range s.flight {
		f.charged = false
	}
	m.expect(s.peer, modelPacket{kind: packet.CONNACK, present: present && v != packet.V31})
	if oldPeer != nil {
		oldPeer.closes(packet.SessionTakenOver)
		delete(m.expected, oldPeer)
	}
	m.publishWill(due)
	m.send(s)
}

func (m *model) dial(v packet.Version, id string, options []connectOption) *peer {
	p := m.w.dial(v)
	c := &packet.Connect{ClientID: id}
	for _, o := range options {
		o(c)
	}
	p.send(c)
	return p
}

func (m *model) newWill(s *modelSession, v packet.Version) connectOption {
	m.number++
	s.will = &modelWill{topic: "t/0", payload: fmt.Sprint("will ", m.number)}
	var props packet.Properties
	if v == packet.V50 {
		s.will.delay = []uint32{0, 2, 100}[m.r.IntN(3)]
		props = packet.AppendUint32(nil, packet.WillDelayInterval, s.will.delay)
	}
	payload := s.will.payload
	return func(c *packet.Connect) {
		c.Will = &packet.Will{Topic: "t/0", Payload: []byte(payload), QoS: 1, Properties: props}
	}
}

// disconnect sends DISCONNECT, also with another Session Expiry Interval and with the
// wish that the will is published.
func (m *model) disconnect(s *modelSession) {
	d, keepWill := &packet.Disconnect{}, false
	if s.peer.v == packet.V50 {
		if keepWill = m.r.IntN(2) == 0; keepWill {
			d.ReasonCode = packet.DisconnectWithWill
		}
		if s.expiry > 0 && m.r.IntN(2) == 0 {
			s.expiry = []uint32{0, 3, 50}[m.r.IntN(3)]
			d.Properties = packet.AppendUint32(nil, packet.SessionExpiryInterval, s.expiry)
		}
	}
	m.log = fmt.Sprintf("disconnect %s will %t expiry %d", s.id, keepWill, s.expiry)
	s.peer.send(d)
	s.peer.lose()
	m.leave(s, keepWill)
}

// leave is the end of a connection.
func (m *model) leave(s *modelSession, keepWill bool) {
	delete(m.expected, s.peer)
	s.peer = nil
	if !keepWill {
		s.will = nil
	}
	if s.expiry == 0 {
		m.end(s)
		return
	}
	s.queue = slices.DeleteFunc(s.queue, func(q *modelMessage) bool { return q.qos == 0 })
	if s.expiry != math.MaxUint32 {
		s.expiresAt = m.now() + int64(s.expiry)*int64(time.Second)
	}
	if s.will == nil {
		return
	}
	if s.will.delay > 0 {
		s.willAt = m.now() + int64(s.will.delay)*int64(time.Second)
		return
	}
	due := s.will
	s.will = nil
	m.publishWill(due)
}

// end is the end of a session; its will is due.
func (m *model) end(s *modelSession) {
	delete(m.sessions, s.id)
	m.publishWill(s.will)
}

// pass lets time pass, from one thing that happens to the next.
func (m *model) pass(d time.Duration) {
	m.log = "pass " + d.String()
	until := m.now() + int64(d)
	for {
		at, s := m.next()
		if s == nil || at > until {
			break
		}
		m.w.clock.advance(m.w.Broker, time.Duration(at-m.now()))
		if at == s.expiresAt {
			m.end(s)
		} else {
			due := s.will
			s.will, s.willAt = nil, 0
			m.publishWill(due)
		}
	}
	m.w.clock.advance(m.w.Broker, time.Duration(until-m.now()))
}

// next is what happens next by itself.
func (m *model) next() (at int64, next *modelSession) {
	for _, s := range m.sessions {
		for _, t := range []int64{s.expiresAt, s.willAt} {
			if t != 0 && (next == nil || t < at) {
				at, next = t, s
			}
		}
	}
	return at, next
}

var modelFilters = []string{"t/0", "t/1", "t/+"}

func (m *model) subscribe(s *modelSession) {
	filter, qos := modelFilters[m.r.IntN(3)], byte(m.r.IntN(3))
	m.log = fmt.Sprint("subscribe ", s.id, filter, qos)
	s.subs[filter] = qos
	s.peer.send(&packet.Subscribe{PacketID: 9, Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}})
	m.expect(s.peer, modelPacket{kind: packet.SUBACK, code: packet.ReasonCode(qos)})
}

func (m *model) unsubscribe(s *modelSession) {
	filter := modelFilters[m.r.IntN(3)]
	m.log = "unsubscribe " + s.id + filter
	delete(s.subs, filter)
	s.peer.send(&packet.Unsubscribe{PacketID: 9, Filters: []string{filter}})
	m.expect(s.peer, modelPacket{kind: packet.UNSUBACK})
}

// publishNew has the publisher send a new message.
func (m *model) publishNew(qos byte) {
	m.number++
	m.lastID++
	name, payload := modelFilters[m.r.IntN(2)], fmt.Sprint(m.number)
	m.log = fmt.Sprint("publish ", name, payload, qos)
	p := pub(name, payload, qos, 0)
	if qos > 0 {
		p.PacketID = m.lastID
	}
	m.publisher.send(p)
	code := packet.NoMatchingSubscribers
	if m.deliver(name, payload, qos) {
		code = packet.Success
	}
	switch qos {
	case 1:
		m.expect(m.publisher, modelPacket{kind: packet.PUBACK, code: code, id: m.lastID})
	case 2:
		m.open = append(m.open, m.lastID)
		m.expect(m.publisher, modelPacket{kind: packet.PUBREC, code: code, id: m.lastID})
	}
}

// publisherStep goes on with a QoS 2 message: PUBREL, or everything again after the
// connection was lost.
func (m *model) publisherStep() {
	m.log = "publisher"
	if len(m.open) == 0 {
		return
	}
	id := m.open[0]
	if m.r.IntN(2) == 0 {
		m.open = m.open[1:]
		m.publisher.send(&packet.Pubrel{PacketID: id})
		m.expect(m.publisher, modelPacket{kind: packet.PUBCOMP, id: id})
		return
	}
	m.publisher.lose()
	m.publisher = m.w.connect(packet.V50, "publisher", resume, expiry(math.MaxUint32))
	for _, id := range m.open {
		again := pub("t/0", "again", 2, id)
		again.Dup = true
		m.publisher.send(again)
		m.expect(m.publisher, modelPacket{kind: packet.PUBREC, id: id})
	}
}

func (m *model) publishWill(w *modelWill) {
	if w != nil {
		m.deliver(w.topic, w.payload, 1)
	}
}

// deliver queues a message for every session that has subscribed, and tells whether
// there was one.
func (m *model) deliver(name, payload string, qos byte) (any bool) {
	for _, s := range m.sessions {
		granted := -1
		for filter, q := range s.subs {
			if topic.Match(filter, name) {
				granted = max(granted, int(q))
			}
		}
		if granted < 0 {
			continue
		}
		any = true
		if q := min(qos, byte(granted)); q > 0 || s.peer != nil {
			s.queue = append(s.queue, &modelMessage{payload: payload, qos: q})
			m.send(s)
		}
	}
	return any
}

// send is what the broker does when it may send to a client.
func (m *model) send(s *modelSession) {
	if s.peer == nil {
		return
	}
	for ; len(s.resend) > 0; s.resend = s.resend[1:] {
		f := s.resend[0]
		if !slices.Contains(s.flight, f) {
			continue
		}
		if s.quota == 0 && !f.released {
			return
		}
		if s.quota > 0 && !f.charged {
			s.quota--
			f.charged = true
		}
		kind := packet.PUBLISH
		if f.released {
			kind = packet.PUBREL
		}
		m.expect(s.peer, modelPacket{kind: kind, id: f.id, dup: true, m: f, s: s})
	}
	for ; len(s.queue) > 0; s.queue = s.queue[1:] {
		q := s.queue[0]
		if q.qos > 0 {
			if s.quota == 0 {
				return
			}
			s.quota--
			q.charged = true
			s.flight = append(s.flight, q)
		}
		m.expect(s.peer, modelPacket{kind: packet.PUBLISH, m: q, s: s})
	}
}

// acknowledge sends the next acknowledgement for one of the messages in flight.
func (m *model) acknowledge(s *modelSession) {
	if len(s.flight) == 0 {
		return
	}
	f := s.flight[m.r.IntN(len(s.flight))]
	m.log = fmt.Sprint("acknowledge ", s.id, f.id)
	refuse := s.peer.v == packet.V50 && m.r.IntN(8) == 0
	switch {
	case f.qos == 1:
		s.peer.send(&packet.Puback{PacketID: f.id})
	case f.released:
		s.peer.send(&packet.Pubcomp{PacketID: f.id})
	case refuse:
		s.peer.send(&packet.Pubrec{PacketID: f.id, ReasonCode: packet.UnspecifiedError})
	default:
		f.released = true
		s.peer.send(&packet.Pubrec{PacketID: f.id})
		m.expect(s.peer, modelPacket{kind: packet.PUBREL, id: f.id})
		m.send(s) // what has waited behind f to be sent again
		return
	}
	s.flight = slices.DeleteFunc(s.flight, func(g *modelMessage) bool { return g == f })
	if f.charged {
		s.quota++
	}
	m.send(s)
}

func (m *model) expect(p *peer, q modelPacket) { m.expected[p] = append(m.expected[p], q) }

// compare looks at everything that the broker has sent since the last step.
func (m *model) compare() {
	m.t.Helper()
	online, subs := int64(1), 0
	for _, s := range m.sessions {
		subs += len(s.subs)
		if s.peer != nil {
			online++
			m.comparePeer(s.peer)
		}
	}
	m.comparePeer(m.publisher)
	n := m.w.Stats()
	require.Equal(m.t, online, n.Clients, m.log)
	require.EqualValues(m.t, len(m.sessions)+1, n.Sessions, m.log)
	require.EqualValues(m.t, subs, n.Subscriptions, m.log)
}

func (m *model) comparePeer(p *peer) {
	m.t.Helper()
	want := m.expected[p]
	delete(m.expected, p)
	require.NoError(m.t, p.err, m.log)
	require.False(m.t, p.tr.closed, m.log)
	got := p.take()
	require.Len(m.t, got, len(want), "%s: %s", m.log, names(got))
	for i := range got {
		m.comparePacket(got[i], &want[i])
	}
}

func (m *model) comparePacket(got packet.Packet, want *modelPacket) {
	m.t.Helper()
	require.Equal(m.t, want.kind, got.Type(), m.log)
	switch q := got.(type) {
	case *packet.Connack:
		require.Equal(m.t, packet.Success, q.ReasonCode, m.log)
		require.Equal(m.t, want.present, q.SessionPresent, m.log)
	case *packet.Suback:
		require.Equal(m.t, want.code, q.ReasonCodes[0], m.log)
	case *packet.Puback:
		require.Equal(m.t, [2]any{want.id, want.code}, [2]any{q.PacketID, q.ReasonCode}, m.log)
	case *packet.Pubrec:
		require.Equal(m.t, [2]any{want.id, want.code}, [2]any{q.PacketID, q.ReasonCode}, m.log)
	case *packet.Pubrel:
		require.Equal(m.t, [2]any{want.id, packet.Success}, [2]any{q.PacketID, q.ReasonCode}, m.log)
	case *packet.Pubcomp:
		require.Equal(m.t, [2]any{want.id, packet.Success}, [2]any{q.PacketID, q.ReasonCode}, m.log)
	case *packet.Publish:
		m.comparePublish(q, want)
	}
}

func (m *model) comparePublish(q *packet.Publish, want *modelPacket) {
	m.t.Helper()
	w := want.m
	require.Equal(m.t, w.payload, string(q.Payload), m.log)
	require.Equal(m.t, [2]any{w.qos, want.dup}, [2]any{q.QoS, q.Dup}, m.log)
	switch {
	case w.qos == 0:
	case want.dup:
		require.Equal(m.t, want.id, q.PacketID, m.log)
	default:
		w.id = q.PacketID
		for _, f := range want.s.flight { // [MQTT-2.2.1-4]
			require.True(m.t, f == w || f.id != w.id, m.log)
		}
	}
	if w.qos == 2 && !want.dup {
		require.False(m.t, want.s.seen[w.payload], "twice: %s", w.payload)
		want.s.seen[w.payload] = true
	}
}

// drain takes everything that is left.
func (m *model) drain() {
	for i := range 4 { // not in the order of the map: the seed decides
		s := m.sessions[fmt.Sprint("c", i)]
		if s == nil {
			continue
		}
		for s.peer == nil && m.sessions[s.id] == s {
			m.connect(s.id)
			m.compare()
		}
		s = m.sessions[s.id]
		for range 10_000 {
			if len(s.flight)+len(s.queue) == 0 {
				break
			}
			m.acknowledge(s)
			m.compare()
		}
		require.Empty(m.t, s.flight)
		require.Empty(m.t, s.queue)
	}
}
