// Package udp is batched UDP for QUIC: recvmmsg and sendmmsg, GRO and GSO,
// ECN in and out, and the local address of every datagram, so that a wildcard
// socket answers from the address it was asked at.
//
// The package is split into pure functions (Coalesce, Split, Message.Segment,
// the control message codec) and one impure object, Socket.
//
//	receive: Socket.ReadBatch -> Batch{Buf, Msgs} -> Message.Segment(i)
//	send:    Coalesce([]Transmit, next) -> Socket.WriteBatch -> Split -> sendmmsg
//
// On Linux everything above is used and switched off at run time where the
// kernel refuses it; elsewhere the same API sends and receives one datagram
// per call.
//
// Ownership: one goroutine may call ReadBatch, PollBatch or WaitBatch and one other
// may call WriteBatch at the same time. Close may be called from any goroutine and
// unblocks ReadBatch and WaitBatch. A Batch belongs to whoever holds it.
package udp

import (
	"errors"
	"net/netip"
	"syscall"
)

const (
	// MaxSegments bounds the datagrams of one GSO run (the kernel's
	// UDP_MAX_SEGMENTS was 64 before Linux 6.9).
	MaxSegments = 64
	// MaxRunBytes bounds the bytes of one GSO run: the largest UDP payload
	// over IPv4 (65,535 - 20 - 8), which is smaller than over IPv6.
	MaxRunBytes = 65507
	// MaxDatagram is the size of a receive slot when the kernel does not
	// coalesce. Longer datagrams are dropped: no QUIC peer sends them unless a
	// path MTU probe went beyond Ethernet, and a lost probe is harmless.
	MaxDatagram = 2048
	// groSlot is the size of a receive slot when the kernel coalesces.
	groSlot = 64 << 10
	// batchGRO and batchPlain are the slots of one Batch, enough for one read to
	// empty a burst: 1 MiB with GRO, of which small datagrams touch a page per
	// slot; 128 KiB without.
	batchGRO, batchPlain = 16, 64
	// sendMessages is the number of messages of one sendmmsg call.
	sendMessages = 64
)

// DefaultBuffer is the socket buffer size asked for in each direction, in
// bytes. The kernel caps it (net.core.rmem_max) unless the process may force it.
const DefaultBuffer = 7 << 20

// ErrBlocked is returned by WriteBatch when the socket's send buffer is full.
var ErrBlocked = errors.New("udp: send buffer is full")

// Config describes one socket.
type Config struct {
	// Addr is the address to bind, "host:port". "[::]:port" and ":port" make a
	// dual stack socket where the system has IPv6.
	Addr string
	// ReusePort lets several sockets share Addr (SO_REUSEPORT).
	ReusePort bool
	// ReceiveBuffer and SendBuffer are socket buffer sizes in bytes;
	// 0 = DefaultBuffer.
	ReceiveBuffer, SendBuffer int
	// Slots is the number of messages in a Batch; 0 = 16 with GRO, 64 without.
	Slots int
	// Errors asks for ICMP errors: Batch.Errors, SendErrors. Only Linux has them.
	Errors bool
	// NoGRO and NoGSO switch kernel coalescing off.
	NoGRO, NoGSO bool
}

// Message is one received message: one datagram, or several of Stride bytes
// (the last may be shorter) when the kernel coalesced them.
type Message struct {
	Local, Remote netip.AddrPort // Local has the datagram's destination address
	Off, Len      uint32         // place in Batch.Buf
	Stride        uint32         // size of each datagram; >= Len for a single one
	ECN           uint8          // RFC 3168 code point, 0..3
}

// Count is the number of datagrams in m.
func (m *Message) Count() int {
	if m.Len <= m.Stride || m.Stride == 0 {
		return 1
	}
	return int((m.Len + m.Stride - 1) / m.Stride)
}

// Segment is the place in Batch.Buf of datagram i, 0 <= i < Count.
func (m *Message) Segment(i int) (off, n uint32) {
	if m.Stride == 0 {
		return m.Off, m.Len
	}
	skip := uint32(i) * m.Stride
	return m.Off + skip, min(m.Stride, m.Len-skip)
}

// Batch is what one ReadBatch received. All datagrams lie in Buf.
type Batch struct {
	Buf  []byte
	Msgs []Message
	// Truncated counts datagrams of this read that were longer than a slot
	// and are therefore not in Msgs.
	Truncated int
	// Errors are ICMP errors that have come since; Msgs may be empty then.
	Errors []Unreachable

	slots []slot
}

// Full reports whether the read filled every slot, so that there may be more.
func (b *Batch) Full() bool { return len(b.slots) > 0 && len(b.Msgs)+b.Truncated == len(b.slots) }

func (b *Batch) datagrams() (n int) {
	for i := range b.Msgs {
		n += b.Msgs[i].Count()
	}
	return n
}

func (b *Batch) empty() bool { return len(b.Msgs)+len(b.Errors)+b.Truncated == 0 }

// Unreachable is an ICMP error. It may be forged: see whether Quote is something
// that an outsider can not know.
type Unreachable struct {
	Remote netip.AddrPort // where the datagram was sent
	Err    syscall.Errno  // ECONNREFUSED: nobody listens; EHOSTUNREACH, ENETUNREACH, ...
	Quote  []byte         // its first bytes, as far as quoted
}

// Transmit is a run of datagrams for one path: Len bytes at Off of a shared
// buffer, cut into datagrams of SegmentSize bytes (the last may be shorter).
type Transmit struct {
	Local, Remote netip.AddrPort // a zero Local address lets the kernel choose
	Off, Len      int
	SegmentSize   int
	ECN           uint8
}

// single reports whether t is one datagram.
func (t *Transmit) single() bool { return t.SegmentSize <= 0 || t.Len <= t.SegmentSize }

// Coalesce appends t to ts, merging it into the last run where one GSO message
// can carry both: same path and ECN, adjacent bytes, every earlier datagram
// full, no later one longer, within MaxSegments and MaxRunBytes.
func Coalesce(ts []Transmit, t Transmit) []Transmit {
	if len(ts) > 0 {
		last := &ts[len(ts)-1]
		if mergeable(last, &t) {
			last.Len += t.Len
			return ts
		}
	}
	if t.SegmentSize <= 0 || t.SegmentSize > t.Len {
		t.SegmentSize = t.Len
	}
	return append(ts, t)
}

func mergeable(a, b *Transmit) bool {
	seg := a.SegmentSize
	if seg <= 0 || a.Len == 0 || b.Len == 0 || a.Len%seg != 0 || a.Off+a.Len != b.Off {
		return false
	}
	if b.single() {
		if b.Len > seg {
			return false
		}
	} else if b.SegmentSize != seg {
		return false
	}
	total := a.Len + b.Len
	return total <= MaxRunBytes && total <= seg*MaxSegments &&
		a.ECN == b.ECN && a.Remote == b.Remote && a.Local == b.Local
}

// Split cuts the first message off t: as many whole datagrams as one GSO
// message takes, or one datagram when gso is false. rest.Len is 0 when nothing
// is left.
func Split(t Transmit, gso bool) (head, rest Transmit) {
	head, rest = t, t
	if !t.single() {
		n := 1
		if gso {
			n = max(1, min(MaxSegments, MaxRunBytes/t.SegmentSize))
		}
		head.Len = min(t.Len, n*t.SegmentSize)
	}
	rest.Off += head.Len
	rest.Len -= head.Len
	return head, rest
}

// advance drops n sent bytes from the front of ts.
func advance(ts []Transmit, n int) []Transmit {
	ts[0].Off += n
	ts[0].Len -= n
	if ts[0].Len == 0 {
		return ts[1:]
	}
	return ts
}
