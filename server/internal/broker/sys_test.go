package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func sysWorld(t *testing.T) *world {
	return newWorld(t, func(c *Config) { c.SysInterval, c.Version = 10*time.Second, "ngmq 1" })
}

// sysValues are the messages of the tree in got, by topic.
func sysValues(t *testing.T, got []packet.Packet) map[string]string {
	values := map[string]string{}
	for _, q := range got {
		q := q.(*packet.Publish)
		name, ok := strings.CutPrefix(string(q.Topic), "$SYS/broker/")
		require.True(t, ok)
		values[name] = string(q.Payload)
	}
	return values
}

func TestSysTree(t *testing.T) {
	w := sysWorld(t)
	w.tick()
	s := w.connect(packet.V50, "s")
	all := w.connect(packet.V50, "all")
	all.subscribe(0, "#")
	v := sysValues(t, s.subscribe(0, "$SYS/#"))
	assert.Len(t, v, 18+8*3)
	assert.Equal(t, "ngmq 1", v["version"])
	assert.Equal(t, "0 seconds", v["uptime"])
	assert.Equal(t, "0", v["clients/connected"])

	away := w.connect(packet.V50, "away", expiry(100))
	away.subscribe(0, "$share/g/x")
	away.lose()
	w.connect(packet.V311, "p").send(pub("a", "x", 1, 1))
	all.take()
	w.advance(10 * time.Second)
	v = sysValues(t, s.take())
	for name, want := range map[string]string{
		"uptime": "10 seconds", "clients/connected": "3", "clients/disconnected": "1", "clients/total": "4", "clients/maximum": "3",
		"subscriptions/count": "3", "shared_subscriptions/count": "1", "publish/messages/received": "1",
		"messages/received": "8", "load/publish/received/1min": "0.92", "load/publish/received/15min": "0.07",
	} {
		assert.Equal(t, want, v[name], name)
	}
	assert.NotContains(t, v, "version", "it has not changed")
	all.none() // MQTT-4.7.2-1

	w.advance(10 * time.Second)
	v = sysValues(t, s.take())
	assert.Equal(t, "0.78", v["load/publish/received/1min"])
	assert.NotContains(t, v, "clients/connected")
}

// Every packet in either direction is counted, whatever the way that it takes.
func TestPacketsAreCounted(t *testing.T) {
	w := newWorld(t)
	p := w.connect(packet.V50, "p", resume, expiry(60))
	p.subscribe(2, "t")
	p.send(pub("t", "x", 2, 1))
	got := p.take() // PUBREC, PUBLISH
	require.Len(t, got, 2)
	p.send(&packet.Pubrel{PacketID: 1}, &packet.Pubrec{PacketID: got[1].(*packet.Publish).PacketID}, &packet.Pingreq{})
	p.take() // PUBCOMP, PUBREL, PINGRESP
	p.lose()
	p = w.connect(packet.V50, "p", resume, expiry(60))
	p.take() // CONNACK, PUBREL
	p.send(&packet.Pingresp{})
	p.closes(packet.ProtocolError)
	n := w.Stats()
	assert.EqualValues(t, 8, n.PacketsReceived)
	assert.EqualValues(t, 10, n.PacketsSent)
}

func TestSysTopicsAreReserved(t *testing.T) {
	w := sysWorld(t)
	s, p := w.connect(packet.V50, "s"), w.connect(packet.V50, "p")
	s.subscribe(0, "$SYS/x", "$SYS", "$SYSTEM/x")
	p.send(pub("$SYS/x", "1", 0, 0), pub("$SYS/x", "2", 1, 1), pub("$SYSTEM/x", "3", 1, 2), pub("$SYS", "4", 0, 0))
	assert.Equal(t, packet.NotAuthorized, p.take()[0].(*packet.Puback).ReasonCode)
	assert.Equal(t, []string{"3", "4"}, payloads(s.take()))
	_, ack := w.tryConnect(packet.V50, "will", withWill("$SYS/x", 0, false, nil))
	assert.Equal(t, packet.NotAuthorized, ack.ReasonCode)
}
