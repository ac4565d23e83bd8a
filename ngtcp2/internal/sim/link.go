package sim

import (
	"bytes"
	"container/heap"
	"net/netip"
	"time"

	"github.com/ngmq/ngmq/ngtcp2"
)

// Link describes one direction between two nodes. The zero Link is perfect.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // up to this more, at random; keeps the order unless Reorder strikes
	Rate   int           // bytes per second; 0 = unlimited
	Queue  int           // bytes that wait for the wire; 0 = unlimited. What does not fit is lost
	MTU    int           // longest datagram; 0 = any
	Bleach bool          // clears the ECN field, as some routers do
	// Probabilities from 0 to 1, for each datagram. Congested turns ECT into CE
	// (RFC 3168).
	Loss, Reorder, Duplicate, Corrupt, Congested float64
}

// reorderBy is how much later a reordered datagram arrives: some later ones
// overtake it.
const reorderBy = 5 * time.Millisecond

// LinkStats counts what a link did.
type LinkStats struct {
	Sent, Bytes, Lost, Overflowed, TooLong, Reordered, Duplicated, Corrupted int

	ECT, CE int // datagrams that came in as capable, and that were marked here
	Longest int // bytes of the longest datagram that went through
}

type linkState struct {
	Link
	stats LinkStats
	free  ngtcp2.Timestamp // when the wire has sent everything
	last  ngtcp2.Timestamp // latest arrival, for the order
}

// SetLink sets both directions between two nodes.
func (n *Net) SetLink(a, b *Node, l Link) {
	n.link(a, b).Link = l
	n.link(b, a).Link = l
}

// SetOneWay sets the direction from a to b.
func (n *Net) SetOneWay(a, b *Node, l Link) { n.link(a, b).Link = l }

// LinkStats is what the direction from a to b did.
func (n *Net) LinkStats(a, b *Node) LinkStats { return n.link(a, b).stats }

func (n *Net) link(a, b *Node) *linkState {
	key := [2]*Node{a, b}
	l := n.paths[key]
	if l == nil {
		l = &linkState{}
		n.paths[key] = l
	}
	return l
}

// put decides what becomes of a datagram.
func (n *Net) put(l *linkState, d delivery) {
	l.stats.Sent++
	l.stats.Bytes += len(d.data)
	switch {
	case l.MTU > 0 && len(d.data) > l.MTU:
		l.stats.TooLong++
		return
	case n.chance(l.Loss):
		l.stats.Lost++
		return
	case !l.transmit(n.now, len(d.data)):
		l.stats.Overflowed++
		return
	}
	d.data = bytes.Clone(d.data)
	l.stats.Longest = max(l.stats.Longest, len(d.data))
	n.markECN(l, &d)
	if len(d.data) > 0 && n.chance(l.Corrupt) {
		l.stats.Corrupted++
		d.data[n.rng.IntN(len(d.data))] ^= 1 << n.rng.IntN(8)
	}
	d.when = n.arrival(l)
	n.push(d)
	if n.chance(l.Duplicate) {
		l.stats.Duplicated++
		d.when = d.when.Add(l.Delay / 2)
		n.push(d)
	}
}

// markECN does what a router does with the ECN field.
func (n *Net) markECN(l *linkState, d *delivery) {
	capable := d.ecn == uint8(ngtcp2.ECT0) || d.ecn == uint8(ngtcp2.ECT1)
	switch {
	case !capable:
		return
	case l.Bleach:
		d.ecn = uint8(ngtcp2.NotECT)
	case n.chance(l.Congested):
		d.ecn = uint8(ngtcp2.CE)
		l.stats.CE++
	}
	l.stats.ECT++
}

// transmit queues size bytes for the wire; false = the queue is full.
func (l *linkState) transmit(now ngtcp2.Timestamp, size int) bool {
	if l.Rate == 0 {
		l.free = now
		return true
	}
	l.free = max(l.free, now)
	waiting := int(l.free.Sub(now).Seconds() * float64(l.Rate))
	if l.Queue > 0 && waiting+size > l.Queue {
		return false
	}
	l.free = l.free.Add(time.Duration(size) * time.Second / time.Duration(l.Rate))
	return true
}

// arrival is when a datagram that leaves the wire at l.free arrives.
func (n *Net) arrival(l *linkState) ngtcp2.Timestamp {
	at := l.free.Add(l.Delay)
	if l.Jitter > 0 {
		at = at.Add(time.Duration(n.rng.Int64N(int64(l.Jitter))))
	}
	if n.chance(l.Reorder) {
		l.stats.Reordered++
		return at.Add(reorderBy)
	}
	l.last = max(l.last, at)
	return l.last
}

func (n *Net) chance(p float64) bool { return p > 0 && n.rng.Float64() < p }

// delivery is a datagram under way.
type delivery struct {
	when  ngtcp2.Timestamp // of arrival
	order uint64
	from  netip.AddrPort
	to    *Node
	at    netip.AddrPort // the address of to that was sent to
	ecn   uint8
	data  []byte
}

func (n *Net) push(d delivery) {
	n.order++
	d.order = n.order
	heap.Push(&n.queue, d)
}

// deliveries is a heap by time, then by order of sending.
type deliveries []delivery

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (q deliveries) Len() int { return len(q) }

// Less orders by arrival.
func (q deliveries) Less(i, j int) bool {
	return q[i].when < q[j].when || q[i].when == q[j].when && q[i].order < q[j].order
}

// Swap swaps two.
func (q deliveries) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push appends one.
func (q *deliveries) Push(x any) { *q = append(*q, x.(delivery)) }

// Pop takes the last one.
func (q *deliveries) Pop() any {
	old := *q
	d := old[len(old)-1]
	*q = old[:len(old)-1]
	return d
}
