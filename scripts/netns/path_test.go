package netns

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// loss drops percent of the datagrams in both directions.
func (n *network) loss(percent int) {
	n.forward(fmt.Sprintf("meta l4proto udp numgen random mod 100 < %d", percent), "drop")
}

func TestTransferLoss(t *testing.T) {
	n := newNetwork(t)
	n.loss(5)
	f := n.startFlow(serverIP)
	f.send(1000)
	f.complete()
	assert.Greater(t, n.counted(n.router, "path"), 20, "datagrams that were lost")
}

// The first datagrams of each direction are lost: the first packets of a handshake
// come again by themselves.
func TestHandshakeLoss(t *testing.T) {
	n := newNetwork(t)
	n.forward("udp dport "+quicPort+" numgen inc mod 1000000 < 1", "drop")
	n.forward("udp sport "+quicPort+" numgen inc mod 1000000 < 2", "drop")
	f := n.startFlow(serverIP)
	f.send(10)
	f.complete()
	assert.Equal(t, 3, n.counted(n.router, "path"))
}

// The goodput of a slow link is used.
func TestRate(t *testing.T) {
	n := newNetwork(t)
	f := n.startFlow(serverIP)
	n.rate("8mbit")
	const tries = 3 // a machine that others load may be slower than the link
	took := time.Hour
	for i := 0; i < tries && took > 5*time.Second; i++ {
		began := time.Now()
		f.send(2000) // 2 MB, two seconds of the link in each direction
		f.arrived(f.sent)
		took = time.Since(began)
		t.Logf("2 MB in %v", took)
		assert.Greater(t, took, 1800*time.Millisecond, "the limit is real")
	}
	f.complete()
	assert.Less(t, took, 5*time.Second)
}

func TestIPv6(t *testing.T) {
	n := newNetwork(t)
	n.watch("ip6 saddr fd77:1::2 udp dport " + quicPort)
	n.loss(2)
	f := n.startFlow("[" + serverIP6 + "]")
	f.send(300)
	f.complete()
	assert.Greater(t, n.counted(n.server, "watch"), 300)
}

// The kernel hands ECN marks over in both directions of the sockets: if they were
// not reported, the sender would stop to mark its packets as capable after some ten
// (RFC 9000 section 13.4.2).
func TestECN(t *testing.T) {
	n := newNetwork(t)
	n.forward("ip ecn ect0 numgen random mod 100 < 5", "ip ecn set ce")
	n.watch("ip ecn { ect0, ce }")
	f := n.startFlow(serverIP)
	f.send(1000)
	f.complete()
	assert.Positive(t, n.counted(n.router, "path"), "datagrams that were marked")
	assert.Greater(t, n.counted(n.server, "watch"), 500)
}

// underWay starts a flow that is in the middle when it returns.
func (n *network) underWay() *flow {
	n.t.Helper()
	n.rate("8mbit")
	f := n.startFlow(serverIP)
	f.send(1500)
	f.arrived(300)
	return f
}

// goOn publishes more on the changed path.
func (f *flow) goOn() {
	f.t.Helper()
	f.send(300)
	f.complete()
}

// The path is dead for two seconds.
func TestBlackhole(t *testing.T) {
	n := newNetwork(t)
	f := n.underWay()
	n.forward("meta l4proto udp", "drop")
	time.Sleep(2 * time.Second) // what is tested is this time
	lost := n.counted(n.router, "path")
	n.forwardAll()
	f.goOn()
	assert.Positive(t, lost)
}

// The NAT gives both connections other ports, as it does when it has forgotten
// them.
func TestRebindPort(t *testing.T) {
	n := newNetwork(t)
	n.nat(routerIP + ":20000-20999")
	n.watch("udp sport 30000-30999")
	f := n.underWay()
	assert.Zero(t, n.counted(n.server, "watch"))
	n.nat(routerIP + ":30000-30999")
	n.forgetNAT()
	f.goOn()
	assert.Positive(t, n.counted(n.server, "watch"), "from the new ports")
}

func TestRebindAddr(t *testing.T) {
	n := newNetwork(t)
	n.nat(routerIP)
	n.watch("ip saddr " + secondIP)
	f := n.underWay()
	assert.Zero(t, n.counted(n.server, "watch"))
	n.nat(secondIP)
	n.forgetNAT()
	f.goOn()
	assert.Positive(t, n.counted(n.server, "watch"), "from the new address")
}

// The client's uplink fails and another one takes over, behind the address
// translation of the client's own system.
func TestUplinkChange(t *testing.T) {
	n := newNetwork(t)
	n.nft(n.client, `add table inet nat
add chain inet nat post { type nat hook postrouting priority srcnat; }
add rule inet nat post oifname { "up0", "up1" } masquerade`)
	n.watch("ip saddr 10.77.2.2")
	f := n.underWay()
	assert.Zero(t, n.counted(n.server, "watch"))
	n.ip(n.router, "link set up0-r down")
	n.ip(n.client, "route replace default via 10.77.2.1")
	n.run(n.client, "conntrack", "-F")
	f.goOn()
	assert.Positive(t, n.counted(n.server, "watch"), "over the second uplink")
}

// The path becomes narrower in the middle, and the router says so or not.
func TestMTUDrop(t *testing.T) {
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprintf("silent=%v", silent), func(t *testing.T) {
			n := newNetwork(t)
			if silent {
				n.nft(n.router, "add chain inet path out { type filter hook output priority 0; }\n"+
					"add rule inet path out icmp type destination-unreachable drop")
			}
			n.watch("ip length > 1300")
			f := n.underWay()
			assert.Positive(t, n.counted(n.server, "watch"), "full packets before")
			n.mtu(1300)
			f.goOn()
		})
	}
}
