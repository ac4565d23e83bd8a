//go:build linux

package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	Hdr unix.Msghdr
	Len uint32
}

// slot is the memory that the kernel needs beside the payload of one message.
type slot struct {
	name    unix.RawSockaddrInet6
	iov     unix.Iovec
	control [controlSpace]byte
}

// Socket is one UDP socket. See the package comment for who may call what.
type Socket struct {
	file   *os.File        // the socket, not known to Go's poller
	raw    syscall.RawConn // of file
	ready  readiness
	waiter *waiter // after Block
	local  netip.AddrPort
	is6    bool        // an AF_INET6 socket: IPv4 peers are IPv4-mapped
	gro    bool        // receives may be coalesced
	slots  int         // of a Batch
	errors bool        // Config.Errors
	gso    atomic.Bool // sends may be coalesced

	rx      rxState
	tx      txState
	refused atomic.Uint64
}

type rxState struct {
	batch  *Batch // whose slots hdrs point to
	hdrs   []mmsghdr
	filled int // headers that the kernel has changed
	n      int // headers to fill, then the filled ones
	errno  syscall.Errno
	read   func(fd uintptr) bool // bound once, so that a read allocates nothing
	poll   func(fd uintptr) bool
}

type txState struct {
	hdrs  [sendMessages]mmsghdr
	slots [sendMessages]slot
	lens  [sendMessages]int
	n     int // messages filled
	sent  int
	errno syscall.Errno

	gsoMessages, gsoDatagrams int // since TakeGSO

	write func(fd uintptr) bool
	send  func(fd uintptr, hdrs []mmsghdr) (int, syscall.Errno) // tests inject errors here
	errs  []Unreachable                                         // see SendErrors
}

// Listen opens a socket. The caller closes it.
func Listen(cfg Config) (*Socket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error { return before(fd, cfg) })
	}}
	pc, err := lc.ListenPacket(context.Background(), "udp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	local := pc.LocalAddr().(*net.UDPAddr).AddrPort()
	s, err := newSocket(pc.(*net.UDPConn), cfg)
	if err != nil {
		return nil, fmt.Errorf("udp: %s: %w", local, err)
	}
	return s, nil
}

// newSocket takes conn over, whatever happens.
func newSocket(conn *net.UDPConn, cfg Config) (*Socket, error) {
	s := &Socket{local: unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())}
	var err error
	if s.file, err = detach(conn); err != nil {
		return nil, err
	}
	s.raw, err = s.file.SyscallConn()
	if err == nil {
		err = control(s.raw, func(fd int) error { return errors.Join(s.setup(fd, cfg), s.ready.open(fd)) })
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.rx.read = s.recvmmsg
	s.rx.poll = s.pollmmsg
	s.tx.write = s.sendmmsg
	s.tx.send = sendmmsg
	return s, nil
}

func control(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	err := c.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

// before sets what must be set before bind(2).
func before(fd int, cfg Config) error {
	if !cfg.ReusePort {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
}

// setup asks for destination addresses and ECN, which QUIC needs, and for what
// only makes it faster, whose refusal is no error.
func (s *Socket) setup(fd int, cfg Config) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return fmt.Errorf("SO_DOMAIN: %w", err)
	}
	s.is6 = domain == unix.AF_INET6
	if err := s.setupInfo(fd); err != nil {
		return err
	}
	if cfg.Errors {
		s.errors = s.setupErrors(fd) == nil
	}
	setBuffer(fd, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE, cfg.ReceiveBuffer)
	setBuffer(fd, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE, cfg.SendBuffer)
	s.gro = !cfg.NoGRO && unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	if s.slots = cfg.Slots; s.slots == 0 {
		s.slots = batchPlain
		if s.gro {
			s.slots = batchGRO
		}
	}
	_, err = unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	s.gso.Store(!cfg.NoGSO && err == nil)
	return nil
}

func (s *Socket) setupInfo(fd int) error {
	// Don't fragment, and let QUIC's own path MTU discovery probe (RFC 9000 14).
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	errTOS := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVTOS, 1)
	if !s.is6 {
		return errors.Join(errTOS, unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1))
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVTCLASS, 1),
		unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1))
}

// setBuffer tries the privileged option first: it is not capped by the sysctl.
func setBuffer(fd, opt, force, size int) {
	if size <= 0 {
		size = DefaultBuffer
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, size)
	}
}

// Share lets other sockets with Config.ReusePort bind the address of s from now
// on. The first socket of a group is opened without ReusePort, so that an
// address in use is noticed, and shared afterwards.
func (s *Socket) Share() error {
	return control(s.raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
}

// LocalAddr is the bound address; its IP is unspecified on a wildcard socket.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// DualStack reports whether the socket reaches IPv6 peers (and IPv4 ones when
// it is bound to the unspecified address).
func (s *Socket) DualStack() bool { return s.is6 }

// TakeGSO is how many messages of several datagrams were sent since the last call, and
// how many datagrams they held. It belongs to the goroutine that calls WriteBatch.
func (s *Socket) TakeGSO() (messages, datagrams int) {
	messages, datagrams = s.tx.gsoMessages, s.tx.gsoDatagrams
	s.tx.gsoMessages, s.tx.gsoDatagrams = 0, 0
	return messages, datagrams
}

// Refused is the number of messages that the kernel refused for good:
// unreachable network, forbidden, too long for the interface.
func (s *Socket) Refused() uint64 { return s.refused.Load() }

// Close closes the socket; a blocked ReadBatch returns net.ErrClosed.
func (s *Socket) Close() error {
	if s.waiter != nil {
		s.waiter.close()
	}
	return errors.Join(s.ready.close(), s.file.Close()) // no read is under way then
}

// NewBatch makes a Batch of the right shape for this socket.
func (s *Socket) NewBatch() *Batch {
	n, size := s.slots, MaxDatagram
	if s.gro {
		size = groSlot
	}
	return &Batch{Buf: make([]byte, n*size), Msgs: make([]Message, 0, n), slots: make([]slot, n)}
}

// ReadBatch waits until at least one datagram (or ICMP error) is there and reads as many as
// fit into b without waiting again. It returns net.ErrClosed after Close.
func (s *Socket) ReadBatch(b *Batch) error {
	return s.receive(b, s.rx.read)
}

// PollBatch is ReadBatch that does not wait: b may stay empty.
func (s *Socket) PollBatch(b *Batch) error { return s.receive(b, s.rx.poll) }

func (s *Socket) receive(b *Batch, try func(fd uintptr) bool) error {
	b.Msgs, b.Truncated, b.Errors = b.Msgs[:0], 0, b.Errors[:0]
	s.armReceive(b)
	for {
		if s.try(try) != nil {
			return net.ErrClosed
		}
		if s.rx.errno == 0 {
			break
		}
		if s.errors && pending(s.rx.errno) {
			if b.Errors = s.drainErrors(b.Errors); len(b.Errors) > 0 {
				return nil
			}
		}
		if !transient(s.rx.errno) {
			return fmt.Errorf("udp: recvmmsg: %w", s.rx.errno)
		}
	}
	s.collect(b)
	return nil
}

// try calls f until it says that it is done, and waits in between.
func (s *Socket) try(f func(fd uintptr) bool) error {
	if s.waiter == nil {
		return s.ready.raw.Read(f)
	}
	return s.waiter.do(f)
}

// transient errors concern an earlier datagram (an ICMP answer), not the socket.
func transient(e syscall.Errno) bool {
	switch e {
	case unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EMSGSIZE, unix.ENOMEM:
		return true
	}
	return false
}

// armReceive points the message headers at the slots of b. The kernel changes
// only the headers that it fills, so those are all that is restored when b comes
// again.
func (s *Socket) armReceive(b *Batch) {
	if s.rx.batch != b {
		s.rx.arm(b)
	}
	for i := range s.rx.filled {
		h := &s.rx.hdrs[i].Hdr
		h.Namelen, h.Flags = unix.SizeofSockaddrInet6, 0
		h.SetControllen(controlSpace)
	}
	s.rx.filled, s.rx.n = 0, len(b.slots)
}

func (rx *rxState) arm(b *Batch) {
	n := len(b.slots)
	rx.batch, rx.hdrs = b, make([]mmsghdr, n)
	rx.filled = n
	size := len(b.Buf) / n
	for i := range b.slots {
		sl := &b.slots[i]
		sl.iov.Base = &b.Buf[i*size]
		sl.iov.SetLen(size)
		h := &rx.hdrs[i].Hdr
		h.Name, h.Iov, h.Control = (*byte)(unsafe.Pointer(&sl.name)), &sl.iov, &sl.control[0]
		h.SetIovlen(1)
	}
}

// recvmmsg is called by the netpoller's reader; false means "wait".
func (s *Socket) recvmmsg(uintptr) bool {
	n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.ready.fd), uintptr(unsafe.Pointer(&s.rx.hdrs[0])),
		uintptr(s.rx.n), unix.MSG_DONTWAIT, 0, 0)
	if e == unix.EAGAIN {
		return false
	}
	s.rx.errno = e
	if e == 0 {
		s.rx.n = int(n)
		s.rx.filled = int(n)
	}
	return true
}

// pollmmsg never asks to wait.
func (s *Socket) pollmmsg(fd uintptr) bool {
	if !s.recvmmsg(fd) {
		s.rx.n, s.rx.errno = 0, 0
	}
	return true
}

// collect turns the first rx.n headers into Messages.
func (s *Socket) collect(b *Batch) {
	size := len(b.Buf) / len(b.slots)
	for i := range s.rx.n {
		h := &s.rx.hdrs[i]
		if h.Hdr.Flags&unix.MSG_TRUNC != 0 {
			b.Truncated++
			continue
		}
		sl := &b.slots[i]
		c := parseControl(sl.control[:h.Hdr.Controllen])
		m := Message{Remote: sockaddr(&sl.name), Off: uint32(i * size), Len: h.Len, Stride: h.Len, ECN: c.tos & 3}
		m.Local = netip.AddrPortFrom(s.local.Addr(), s.local.Port())
		if c.dst.IsValid() {
			m.Local = netip.AddrPortFrom(c.dst, s.local.Port())
		}
		if c.segment > 0 {
			m.Stride = uint32(c.segment)
		}
		b.Msgs = append(b.Msgs, m)
	}
}

// WriteBatch sends ts, whose bytes lie in buf, without waiting. It returns
// what it could not send (a tail of ts, the first run possibly shortened) with
// ErrBlocked when the send buffer is full, or net.ErrClosed. Runs that the
// kernel refuses for good are dropped and counted (Refused): to QUIC they are
// lost datagrams.
func (s *Socket) WriteBatch(buf []byte, ts []Transmit) (rest []Transmit, err error) {
	gso, again := s.gso.Load(), false
	for len(ts) > 0 {
		if ts[0].Len == 0 {
			ts = ts[1:]
			continue
		}
		s.fill(buf, ts, gso)
		if s.raw.Write(s.tx.write) != nil {
			return ts, net.ErrClosed
		}
		for i := range s.tx.sent {
			s.tx.countGSO(&ts[0], s.tx.lens[i])
			ts = advance(ts, s.tx.lens[i])
		}
		if s.errors && s.tx.sent < s.tx.n { // an ICMP error may have been in the way
			s.tx.errs = s.drainErrors(s.tx.errs)
		}
		again = again && s.tx.sent == 0
		switch e := s.tx.errno; {
		case e == 0 || e == unix.EINTR:
		case s.errors && !again && pending(e):
			again = true
		case e == unix.EAGAIN || e == unix.ENOBUFS:
			return ts, ErrBlocked
		case gso && !ts[0].single() && gsoRefused(e):
			gso = false // for this call; EIO means that the device can not at all
			if e == unix.EIO {
				s.gso.Store(false)
			}
		default:
			s.refused.Add(1)
			ts = advance(ts, s.tx.lens[0])
		}
	}
	return ts, nil
}

// SendErrors are the ICMP errors that WriteBatch came across since the last call;
// valid until the next one. The goroutine of WriteBatch only.
func (s *Socket) SendErrors() []Unreachable {
	list := s.tx.errs
	s.tx.errs = s.tx.errs[:0]
	return list
}

// countGSO counts a message of n bytes of t.
func (tx *txState) countGSO(t *Transmit, n int) {
	if t.SegmentSize > 0 && n > t.SegmentSize {
		tx.gsoMessages++
		tx.gsoDatagrams += (n + t.SegmentSize - 1) / t.SegmentSize
	}
}

// gsoRefused tells errors of UDP_SEGMENT from errors of the destination.
func gsoRefused(e syscall.Errno) bool {
	return e == unix.EIO || e == unix.EINVAL || e == unix.EOPNOTSUPP || e == unix.EMSGSIZE
}

// fill makes messages of the front of ts, as many as one sendmmsg takes.
func (s *Socket) fill(buf []byte, ts []Transmit, gso bool) {
	s.tx.n = 0
	for _, t := range ts {
		for t.Len > 0 {
			if s.tx.n == sendMessages {
				return
			}
			var head Transmit
			head, t = Split(t, gso)
			s.message(buf, &head)
		}
	}
}

// message appends one message header for t.
func (s *Socket) message(buf []byte, t *Transmit) {
	i := s.tx.n
	sl := &s.tx.slots[i]
	sl.iov.Base = &buf[t.Off]
	sl.iov.SetLen(t.Len)
	h := &s.tx.hdrs[i].Hdr
	*h = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&sl.name)), Iov: &sl.iov}
	h.SetIovlen(1)
	h.Namelen = putSockaddr(&sl.name, t.Remote, s.is6)
	if n := putControl(sl.control[:], t); n > 0 {
		h.Control = &sl.control[0]
		h.SetControllen(n)
	}
	s.tx.lens[i] = t.Len
	s.tx.n++
}

// sendmmsg is called with the socket held open; it never asks to wait.
func (s *Socket) sendmmsg(fd uintptr) bool {
	s.tx.sent, s.tx.errno = s.tx.send(fd, s.tx.hdrs[:s.tx.n])
	return true
}

func sendmmsg(fd uintptr, hdrs []mmsghdr) (int, syscall.Errno) {
	n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&hdrs[0])),
		uintptr(len(hdrs)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}
