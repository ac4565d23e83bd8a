package server_test

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// exchange sends packets and gives as many bytes as want has, then looks whether the
// connection ends.
func exchange(t *testing.T, c *mqtttest.Client, want []byte, packets ...packet.Packet) {
	t.Helper()
	for _, p := range packets {
		c.Send(p)
	}
	got := make([]byte, len(want))
	c.Conn().SetReadDeadline(time.Now().Add(mqtttest.Patience))
	_, err := io.ReadFull(c.Conn(), got)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

var faultsOfConnack = []struct {
	fault  string
	v3, v5 []byte // answer to the CONNECT
	ends   bool
	tail   []byte // behind a CONNACK that is right in 5.0
}{
	{fault: "connack=0x87", v3: []byte{0x20, 2, 0, 0x87}, v5: []byte{0x20, 3, 0, 0x87, 0}, ends: true},
	{fault: "connack=255", v3: []byte{0x20, 2, 0, 0xFF}, v5: []byte{0x20, 3, 0, 0xFF, 0}, ends: true},
	{fault: "wrong-packet", v3: []byte{0xD0, 0}, v5: []byte{0xD0, 0}, ends: true},
	{fault: "wrong-version", v3: []byte{0x20, 3, 0, 0, 0}, v5: []byte{0x20, 2, 0, 0}},
	{fault: "remaining-length", v3: []byte{0x20, 2, 0, 0, 0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, 'a'}, tail: []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, 'a'}},
	{fault: "malformed-length", v3: []byte{0x20, 2, 0, 0, 0x30, 0x80, 0x80, 0x80, 0x80, 1}, tail: []byte{0x30, 0x80, 0x80, 0x80, 0x80, 1}},
}

// connackOf is the CONNACK of a 5.0 client that is let in, as it should be.
func connackOf(t *testing.T, transport string) []byte {
	t.Helper()
	c := client(t, start(t, server.Config{}), transport, packet.V50)
	return c.Connect(&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50)
}

func faulty(t *testing.T, text string) *running {
	t.Helper()
	var f server.Fault
	require.NoError(t, f.UnmarshalText([]byte(text)))
	return start(t, server.Config{Faults: []server.Fault{f}})
}

func TestFaultsAfterConnect(t *testing.T) {
	t.Parallel()
	connect := &packet.Connect{ClientID: "c", CleanStart: true}
	for _, fault := range faultsOfConnack {
		t.Run(fault.fault, func(t *testing.T) {
			s := faulty(t, fault.fault)
			for _, transport := range transports {
				old := client(t, s, transport, packet.V311)
				exchange(t, old, fault.v3, connect)
				c := client(t, s, transport, packet.V50)
				if fault.tail != nil {
					exchange(t, c, append(connackOf(t, transport), fault.tail...), connect)
					continue
				}
				exchange(t, c, fault.v5, connect)
				if fault.ends {
					old.ExpectEnd()
					c.ExpectEnd()
				}
			}
		})
	}
}

func TestFaultsAfterSubscribe(t *testing.T) {
	t.Parallel()
	early, short := faulty(t, "publish-before-suback"), faulty(t, "short-publish")
	subscribe := &packet.Subscribe{PacketID: 7, Subscriptions: []packet.Subscription{{Filter: "a/+"}, {Filter: "$share/g/b"}}}
	for _, transport := range transports {
		for _, v := range []packet.Version{packet.V311, packet.V50} {
			want := (&packet.Publish{Topic: []byte("a/x"), Payload: []byte("before the SUBACK")}).AppendTo(nil, v)
			want = (&packet.Publish{Topic: []byte("b"), Payload: []byte("before the SUBACK")}).AppendTo(want, v)
			suback := (&packet.Suback{PacketID: 7, ReasonCodes: []packet.ReasonCode{0, 0}}).AppendTo(nil, v)
			exchange(t, connected(t, early, transport, v, "c"), append(want, suback...), subscribe)
			exchange(t, connected(t, short, transport, v, "c"), append(bytes.Clone(suback), 0x30, 3, 0, 5, 'a'), subscribe)
		}
	}
}

// Nothing is wrong by default; where others can reach the server it takes two fields;
// and it says what it does.
func TestFaultsAreNoAccident(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{})
	connected(t, s, favourite, packet.V50, "c").Subscribe("t", 0)
	faults := []server.Fault{{Kind: server.FaultShortPublish}}
	for _, field := range []server.Config{{TCP: []string{"0.0.0.0:0"}}, {TLS: []string{"[::]:0"}}, {QUIC: []string{":0"}}} {
		if len(field.QUIC) > 0 && favourite != "quic" {
			continue
		}
		field.AllowAnonymous, field.Faults = true, faults
		assert.ErrorContains(t, field.Validate(), "--inject-fault-in-public")
		field.FaultsInPublic = true
		assert.NoError(t, field.Validate())
	}
	for _, f := range []server.Fault{{}, {Kind: 99}, {Kind: server.FaultConnack}, {Kind: server.FaultShortPublish, Code: 1}} {
		assert.ErrorContains(t, server.Config{Faults: []server.Fault{f}}.Validate(), "Faults")
	}
	for _, text := range []string{"", "connack", "connack=0", "connack=256", "short-publish=1", "nonsense"} {
		assert.ErrorContains(t, new(server.Fault).UnmarshalText([]byte(text)), "is no fault")
	}
	var log bytes.Buffer
	loud := start(t, server.Config{Faults: faults, TCP: anyPort, QUIC: []string{server.Off}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	loud.stop()
	require.NoError(t, loud.wait(t))
	assert.Contains(t, log.String(), "misbehaves on purpose")
	assert.Contains(t, log.String(), "short-publish")
}
