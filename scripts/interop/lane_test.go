package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lanePatience is how long a lane waits for a packet: bad paths lose several in a row.
const lanePatience = 30 * time.Second

// lane is a stream with MQTT 5.0 packets, encoded by paho.golang. Packets that nobody waits for stay in
// the order in which they came. One goroutine at a time uses it.
type lane struct {
	t       *testing.T
	s       muxStream
	r       *bufio.Reader
	back    *lane // where the server answers: itself, or the control stream when there is no way back
	given   *given
	waiting []*packets.ControlPacket
}

// given are the packet ids of messages that the server has sent and that are not acknowledged, of one
// session. A client that keys them by id alone, as NanoNNG does, loses messages when one is there twice.
type given map[uint16]string

func newLane(t *testing.T, s muxStream, g *given) *lane {
	l := &lane{t: t, s: s, r: bufio.NewReaderSize(s, 1<<16), given: g}
	l.back = l
	return l
}

// raw writes bytes. What the server does not take within the patience fails the test.
func (l *lane) raw(b []byte) {
	l.t.Helper()
	l.s.SetWriteDeadline(time.Now().Add(lanePatience))
	_, err := l.s.Write(b)
	require.NoError(l.t, err)
}

func (l *lane) send(list ...packets.Packet) {
	l.t.Helper()
	l.raw(encoded(list...))
}

func encoded(list ...packets.Packet) []byte {
	var b bytes.Buffer
	for _, p := range list {
		p.WriteTo(&b)
	}
	return b.Bytes()
}

// read gives the next packet or the end of the stream.
func (l *lane) read() (*packets.ControlPacket, error) {
	l.s.SetReadDeadline(time.Now().Add(lanePatience))
	p, err := packets.ReadPacket(l.r)
	if err != nil {
		return nil, err
	}
	if m, ok := p.Content.(*packets.Publish); ok && m.QoS > 0 {
		text := fmt.Sprintf("%s %.40s", m.Topic, m.Payload)
		if other, known := (*l.given)[m.PacketID]; known {
			assert.True(l.t, m.Duplicate && other == text, "packet id %d is that of %q and of %q", m.PacketID, other, text)
		}
		(*l.given)[m.PacketID] = text
	}
	return p, nil
}

// take gives the first packet that fits.
func (l *lane) take(what string, fits func(*packets.ControlPacket) bool) *packets.ControlPacket {
	l.t.Helper()
	if i := slices.IndexFunc(l.waiting, fits); i >= 0 {
		p := l.waiting[i]
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return p
	}
	for {
		p, err := l.read()
		require.NoError(l.t, err, "waiting for %s; others: %v", what, l.waiting)
		if fits(p) {
			return p
		}
		l.waiting = append(l.waiting, p)
	}
}

// expect gives the first packet of a type.
func expect[T packets.Packet](l *lane) T {
	l.t.Helper()
	var zero T
	p := l.take(fmt.Sprintf("%T", zero), func(p *packets.ControlPacket) bool { _, ok := p.Content.(T); return ok })
	return p.Content.(T)
}

// answer gives the first packet of a type with an id; it comes on the way back.
func answer[T packets.Packet](l *lane, id uint16) T {
	l.t.Helper()
	var zero T
	p := l.back.take(fmt.Sprintf("%T %d", zero, id), func(p *packets.ControlPacket) bool {
		_, ok := p.Content.(T)
		return ok && p.PacketID() == id
	})
	return p.Content.(T)
}

// ping has the server answer, and so shows that no message came before.
func (l *lane) ping() {
	l.t.Helper()
	if l.back != l {
		l.back.ping()
		return
	}
	l.send(&packets.Pingreq{})
	expect[*packets.Pingresp](l)
	for _, p := range l.waiting {
		assert.NotEqual(l.t, packets.PUBLISH, p.Type, "an unexpected message: %.200s", p)
	}
}

// arrives gives the next message, not acknowledged.
func (l *lane) arrives() *packets.Publish {
	l.t.Helper()
	return expect[*packets.Publish](l)
}

// acknowledge does the receiver's part for a message.
func (l *lane) acknowledge(m *packets.Publish) {
	l.t.Helper()
	switch m.QoS {
	case 0:
		return
	case 1:
		l.send(&packets.Puback{PacketID: m.PacketID, Properties: &packets.Properties{}})
	case 2:
		l.received(m)
		l.complete(m.PacketID)
	}
	delete(*l.given, m.PacketID)
}

// received is the first half of QoS 2: PUBREC, PUBREL.
func (l *lane) received(m *packets.Publish) {
	l.t.Helper()
	l.send(&packets.Pubrec{PacketID: m.PacketID, Properties: &packets.Properties{}})
	answer[*packets.Pubrel](l, m.PacketID)
}

// complete is the second one: PUBCOMP.
func (l *lane) complete(id uint16) {
	l.t.Helper()
	l.send(&packets.Pubcomp{PacketID: id, Properties: &packets.Properties{}})
	delete(*l.given, id)
}

// message takes the next message and acknowledges it.
func (l *lane) message() *packets.Publish {
	l.t.Helper()
	m := l.arrives()
	l.acknowledge(m)
	return m
}

// gets wants the next messages to be these, at a QoS.
func (l *lane) gets(qos byte, topic string, payloads ...string) {
	l.t.Helper()
	for _, payload := range payloads {
		m := l.message()
		require.Equal(l.t, topic, m.Topic)
		require.True(l.t, payload == string(m.Payload), "want %.40q, got %.40q, %d bytes", payload, m.Payload, len(m.Payload))
		require.Equal(l.t, qos, m.QoS)
	}
}

// payloads takes n messages.
func (l *lane) payloads(n int) (list []string) {
	l.t.Helper()
	for range n {
		list = append(list, string(l.message().Payload))
	}
	return list
}

// accepted does the sender's part for messages that have been sent on l.
func (l *lane) accepted(qos byte, ids ...uint16) {
	l.t.Helper()
	for _, id := range ids {
		switch qos {
		case 1:
			assert.Less(l.t, answer[*packets.Puback](l, id).ReasonCode, byte(0x80))
		case 2:
			assert.Less(l.t, answer[*packets.Pubrec](l, id).ReasonCode, byte(0x80))
			l.send(&packets.Pubrel{PacketID: id, Properties: &packets.Properties{}})
		}
	}
	for _, id := range ids {
		if qos == 2 {
			assert.Zero(l.t, answer[*packets.Pubcomp](l, id).ReasonCode)
		}
	}
}

// subscribe wants the QoS to be granted.
func (l *lane) subscribe(id uint16, filter string, qos byte) {
	l.t.Helper()
	l.send(&packets.Subscribe{PacketID: id, Properties: &packets.Properties{}, Subscriptions: []packets.SubOptions{{Topic: filter, QoS: qos}}})
	assert.Equal(l.t, []byte{qos}, answer[*packets.Suback](l, id).Reasons)
}

// unsubscribe gives the reason code.
func (l *lane) unsubscribe(id uint16, filter string) byte {
	l.t.Helper()
	l.send(&packets.Unsubscribe{PacketID: id, Properties: &packets.Properties{}, Topics: []string{filter}})
	return answer[*packets.Unsuback](l, id).Reasons[0]
}

// refused wants the server to reset the stream, both ways, with a code.
func (l *lane) refused(code uint64) {
	l.t.Helper()
	if l.back == l {
		_, err := l.read()
		assert.Equal(l.t, code, resetCode(l.t, err))
	}
	if _, ok := l.s.(*quicheStream); ok {
		return // with the reset it forgets the stream, and whether the server reads it
	}
	assert.Equal(l.t, code, resetCode(l.t, l.unwritable()))
}

// unwritable gives the error of writing, which comes when the server does not read any more.
func (l *lane) unwritable() (err error) {
	l.t.Helper()
	l.s.SetWriteDeadline(time.Now().Add(lanePatience))
	assert.Eventually(l.t, func() bool {
		_, err = l.s.Write(make([]byte, 1))
		return err != nil
	}, lanePatience, pollStep)
	return err
}

// ended wants the server to end the stream with FIN.
func (l *lane) ended() {
	l.t.Helper()
	_, err := l.read()
	assert.ErrorContains(l.t, err, "EOF")
}
