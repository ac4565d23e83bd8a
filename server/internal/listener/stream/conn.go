package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/websocket"
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
	raw    socket
	net    net.Conn // raw, or the TLS connection on it
	tls    *sealer  // nil without TLS
	ws     *wsState // nil without WebSocket
	client *broker.Client
	ends   endpoints // the addresses

	round round // reader: what it has read and not yet answered

	// Of who has the duty.
	out   *batch          // nil while there is nothing to write
	fd    syscall.RawConn // of raw, to write without waiting; nil: that cannot be
	timed bool            // raw has a write deadline

	duty    duty
	written chan struct{} // closed when nothing is written any more
	closing atomic.Bool   // flush once more, then end
	failed  atomic.Pointer[error]
}

// socket is a *net.TCPConn or *net.UnixConn.
type socket interface {
	net.Conn
	CloseWrite() error
}

func newConn(l *Listener, raw socket) *conn {
	c := &conn{l: l, raw: raw, net: raw, written: make(chan struct{}), round: round{most: mostDeferred}}
	if s, ok := raw.(syscall.Conn); ok {
		c.fd, _ = s.SyscallConn()
	}
	c.duty.take() // until after the handshake
	c.ends = endpoints{addrPort(raw.RemoteAddr()), addrPort(raw.LocalAddr())}
	if l.cfg.TLS != nil {
		c.tls = newSealer(raw, l.cfg.TLS)
		c.net = c.tls.conn
	}
	if w := l.cfg.WebSocket; w != nil {
		c.ws = new(wsState)
		c.ws.decoder.Init(true, w.MaxFrame)
	}
	c.client = l.cfg.Broker.NewClient(c)
	return c
}

// Close implements broker.Transport. The code was for the last packet; below it only
// WebSocket has a place for it. All that is left to do, the handshake, a write that is stuck, the wait
// for the peer's end, gets a short time.
func (c *conn) Close(code packet.ReasonCode) {
	if c.ws != nil && code == packet.ServerShuttingDown {
		c.ws.code.CompareAndSwap(0, uint32(ws.StatusGoingAway))
	}
	if c.closing.CompareAndSwap(false, true) {
		c.net.SetDeadline(time.Now().Add(lingerTime))
	}
	c.Wake()
}

// Info implements broker.Transport.
func (c *conn) Info() broker.ConnInfo {
	info := broker.ConnInfo{
		Transport: c.l.transport,
		Listener:  c.l.name,
		Remote:    c.ends.remote,
		Local:     c.ends.local,
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
		info.SetPeer(s.PeerCertificates[0])
	}
	return info
}

// serve is the reader: it owns the connection from accept to the end.
func (c *conn) serve() {
	defer c.l.done.Done()
	defer c.l.remove(c)
	buf := smallBuffers.Get().(*[]byte)
	var early []byte
	err := c.l.cfg.Broker.Protect("handshake", func() (err error) {
		early, err = c.handshake(&buf)
		return err
	})
	if c.tls != nil {
		c.tls.keep()
	}
	if !c.duty.leave() {
		go c.write()
	}
	if err == nil {
		err = c.l.cfg.Broker.Protect("reader", func() error { return c.read(buf, early) })
	} else {
		putReadBuffer(buf)
	}
	c.Close(broker.CloseCode(err))
	<-c.written
	c.linger()
	c.net.Close()
	c.client.Closed(endCause(c.failed.Load(), err))
}

// read feeds the client until the input ends, for the returned reason, or the
// connection closes: nil. early is input that is in buf already.
func (c *conn) read(buf *[]byte, early []byte) error {
	defer func() { putReadBuffer(buf) }()
	if err := c.take(early); err != nil {
		return err
	}
	for first := true; ; first = false {
		space := c.space()
		into := *buf
		if space != nil {
			into = space
		}
		n, err := c.net.Read(into)
		if c.tls != nil && c.tls.has() {
			c.Wake()
		}
		if c.closing.Load() {
			return nil
		}
		if first && c.ws == nil {
			if hint := misdirected(into[:n], speaksMQTT); hint != "" {
				return c.client.Fail(&broker.Error{Code: packet.ProtocolError, Reason: hint})
			}
		}
		var fault error
		if space != nil {
			fault = c.fed(c.client.Filled(n))
		} else {
			fault = c.take(into[:n])
		}
		if fault != nil {
			return fault
		}
		if err != nil {
			return err
		}
		if space == nil {
			buf = fitReadBuffer(buf, n)
		}
	}
}

// space is where the rest of a large packet goes without a copy; nil: there is none.
func (c *conn) space() []byte {
	if c.ws != nil {
		return nil
	}
	return c.client.Space()
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

// fed is what comes after the client has been fed, with this result.
func (c *conn) fed(err error) error {
	c.round.finish()
	if err == nil {
		c.rest()
	}
	return err
}

// take handles the next bytes of the connection.
func (c *conn) take(b []byte) (err error) {
	if c.ws != nil {
		b, err = c.decode(b)
	}
	if len(b) > 0 {
		if err := c.fed(c.client.Feed(b)); err != nil {
			return err
		}
	}
	var e *websocket.Error
	if errors.As(err, &e) {
		return c.client.Fail(wsReason(e))
	}
	return err
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
	io.CopyN(io.Discard, c.raw, lingerBytes)
}

// fail remembers why the connection broke and ends the reader's wait.
func (c *conn) fail(err error) {
	c.failed.CompareAndSwap(nil, &err)
	c.raw.SetReadDeadline(time.Now())
}

// abort closes the socket under the connection.
func (c *conn) abort() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.raw.Close()
}

// endCause is the reason for the end that the broker is told: nil when the peer ended
// the connection or the broker asked for the end. failed is why it broke, nil: it has not;
// err is why the reader ended.
func endCause(failed *error, err error) error {
	if failed != nil {
		return *failed
	}
	if errors.Is(err, io.EOF) || !broker.CloseCode(err).IsError() {
		return nil
	}
	return err
}
