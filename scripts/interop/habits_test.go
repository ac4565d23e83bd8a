package interop

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/stretchr/testify/require"
)

// habit is how a client that is in use spreads its packets over streams. Its tests run on a stack that
// is not ours.
type habit struct {
	name string
	dial muxDialer
	// afterConnect opens the streams that the client always has.
	afterConnect func(c *emulated)
	// publishing and subscribing are n streams for that, some of them perhaps the same.
	publishing, subscribing func(c *emulated, n int) []*lane
	// onData: it subscribes on data streams.
	onData bool
	// onControl: it publishes on the control stream.
	onControl bool
	// early: with a ticket it sends its CONNECT as early data.
	early bool
	// noMigration: its stack cannot migrate.
	noMigration bool
	// quiche: it is on quiche, which hands out no tickets.
	quiche bool
	// datagrams: it sends QoS 0 in datagrams.
	datagrams bool
}

// emqtt opens data streams on demand and may publish on any stream.
func emqtt(dial muxDialer) habit {
	return habit{name: "emqtt", dial: dial, publishing: (*emulated).data, subscribing: (*emulated).data, onData: true, onControl: true, early: true}
}

// nanoNNG opens five streams at once: main, two for SUBSCRIBE, two for PUBLISH, each taken at random.
func nanoNNG(dial muxDialer) habit {
	pick := func(from int) func(*emulated, int) []*lane {
		return func(c *emulated, n int) (list []*lane) {
			first := rand.IntN(2)
			for i := range n {
				list = append(list, c.lanes[from+(first+i)%2])
			}
			return list
		}
	}
	return habit{
		name: "NanoNNG", dial: dial, onData: true,
		afterConnect: func(c *emulated) {
			for range 4 {
				c.lanes = append(c.lanes, c.stream(false))
			}
		},
		subscribing: pick(0), publishing: pick(2),
	}
}

// flowsdk publishes and subscribes on data streams alone.
func flowsdk(dial muxDialer) habit {
	return habit{name: "flowsdk", dial: dial, publishing: (*emulated).data, subscribing: (*emulated).data, onData: true, early: true}
}

// mqttLib publishes on streams of its own alone, every second one with a flow header, is answered on the
// control stream and subscribes there.
func mqttLib(dial muxDialer) habit {
	return habit{
		name: "mqtt-lib", dial: dial, datagrams: true,
		publishing: func(c *emulated, n int) (list []*lane) {
			for range n {
				l := c.stream(true)
				if number := uint64(l.s.id() / 4); number%2 == 1 {
					l.raw(flowHeader(number))
				}
				list = append(list, l)
			}
			return list
		},
		subscribing: func(c *emulated, n int) (list []*lane) {
			for range n {
				list = append(list, c.control)
			}
			return list
		},
	}
}

// flowHeader of client data: the type, the flow id with 0 for the client as its last bit, the expiry interval
// and the flags.
func flowHeader(number uint64) []byte {
	return append(quicvarint.Append(quicvarint.Append([]byte{0x12}, number<<1), 3600), 0)
}

// place is where clients of one test connect to.
type place struct {
	habit
	broker *brokerProcess
	path   *Proxy
	bad    bool
	config *tls.Config // with the tickets
	secure *tls.Config // the same for TCP
}

// session is what a client keeps from one connection to the next.
type session struct {
	id    string
	last  uint16 // packet id: one sequence for all streams
	given given
}

// emulated is a connection of a client, which has been accepted.
type emulated struct {
	t       *testing.T
	place   *place
	session *session
	mux     mux
	control *lane
	lanes   []*lane // NanoNNG's
	present bool    // Session Present of the CONNACK
}

// connectOptions are what a test wants in the CONNECT.
type connectOptions struct {
	session   *session // a new one, if nil
	keepAlive uint16
	will      string // topic; the payload is the client's id
}

func newSession() *session { return &session{id: unique("habits"), given: given{}} }

// connect opens a connection for a session that lasts.
func (p *place) connect(t *testing.T, o connectOptions) *emulated {
	t.Helper()
	c := p.dialed(t, o)
	c.accepted(o)
	return c
}

// dialed has the control stream open.
func (p *place) dialed(t *testing.T, o connectOptions) *emulated {
	t.Helper()
	m, err := p.dial(within(t, matrixPatience), p.path.Addr(), p.config)
	require.NoError(t, err)
	t.Cleanup(func() { m.end(0) })
	return p.over(t, m, o)
}

func (p *place) over(t *testing.T, m mux, o connectOptions) *emulated {
	t.Helper()
	c := &emulated{t: t, place: p, session: o.session, mux: m}
	if c.session == nil {
		c.session = newSession()
	}
	c.control = c.stream(false)
	require.Zero(t, c.control.s.id())
	return c
}

// connectPacket is the CONNECT.
func (c *emulated) connectPacket(o connectOptions) *packets.Connect {
	expiry := uint32(1000)
	p := &packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: c.session.id, KeepAlive: o.keepAlive,
		Properties: &packets.Properties{SessionExpiryInterval: &expiry}, WillProperties: &packets.Properties{},
	}
	if o.will != "" {
		p.WillFlag, p.WillTopic, p.WillMessage, p.WillQOS = true, o.will, []byte(c.session.id), 1
	}
	return p
}

// accepted sends the CONNECT and waits for its CONNACK.
func (c *emulated) accepted(o connectOptions) {
	c.t.Helper()
	c.control.send(c.connectPacket(o))
	c.connack()
}

func (c *emulated) connack() {
	c.t.Helper()
	ack := expect[*packets.Connack](c.control)
	require.Zero(c.t, ack.ReasonCode)
	c.present = ack.SessionPresent
	if c.place.afterConnect != nil {
		c.place.afterConnect(c)
	}
}

// stream opens a stream.
func (c *emulated) stream(uni bool) *lane {
	c.t.Helper()
	s, err := c.mux.open(within(c.t, lanePatience), uni)
	require.NoError(c.t, err)
	l := newLane(c.t, s, &c.session.given)
	if uni {
		l.back = c.control
	}
	return l
}

// data opens n data streams.
func (c *emulated) data(n int) (list []*lane) {
	for range n {
		list = append(list, c.stream(false))
	}
	return list
}

// id is the next packet id of the client.
func (c *emulated) id() uint16 {
	c.session.last++
	return c.session.last
}

// out is the stream for a publication as the client is used to it; control if it may.
func (c *emulated) out() *lane {
	if c.place.onControl {
		return c.control
	}
	return c.place.publishing(c, 1)[0]
}

// outs and ins are n streams to publish and to subscribe on.
func (c *emulated) outs(n int) []*lane { return c.place.publishing(c, n) }
func (c *emulated) ins(n int) []*lane  { return c.place.subscribing(c, n) }

// publication is a PUBLISH with an id of the client.
func (c *emulated) publication(topic, payload string, qos byte) *packets.Publish {
	p := &packets.Publish{Topic: topic, Payload: []byte(payload), QoS: qos, Properties: &packets.Properties{}}
	if qos > 0 {
		p.PacketID = c.id()
	}
	return p
}

// publish sends a message on l and waits for its acknowledgements.
func (c *emulated) publish(l *lane, topic, payload string, qos byte) {
	c.t.Helper()
	p := c.publication(topic, payload, qos)
	l.send(p)
	l.accepted(qos, p.PacketID)
}

// subscribed opens a stream as the client is used to it and subscribes there.
func (c *emulated) subscribed(filter string, qos byte) *lane {
	c.t.Helper()
	l := c.ins(1)[0]
	l.subscribe(c.id(), filter, qos)
	return l
}

// disconnect ends the connection with DISCONNECT. The server closes it.
func (c *emulated) disconnect() {
	c.t.Helper()
	c.control.send(&packets.Disconnect{Properties: &packets.Properties{}})
	c.closedWith(0)
}

// closedWith wants the server to close the connection with a code.
func (c *emulated) closedWith(code uint64) {
	c.t.Helper()
	ended := make(chan struct{})
	defer close(ended)
	if c.place.bad {
		go c.remind(ended)
	}
	got, err := c.mux.closed(within(c.t, lanePatience))
	require.NoError(c.t, err)
	require.Equal(c.t, code, got)
}

// dismissed wants the server to end the connection with a CONNACK or DISCONNECT of this reason, and the same
// code. quic-go drops what has not been read when the CONNECTION_CLOSE comes: then the code alone tells.
func (c *emulated) dismissed(reason byte) {
	c.t.Helper()
	for {
		p, err := c.control.read()
		if err != nil {
			break
		}
		if p.Type == packets.CONNACK || p.Type == packets.DISCONNECT {
			require.EqualValues(c.t, reason, reasonOf(p))
			break
		}
	}
	c.closedWith(uint64(reason))
}

func reasonOf(p *packets.ControlPacket) byte {
	if ack, ok := p.Content.(*packets.Connack); ok {
		return ack.ReasonCode
	}
	return p.Content.(*packets.Disconnect).ReasonCode
}

// remind sends something now and then: a CONNECTION_CLOSE that was lost comes again as the answer only.
func (c *emulated) remind(ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-time.After(2 * pollStep):
			if s, err := c.mux.open(within(c.t, lanePatience), false); err == nil {
				s.Write(pingreq)
			}
		}
	}
}

// netStream is a TCP or TLS connection as a stream.
type netStream struct{ net.Conn }

func (netStream) id() int64              { return 0 }
func (s netStream) fin()                 { s.Close() }
func (s netStream) reset(uint64)         { s.Close() }
func (s netStream) stopReading(_ uint64) { s.Close() }
func (s netStream) state() (v tls.ConnectionState) {
	if c, ok := s.Conn.(*tls.Conn); ok {
		v = c.ConnectionState()
	}
	return v
}

// plain connects a client over TCP, or TLS, for a session.
func (p *place) plain(t *testing.T, secure bool, o connectOptions) *emulated {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(within(t, patience), "tcp", p.broker.tcp)
	if secure {
		conn, err = (&tls.Dialer{Config: p.secure}).DialContext(within(t, patience), "tcp", p.broker.tls)
	}
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	c := &emulated{t: t, session: o.session, place: &place{habit: habit{onControl: true}}}
	if c.session == nil {
		c.session = newSession()
	}
	c.control = newLane(t, netStream{conn}, &c.session.given)
	c.accepted(o)
	return c
}

// watch subscribes a client over TCP.
func (p *place) watch(t *testing.T, filter string, qos byte) *lane {
	t.Helper()
	c := p.plain(t, false, connectOptions{})
	c.control.subscribe(c.id(), filter, qos)
	return c.control
}

// eachQoS runs f for every QoS of a publisher and of a subscriber, with a topic of its own.
func eachQoS(t *testing.T, f func(topic string, pub, sub byte)) {
	for pub := range byte(3) {
		for sub := range byte(3) {
			f(unique(fmt.Sprintf("habits/%d/%d", pub, sub)), pub, sub)
			if t.Failed() {
				t.Fatalf("at QoS %d to %d", pub, sub)
			}
		}
	}
}
