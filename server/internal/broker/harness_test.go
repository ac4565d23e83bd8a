package broker

import (
	"bytes"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// advance moves the clock and lets the broker do what has become due.
func (c *clock) advance(b *Broker, d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
	b.tick()
}

// world is a broker under a test clock.
type world struct {
	t *testing.T
	*Broker
	clock *clock
	flows bool                // clients have flows
	serve func(*peer) *Stream // see UseFlows
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	w := &world{t: t, clock: newClock()}
	cfg := Config{AllowAnonymous: true, Now: w.clock.Now}
	for _, fn := range change {
		fn(&cfg)
	}
	require.NoError(t, cfg.Validate())
	w.Broker = New(cfg)
	return w
}

func (w *world) advance(d time.Duration) { w.clock.advance(w.Broker, d) }

// transport is a network connection that is driven by hand: peer.pump flushes.
type transport struct {
	mu     sync.Mutex
	wakes  int
	infos  int
	closed bool
	code   packet.ReasonCode
	info   ConnInfo
	onWake func() // set before the first message; nil: nothing
}

func (t *transport) Wake() {
	if t.onWake != nil {
		t.onWake()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakes++
}

func (t *transport) Close(code packet.ReasonCode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed, t.code = true, code
	}
}

func (t *transport) Info() ConnInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.infos++
	return t.info
}

// sink collects bytes.
type sink struct {
	bytes.Buffer
	room int
}

func (s *sink) Room() int { return s.room - s.Len() }
func (s *sink) Write(p []byte) {
	s.Buffer.Write(p)
}
func (s *sink) WritePayload(p []byte, m *Message) { s.Buffer.Write(p) }

// peer is the far end of one connection.
type peer struct {
	t       *testing.T
	w       *world
	c       *Client
	tr      *transport
	v       packet.Version
	out     sink
	decoder packet.Decoder
	got     []packet.Packet
	err     error // of Feed
	gone    bool
}

func (w *world) dial(v packet.Version) *peer {
	p := &peer{t: w.t, w: w, v: v, tr: &transport{info: ConnInfo{Transport: "test"}}}
	p.out.room = math.MaxInt
	p.decoder.Init(0)
	p.decoder.SetVersion(v)
	p.c = w.NewClient(p.tr)
	if w.flows {
		p.useFlows()
	}
	return p
}

func (p *peer) useFlows() {
	if p.w.serve == nil {
		p.c.UseFlows(nil)
		return
	}
	p.c.UseFlows(func() *Stream { return p.w.serve(p) })
}

// raw feeds bytes.
func (p *peer) raw(b []byte) {
	if p.err == nil {
		p.err = p.c.Feed(bytes.Clone(b))
	}
}

// send feeds packets.
func (p *peer) send(packets ...packet.Packet) {
	for _, q := range packets {
		p.raw(q.AppendTo(nil, p.v))
	}
}

// pump flushes and decodes what came, as the client would see it.
func (p *peer) pump() {
	p.t.Helper()
	for ok := true; ok; ok = p.c.woken.Load() {
		p.c.Flush(&p.out)
	}
	b := bytes.Clone(p.out.Next(p.out.Len()))
	p.decoder.Feed(b)
	for {
		q, err := p.decoder.Next()
		require.NoError(p.t, err, "the broker sent bytes that are no packet: % x", b)
		if q == nil {
			return
		}
		p.got = append(p.got, keep(q))
	}
}

// keep copies a packet that belongs to the decoder.
func keep(q packet.Packet) packet.Packet {
	switch q := q.(type) {
	case *packet.Publish:
		c := *q
		c.Topic, c.Payload, c.Properties = bytes.Clone(q.Topic), bytes.Clone(q.Payload), bytes.Clone(q.Properties)
		return &c
	case *packet.Puback:
		c := *q
		return &c
	case *packet.Pubrec:
		c := *q
		return &c
	case *packet.Pubrel:
		c := *q
		return &c
	case *packet.Pubcomp:
		c := *q
		return &c
	}
	return q
}

// take pumps and gives everything that has come since the last take.
func (p *peer) take() []packet.Packet {
	p.t.Helper()
	p.pump()
	got := p.got
	p.got = nil
	return got
}

// expect takes exactly one packet of a type.
func expect[P packet.Packet](p *peer) P {
	p.t.Helper()
	got := p.take()
	require.Len(p.t, got, 1, "packets: %s", names(got))
	q, ok := got[0].(P)
	require.True(p.t, ok, "got %s", names(got))
	return q
}

// names shows packets in a failure; it costs nothing before.
type names []packet.Packet

func (n names) String() (s string) {
	for _, q := range n {
		s += fmt.Sprintf("%s%.300v ", q.Type(), q)
	}
	return s
}

// none checks that nothing has come.
func (p *peer) none() {
	p.t.Helper()
	got := p.take()
	assert.Zero(p.t, len(got), "got %s", names(got))
}

// lose ends the connection without DISCONNECT.
func (p *peer) lose() {
	if !p.gone {
		p.gone = true
		p.c.Closed(p.err)
	}
}

// bye sends DISCONNECT and closes.
func (p *peer) bye() {
	p.send(&packet.Disconnect{})
	p.lose()
}

// closes checks that the broker ended the connection with a DISCONNECT of this code,
// in 3.x without a packet, and closes it.
func (p *peer) closes(code packet.ReasonCode) {
	p.t.Helper()
	got := p.take()
	if p.v == packet.V50 {
		require.NotEmpty(p.t, got)
		d, ok := got[len(got)-1].(*packet.Disconnect)
		require.True(p.t, ok, "got %s", names(got))
		assert.Equal(p.t, code, d.ReasonCode)
	} else {
		assert.Zero(p.t, len(got), "got %s", names(got))
	}
	assert.True(p.t, p.err != nil || p.tr.closed, "the connection was not closed")
	if p.err != nil {
		assert.Equal(p.t, code, CloseCode(p.err))
	} else {
		assert.Equal(p.t, code, p.tr.code)
	}
	p.lose()
}

type connectOption func(*packet.Connect)

func expiry(seconds uint32) connectOption {
	return func(c *packet.Connect) {
		c.Properties = packet.AppendUint32(c.Properties, packet.SessionExpiryInterval, seconds)
	}
}

func resume(c *packet.Connect) { c.CleanStart = false }

func uintProp(id packet.PropertyID, n uint32) connectOption {
	return func(c *packet.Connect) {
		switch id {
		case packet.ReceiveMaximum, packet.TopicAliasMaximum:
			c.Properties = packet.AppendUint16(c.Properties, id, uint16(n))
		case packet.RequestProblemInformation:
			c.Properties = packet.AppendByte(c.Properties, id, byte(n))
		default:
			c.Properties = packet.AppendUint32(c.Properties, id, n)
		}
	}
}

func keepAlive(seconds uint16) connectOption {
	return func(c *packet.Connect) { c.KeepAlive = seconds }
}

func withWill(topic string, qos byte, retain bool, props packet.Properties) connectOption {
	return func(c *packet.Connect) {
		c.Will = &packet.Will{Topic: topic, Payload: []byte("will"), QoS: qos, Retain: retain, Properties: props}
	}
}

// connect dials, connects and checks CONNACK 0.
func (w *world) connect(v packet.Version, id string, options ...connectOption) *peer {
	w.t.Helper()
	p, ack := w.tryConnect(v, id, options...)
	require.Equal(w.t, packet.Success, ack.ReasonCode, "CONNACK")
	return p
}

func (w *world) tryConnect(v packet.Version, id string, options ...connectOption) (*peer, *packet.Connack) {
	w.t.Helper()
	p := w.dial(v)
	c := &packet.Connect{ClientID: id, CleanStart: true}
	for _, o := range options {
		o(c)
	}
	p.send(c)
	got := p.take()
	require.NotEmpty(w.t, got, "no CONNACK")
	ack, ok := got[0].(*packet.Connack) // MQTT-3.2.0-1
	require.True(w.t, ok, "got %s", names(got))
	p.got = got[1:]
	return p, ack
}

// subscribe checks the SUBACK and gives what came with it.
func (p *peer) subscribe(qos byte, filters ...string) []packet.Packet {
	p.t.Helper()
	s := &packet.Subscribe{PacketID: 77}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, packet.Subscription{Filter: f, QoS: qos})
	}
	p.send(s)
	got := p.take()
	require.NotEmpty(p.t, got)
	ack, ok := got[0].(*packet.Suback)
	require.True(p.t, ok, "got %s", names(got))
	require.EqualValues(p.t, 77, ack.PacketID)
	for _, code := range ack.ReasonCodes {
		require.EqualValues(p.t, qos, code)
	}
	return got[1:]
}

func pub(topic, payload string, qos byte, id uint16) *packet.Publish {
	return &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos, PacketID: id}
}

func retained(topic, payload string, qos byte, id uint16) *packet.Publish {
	p := pub(topic, payload, qos, id)
	p.Retain = true
	return p
}

// payloads are those of the PUBLISH packets in got.
func payloads(got []packet.Packet) (s []string) {
	for _, q := range got {
		if q, ok := q.(*packet.Publish); ok {
			s = append(s, string(q.Payload))
		}
	}
	return s
}

var versions = []packet.Version{packet.V31, packet.V311, packet.V50}

// eachVersion runs a test in every version.
func eachVersion(t *testing.T, fn func(t *testing.T, v packet.Version)) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) { fn(t, v) })
	}
}

// proves records that a test which has come to its end without a failure proves these
// statements of the standard: each becomes a sub-test of that name.
func proves(t *testing.T, statements ...string) {
	t.Helper()
	passed := !t.Failed()
	for _, id := range statements {
		t.Run(id, func(t *testing.T) { assert.True(t, passed) })
	}
}
