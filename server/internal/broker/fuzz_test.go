package broker

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Limits of the broker under the fuzzer, low enough to be reached.
const (
	fuzzSubscriptions = 20
	fuzzQueue         = 50
	fuzzControl       = 2048
	fuzzRetained      = 10
	fuzzPacket        = 16 << 10
)

// tracker tells when the last reference to a message has gone.
type tracker struct{ live *int }

func (t tracker) Release() { *t.live-- }

// siege is a broker with a witness, who subscribes to everything, and one connection
// that brings the bytes of the fuzzer.
type siege struct {
	t       *testing.T
	b       *Broker
	clock   *clock
	witness *link
	topics  map[string]bool // of all messages
	live    int             // messages that somebody still holds
}

func newSiege(t *testing.T) *siege {
	s := &siege{t: t, clock: newClock(), topics: map[string]bool{}}
	s.b = New(Config{
		AllowAnonymous: true, Now: s.clock.Now, MaxSubscriptions: fuzzSubscriptions, MaxQueuedMessages: fuzzQueue,
		MaxPendingControl: fuzzControl, MaxRetainedMessages: fuzzRetained, MaxPacketSize: fuzzPacket,
	})
	s.witness = openLink(s.b, math.MaxInt)
	s.witness.send(&packet.Connect{ClientID: "witness of what the fuzzer does", CleanStart: true})
	s.witness.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "#", QoS: 0}}})
	require.Len(t, s.witness.read(t), 2)
	return s
}

// watch looks at the messages that have come to the witness, and takes them.
func (s *siege) watch() {
	q := &s.witness.c.session.queue
	for i := range q.n {
		m := q.at(i).m
		s.topics[string(m.Topic())] = true
		if m.Attachment() == nil {
			s.live++
			m.Attach(tracker{&s.live})
		}
	}
	s.witness.read(s.t)
}

// attack feeds data in chunks and looks at the limits after each.
func (s *siege) attack(l *link, data []byte, r *rand.Rand) {
	for len(data) > 0 && l.err == nil {
		n := min(len(data), 1+r.IntN(200))
		l.err = l.c.Feed(data[:n:n])
		data = data[n:]
		s.watch()
		s.limits(l.c)
		if r.IntN(3) == 0 {
			l.c.Flush(&l.out)
			l.out.Reset()
		}
	}
}

func (s *siege) limits(c *Client) {
	t := s.t
	require.LessOrEqual(t, c.control.decoder.Buffered(), fuzzPacket)
	require.LessOrEqual(t, len(c.control.answers), fuzzControl+fuzzPacket)
	require.LessOrEqual(t, s.b.Stats().Retained, int64(fuzzRetained))
	require.LessOrEqual(t, len(s.b.timers.heap), 5+fuzzRetained)
	if c.session != nil {
		require.LessOrEqual(t, c.session.queue.n, fuzzQueue)
		require.LessOrEqual(t, len(c.session.subs), fuzzSubscriptions)
		require.LessOrEqual(t, c.session.out.open, maxPacketIDs)
	}
}

// over ends everything and looks at what is left.
func (s *siege) over() {
	t, b := s.t, s.b
	for _, d := range []time.Duration{math.MaxUint32 * time.Second, time.Second, time.Second} {
		s.clock.advance(b, d) // keep alive, will delay, session and message expiry
		s.watch()
	}
	s.witness.send(&packet.Publish{Topic: []byte("still"), Payload: []byte("here")})
	got := s.witness.read(t)
	require.Len(t, got, 1, "the witness has been disturbed")
	require.Equal(t, "here", string(got[0].(*packet.Publish).Payload))
	for topic := range s.topics {
		require.NoError(t, b.Publish(Publication{Topic: topic, Retain: true}))
		s.witness.read(t)
	}
	s.witness.c.Closed(nil)
	n := b.Stats()
	require.Zero(t, n.HandlerPanics, "a panic")
	require.Zero(t, n.Connections)
	require.Zero(t, n.Clients)
	require.Zero(t, n.OfflineBytes)
	require.Equal(t, n.Sessions, int64(b.forEver()), "sessions that have expired stay")
	require.Empty(t, b.expiries.byMessage)
	if n.Sessions == 0 {
		require.Zero(t, s.live, "messages are held")
		require.Zero(t, n.Subscriptions)
		require.Zero(t, b.subs.Len())
	}
}

// forEver is the number of sessions that never expire.
func (b *Broker) forEver() (n int) {
	for _, s := range b.cfg.Sessions.(*memorySessions).byID {
		if s.expiry == math.MaxUint32 {
			n++
		}
	}
	return n
}

// fuzzPrefix is what the attacker begins with, valid up to there.
func fuzzPrefix(kind byte, v packet.Version) (list []packet.Packet) {
	connect := &packet.Connect{ClientID: "attacker", CleanStart: true, KeepAlive: 10,
		Will: &packet.Will{Topic: "will/x", Payload: []byte("x"), QoS: kind % 3, Retain: kind&32 != 0}}
	if v == packet.V50 && kind&64 != 0 {
		connect.Properties = packet.AppendUint32(nil, packet.SessionExpiryInterval, 30)
	}
	list = []packet.Packet{connect,
		&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "a/+", QoS: 2}, {Filter: "#", QoS: 1}}},
		&packet.Publish{Topic: []byte("a/b"), Payload: []byte("x"), QoS: 2, PacketID: 2, Retain: true},
		&packet.Pubrec{PacketID: 1}}
	return list[:kind%5]
}

// FuzzConnection is a whole connection: a beginning that is valid, then any bytes. No
// panic, no message that stays, nothing beyond the limits, and another client does not
// notice.
func FuzzConnection(f *testing.F) {
	for kind := range byte(5) {
		for _, v := range versions {
			for _, p := range fuzzSeeds() {
				f.Add(kind, byte(v), uint64(kind), p.AppendTo(nil, v))
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind, version byte, seed uint64, data []byte) {
		v := versions[int(version)%len(versions)]
		r := rand.New(rand.NewPCG(seed, 0))
		s := newSiege(t)
		l := openLink(s.b, 1+r.IntN(2000))
		for _, p := range fuzzPrefix(kind, v) {
			l.err = l.c.Feed(p.AppendTo(nil, v))
			s.watch()
		}
		s.attack(l, data, r)
		l.c.Flush(&l.out)
		l.c.Closed(l.err)
		s.over()
	})
}

// fuzzSeeds are packets of all kinds.
func fuzzSeeds() []packet.Packet {
	alias := packet.AppendUint16(nil, packet.TopicAlias, 1)
	expiry := packet.AppendUint32(nil, packet.MessageExpiryInterval, 5)
	return []packet.Packet{
		&packet.Connect{ClientID: "another", CleanStart: true},
		&packet.Publish{Topic: []byte("a/b"), Payload: []byte("x"), QoS: 1, PacketID: 3, Properties: alias},
		&packet.Publish{Topic: []byte("a/b"), Payload: []byte("x"), Retain: true, Properties: expiry},
		&packet.Publish{Topic: []byte("a/c"), Payload: []byte("x"), QoS: 2, PacketID: 4, Dup: true},
		&packet.Puback{PacketID: 1}, &packet.Pubrec{PacketID: 1}, &packet.Pubrel{PacketID: 2}, &packet.Pubcomp{PacketID: 1},
		&packet.Subscribe{PacketID: 5, Subscriptions: []packet.Subscription{{Filter: "$share/g/a/#", QoS: 2}, {Filter: "+/b", NoLocal: true}}},
		&packet.Unsubscribe{PacketID: 6, Filters: []string{"a/+", "#"}},
		&packet.Pingreq{}, &packet.Disconnect{ReasonCode: packet.DisconnectWithWill},
		&packet.Auth{ReasonCode: packet.Reauthenticate},
	}
}
