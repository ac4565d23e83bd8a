package interop

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nextBroker serves MQTT-next, with flows of its own.
var nextBroker = sharedBroker(func() []string { return []string{"--mqtt-next", "server-flows"} })

// Flags of a flow header.
const (
	abortIfNoState          = 1 << 1
	tolerateErrors          = 2 << 2 // they cost the stream, not the flow
	persistentQoS           = 1 << 4
	persistentSubscriptions = 1 << 6
)

// nextClient is a client in the manner of mqtt-lib under MQTT-next: it offers both ALPNs, writes no header on
// the control stream, publishes on streams of its own alone with one, and reads flows of the server.
type nextClient struct {
	*emulated
	flows uint64 // that it has opened
}

// TestNext: mqtt-lib's way under MQTT-next, on quic-go.
func TestNext(t *testing.T) {
	b, err := nextBroker()
	require.NoError(t, err)
	for _, bad := range []bool{false, true} {
		for name, run := range map[string]func(*testing.T, *place){
			"negotiates": nextNegotiates, "publishes and gets flows, QoS 0/1/2 x 0/1/2": nextQoS,
			"recovers a flow": nextRecovers, "does not recover a flow": nextDoesNotRecover, "user flow": nextUserFlow,
			"datagram that is not MQTT": nextDatagram,
		} {
			t.Run(fmt.Sprintf("%s, bad path %t", name, bad), func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, b, mqttLib(dialGo), bad)
				p.config.NextProtos = []string{"MQTT-next", "mqtt"}
				run(t, p)
			})
		}
	}
}

func (p *place) next(t *testing.T, s *session) *nextClient {
	t.Helper()
	return &nextClient{emulated: p.connect(t, connectOptions{session: s})}
}

// header is that of a flow of the client.
func header(number, expiry uint64, flags byte) []byte {
	return append(quicvarint.Append(quicvarint.Append([]byte{0x12}, number<<1), expiry), flags)
}

// out opens a stream of the client alone for a new flow.
func (c *nextClient) out() *lane {
	c.t.Helper()
	c.flows++
	l := c.stream(true)
	l.raw(header(c.flows, 300, 0))
	return l
}

// served is the next flow of the server.
func (c *nextClient) served() *lane {
	c.t.Helper()
	s, err := c.mux.(goMux).conn.AcceptStream(within(c.t, lanePatience))
	require.NoError(c.t, err)
	l := newLane(c.t, goStream{s}, &c.session.given)
	kind, err := quicvarint.Read(l.r)
	require.NoError(c.t, err)
	assert.EqualValues(c.t, 0x13, kind)
	id, err := quicvarint.Read(l.r)
	require.NoError(c.t, err)
	assert.Equal(c.t, uint64(1), id&1, "a flow of the server")
	_, err = quicvarint.Read(l.r)
	require.NoError(c.t, err)
	_, err = l.r.ReadByte()
	require.NoError(c.t, err)
	return l
}

func nextNegotiates(t *testing.T, p *place) {
	c := p.next(t, nil)
	assert.Equal(t, "MQTT-next", c.mux.state().NegotiatedProtocol)
	c.disconnect()
	p.config.NextProtos = []string{"mqtt"}
	c = p.next(t, nil)
	assert.Equal(t, "mqtt", c.mux.state().NegotiatedProtocol)
	c.disconnect()
}

func nextQoS(t *testing.T, p *place) {
	c := p.next(t, nil)
	eachQoS(t, func(topic string, pub, sub byte) {
		c.control.subscribe(c.id(), topic, sub)
		in, out := c.served(), c.out()
		for n := range 3 {
			c.publish(out, topic, fmt.Sprint(n), pub)
			in.gets(min(pub, sub), topic, fmt.Sprint(n))
		}
		out.s.fin()
		assert.Zero(t, c.control.unsubscribe(c.id(), topic))
		_, err := in.read()
		assert.ErrorIs(t, err, io.EOF)
		in.s.fin()
	})
	c.control.ping()
	c.disconnect()
}

// nextRecovers: a flow is opened again after a reconnect, and has its subscription and the message that was
// not acknowledged.
func nextRecovers(t *testing.T, p *place) {
	topic := unique("next/recovers")
	c := p.next(t, nil)
	flow := c.stream(false)
	flow.raw(header(7, 300, tolerateErrors|persistentQoS|persistentSubscriptions))
	flow.subscribe(c.id(), topic, 1)
	c.publish(c.out(), topic, "unacknowledged", 1)
	first := flow.arrives()
	c.mux.end(0)

	c = p.next(t, c.session)
	assert.True(t, c.present)
	c.publish(c.out(), topic, "meanwhile", 1)
	c.control.gets(1, topic, "meanwhile")
	flow = c.stream(false)
	flow.raw(header(7, 300, tolerateErrors|persistentQoS|persistentSubscriptions|abortIfNoState))
	again := flow.arrives()
	assert.True(t, again.Duplicate)
	assert.Equal(t, first.PacketID, again.PacketID)
	flow.acknowledge(again)
	c.publish(c.out(), topic, "recovered", 2)
	flow.gets(1, topic, "recovered")
	c.control.ping()
	c.disconnect()
}

func nextDoesNotRecover(t *testing.T, p *place) {
	c := p.next(t, nil)
	flow := c.stream(false)
	flow.raw(header(9, 0, abortIfNoState))
	flow.refused(0xB3)
	c.control.ping()
	c.disconnect()
}

func nextUserFlow(t *testing.T, p *place) {
	c := p.next(t, nil)
	flow := c.stream(false)
	flow.raw([]byte("\x14what only the two ends understand"))
	flow.refused(0xBE)
	c.control.ping()
	c.disconnect()
}

// nextDatagram: a first byte of 0 is for what is not MQTT.
func nextDatagram(t *testing.T, p *place) {
	topic := unique("next/datagram")
	c := p.next(t, nil)
	c.control.subscribe(c.id(), topic, 0)
	in := c.served()
	require.NoError(t, c.mux.(goMux).conn.SendDatagram(bytes.Repeat([]byte{0}, 20)))
	c.publish(c.out(), topic, "still here", 1)
	in.gets(0, topic, "still here")
	c.control.send(&packets.Disconnect{Properties: &packets.Properties{}})
	c.closedWith(0)
}
