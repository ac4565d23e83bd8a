package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server/internal/broker"
)

const (
	// smallRead is the read buffer of an idle connection in bytes: most MQTT packets
	// fit, and 10,000 idle connections hold 20 MB.
	smallRead = 2 << 10
	// largeRead is what a connection borrows for the next read while it fills what it
	// has.
	largeRead = 32 << 10
	// lingerTime is how long a closed connection waits for the peer's end.
	lingerTime = time.Second
	// lingerBytes is how much of the peer's data is thrown away meanwhile.
	lingerBytes = 1 << 20
)

// conn is one network connection. It implements broker.Transport.
type conn struct {
	l      *Listener
	tcp    *net.TCPConn
	net    net.Conn // tcp, or the TLS connection on it
	client *broker.Client
	out    *batch // nil while there is nothing to write

	wake    chan struct{} // capacity 1: the writer has something to do
	written chan struct{} // closed when the writer has ended
	closing atomic.Bool   // flush once more, then end
	failed  atomic.Pointer[error]
}

func newConn(l *Listener, tcp *net.TCPConn) *conn {
	c := &conn{l: l, tcp: tcp, net: tcp, wake: make(chan struct{}, 1), written: make(chan struct{})}
	if l.cfg.TLS != nil {
		c.net = tls.Server(tcp, l.cfg.TLS)
	}
	c.client = l.cfg.Broker.NewClient(c)
	return c
}

// Wake implements broker.Transport.
func (c *conn) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close implements broker.Transport. The code was for the last packet; TCP has no
// place for it. All that is left to do, the handshake, a write that is stuck, the wait
// for the peer's end, gets a short time.
func (c *conn) Close(packet.ReasonCode) {
	if c.closing.CompareAndSwap(false, true) {
		c.net.SetDeadline(time.Now().Add(lingerTime))
	}
	c.Wake()
}

// Info implements broker.Transport.
func (c *conn) Info() broker.ConnInfo {
	info := broker.ConnInfo{
		Transport: c.l.cfg.transport(),
		Listener:  c.l.name,
		Remote:    addrPort(c.tcp.RemoteAddr()),
		Local:     addrPort(c.tcp.LocalAddr()),
	}
	if t, ok := c.net.(*tls.Conn); ok {
		info.TLS = tlsInfo(t.ConnectionState())
	}
	return info
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func tlsInfo(s tls.ConnectionState) *broker.TLSInfo {
	info := &broker.TLSInfo{
		Version:    tls.VersionName(s.Version),
		Cipher:     tls.CipherSuiteName(s.CipherSuite),
		ServerName: s.ServerName,
		Resumed:    s.DidResume,
	}
	if len(s.VerifiedChains) > 0 {
		leaf := s.PeerCertificates[0]
		info.PeerIdentity, info.PeerDNSNames = leaf.Subject.String(), leaf.DNSNames
	}
	return info
}

// serve is the reader: it owns the connection from accept to the end.
func (c *conn) serve() {
	defer c.l.remove(c)
	err := c.l.cfg.Broker.Protect("handshake", c.handshake)
	go c.write()
	if err == nil {
		err = c.l.cfg.Broker.Protect("reader", c.read)
	}
	c.Close(broker.CloseCode(err))
	<-c.written
	c.linger()
	c.net.Close()
	c.client.Closed(c.cause(err))
}

func (c *conn) handshake() error {
	t, ok := c.net.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.l.cfg.HandshakeTimeout)
	defer cancel()
	return t.HandshakeContext(ctx)
}

// read feeds the client until the input ends, for the returned reason, or the
// connection closes: nil.
func (c *conn) read() error {
	buf := smallBuffers.Get().(*[]byte)
	defer func() { putReadBuffer(buf) }()
	for {
		n, err := c.net.Read(*buf)
		if c.closing.Load() {
			return nil
		}
		if n > 0 {
			if err := c.client.Feed((*buf)[:n]); err != nil {
				return err
			}
			c.rest()
		}
		if err != nil {
			return err
		}
		buf = fitReadBuffer(buf, n)
	}
}

// rest waits while the client is ahead of its rates, or until the writer has ended.
func (c *conn) rest() {
	pause := c.client.Pause()
	if pause <= 0 {
		return
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.written:
	}
}

var (
	smallBuffers = sync.Pool{New: func() any { return newBuffer(smallRead) }}
	largeBuffers = sync.Pool{New: func() any { return newBuffer(largeRead) }}
)

func newBuffer(size int) *[]byte {
	b := make([]byte, size)
	return &b
}

func putReadBuffer(buf *[]byte) {
	if len(*buf) == smallRead {
		smallBuffers.Put(buf)
	} else {
		largeBuffers.Put(buf)
	}
}

// fitReadBuffer gives the buffer for the next read, after a read of n bytes: a large
// one when they filled this one, else a small one, because the next read may take
// long to return.
func fitReadBuffer(buf *[]byte, n int) *[]byte {
	full, large := n == len(*buf), len(*buf) == largeRead
	if full == large {
		return buf
	}
	putReadBuffer(buf)
	if full {
		return largeBuffers.Get().(*[]byte)
	}
	return smallBuffers.Get().(*[]byte)
}

// linger waits for the peer's end of the connection, until the deadline that Close has
// set, and throws away what it still sends: closing a socket with unread input resets
// it, and the reset can overtake the last packet.
func (c *conn) linger() {
	if c.failed.Load() != nil {
		return
	}
	io.CopyN(io.Discard, c.tcp, lingerBytes)
}

// fail remembers why the connection broke and ends the reader's wait.
func (c *conn) fail(err error) {
	c.failed.CompareAndSwap(nil, &err)
	c.tcp.SetReadDeadline(time.Now())
}

// cause is the reason for the end that the broker is told: nil when the peer ended
// the connection or the broker asked for the end.
func (c *conn) cause(err error) error {
	if failed := c.failed.Load(); failed != nil {
		return *failed
	}
	if errors.Is(err, io.EOF) || !broker.CloseCode(err).IsError() {
		return nil
	}
	return err
}
