package broker

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// datagramTo is a sink with datagrams.
type datagramTo struct {
	*sink
	longest, room int
	got           []*packet.Publish
	decoder       *packet.Decoder
}

func newDatagramTo(p *peer) *datagramTo {
	d := packet.NewDecoder(0)
	d.SetVersion(p.v)
	return &datagramTo{sink: &p.out, longest: 1200, room: 100, decoder: d}
}

func (d *datagramTo) MaxDatagram() int { return d.longest }

func (d *datagramTo) Datagram(p []byte) bool {
	if d.room == 0 {
		return false
	}
	d.room--
	d.decoder.Feed(bytes.Clone(p))
	q, err := d.decoder.Next()
	if err != nil || d.decoder.Buffered() > 0 {
		panic("not a packet")
	}
	d.got = append(d.got, keep(q).(*packet.Publish))
	return true
}

// texts flushes and gives the payloads that came in datagrams since the last time.
func (d *datagramTo) texts(p *peer) (list []string) {
	p.c.Flush(d)
	for _, m := range d.got {
		list = append(list, string(m.Payload))
	}
	d.got = nil
	return list
}

func asksDatagrams(c *packet.Connect) {
	c.Properties = packet.AppendUserProperty(c.Properties, DatagramProperty, DatagramQoS0)
}

func encoded(p packet.Packet) []byte { return p.AppendTo(nil, packet.V50) }

func TestDatagramsFromClient(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s")
	s.subscribe(2, "#")
	c := w.connect(packet.V50, "c", keepAlive(10))
	for range 3 {
		w.advance(9 * time.Second)
		require.NoError(t, c.c.Datagram(encoded(pub("t", "x", 0, 0)), false))
	}
	assert.Equal(t, []string{"x", "x", "x"}, payloads(s.take()))
	assert.False(t, c.tr.closed, "they keep it alive")
	n := w.Stats()
	assert.EqualValues(t, 3, n.DatagramsReceived)
	assert.EqualValues(t, 3, n.MessagesReceived[0])
	assert.Zero(t, n.DatagramsDropped)
}

// What is no message with QoS 0 costs a client nothing but that.
func TestDatagramsThatAreDropped(t *testing.T) {
	good := encoded(pub("t", "x", 0, 0))
	wildcard := bytes.Clone(good)
	wildcard[4] = '#'
	dup := bytes.Clone(good)
	dup[0] |= dupBit
	cases := map[string][]byte{
		"empty": {}, "one byte": good[:1], "cut": good[:len(good)-1], "too long": append(bytes.Clone(good), 0),
		"two": append(bytes.Clone(good), good...), "wildcard": wildcard, "DUP": dup,
		"QoS 1": encoded(pub("t", "x", 1, 1)), "QoS 2": encoded(pub("t", "x", 2, 1)),
		"PINGREQ": encoded(&packet.Pingreq{}), "DISCONNECT": encoded(&packet.Disconnect{}),
		"CONNECT":  encoded(&packet.Connect{ClientID: "c"}),
		"large":    encoded(pub("t", strings.Repeat("x", 2000), 0, 0)),
		"alias 99": encoded(aliased("", 99)), "unknown alias": encoded(aliased("", 1)),
		"length": {0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	}
	w := newWorld(t, func(c *Config) { c.MaxPacketSize = 1000 })
	s := w.connect(packet.V50, "s")
	s.subscribe(0, "#")
	c := w.connect(packet.V50, "c")
	for name, p := range cases {
		require.NoError(t, c.c.Datagram(p, false), name)
	}
	require.NoError(t, c.c.Datagram(good, true), "early data")
	stranger := w.dial(packet.V50)
	require.NoError(t, stranger.c.Datagram(good, false), "before CONNECT")
	s.none()
	assert.EqualValues(t, len(cases)+2, w.Stats().DatagramsDropped)
	require.NoError(t, c.c.Datagram(good, false))
	assert.Equal(t, []string{"x"}, payloads(s.take()))
}

// An alias of the control stream is known; a datagram sets none.
func TestAliasInDatagram(t *testing.T) {
	w := newWorld(t)
	s := w.connect(packet.V50, "s")
	s.subscribe(0, "#")
	c := w.connect(packet.V50, "c")
	c.send(aliased("control", 1))
	for _, p := range []*packet.Publish{aliased("", 1), aliased("own", 2), aliased("", 2), aliased("other", 1), aliased("", 1)} {
		require.NoError(t, c.c.Datagram(encoded(p), false))
	}
	var topics []string
	for _, m := range messagesIn(s.take()) {
		topics = append(topics, string(m.Topic))
	}
	assert.Equal(t, []string{"control", "control", "own", "other", "control"}, topics)
	assert.EqualValues(t, 1, w.Stats().DatagramsDropped)
}

// A datagram cannot be held back by credit: what comes too fast is dropped, or ends the
// client.
func TestRatesOfDatagrams(t *testing.T) {
	p := encoded(pub("t", "x", 0, 0))
	w := newWorld(t, func(c *Config) { c.MaxMessageRate = 10 })
	c := w.connect(packet.V50, "c")
	for range 100 {
		require.NoError(t, c.c.Datagram(p, false))
	}
	n := w.Stats()
	assert.Less(t, n.DatagramsReceived, uint64(13))
	assert.EqualValues(t, 100, n.DatagramsReceived+n.DatagramsDropped)
	w.advance(2 * time.Second)
	require.NoError(t, c.c.Datagram(p, false))
	assert.Equal(t, n.DatagramsReceived+1, w.Stats().DatagramsReceived)

	w = newWorld(t, func(c *Config) { c.MaxMessageRate, c.RatePolicy = 10, RateDisconnect })
	c = w.connect(packet.V50, "c")
	for range 100 {
		if c.err = c.c.Datagram(p, false); c.err != nil {
			break
		}
	}
	c.closes(packet.MessageRateTooHigh)
}

func TestDatagramsToClient(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c", asksDatagrams, uintProp(packet.TopicAliasMaximum, 10))
	to := newDatagramTo(c)
	w.publish("kept", "retained", 0)
	require.NoError(t, w.Publish(Publication{Topic: "t", Payload: []byte("retained"), Retain: true}))
	c.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", QoS: 1}}})
	assert.Empty(t, to.texts(c))
	assert.Equal(t, []string{"retained"}, payloads(c.take()), "retained messages on the stream")

	w.publish("t", "0", 0)
	w.publish("t", "1", 1)
	w.publish("t", strings.Repeat("x", 1200), 0)
	assert.Equal(t, []string{"0"}, to.texts(c))
	assert.Equal(t, []string{"1", strings.Repeat("x", 1200)}, payloads(c.take()))
	to.room = 1
	w.publish("t", "2", 0)
	w.publish("t", "3", 0)
	assert.Equal(t, []string{"2"}, to.texts(c))
	assert.Equal(t, []string{"3"}, payloads(c.take()))
	to.longest = 0
	w.publish("t", "4", 0)
	assert.Empty(t, to.texts(c))
	assert.Equal(t, []string{"4"}, payloads(c.take()))
	c.c.DatagramLost()
	n := w.Stats()
	assert.Equal(t, [4]uint64{2, 1, 1, 1}, [4]uint64{n.DatagramsSent, n.DatagramsTooLarge, n.DatagramsFull, n.DatagramsLost})
	assert.EqualValues(t, 6, n.MessagesSent[0])
}

// No client gets a datagram that has not asked, but by configuration.
func TestWhoGetsDatagrams(t *testing.T) {
	other := func(c *packet.Connect) { c.Properties = packet.AppendUserProperty(nil, DatagramProperty, "all") }
	plain := func(*packet.Connect) {}
	cases := []struct {
		policy Datagrams
		v      packet.Version
		ask    connectOption
		want   bool
	}{
		{DatagramsOnRequest, packet.V50, asksDatagrams, true},
		{DatagramsOnRequest, packet.V50, other, false},
		{DatagramsOnRequest, packet.V50, plain, false},
		{DatagramsOnRequest, packet.V311, plain, false},
		{DatagramsAlways, packet.V50, plain, true},
		{DatagramsAlways, packet.V311, plain, true},
		{DatagramsOff, packet.V50, asksDatagrams, false},
	}
	for i, x := range cases {
		w := newWorld(t, func(c *Config) { c.Datagrams = x.policy })
		c := w.connect(x.v, "c", x.ask)
		c.subscribe(0, "t")
		w.publish("t", "x", 0)
		assert.Len(t, newDatagramTo(c).texts(c), map[bool]int{true: 1}[x.want], "case %d", i)
	}
	for policy := range numDatagrams {
		var back Datagrams
		require.NoError(t, back.UnmarshalText([]byte(policy.String())))
		assert.Equal(t, policy, back)
	}
	assert.Error(t, new(Datagrams).UnmarshalText([]byte("never")))
	assert.ErrorContains(t, (&Config{Datagrams: numDatagrams}).Validate(), "Datagrams")
}

// What a data stream has subscribed to comes in datagrams too.
func TestDatagramsInPlaceOfADataStream(t *testing.T) {
	w := newWorld(t)
	c := w.connect(packet.V50, "c", asksDatagrams)
	a := c.open(4)
	a.subscribe(0, "t")
	to := newDatagramTo(c)
	w.publish("t", "x", 0)
	require.NoError(t, a.st.Flush(to))
	assert.Equal(t, []string{"x"}, to.texts(c))
	a.none()
}

func TestDatagramsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		return
	}
	w := newWorld(t)
	c := w.connect(packet.V50, "c", asksDatagrams)
	c.subscribe(0, "t")
	from := w.connect(packet.V50, "from")
	to := &counting{sink: &c.out}
	p := encoded(pub("t", "payload", 0, 0))
	send := func() {
		if from.c.Datagram(p, false) != nil {
			panic("datagram")
		}
		c.c.Flush(to)
	}
	send()
	assert.Zero(t, testing.AllocsPerRun(100, send))
	assert.Equal(t, 102, to.n)
}

// counting counts datagrams.
type counting struct {
	*sink
	n int
}

func (c *counting) MaxDatagram() int     { return 1200 }
func (c *counting) Datagram([]byte) bool { c.n++; return true }
