package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	code "github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// Chapters 3.14 and 4.13 of MQTT 5.0: DISCONNECT, and how the server ends connections.

func init() {
	mqtt5(noDisconnectBeforeConnack, "MQTT-3.14.0-1")
	mqtt5(disconnectFlags, "MQTT-3.14.1-1")
	mqtt5(disconnectCodesOfClient, "MQTT-3.14.2-1")
	mqtt5(disconnectCodesOfServer, "MQTT-3.14.2-1", "MQTT-3.14.2-2")
	mqtt5(disconnectFits, "MQTT-3.14.2-3", "MQTT-3.14.2-4")
	mqtt5(nothingAfterDisconnect, "MQTT-3.14.4-1", "MQTT-3.14.4-2")
	mqtt5(disconnectTakesWillAway, "MQTT-3.14.4-3")
	mqtt5(errorsClose, "MQTT-4.13.1-1", "MQTT-4.13.2-1")
}

// noDisconnectBeforeConnack: a refused CONNECT, none, a late one, and a server that stops.
func noDisconnectBeforeConnack(t *T) {
	t.credentials(server.Config{})
	t.refusesConnect(t.connectPacket("a"), 0x86)
	t.credentials(server.Config{Timeouts: server.Timeouts{Connect: 300 * time.Millisecond}})
	c := t.dial()
	c.tryWrite(pkt(PINGREQ))
	c.end()
	c = t.dial()
	c.tryWrite(t.connectPacket("a", username("user"), password("secret"))[:20])
	c.end() // at the deadline
	c = t.dial()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, t.host.Shutdown(ctx))
	c.end()
}

func disconnectFlags(t *T) {
	for flags := byte(1); flags < 16; flags++ {
		t.refuses(raw(DISCONNECT|flags, 0), 0x81)
	}
	watch := t.watch()
	c := t.mortal("a")
	c.write(raw(DISCONNECT|1, 0))
	c.refused(0x81)
	watch.receive(t.topic("will"), "a") // it was no DISCONNECT
}

// disconnectReasons is table 3-10, Disconnect Reason Code values: of clients, of servers.
var (
	clientDisconnects = raw(0, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99)
	serverDisconnects = raw(0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
		0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2)
)

func disconnectCodesOfClient(t *T) {
	for n := range 256 {
		c := t.connect("a")
		c.write(pkt(DISCONNECT, raw(byte(n))))
		if slices.Contains(clientDisconnects, byte(n)) {
			c.end()
		} else {
			c.refused(0x81, 0x82)
		}
	}
	t.refuses(pkt(DISCONNECT, raw(0), props(prop(sessionExpiry, u32(1)))), 0x82) // it was 0
}

// disconnectCodesOfServer has the embedding program end connections with every code. 0x8C,
// after a failed re-authentication, stands in table 2-6 only.
func disconnectCodesOfServer(t *T) {
	for n := range 256 {
		c := t.connect("a", expiry(60))
		require.True(t, t.host.Disconnect(c.id, code.ReasonCode(n)))
		d := c.expect(DISCONNECT).disconnect(t)
		require.Contains(t, append(serverDisconnects, 0x8C), d.code, "for %02X", n)
		if slices.Contains(serverDisconnects, byte(n)) {
			require.EqualValues(t, n, d.code)
		}
		require.False(t, d.props.has(sessionExpiry))
		c.end()
	}
	for _, p := range [][]byte{raw(0xFF, 0), pkt(AUTH), t.connectPacket("a")} { // and its own ones
		c := t.connect("a", expiry(60))
		c.write(p)
		d := c.expect(DISCONNECT).disconnect(t)
		assert.Contains(t, serverDisconnects, d.code)
		assert.False(t, d.props.has(sessionExpiry))
	}
}

func disconnectFits(t *T) {
	whole := len(pkt(DISCONNECT, raw(0x98), props(prop(reasonString, str(longReason)), cat(longPairs...))))
	for size := 24; size < whole+3; size++ {
		c := t.connect(fmt.Sprint("c", size), with(prop(maximumPacketSize, u32(size))))
		require.True(t, t.host.DisconnectFor(c.id, &server.Error{
			Code: code.AdministrativeAction, Reason: longReason, Properties: cat(longPairs...),
		}))
		p := c.expect(DISCONNECT)
		require.LessOrEqual(t, len(pkt(p.first, p.body)), size)
		d := p.disconnect(t)
		require.EqualValues(t, 0x98, d.code)
		if size >= whole {
			require.Equal(t, longReason, d.props.text(reasonString))
			require.Len(t, d.props.pairs(), 2)
		}
		c.end()
	}
}

// nothingAfterDisconnect ends connections for which many messages wait.
func nothingAfterDisconnect(t *T) {
	publisher := t.connect("b")
	var burst []byte
	for range 500 {
		burst = append(burst, publishPacket(t.version, 0, 0, t.topic("x"), strings.Repeat("x", 500))...)
	}
	for _, p := range [][]byte{raw(0xFF, 0), t.connectPacket("a"), nil} {
		c := t.connect("a")
		c.subscribe(t.topic("x"), 1)
		publisher.write(burst)
		c.message()
		if p == nil {
			t.host.Disconnect(c.id, code.AdministrativeAction)
		} else {
			c.write(p, pkt(PINGREQ), subscribePacket(t.version, 1, nil, filter("a", 0)))
		}
		for {
			if p := c.next(); p.first != PUBLISH {
				require.EqualValues(t, DISCONNECT, p.first)
				break
			}
		}
		c.end()
		publisher.ping()
	}
}

func disconnectTakesWillAway(t *T) {
	watch := t.watch()
	for i, p := range [][]byte{raw(DISCONNECT, 0), raw(DISCONNECT, 1, 0), raw(DISCONNECT, 2, 0, 0)} {
		for _, o := range []option{expiry(0), expiry(60), willDelaySeconds(60)} {
			c := t.mortal(fmt.Sprint("a", i), o)
			c.write(p)
			c.end()
			t.connect(fmt.Sprint("a", i)).ping() // the session has ended now
		}
	}
	watch.nothing()
}

// errorsClose goes through the reason codes of malformed packets and protocol errors.
func errorsClose(t *T) {
	for want, list := range map[byte][][]byte{
		0x81: {raw(0xF1, 0), raw(0, 0), raw(PUBLISH, 0), pkt(PUBACK), pkt(PUBACK, raw(1)), pkt(PUBREL, raw(0)), pkt(SUBSCRIBE, u16(1)),
			pkt(DISCONNECT, raw(0, 9)), pkt(PUBCOMP, u16(1), raw(0), props(), raw(0))},
		0x82: {raw(PINGRESP, 0), pkt(CONNACK, raw(0, 0, 0)), pkt(SUBACK, u16(1), props(), raw(0)), pkt(UNSUBACK, u16(1), props(), raw(0)),
			subscribePacket(t.version, 1, nil), t.connectPacket("z"), pkt(AUTH)},
		0x94: {publishPacket(t.version, 0, 0, t.topic("x"), "", prop(topicAlias, u16(0)))},
	} {
		for _, p := range list {
			c := t.connect("a")
			c.write(p)
			c.refused(want)
			_, err := c.read()
			require.Error(t, err)
		}
	}
	t.refusesConnect(t.connectPacket("a", func(c *connect) { c.flags |= 1 }), 0x81)
}
