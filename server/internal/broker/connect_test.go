package broker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestConnackTellsTheTruth(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.MaxPacketSize, c.ReceiveMaximum, c.TopicAliasMaximum = 1000, 7, 3
		c.MaxKeepAlive, c.MaxSessionExpiry = 30, time.Minute
	})
	_, ack := w.tryConnect(packet.V50, "", keepAlive(60), expiry(3600))
	number := func(id packet.PropertyID) uint32 {
		n, ok := ack.Properties.Uint(id)
		require.True(t, ok, id.String())
		return n
	}
	assert.EqualValues(t, 7, number(packet.ReceiveMaximum))
	assert.EqualValues(t, 1000, number(packet.MaximumPacketSize))
	assert.EqualValues(t, 3, number(packet.TopicAliasMaximum))
	assert.EqualValues(t, 60, number(packet.SessionExpiryInterval))
	assert.EqualValues(t, 30, number(packet.ServerKeepAlive)) // MQTT-3.1.2-21
	assert.False(t, ack.Properties.Has(packet.SharedSubscriptionAvailable), "absent: available")
	id, ok := ack.Properties.Bytes(packet.AssignedClientIdentifier) // MQTT-3.2.2-16
	assert.True(t, ok)
	assert.Greater(t, len(id), 20)
	for _, absent := range []packet.PropertyID{packet.MaximumQoS, packet.RetainAvailable, packet.WildcardSubscriptionAvailable, packet.SubscriptionIdentifierAvailable, packet.ResponseInformation} {
		assert.False(t, ack.Properties.Has(absent), absent.String()) // absent = available; MQTT-3.1.2-28
	}
	_, ack = w.tryConnect(packet.V50, "x", keepAlive(20), expiry(10))
	for _, absent := range []packet.PropertyID{packet.SessionExpiryInterval, packet.ServerKeepAlive, packet.AssignedClientIdentifier} {
		assert.False(t, ack.Properties.Has(absent), absent.String()) // MQTT-3.2.2-22
	}
	proves(t, "MQTT-3.1.2-21", "MQTT-3.2.2-16", "MQTT-3.1.2-28", "MQTT-3.2.2-22")
}

func TestAssignedClientIdentifiersDiffer(t *testing.T) { // MQTT-3.1.3-6
	w := newWorld(t)
	a, b := w.connect(packet.V311, ""), w.connect(packet.V311, "")
	assert.NotEqual(t, a.c.Info().ID, b.c.Info().ID)
	assert.NoError(t, a.err)
	assert.False(t, a.tr.closed, "the second one has not taken over the first")
	proves(t, "MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.1.3-6 of 3.1.1")
}

func TestConnectRefused(t *testing.T) {
	long := strings.Repeat("x", 2000)
	tests := []struct {
		name   string
		change func(*Config)
		option connectOption
		id     string
		code   packet.ReasonCode
	}{
		{"anonymous", func(c *Config) { c.AllowAnonymous = false }, nil, "a", packet.NotAuthorized},
		{"client identifier too long, MQTT-3.1.3-8", nil, nil, long, packet.ClientIdentifierNotValid},
		{"too many connections", func(c *Config) { c.MaxClients = 1 }, nil, "a", packet.ServerBusy},
		{"too many sessions", func(c *Config) { c.MaxSessions = 1 }, nil, "a", packet.QuotaExceeded},
		{"password, MQTT-3.1.4-2", refuseWith(packet.BadUserNameOrPassword), nil, "a", packet.BadUserNameOrPassword},
		{"banned", refuseWith(packet.Banned), nil, "a", packet.Banned},
		{"other error", func(c *Config) {
			c.Handlers.Connect = func(*ConnectEvent) error { return errors.New("no") }
		}, nil, "a", packet.NotAuthorized},
		{"code that CONNACK does not have, MQTT-3.2.2-8", refuseWith(packet.KeepAliveTimeout), nil, "a", packet.NotAuthorized},
	}
	for _, tt := range tests {
		for _, v := range []packet.Version{packet.V311, packet.V50} {
			t.Run(tt.name+" "+v.String(), func(t *testing.T) {
				w := newWorld(t)
				first := w.connect(v, "first")
				if tt.change != nil {
					tt.change(&w.cfg)
				}
				p, ack := w.tryConnect(v, tt.id)
				want, _ := tt.code.ReturnCode()
				if v == packet.V50 {
					assert.Equal(t, tt.code, ack.ReasonCode)
				} else {
					assert.Equal(t, want.ReasonCode(), ack.ReasonCode)
				}
				assert.False(t, ack.SessionPresent)        // MQTT-3.2.2-6
				assert.Equal(t, tt.code, CloseCode(p.err)) // MQTT-3.2.2-7
				p.c.Flush(&p.out)
				p.send(&packet.Pingreq{}) // MQTT-3.1.4-6
				p.none()
				p.lose()
				assert.EqualValues(t, 1, w.Stats().Refused[tt.code])
				assert.EqualValues(t, 1, w.Stats().Clients)
				first.send(&packet.Pingreq{})
				expect[*packet.Pingresp](first)
			})
		}
	}
	proves(t, "MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.1.4-6", "MQTT-3.1.3-8", "MQTT-3.1.4-2", "MQTT-3.2.2-8",
		"MQTT-3.1.3-9 of 3.1.1", "MQTT-3.1.4-5 of 3.1.1", "MQTT-3.2.2-4 of 3.1.1")
}

func refuseWith(code packet.ReasonCode) func(*Config) {
	return func(c *Config) {
		c.Handlers.Connect = func(*ConnectEvent) error { return Refuse(code, "because") }
	}
}

func TestConnectAuthenticationMethod(t *testing.T) { // MQTT-4.12.0-1
	w := newWorld(t)
	_, ack := w.tryConnect(packet.V50, "a", func(c *packet.Connect) {
		c.Properties = packet.AppendString(c.Properties, packet.AuthenticationMethod, "SCRAM-SHA-1")
	})
	assert.Equal(t, packet.BadAuthenticationMethod, ack.ReasonCode)
	reason, ok := ack.Properties.Bytes(packet.ReasonString)
	assert.True(t, ok)
	assert.NotEmpty(t, reason)
	proves(t, "MQTT-4.12.0-1")
}

func TestConnectEvent(t *testing.T) {
	var seen *ConnectEvent
	w := newWorld(t, func(c *Config) {
		c.AllowAnonymous = false
		c.Handlers.Connect = func(e *ConnectEvent) error { seen = e; return nil }
	})
	name := "joe"
	p := w.connect(packet.V50, "a", keepAlive(9), withWill("w", 1, true, nil), func(c *packet.Connect) {
		c.Username, c.Password = &name, []byte("secret")
	})
	assert.Equal(t, "a", seen.Client.ID)
	assert.Equal(t, "joe", seen.Client.Username)
	assert.True(t, seen.HasUsername)
	assert.Equal(t, "secret", string(seen.Password))
	assert.Equal(t, packet.V50, seen.Client.Version)
	assert.EqualValues(t, 9, seen.Client.KeepAlive)
	assert.Equal(t, "test", seen.Client.Conn.Transport)
	assert.Equal(t, "w", seen.Will.Topic)
	assert.Same(t, seen.Client, p.c.Info())
}

func TestUnsupportedVersion(t *testing.T) { // MQTT-3.1.2-2
	tests := []struct {
		name  string
		level byte
		want  []byte
	}{
		{"level 6 as 5.0", 6, []byte{0x20, 3, 0, 0x84}},
		{"level 2 as 3.1.1", 2, []byte{0x20, 2, 0, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.dial(packet.V50)
			b := (&packet.Connect{ClientID: "a", CleanStart: true}).AppendTo(nil, packet.V50)
			b[8] = tt.level
			p.raw(b)
			require.Error(t, p.err)
			p.c.Flush(&p.out)
			got := p.out.Bytes()
			require.GreaterOrEqual(t, len(got), 4)
			assert.Equal(t, tt.want[0], got[0])
			assert.Equal(t, tt.want[2:4], got[2:4])
			assert.Equal(t, packet.UnsupportedProtocolVersion, CloseCode(p.err))
		})
	}
	proves(t, "MQTT-3.1.2-2", "MQTT-3.1.2-2 of 3.1.1")
}

// What a stranger may send first, and what he gets.
func TestFirstPacket(t *testing.T) { // MQTT-3.1.0-1
	for name, first := range map[string][]byte{
		"PINGREQ":                    {0xC0, 0},
		"PUBLISH":                    {0x30, 3, 0, 1, 'a'},
		"CONNACK":                    {0x20, 2, 0, 0},
		"garbage":                    []byte("GET / HTTP/1.1\r\n\r\n"),
		"zeros":                      make([]byte, 100),
		"bad flags":                  {0x11, 0},
		"MQTT-3.1.2-3 reserved flag": {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 3, 0, 0, 0, 1, 'a'},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.dial(packet.V50)
			p.raw(first)
			require.Error(t, p.err)
			p.none() // MQTT-3.14.0-1: no DISCONNECT before CONNACK
			p.lose()
			assert.Zero(t, w.Stats().Connections)
		})
	}
	proves(t, "MQTT-3.1.0-1", "MQTT-3.14.0-1", "MQTT-3.1.0-1 of 3.1.1", "MQTT-3.1.2-3")
}

func TestProtocolViolations(t *testing.T) {
	tests := []struct {
		name string
		send []byte
		code packet.ReasonCode
	}{
		{"MQTT-3.1.0-2 second CONNECT", (&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50), packet.ProtocolError},
		{"AUTH", []byte{0xF0, 0}, packet.ProtocolError},
		{"CONNACK", []byte{0x20, 3, 0, 0, 0}, packet.ProtocolError},
		{"SUBACK", []byte{0x90, 4, 0, 1, 0, 0}, packet.ProtocolError},
		{"UNSUBACK", []byte{0xB0, 4, 0, 1, 0, 0}, packet.ProtocolError},
		{"PINGRESP", []byte{0xD0, 0}, packet.ProtocolError},
		{"MQTT-2.1.3-1 flags", []byte{0xC1, 0}, packet.MalformedPacket},
		{"MQTT-3.3.1-4 QoS 3", []byte{0x36, 3, 0, 1, 'a'}, packet.MalformedPacket},
		{"MQTT-3.3.2-2 wildcard in a topic", []byte{0x30, 4, 0, 1, '#', 0}, packet.TopicNameInvalid},
		{"MQTT-3.3.4-6 Subscription Identifier", []byte{0x30, 6, 0, 1, 'a', 2, 0x0B, 1}, packet.ProtocolError},
		{"MQTT-3.3.2-8 Topic Alias 0", []byte{0x30, 7, 0, 1, 'a', 3, 0x23, 0, 0}, packet.TopicAliasInvalid},
		{"MQTT-3.3.2-9 Topic Alias above the maximum", []byte{0x30, 7, 0, 1, 'a', 3, 0x23, 0, 17}, packet.TopicAliasInvalid},
		{"Topic Alias not set", []byte{0x30, 6, 0, 0, 3, 0x23, 0, 1}, packet.ProtocolError},
		{"MQTT-3.8.3-2 SUBSCRIBE without filter", []byte{0x82, 3, 0, 1, 0}, packet.ProtocolError},
		{"MQTT-3.8.3-4 No Local on $share", append([]byte{0x82, 18, 0, 1, 0, 0, 12}, "$share/g/abc\x04"...), packet.ProtocolError},
		{"MQTT-3.10.3-2 UNSUBSCRIBE without filter", []byte{0xA2, 3, 0, 1, 0}, packet.ProtocolError},
		{"MQTT-3.14.2-1 DISCONNECT with a server's code", []byte{0xE0, 1, 0x8B}, packet.ProtocolError},
		{"MQTT-3.2.2-15 packet too large", []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F}, packet.PacketTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			other := w.connect(packet.V50, "other")
			other.subscribe(0, "#")
			p := w.connect(packet.V50, "c", withWill("will", 0, false, nil))
			p.raw(tt.send)
			p.closes(tt.code)
			assert.Equal(t, []string{"will"}, payloads(other.take()), "a will is due")
			assert.EqualValues(t, 1, w.Stats().Disconnects[tt.code])
		})
	}
}

func TestMalformedClosesWithoutPacketIn3x(t *testing.T) { // MQTT-4.8.0-1
	w := newWorld(t)
	p := w.connect(packet.V311, "c")
	p.raw([]byte{0xC1, 0})
	p.closes(packet.MalformedPacket)
	proves(t, "MQTT-4.8.0-1", "MQTT-2.2.2-2 of 3.1.1")
}

// A Maximum Packet Size that leaves no room for what has to be sent ends the
// connection, and never makes the broker send a larger packet.
func TestTinyMaximumPacketSize(t *testing.T) { // MQTT-3.1.2-24, MQTT-3.2.2-19, MQTT-3.14.2-3
	for size := uint32(1); size < 60; size++ {
		w := newWorld(t)
		p := w.dial(packet.V50)
		p.send(&packet.Connect{ClientID: "c", CleanStart: true, Properties: packet.AppendUint32(nil, packet.MaximumPacketSize, size)})
		p.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "a"}}})
		p.send(pub("a", strings.Repeat("x", 40), 1, 1), &packet.Pingreq{})
		p.raw([]byte{0xC1, 0})
		for _, q := range p.take() {
			assert.LessOrEqual(t, q.Size(packet.V50), int(size), "%s", names{q})
		}
		assert.Error(t, p.err)
		p.lose()
	}
	proves(t, "MQTT-3.1.2-24", "MQTT-3.2.2-19", "MQTT-3.14.2-3")
}

func TestRequestProblemInformation(t *testing.T) { // MQTT-3.1.2-29
	for _, wants := range []uint32{0, 1} {
		w := newWorld(t)
		require.NoError(t, w.HandlePublish("#", func(*PublishEvent) error { return Refuse(packet.QuotaExceeded, "too much") }))
		p := w.connect(packet.V50, "c", uintProp(packet.RequestProblemInformation, wants))
		p.send(pub("t", "", 1, 1))
		ack := expect[*packet.Puback](p)
		assert.Equal(t, packet.QuotaExceeded, ack.ReasonCode)
		assert.Equal(t, wants == 1, ack.Properties.Has(packet.ReasonString))
	}
	proves(t, "MQTT-3.1.2-29")
}

func TestConnectDeadline(t *testing.T) {
	w := newWorld(t)
	p := w.dial(packet.V50)
	p.raw([]byte{0x10, 100, 0}) // dribbling does not help
	ok := w.connect(packet.V50, "ok")
	w.advance(9 * time.Second)
	assert.False(t, p.tr.closed)
	p.raw([]byte{4})
	w.advance(2 * time.Second)
	assert.True(t, p.tr.closed)
	assert.False(t, ok.tr.closed)
	p.none()
	assert.Error(t, p.c.Feed([]byte{'M'}))
	p.lose()
}

func TestConnectTooLarge(t *testing.T) {
	w := newWorld(t)
	p := w.dial(packet.V50)
	p.raw([]byte{0x10, 0xFF, 0xFF, 0x7F})
	assert.Equal(t, packet.PacketTooLarge, CloseCode(p.err))
}

func TestKeepAlive(t *testing.T) { // MQTT-3.1.2-22, trap 13
	w := newWorld(t)
	watch := w.connect(packet.V50, "watch")
	watch.subscribe(0, "will")
	off := w.connect(packet.V50, "off", keepAlive(0))
	new5 := w.connect(packet.V50, "5", keepAlive(10), withWill("will", 0, false, nil))
	old := w.connect(packet.V311, "4", keepAlive(10))
	w.advance(14 * time.Second)
	new5.send(&packet.Pingreq{})
	expect[*packet.Pingresp](new5) // MQTT-3.12.4-1
	assert.False(t, old.tr.closed)
	w.advance(2 * time.Second)
	old.closes(packet.KeepAliveTimeout)
	assert.False(t, new5.tr.closed)
	w.advance(12 * time.Second)
	assert.False(t, new5.tr.closed)
	w.advance(2 * time.Second)
	new5.closes(packet.KeepAliveTimeout)
	assert.Equal(t, []string{"will"}, payloads(watch.take()))
	w.advance(100 * time.Hour)
	assert.False(t, off.tr.closed)
	assert.False(t, watch.tr.closed)
	proves(t, "MQTT-3.1.2-22", "MQTT-3.12.4-1", "MQTT-3.1.2-24 of 3.1.1", "MQTT-3.12.4-1 of 3.1.1")
}

func TestServerKeepAlive(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxKeepAlive = 20 })
	for _, asked := range []uint16{0, 21, 65_535} {
		_, ack := w.tryConnect(packet.V50, "c", keepAlive(asked))
		n, ok := ack.Properties.Uint(packet.ServerKeepAlive)
		assert.True(t, ok)
		assert.EqualValues(t, 20, n)
	}
	p := w.connect(packet.V50, "c", keepAlive(100))
	w.advance(31 * time.Second)
	p.closes(packet.KeepAliveTimeout)
	old := w.connect(packet.V311, "d", keepAlive(100)) // cannot be told
	w.advance(140 * time.Second)
	assert.False(t, old.tr.closed)
}

func TestShutdown(t *testing.T) {
	w := newWorld(t)
	p5, p4, stranger := w.connect(packet.V50, "5"), w.connect(packet.V311, "4"), w.dial(packet.V50)
	done := make(chan error)
	go func() { done <- w.Shutdown(t.Context()) }()
	require.Eventually(t, func() bool { return w.closing.Load() }, 10*time.Second, time.Millisecond)
	for _, p := range []*peer{p5, p4, stranger} {
		require.Eventually(t, func() bool {
			p.tr.mu.Lock()
			defer p.tr.mu.Unlock()
			return p.tr.closed
		}, 10*time.Second, time.Millisecond)
	}
	late, ack := w.tryConnect(packet.V50, "late")
	assert.Equal(t, packet.ServerUnavailable, ack.ReasonCode)
	p5.closes(packet.ServerShuttingDown)
	p4.closes(packet.ServerShuttingDown)
	stranger.none()
	stranger.lose()
	late.lose()
	assert.NoError(t, <-done)
	assert.NoError(t, w.Shutdown(t.Context()))
	assert.Zero(t, w.Stats().Connections)
	proves(t, "MQTT-3.14.2-2")
}

func TestDisconnectByProgram(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "c")
	assert.False(t, w.Disconnect("other", packet.AdministrativeAction))
	assert.True(t, w.Disconnect("c", packet.AdministrativeAction))
	p.closes(packet.AdministrativeAction)
	assert.False(t, w.Disconnect("c", packet.AdministrativeAction))
}

func TestAnyChunking(t *testing.T) { // trap 1
	stream := (&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50)
	stream = (&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", QoS: 2}}}).AppendTo(stream, packet.V50)
	stream = pub("t", strings.Repeat("x", 300), 2, 1).AppendTo(stream, packet.V50)
	stream = (&packet.Pubrel{PacketID: 1}).AppendTo(stream, packet.V50)
	stream = (&packet.Pingreq{}).AppendTo(stream, packet.V50)
	for _, size := range []int{1, 2, 3, 7, 100, 128, 1000} {
		w := newWorld(t)
		p := w.dial(packet.V50)
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			p.raw(rest[:n])
			rest = rest[n:]
		}
		require.NoError(t, p.err)
		var types []packet.Type
		for _, q := range p.take() {
			types = append(types, q.Type())
		}
		assert.Equal(t, []packet.Type{packet.CONNACK, packet.SUBACK, packet.PUBREC, packet.PUBCOMP, packet.PINGRESP, packet.PUBLISH}, types)
	}
	proves(t, "MQTT-3.1.4-5", "MQTT-3.2.0-1", "MQTT-3.2.0-2")
}

func TestConfigValidate(t *testing.T) {
	assert.NoError(t, (&Config{}).Validate())
	err := (&Config{MaxClients: -1, MaxInflight: 70_000, MaxClientIDLength: 3}).Validate()
	require.Error(t, err)
	for _, field := range []string{"MaxClients", "MaxInflight", "MaxClientIDLength"} {
		assert.ErrorContains(t, err, field)
	}
}

// Transport.Info is called once, also when the log needs it again.
func TestTransportInfoCalledOnce(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "c")
	p.raw([]byte{0xFF})
	assert.Error(t, p.err)
	assert.Equal(t, 1, p.tr.infos)
	refused := w.dial(packet.V50)
	refused.send(&packet.Connect{ClientID: strings.Repeat("x", 2000), CleanStart: true})
	assert.Error(t, refused.err)
	assert.Equal(t, 1, refused.tr.infos)
	malformed := w.dial(packet.V50)
	malformed.raw([]byte{0xFF})
	assert.Equal(t, 1, malformed.tr.infos)
}
