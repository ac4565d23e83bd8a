package broker

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/mqtt/packet"
)

func TestBucket(t *testing.T) {
	var k bucket
	now := int64(time.Hour)
	for range 4 {
		assert.True(t, k.allow(now, 4))
	}
	assert.False(t, k.allow(now, 4))
	assert.False(t, k.allow(now+int64(time.Second)/4-1, 4))
	assert.True(t, k.allow(now+int64(time.Second)/4, 4))
	assert.False(t, k.allow(now+int64(time.Second)/4, 4))

	k = bucket{}
	assert.Zero(t, k.charge(now, 100, 100))
	assert.Equal(t, int64(3*time.Second), k.charge(now, 300, 100))
	assert.Equal(t, int64(time.Second), k.charge(now+int64(2*time.Second), 0, 100))
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::1": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		assert.Equal(t, want, network(netip.MustParseAddr(addr)).String())
	}
}

// Addresses of one IPv6 network of /64 are one; what is idle is forgotten.
func TestAddressesAreForgotten(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxConnectionsPerIP, c.MaxConnectRatePerIP = 2, 5 })
	var open []*peer
	for _, from := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"} {
		p := w.dial(packet.V50)
		assert.True(t, p.c.From(netip.MustParseAddr(from)))
		p.send(&packet.Connect{ClientID: from, CleanStart: true})
		open = append(open, p)
	}
	assert.Equal(t, packet.QuotaExceeded, expect[*packet.Connack](open[2]).ReasonCode)
	assert.Equal(t, packet.Success, expect[*packet.Connack](open[3]).ReasonCode)
	for range refusalSlots - 1 {
		p := w.dial(packet.V50)
		assert.True(t, p.c.From(netip.MustParseAddr("2001:db8::4")))
		open = append(open, p)
	}
	p := w.dial(packet.V50)
	assert.False(t, p.c.From(netip.MustParseAddr("2001:db8::5")))
	for _, p := range append(open, p) {
		p.lose()
	}
	assert.Len(t, w.addresses.sources, 2, "the rates are remembered")
	w.advance(time.Second)
	other := w.dial(packet.V50)
	other.c.From(netip.MustParseAddr("192.0.2.2"))
	assert.Len(t, w.addresses.sources, 1)
	other.lose()
	assert.Empty(t, w.addresses.sources)
}

// A CONNECT that is refused does not count: the next second has room again.
func TestConnectRate(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxConnectRate = 2 })
	for range 3 {
		w.connect(packet.V50, "a").bye()
		w.connect(packet.V50, "a").bye()
		for range 20 {
			p, ack := w.tryConnect(packet.V50, "a")
			assert.Equal(t, packet.ConnectionRateExceeded, ack.ReasonCode)
			p.lose()
		}
		w.advance(time.Second)
	}
}

// While the broker does not read from a client, it is not silent.
func TestWaitingClientIsNotSilent(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxMessageRate = 1 })
	p := w.connect(packet.V50, "p", keepAlive(2))
	assert.Zero(t, p.c.Pause())
	burst := pub("t", "", 0, 0).AppendTo(nil, packet.V50)
	p.raw([]byte(strings.Repeat(string(burst), 11)))
	assert.Equal(t, 10*time.Second, p.c.Pause())
	wakes := p.tr.wakes
	w.advance(9 * time.Second)
	assert.Equal(t, time.Second, p.c.Pause())
	assert.False(t, p.tr.closed)
	assert.Equal(t, wakes, p.tr.wakes)
	w.advance(time.Second)
	assert.Zero(t, p.c.Pause())
	assert.Equal(t, wakes+1, p.tr.wakes)
	w.advance(2900 * time.Millisecond)
	assert.False(t, p.tr.closed)
	w.advance(200 * time.Millisecond)
	p.closes(packet.KeepAliveTimeout)
}

func TestRateLimitsAllocateNothing(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxMessageRate, c.MaxByteRate = 1<<29, 1<<39 })
	p := w.connect(packet.V50, "p")
	message := pub("t", "x", 0, 0).AppendTo(nil, packet.V50)
	allocs := testing.AllocsPerRun(1000, func() { _ = p.c.Feed(message) })
	assert.True(t, raceEnabled || allocs == 0, "%v allocations", allocs)
}

func TestValidateRates(t *testing.T) {
	c := Config{
		MaxConnectionsPerIP: -1, MaxConnectRate: -1, MaxConnectRatePerIP: -1, MaxSubscribeRate: -1, MaxMessageRate: -1,
		MaxByteRate: -1, MaxWillDelay: time.Millisecond, RatePolicy: 9,
	}
	err := c.Validate()
	for _, field := range []string{
		"MaxConnectionsPerIP", "MaxConnectRate", "MaxConnectRatePerIP", "MaxSubscribeRate", "MaxMessageRate", "MaxByteRate", "MaxWillDelay", "RatePolicy",
	} {
		assert.ErrorContains(t, err, "broker: "+field+" is")
	}
}
