// Package sim runs endpoint.Cores under a virtual clock over links that delay,
// limit, lose, reorder, duplicate and corrupt datagrams. A test of minutes of
// network time takes milliseconds, and one seed gives one network.
//
//	n := sim.New(seed)
//	server := n.Add(core, address)      // any number of nodes
//	n.SetLink(client, server, sim.Link{Delay: 10 * time.Millisecond, Loss: 0.05})
//	err := n.Run(time.Minute, func() bool { return done })
//
// One turn: every node does what is due and gives its datagrams; the link of
// each pair of nodes says when they arrive; the clock jumps to the next arrival
// or deadline. Everything runs on the caller's goroutine.
package sim

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// ErrTimeout says that the condition did not come true in the given time.
var ErrTimeout = errors.New("sim: timeout")

// epoch is the clock's start: not 0, as on a real machine.
const epoch = ngtcp2.Timestamp(time.Hour)

// maxTurns bounds the turns in which the clock does not move: beyond it a node
// never rests.
const maxTurns = 100_000

// Net is a set of nodes and the links between them.
type Net struct {
	Seed uint64
	// Tap, when set, is called before a datagram leaves its node: it may change the
	// network, and false loses the datagram.
	Tap func(from *Node) bool

	now   ngtcp2.Timestamp
	rng   *rand.Rand
	nodes []*Node
	paths map[[2]*Node]*linkState
	queue deliveries
	batch endpoint.Batch
	order uint64
	dead  map[netip.AddrPort]bool
}

// Node is a Core with an address, or several (AddAddr).
type Node struct {
	Core *endpoint.Core
	Addr netip.AddrPort
	nat  netip.AddrPort // the address that others see, when it was rebound
	more []netip.AddrPort
}

// New makes an empty network whose chances follow seed.
func New(seed uint64) *Net {
	return &Net{Seed: seed, now: epoch, rng: rand.New(rand.NewPCG(seed, 0)), paths: make(map[[2]*Node]*linkState),
		dead: make(map[netip.AddrPort]bool)}
}

// Now is the virtual time.
func (n *Net) Now() ngtcp2.Timestamp { return n.now }

// Elapsed is the virtual time since New.
func (n *Net) Elapsed() time.Duration { return n.now.Sub(epoch) }

// Add puts core at addr into the network. The caller frees it.
func (n *Net) Add(core *endpoint.Core, addr string) *Node {
	a := netip.MustParseAddrPort(addr)
	node := &Node{Core: core, Addr: a, nat: a}
	n.nodes = append(n.nodes, node)
	return node
}

// AddAddr gives node another address: to migrate to, or to be preferred.
func (n *Net) AddAddr(node *Node, addr string) netip.AddrPort {
	a := netip.MustParseAddrPort(addr)
	node.more = append(node.more, a)
	return a
}

// Cut loses everything to and from addr from now on; Mend ends that.
func (n *Net) Cut(addr netip.AddrPort) { n.dead[addr] = true }

// Mend ends Cut.
func (n *Net) Mend(addr netip.AddrPort) { delete(n.dead, addr) }

// source is the address that others see of what node sends from local.
func (node *Node) source(local netip.AddrPort) netip.AddrPort {
	if slices.Contains(node.more, local) {
		return local
	}
	return node.nat
}

// local is the address of node that a datagram to addr reaches.
func (node *Node) local(addr netip.AddrPort) netip.AddrPort {
	if slices.Contains(node.more, addr) {
		return addr
	}
	return node.Addr
}

// Remove takes a node out, as a crash does: what is sent to it is lost.
func (n *Net) Remove(node *Node) {
	for i, other := range n.nodes {
		if other == node {
			n.nodes = append(n.nodes[:i], n.nodes[i+1:]...)
			return
		}
	}
}

// Rebind changes the address that others see of node, as a NAT does.
func (n *Net) Rebind(node *Node, addr string) { node.nat = netip.MustParseAddrPort(addr) }

// Dial starts a connection between two nodes.
func (n *Net) Dial(from, to *Node, cfg endpoint.DialConfig, ended func(error)) (*endpoint.Conn, error) {
	path := ngtcp2.Path{Local: from.Addr, Remote: to.nat}
	return from.Core.Connect(path, cfg, n.now, ended)
}

// Run lets time pass until done returns true, at most for limit.
func (n *Net) Run(limit time.Duration, done func() bool) error {
	end := n.now.Add(limit)
	for still := 0; ; still++ {
		for _, node := range n.nodes {
			n.turn(node)
		}
		if done() {
			return nil
		}
		if still > maxTurns {
			return fmt.Errorf("sim: seed %d: a node never rests at %v", n.Seed, n.Elapsed())
		}
		if next := n.next(); next > n.now {
			still = 0
			if next > end {
				n.now = end
				return fmt.Errorf("%w after %v, seed %d", ErrTimeout, limit, n.Seed)
			}
			n.now = next
		}
		n.deliver()
	}
}

// Pass lets d go by.
func (n *Net) Pass(d time.Duration) {
	_ = n.Run(d, func() bool { return false })
}

// turn lets a node do what is due and takes its datagrams.
func (n *Net) turn(node *Node) {
	node.Core.HandleInbox(n.now)
	if node.Core.Expiry() <= n.now {
		node.Core.HandleExpiry(n.now)
	}
	for node.Core.Busy() {
		buf, runs := node.Core.Poll(n.now)
		for i := range runs {
			n.sendRun(node, buf, &runs[i])
		}
		node.Core.Sent(nil)
	}
}

// sendRun cuts a run into datagrams.
func (n *Net) sendRun(from *Node, buf []byte, t *endpoint.Transmit) {
	for off := 0; off < t.Len; off += t.SegmentSize {
		size := min(t.SegmentSize, t.Len-off)
		if n.Tap == nil || n.Tap(from) {
			n.sendOne(from, t, buf[t.Off+off:t.Off+off+size])
		}
	}
}

// sendOne puts a datagram on its link.
func (n *Net) sendOne(from *Node, t *endpoint.Transmit, data []byte) {
	to, src := n.find(t.Remote), from.source(t.Local)
	if to == nil || n.dead[src] || n.dead[t.Remote] {
		return
	}
	n.put(n.link(from, to), delivery{from: src, to: to, at: to.local(t.Remote), ecn: t.ECN, data: data})
}

func (n *Net) find(addr netip.AddrPort) *Node {
	for _, node := range n.nodes {
		if node.nat == addr || slices.Contains(node.more, addr) {
			return node
		}
	}
	return nil
}

// Send puts one datagram on the link of two nodes, as if from had sent it.
func (n *Net) Send(from, to *Node, data []byte) {
	n.put(n.link(from, to), delivery{from: from.nat, to: to, at: to.Addr, data: data})
}

// next is the time of the next arrival or deadline.
func (n *Net) next() ngtcp2.Timestamp {
	at := ngtcp2.NoExpiry
	if len(n.queue) > 0 {
		at = n.queue[0].when
	}
	for _, node := range n.nodes {
		at = min(at, node.Core.Expiry())
	}
	return at
}

// deliver hands over everything that has arrived by now, a batch per node.
func (n *Net) deliver() {
	for len(n.queue) > 0 && n.queue[0].when <= n.now {
		to := n.queue[0].to
		b := &n.batch
		b.Buf, b.Msgs = b.Buf[:0], b.Msgs[:0]
		for len(n.queue) > 0 && n.queue[0].when <= n.now && n.queue[0].to == to {
			d := heap.Pop(&n.queue).(delivery)
			b.Msgs = append(b.Msgs, endpoint.Message{Local: d.at, Remote: d.from, ECN: d.ecn,
				Off: uint32(len(b.Buf)), Len: uint32(len(d.data)), Stride: uint32(len(d.data))})
			b.Buf = append(b.Buf, d.data...)
		}
		to.Core.Receive(b, n.now)
	}
}
