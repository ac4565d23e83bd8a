//go:build !linux

package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

type slot struct{}

// Socket is one UDP socket: one datagram per call, no ECN, no destination
// addresses. See the package comment for who may call what.
type Socket struct {
	conn    *net.UDPConn
	local   netip.AddrPort
	refused atomic.Uint64
}

// Listen opens a socket. The caller closes it. ReusePort is not available here.
func Listen(cfg Config) (*Socket, error) {
	if cfg.ReusePort {
		return nil, errors.New("udp: several sockets on one port need Linux: use one worker")
	}
	pc, err := net.ListenPacket("udp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	conn := pc.(*net.UDPConn)
	_ = conn.SetReadBuffer(bufferSize(cfg.ReceiveBuffer))
	_ = conn.SetWriteBuffer(bufferSize(cfg.SendBuffer))
	return &Socket{conn: conn, local: unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())}, nil
}

func bufferSize(n int) int {
	if n <= 0 {
		return DefaultBuffer
	}
	return n
}

// Share is not available here.
func (s *Socket) Share() error {
	return errors.New("udp: several sockets on one port need Linux: use one worker")
}

// LocalAddr is the bound address; its IP is unspecified on a wildcard socket.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// DualStack reports whether the socket reaches IPv6 peers.
func (s *Socket) DualStack() bool { return s.local.Addr().Is6() }

// SendErrors: there are none here.
func (s *Socket) SendErrors() []Unreachable { return nil }

// TakeGSO: there are no messages of several datagrams here.
func (s *Socket) TakeGSO() (messages, datagrams int) { return 0, 0 }

// Refused is the number of runs that the kernel refused for good.
func (s *Socket) Refused() uint64 { return s.refused.Load() }

// Close closes the socket; a blocked ReadBatch returns net.ErrClosed.
func (s *Socket) Close() error { return s.conn.Close() }

// NewBatch makes a Batch of the right shape for this socket.
func (s *Socket) NewBatch() *Batch {
	return &Batch{Buf: make([]byte, MaxDatagram), Msgs: make([]Message, 0, 1)}
}

// ReadBatch waits for one datagram. It returns net.ErrClosed after Close.
func (s *Socket) ReadBatch(b *Batch) error {
	b.Msgs, b.Truncated = b.Msgs[:0], 0
	n, remote, err := s.conn.ReadFromUDPAddrPort(b.Buf)
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	if err != nil {
		return fmt.Errorf("udp: %w", err)
	}
	b.Msgs = append(b.Msgs, Message{Local: s.local, Remote: unmap(remote), Len: uint32(n), Stride: uint32(n)})
	return nil
}

// PollBatch finds nothing here: only ReadBatch reads.
func (s *Socket) PollBatch(b *Batch) error {
	b.Msgs, b.Truncated = b.Msgs[:0], 0
	return nil
}

// Block is not available here.
func (s *Socket) Block() error {
	return errors.New("udp: waiting in a system call needs Linux")
}

// WaitBatch is not used here, where Block fails.
func (s *Socket) WaitBatch(b *Batch, _ time.Duration) error { return s.ReadBatch(b) }

// Interrupt is not used here, where Block fails.
func (s *Socket) Interrupt() {}

// WriteBatch sends ts, whose bytes lie in buf, one datagram at a time.
func (s *Socket) WriteBatch(buf []byte, ts []Transmit) (rest []Transmit, err error) {
	for len(ts) > 0 {
		head, _ := Split(ts[0], false)
		_, err := s.conn.WriteToUDPAddrPort(buf[head.Off:head.Off+head.Len], head.Remote)
		if errors.Is(err, net.ErrClosed) {
			return ts, net.ErrClosed
		}
		if err != nil {
			s.refused.Add(1)
		}
		ts = advance(ts, head.Len)
	}
	return ts, nil
}
