package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Every QoS in, every QoS out, every version to every version.
func TestDeliverEveryQoSAndVersion(t *testing.T) { // MQTT-3.8.4-8, MQTT-2.2.1-2, traps 2 and 3
	for _, from := range versions {
		for _, to := range versions {
			t.Run(from.String()+" to "+to.String(), func(t *testing.T) {
				w := newWorld(t)
				s, p := w.connect(to, "sub"), w.connect(from, "pub")
				for granted := byte(0); granted <= 2; granted++ {
					s.subscribe(granted, "a/+")
					for qos := byte(0); qos <= 2; qos++ {
						publishWith(p, pub("a/b", fmt.Sprint(qos), qos, 9))
						got := expect[*packet.Publish](s)
						assert.Equal(t, min(qos, granted), got.QoS)
						assert.Equal(t, fmt.Sprint(qos), string(got.Payload))
						assert.False(t, got.Dup)    // MQTT-3.3.1-2 MQTT-4.3.2-2
						assert.False(t, got.Retain) // MQTT-3.3.1-12
						assert.Equal(t, got.QoS > 0, got.PacketID > 0)
						acknowledge(s, got)
					}
				}
			})
		}
	}
	proves(t, "MQTT-3.8.4-8", "MQTT-2.2.1-2", "MQTT-3.3.1-2", "MQTT-4.3.2-2", "MQTT-3.3.1-12", "MQTT-3.3.4-1",
		"MQTT-4.3.1-1", "MQTT-4.3.2-1", "MQTT-4.3.2-3", "MQTT-4.3.2-4", "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-3",
		"MQTT-4.3.3-4", "MQTT-4.3.3-5", "MQTT-4.3.3-8", "MQTT-4.3.3-11", "MQTT-2.2.1-5", "MQTT-4.5.0-1",
		"MQTT-3.3.4-1 of 3.1.1", "MQTT-3.8.4-6 of 3.1.1", "MQTT-2.3.1-5 of 3.1.1", "MQTT-2.3.1-6 of 3.1.1",
		"MQTT-4.3.1-1 of 3.1.1", "MQTT-4.3.2-1 of 3.1.1", "MQTT-4.3.3-1 of 3.1.1", "MQTT-4.5.0-1 of 3.1.1")
}

// publishWith publishes and does the whole handshake of the QoS.
func publishWith(p *peer, m *packet.Publish) {
	p.t.Helper()
	p.send(m)
	switch m.QoS {
	case 0:
		p.none()
	case 1:
		ack := expect[*packet.Puback](p)
		require.Equal(p.t, m.PacketID, ack.PacketID)
		require.False(p.t, ack.ReasonCode.IsError())
	case 2:
		rec := expect[*packet.Pubrec](p)
		require.Equal(p.t, m.PacketID, rec.PacketID)
		require.False(p.t, rec.ReasonCode.IsError())
		p.send(&packet.Pubrel{PacketID: m.PacketID})
		comp := expect[*packet.Pubcomp](p)
		require.Equal(p.t, m.PacketID, comp.PacketID)
		require.Equal(p.t, packet.Success, comp.ReasonCode)
	}
}

// acknowledge does the receiver's part of the QoS.
func acknowledge(p *peer, m *packet.Publish) {
	p.t.Helper()
	switch m.QoS {
	case 1:
		p.send(&packet.Puback{PacketID: m.PacketID})
		p.none()
	case 2:
		p.send(&packet.Pubrec{PacketID: m.PacketID})
		rel := expect[*packet.Pubrel](p)
		require.Equal(p.t, m.PacketID, rel.PacketID)
		require.Equal(p.t, packet.Success, rel.ReasonCode)
		p.send(&packet.Pubcomp{PacketID: m.PacketID})
		p.none()
	}
}

func TestQoS2ExactlyOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		w := newWorld(t)
		s, p := w.connect(v, "sub"), w.connect(v, "pub")
		s.subscribe(0, "t")
		m := pub("t", "x", 2, 5)
		for i := range 3 { // MQTT-4.3.3-10
			m.Dup = i > 0
			p.send(m)
			assert.EqualValues(t, 5, expect[*packet.Pubrec](p).PacketID)
		}
		assert.Equal(t, []string{"x"}, payloads(s.take()))
		p.send(&packet.Pubrel{PacketID: 5})
		expect[*packet.Pubcomp](p)
		m.Dup = true // MQTT-4.3.3-12: the identifier means a new message, whatever DUP says
		p.send(m)
		expect[*packet.Pubrec](p)
		assert.Equal(t, []string{"x"}, payloads(s.take()))
	})
	proves(t, "MQTT-4.3.3-10", "MQTT-4.3.3-12", "MQTT-4.3.3-2 of 3.1.1")
}

func TestQoS2SurvivesReconnect(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "sub")
	s.subscribe(0, "t")
	p := w.connect(packet.V50, "pub", expiry(60))
	p.send(pub("t", "x", 2, 5))
	p.lose() // PUBREC is lost
	p = w.connect(packet.V50, "pub", resume, expiry(60))
	m := pub("t", "x", 2, 5)
	m.Dup = true
	p.send(m)
	expect[*packet.Pubrec](p)
	assert.Equal(t, []string{"x"}, payloads(s.take()), "delivered once")
	p.send(&packet.Pubrel{PacketID: 5})
	assert.Equal(t, packet.Success, expect[*packet.Pubcomp](p).ReasonCode)
	p.send(&packet.Pubrel{PacketID: 5})
	assert.Equal(t, packet.PacketIdentifierNotFound, expect[*packet.Pubcomp](p).ReasonCode)
}

func TestQoS1SameIDIsNewMessage(t *testing.T) { // MQTT-4.3.2-5
	w := newWorld(t)
	s, p := w.connect(packet.V50, "sub"), w.connect(packet.V50, "pub")
	s.subscribe(0, "t")
	m := pub("t", "x", 1, 5)
	publishWith(p, m)
	m.Dup = true
	publishWith(p, m)
	assert.Len(t, s.take(), 2)
	proves(t, "MQTT-4.3.2-5", "MQTT-4.3.2-2 of 3.1.1")
}

func TestNoMatchingSubscribers(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "pub")
	p.send(pub("nobody", "x", 1, 1))
	assert.Equal(t, packet.NoMatchingSubscribers, expect[*packet.Puback](p).ReasonCode)
	p.send(pub("nobody", "x", 2, 1))
	assert.Equal(t, packet.NoMatchingSubscribers, expect[*packet.Pubrec](p).ReasonCode)
}

// What is open is sent again on resumption, in its order, with its identifiers, with
// DUP, and a message whose PUBREC has come as PUBREL only.
func TestResend(t *testing.T) { // MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.6.0-1, MQTT-4.3.3-6
	eachVersion(t, func(t *testing.T, v packet.Version) {
		w := newWorld(t)
		keep := []connectOption{resume}
		if v == packet.V50 {
			keep = append(keep, expiry(60))
		}
		s, p := w.connect(v, "sub", keep...), w.connect(v, "pub")
		s.subscribe(2, "t")
		for i, qos := range []byte{1, 2, 2, 1, 2} {
			publishWith(p, pub("t", fmt.Sprint(i), qos, 1))
		}
		got := s.take()
		require.Equal(t, []string{"0", "1", "2", "3", "4"}, payloads(got))
		ids := map[string]uint16{}
		for _, q := range got {
			ids[string(q.(*packet.Publish).Payload)] = q.(*packet.Publish).PacketID
		}
		s.send(&packet.Pubrec{PacketID: ids["1"]}, &packet.Puback{PacketID: ids["3"]})
		assert.Len(t, s.take(), 1)
		s.lose()
		publishWith(p, pub("t", "5", 1, 1)) // while it is away

		for range 2 { // the second time nothing has been acknowledged either
			s = w.connect(v, "sub", keep...)
			got = s.take()
			require.Len(t, got, 5, "%s", names(got))
			for i, want := range []string{"0", "PUBREL 1", "2", "4", "5"} {
				if rel, ok := got[i].(*packet.Pubrel); ok {
					assert.Equal(t, want, "PUBREL 1")
					assert.Equal(t, ids["1"], rel.PacketID)
					continue
				}
				m := got[i].(*packet.Publish)
				assert.Equal(t, want, string(m.Payload))
				assert.Equal(t, want != "5" || ids["5"] != 0, m.Dup)
				if id, ok := ids[want]; ok {
					assert.Equal(t, id, m.PacketID)
				}
				ids[want] = m.PacketID
			}
			s.lose()
		}
		s = w.connect(v, "sub", keep...)
		for _, q := range s.take() {
			switch q := q.(type) {
			case *packet.Pubrel:
				s.send(&packet.Pubcomp{PacketID: q.PacketID})
			case *packet.Publish:
				acknowledge(s, q)
			}
		}
		s.none()
		s.lose()
		s = w.connect(v, "sub", keep...)
		s.none()
	})
	proves(t, "MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1", "MQTT-4.3.3-6", "MQTT-4.4.0-1 of 3.1.1",
		"MQTT-3.3.1-1 of 3.1.1", "MQTT-4.6.0-1 of 3.1.1", "MQTT-3.3.1-3", "MQTT-2.3.1-4 of 3.1.1")
}

func TestReceiveMaximumOfClient(t *testing.T) { // MQTT-3.3.4-9, MQTT-4.9.0-2
	w := newWorld(t)
	s := w.connect(packet.V50, "sub", uintProp(packet.ReceiveMaximum, 2), expiry(60))
	p := w.connect(packet.V50, "pub")
	s.subscribe(2, "t")
	for i := range 5 {
		publishWith(p, pub("t", fmt.Sprint(i), byte(1+i%2), 1))
	}
	got := s.take()
	require.Equal(t, []string{"0", "1"}, payloads(got))
	s.send(&packet.Pingreq{}) // MQTT-3.3.4-10, MQTT-4.9.0-3
	expect[*packet.Pingresp](s)

	second := got[1].(*packet.Publish).PacketID
	s.send(&packet.Pubrec{PacketID: second})
	expect[*packet.Pubrel](s) // PUBREC gives nothing back
	s.send(&packet.Pubcomp{PacketID: second})
	assert.Equal(t, []string{"2"}, payloads(s.take()))
	s.send(&packet.Puback{PacketID: got[0].(*packet.Publish).PacketID})
	assert.Equal(t, []string{"3"}, payloads(s.take()))

	s.lose() // "2" and "3" are open, "4" waits
	s = w.connect(packet.V50, "sub", resume, expiry(60), uintProp(packet.ReceiveMaximum, 1))
	got = s.take()
	require.Equal(t, []string{"2"}, payloads(got))
	s.send(&packet.Puback{PacketID: got[0].(*packet.Publish).PacketID})
	got = s.take()
	require.Equal(t, []string{"3"}, payloads(got))
	assert.True(t, got[0].(*packet.Publish).Dup)
	s.send(&packet.Pubrec{PacketID: got[0].(*packet.Publish).PacketID, ReasonCode: packet.QuotaExceeded}) // MQTT-4.4.0-2
	got = s.take()
	require.Equal(t, []string{"4"}, payloads(got))
	assert.False(t, got[0].(*packet.Publish).Dup)
	proves(t, "MQTT-3.3.4-9", "MQTT-4.9.0-2", "MQTT-3.3.4-10", "MQTT-4.9.0-3", "MQTT-4.4.0-2", "MQTT-4.9.0-1")
}

// A PUBREL that is sent again gives nothing back that its PUBLISH has not taken on this
// connection.
func TestReceiveMaximumAfterResumption(t *testing.T) {
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s", expiry(60)), w.connect(packet.V50, "p")
	s.subscribe(2, "t")
	for i := range 4 {
		publishWith(p, pub("t", fmt.Sprint(i), 2, 1))
	}
	first := s.take()[0].(*packet.Publish).PacketID
	s.send(&packet.Pubrec{PacketID: first})
	s.take()
	s.lose()
	s = w.connect(packet.V50, "s", resume, expiry(60), uintProp(packet.ReceiveMaximum, 2))
	got := s.take()
	require.Len(t, got, 2, "PUBREL of 0 and PUBLISH of 1: %s", names(got))
	s.send(&packet.Pubcomp{PacketID: first})
	assert.Equal(t, []string{"2"}, payloads(s.take()))
	s.send(&packet.Pubcomp{PacketID: first})
	s.none()
}

func TestReceiveMaximumOfServer(t *testing.T) { // MQTT-3.3.4-7
	w := newWorld(t, func(c *Config) { c.ReceiveMaximum = 2 })
	p, ack := w.tryConnect(packet.V50, "pub")
	n, ok := ack.Properties.Uint(packet.ReceiveMaximum)
	require.True(t, ok)
	assert.EqualValues(t, 2, n)
	for range 5 { // QoS 1 is acknowledged at once
		publishWith(p, pub("t", "", 1, 1))
	}
	p.send(pub("t", "", 2, 1), pub("t", "", 2, 2), pub("t", "", 2, 1))
	assert.Len(t, p.take(), 3)
	p.send(pub("t", "", 2, 3))
	p.closes(packet.ReceiveMaximumExceeded)
	proves(t, "MQTT-3.3.4-7")
}

func TestPacketIDsAreUniqueInTheSession(t *testing.T) { // MQTT-2.2.1-4
	w := newWorld(t)
	s := w.connect(packet.V50, "sub")
	s.subscribe(1, "t")
	s.c.session.out.last = 65_530
	p := w.connect(packet.V50, "pub")
	open := map[uint16]bool{}
	for range 50 {
		p.send(pub("t", "", 1, 1))
		m := expect[*packet.Publish](s)
		require.NotZero(t, m.PacketID)
		require.False(t, open[m.PacketID], "packet identifier %d is in use", m.PacketID)
		open[m.PacketID] = true
		if m.PacketID%3 == 0 {
			s.send(&packet.Puback{PacketID: m.PacketID})
			delete(open, m.PacketID)
		}
	}
	assert.Equal(t, len(open), s.c.session.out.open)
	proves(t, "MQTT-2.2.1-4")
}

// A message that is never acknowledged holds up no other one.
func TestNeverAcknowledged(t *testing.T) {
	w := newWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(1, "t")
	p.send(pub("t", "old", 1, 1))
	old := expect[*packet.Publish](s).PacketID
	for range maxPacketIDs + 100 {
		require.NoError(t, w.Publish(Publication{Topic: "t", QoS: 1}))
		id := expect[*packet.Publish](s).PacketID
		require.NotEqual(t, old, id)
		s.send(&packet.Puback{PacketID: id})
	}
	assert.Equal(t, 1, s.c.session.out.open)
	assert.LessOrEqual(t, len(s.c.session.out.slots), minQueue)
	s.send(&packet.Puback{PacketID: old})
	assert.Zero(t, s.c.session.out.open)
	proves(t, "MQTT-2.2.1-4")
}

// Every packet identifier can be in flight, and is free again when it is done; the order
// of resending is that of sending, whatever the identifiers are.
func TestInflight(t *testing.T) {
	var win inflight
	m := newMessage("t", nil, nil)
	defer m.Release()
	taken := map[uint16]bool{}
	for range maxPacketIDs {
		id := win.add(delivery{m: m, qos: 1}).id
		if id == 0 || taken[id] || win.find(id) == nil {
			t.Fatalf("packet identifier %d", id)
		}
		taken[id] = true
	}
	assert.True(t, win.full())
	var want []uint16
	for id := uint16(1); id < maxPacketIDs; id += 2 {
		win.finish(win.find(id))
		assert.Nil(t, win.find(id))
		want = append(want, id+1)
	}
	want = append(want, maxPacketIDs)
	for range 100 {
		want = append(want, win.add(delivery{m: m, qos: 1}).id)
	}
	win.rewind()
	assert.Equal(t, want, win.resend)
	for id := range taken {
		if f := win.find(id); f != nil {
			win.finish(f)
		}
	}
	assert.Zero(t, win.open)
	assert.Zero(t, win.bytes)
	assert.Nil(t, win.slots, "memory is given back")
	assert.Nil(t, win.find(9))
}

func TestUnknownAcknowledgements(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c")
	c.send(&packet.Puback{PacketID: 3}, &packet.Pubcomp{PacketID: 3})
	c.none()
	c.send(&packet.Pubrec{PacketID: 3})
	assert.Equal(t, packet.PacketIdentifierNotFound, expect[*packet.Pubrel](c).ReasonCode)
	assert.NoError(t, c.err)
}

func TestMessageExpiry(t *testing.T) { // MQTT-3.3.2-5, MQTT-3.3.2-6
	w := newWorld(t)
	s := w.connect(packet.V50, "sub", expiry(1000))
	s.subscribe(1, "t")
	s.lose()
	p := w.connect(packet.V50, "pub")
	for i, seconds := range []uint32{10, 30, 0} {
		m := pub("t", fmt.Sprint(i), 1, 1)
		if seconds > 0 {
			m.Properties = packet.AppendUint32(nil, packet.MessageExpiryInterval, seconds)
		}
		publishWith(p, m)
	}
	w.advance(12 * time.Second)
	s = w.connect(packet.V50, "sub", resume, expiry(1000))
	got := s.take()
	require.Equal(t, []string{"1", "2"}, payloads(got))
	n, ok := got[0].(*packet.Publish).Properties.Uint(packet.MessageExpiryInterval)
	assert.True(t, ok)
	assert.EqualValues(t, 18, n)
	assert.False(t, got[1].(*packet.Publish).Properties.Has(packet.MessageExpiryInterval))
	assert.EqualValues(t, 1, w.Stats().Dropped[DropExpired])

	s.lose() // what has been sent is no longer dropped: MQTT-4.3.3-7
	w.advance(time.Minute)
	s = w.connect(packet.V50, "sub", resume, expiry(1000))
	got = s.take()
	require.Equal(t, []string{"1", "2"}, payloads(got))
	n, _ = got[0].(*packet.Publish).Properties.Uint(packet.MessageExpiryInterval)
	assert.Zero(t, n)
	proves(t, "MQTT-3.3.2-5", "MQTT-3.3.2-6", "MQTT-4.3.3-7")
}

func TestForwardedProperties(t *testing.T) { // MQTT-3.3.2-4 -15 -16 -17 -18 -20
	w := newWorld(t)
	s, old, p := w.connect(packet.V50, "sub"), w.connect(packet.V311, "old"), w.connect(packet.V50, "pub")
	s.subscribe(1, "t")
	old.subscribe(1, "t")
	for _, size := range []int{0, 40, 300, 20_000} { // property length of one, two and three bytes
		want := packet.AppendByte(nil, packet.PayloadFormatIndicator, 1)
		want = packet.AppendString(want, packet.ContentType, "text/plain")
		want = packet.AppendString(want, packet.ResponseTopic, "answer/here")
		want = packet.AppendBinary(want, packet.CorrelationData, []byte{0, 1, 2})
		want = packet.AppendUserProperty(want, "b", string(make([]byte, 0, size)))
		want = packet.AppendUserProperty(want, "a", fmt.Sprintf("%0*d", size, 1))
		want = packet.AppendUserProperty(want, "b", "1")
		m := pub("t", "x", 1, 1)
		m.Properties = packet.AppendUint16(nil, packet.TopicAlias, 1)
		m.Properties = append(m.Properties, want...)
		publishWith(p, m)
		got := expect[*packet.Publish](s)
		assert.Equal(t, want, got.Properties)
		assert.Equal(t, "x", string(got.Payload))
		assert.Equal(t, "x", string(expect[*packet.Publish](old).Payload))
	}
	proves(t, "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20")
}

func TestMaximumPacketSizeOfClient(t *testing.T) { // MQTT-3.1.2-24, MQTT-3.1.2-25
	w := newWorld(t)
	s := w.connect(packet.V50, "sub", uintProp(packet.MaximumPacketSize, 60), expiry(60))
	p := w.connect(packet.V50, "pub")
	s.subscribe(1, "t")
	m := pub("t", "", 1, 1)
	m.Payload = make([]byte, 60-m.Size(packet.V50))
	publishWith(p, m)
	got := expect[*packet.Publish](s)
	assert.Equal(t, 60, got.Size(packet.V50))
	m.Payload = append(m.Payload, 0)
	publishWith(p, m)
	publishWith(p, pub("t", "small", 1, 1))
	assert.Equal(t, []string{"small"}, payloads(s.take()))
	assert.EqualValues(t, 1, w.Stats().Dropped[DropTooLarge])

	s.lose() // also when it shrinks between connections
	s = w.connect(packet.V50, "sub", resume, uintProp(packet.MaximumPacketSize, 30), expiry(60))
	assert.Equal(t, []string{"small"}, payloads(s.take()))
	proves(t, "MQTT-3.1.2-24", "MQTT-3.1.2-25")
}

func TestLargeMessages(t *testing.T) {
	w := newWorld(t)
	s, old, p := w.connect(packet.V50, "sub"), w.connect(packet.V31, "old"), w.connect(packet.V311, "pub")
	s.subscribe(2, "#")
	old.subscribe(1, "#")
	for _, size := range []int{0, 100, 127, 128, 4095, 4096, 16_383, 16_384, 65_536, 2_097_152, 5 << 20} {
		m := pub("t", "", 2, 1)
		m.Payload = make([]byte, size)
		for i := range m.Payload {
			m.Payload[i] = byte(i * 7)
		}
		publishWith(p, m)
		for _, r := range []*peer{s, old} {
			got := expect[*packet.Publish](r)
			require.Equal(t, m.Payload, got.Payload)
			acknowledge(r, got)
		}
	}
}
