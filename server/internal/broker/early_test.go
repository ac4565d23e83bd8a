package broker

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// early feeds p to an Early, byte by byte, and gives the CONNACK that it foretells.
func (w *world) early(p *packet.Connect) (*Early, *packet.Connack) {
	e := w.NewEarly(&transport{info: ConnInfo{Transport: "test", TLS: &TLSInfo{EarlyData: true}}})
	var told []byte
	for _, b := range append(p.AppendTo(nil, p.Version), 0xC0, 0) { // and a PINGREQ
		if connack := e.Feed([]byte{b}); connack != nil {
			require.Nil(w.t, told)
			told = connack
		}
	}
	if told == nil {
		return e, nil
	}
	d := packet.NewDecoder(0)
	d.SetVersion(p.Version)
	d.Feed(told)
	ack, err := d.Next()
	require.NoError(w.t, err)
	return e, ack.(*packet.Connack)
}

// confirmed is the client of e after its handshake, which sends the same again.
func (w *world) confirmed(e *Early, p *packet.Connect) *peer {
	c := w.dial(p.Version)
	c.c.Answered(e)
	c.send(p)
	return c
}

func earlyConnect(v packet.Version, clean bool) *packet.Connect {
	return &packet.Connect{Version: v, ClientID: "c", CleanStart: clean, KeepAlive: 60,
		Properties: expiring(v), Will: &packet.Will{Topic: "will", Payload: []byte("gone")}}
}

func expiring(v packet.Version) packet.Properties {
	if v != packet.V50 {
		return nil
	}
	return packet.AppendUint32(nil, packet.SessionExpiryInterval, 100)
}

// A copy of an early CONNECT changes nothing, whatever it asks for: the client that it was
// taken from goes on undisturbed, with its session, its messages and its will.
func TestEarlyConnectChangesNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		connects := 0
		w := newWorld(t, func(c *Config) {
			c.MaxConnectRate, c.MaxSessions = 3, 2
			c.Handlers.Connect = func(e *ConnectEvent) error {
				connects++
				return nil
			}
		})
		watch := w.connect(packet.V50, "watch")
		watch.subscribe(0, "will")
		p := earlyConnect(v, false)
		c := w.dial(v)
		c.send(p)
		c.take()
		c.subscribe(1, "t")
		before, asked := w.Stats(), connects
		for _, clean := range []bool{true, false} {
			for range 5 {
				_, ack := w.early(earlyConnect(v, clean))
				require.NotNil(t, ack)
				assert.Equal(t, packet.Success, ack.ReasonCode)
				assert.Equal(t, !clean && v != packet.V31, ack.SessionPresent)
			}
		}
		assert.Equal(t, before, w.Stats())
		assert.Equal(t, asked+10, connects)
		watch.none()
		c.none()
		watch.send(pub("t", "still here", 0, 0))
		assert.Equal(t, "still here", string(expect[*packet.Publish](c).Payload))
	})
}

// The answer that was given early is the one that counts: the client gets no second CONNACK,
// and its handler is asked once.
func TestEarlyConnectIsConfirmed(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		var asked, told []*ClientInfo
		w := newWorld(t, func(c *Config) {
			c.Handlers.Connect = func(e *ConnectEvent) error {
				asked = append(asked, e.Client)
				e.Answer = packet.AppendUserProperty(nil, "asked", time.Now().String())
				return nil
			}
			c.Handlers.Connected = func(e *ConnectedEvent) { told = append(told, e.Client) }
		})
		p := earlyConnect(v, true)
		e, ack := w.early(p)
		require.NotNil(t, ack)
		assert.Empty(t, told)
		c := w.confirmed(e, p)
		require.Len(t, asked, 1)
		require.Equal(t, asked, told)
		assert.True(t, asked[0].Conn.TLS.EarlyData)
		c.none()
		c.send(&packet.Pingreq{})
		expect[*packet.Pingresp](c)

		watch := w.connect(packet.V50, "watch")
		watch.subscribe(0, "will")
		c.lose()
		expect[*packet.Publish](watch)
		assert.EqualValues(t, 1, w.Stats().Clients)
	})
}

// An answer that is no longer right ends the connection: the client must not go on with a
// session that it believes to have, or not to have.
func TestEarlyAnswerThatIsWrongByNow(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"session has come": func(w *world) { w.connect(packet.V50, "c", expiry(100)) },
		"too many sessions": func(w *world) {
			w.connect(packet.V50, "x")
			w.connect(packet.V50, "y")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.MaxSessions = 2 })
			p := earlyConnect(packet.V50, false)
			e, ack := w.early(p)
			require.NotNil(t, ack)
			require.False(t, ack.SessionPresent)
			change(w)
			c := w.confirmed(e, p)
			require.Error(t, c.err)
			assert.True(t, expect[*packet.Disconnect](c).ReasonCode.IsError())
			c.lose()
		})
	}
}

// What is not certain to be a good answer waits for the handshake.
func TestEarlyConnectWithoutAnswer(t *testing.T) {
	good := earlyConnect(packet.V50, true)
	for name, c := range map[string]struct {
		config func(*Config)
		packet func(*packet.Connect)
	}{
		"refused": {config: func(c *Config) {
			c.Handlers.Connect = func(*ConnectEvent) error { return Refuse(packet.BadUserNameOrPassword, "") }
		}},
		"will refused":    {config: func(c *Config) { c.Handlers.Authorize = func(*ClientInfo, Action, string) error { return ErrDrop } }},
		"panic":           {config: func(c *Config) { c.Handlers.Connect = func(*ConnectEvent) error { panic("bug") } }},
		"anonymous":       {config: func(c *Config) { c.AllowAnonymous = false }},
		"misbehaving":     {config: func(c *Config) { c.Faults = []Fault{{Kind: FaultWrongPacket}} }},
		"id by server":    {packet: func(p *packet.Connect) { p.ClientID = "" }},
		"authentication":  {packet: func(p *packet.Connect) { p.Properties = packet.AppendString(nil, packet.AuthenticationMethod, "X") }},
		"CONNACK too big": {packet: func(p *packet.Connect) { p.Properties = packet.AppendUint32(nil, packet.MaximumPacketSize, 4) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *Config) {
				if c.config != nil {
					c.config(cfg)
				}
			})
			p := *good
			if c.packet != nil {
				c.packet(&p)
			}
			e, ack := w.early(&p)
			assert.Nil(t, ack)
			client := w.confirmed(e, &p)
			client.pump()
			assert.NotEmpty(t, append(client.got, nil), "answered now, or closed")
			client.lose()
		})
	}
	w := newWorld(t)
	for _, garbage := range [][]byte{{0}, {0x20, 2, 0, 0}, {0x10, 1, 0}, {0xC0, 0}, {0x10, 0xFF, 0xFF, 0xFF, 0x7F}} {
		e := w.NewEarly(&transport{})
		assert.Nil(t, e.Feed(garbage))
		assert.Nil(t, e.Feed(good.AppendTo(nil, packet.V50)))
	}
}

// A client that got its CONNACK early, and has gone to another connection before the handshake
// was complete, is there: the early connection does not take the session back, nor does
// anything count that was sent on it.
func TestEarlyConnectThatIsOvertaken(t *testing.T) {
	eachVersion(t, func(t *testing.T, v packet.Version) {
		for _, clean := range []bool{false, true} {
			w := newWorld(t)
			watch := w.connect(packet.V50, "watch")
			watch.subscribe(2, "t", "will")
			first := earlyConnect(v, false)
			old := w.dial(v)
			old.send(first)
			old.take()
			old.lose()
			expect[*packet.Publish](watch) // the will of old
			p := earlyConnect(v, clean)
			e, ack := w.early(p)
			require.NotNil(t, ack)
			next := w.dial(v)
			next.send(first)
			next.take()
			next.subscribe(0, "for c")
			before := w.Stats()

			c := w.confirmed(e, p)
			require.EqualError(t, c.err, errTakenOver.Error())
			if v == packet.V50 {
				assert.Equal(t, packet.SessionTakenOver, expect[*packet.Disconnect](c).ReasonCode)
			}
			c.none()
			c.lose()
			after := w.Stats()
			assert.Equal(t, before.Takeovers, after.Takeovers)
			assert.Equal(t, before.Sessions, after.Sessions)
			watch.none()
			watch.send(pub("for c", "still here", 0, 0))
			assert.Equal(t, "still here", string(expect[*packet.Publish](next).Payload))
		}
	})
}

// Of two early connections the one with the later CONNECT counts, whichever handshake is
// complete first.
func TestEarlyConnectsInOrder(t *testing.T) {
	for _, later := range []bool{false, true} {
		w := newWorld(t)
		w.connect(packet.V50, "c", expiry(100)).lose()
		p := earlyConnect(packet.V50, false)
		a, _ := w.early(p)
		b, _ := w.early(p)
		var first, second *peer
		if later {
			second, first = w.confirmed(b, p), w.confirmed(a, p)
		} else {
			first, second = w.confirmed(a, p), w.confirmed(b, p)
		}
		assert.Equal(t, packet.SessionTakenOver, expect[*packet.Disconnect](first).ReasonCode)
		second.send(&packet.Pingreq{})
		expect[*packet.Pingresp](second)
		first.lose()
		second.lose()
	}
}

// The session may end while the handshake goes on, when it was not to be kept.
func TestEarlyConnectAfterTheOneBefore(t *testing.T) {
	w := newWorld(t)
	before := w.connect(packet.V50, "c")
	p := earlyConnect(packet.V50, false)
	e, ack := w.early(p)
	require.NotNil(t, ack)
	require.False(t, ack.SessionPresent)
	before.lose()
	c := w.confirmed(e, p)
	c.send(&packet.Pingreq{})
	expect[*packet.Pingresp](c)
}

// The server may shut down while the client that has got its CONNACK early is made.
func TestShutdownDuringEarlyConnect(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		e, ack := w.early(earlyConnect(packet.V50, true))
		require.NotNil(t, ack)
		c := w.dial(packet.V50)
		var end sync.WaitGroup
		end.Go(func() { c.c.kick(packet.ServerShuttingDown, "bye") })
		c.c.Answered(e)
		c.send(earlyConnect(packet.V50, true))
		end.Wait()
		for _, p := range c.take() { // there is none when the end came first
			d, ok := p.(*packet.Disconnect)
			require.True(t, ok, "a second CONNACK")
			assert.Equal(t, packet.ServerShuttingDown, d.ReasonCode)
		}
		c.lose()
	}
}
