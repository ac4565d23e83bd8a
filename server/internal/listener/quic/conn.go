//go:build !noquic

package quic

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// controlStream is the id of the control stream: the first bidirectional stream of
// the client (RFC 9000 section 2.1).
const controlStream = 0

// errControlStreamLost is why a client is gone whose control stream ended, by FIN,
// RESET_STREAM or STOP_SENDING, without a DISCONNECT.
var errControlStreamLost = errors.New("quic: control stream ended without DISCONNECT")

// errPanic is why a client is gone for which this package had a bug.
var errPanic = errors.New("internal error")

// conn is one connection. It implements endpoint.ConnHandler and broker.Transport.
type conn struct {
	l       *Listener
	qc      *endpoint.Conn
	client  *broker.Client
	control *endpoint.Stream // nil until the client has opened it
	out     datagramSink     // of control
	data    []*dataStream    // in the order in which they were opened
	next    *nextConn        // nil: it speaks MQTT without flow headers

	clients []*streamClient // streams that are clients of their own
	live    int             // of them, those that have not ended

	owed     int  // bytes of the control stream that have been handled and for which the client has no credit yet
	accepted bool // the client has been let in
	over     bool // nothing more is read, Client.Closed has been called

	closing atomic.Uint32 // 0, or 1 + reason code: the broker wants the end
}

func newConn(l *Listener, qc *endpoint.Conn) *conn {
	c := &conn{l: l, qc: qc}
	c.client = l.cfg.Broker.NewClient(c)
	if c.next = l.next(qc); c.next != nil {
		c.client.UseFlows(c.serverFlows())
	}
	return c
}

// Wake implements broker.Transport.
func (c *conn) Wake() { c.qc.Wake() }

// Close implements broker.Transport: the worker does it in OnFlush.
func (c *conn) Close(code packet.ReasonCode) {
	c.closing.CompareAndSwap(0, 1+uint32(code))
	c.qc.Wake()
}

// Info implements broker.Transport. The broker calls it during Feed, on the worker.
func (c *conn) Info() broker.ConnInfo {
	path := c.qc.ValidatedPath()
	return broker.ConnInfo{
		Transport: "quic",
		Listener:  "quic " + path.Local.String(),
		Remote:    path.Remote,
		Local:     path.Local,
		TLS:       c.tlsInfo(),
	}
}

func (c *conn) tlsInfo() *broker.TLSInfo {
	s := c.qc.TLS()
	info := &broker.TLSInfo{Version: strings.Replace(s.Version, "TLSv", "TLS ", 1), // as crypto/tls has it
		Cipher: s.CipherSuite, ServerName: s.ServerName, Resumed: s.Resumed, EarlyData: s.EarlyData}
	if !s.Verified {
		return info
	}
	if id, err := c.qc.PeerIdentity(); err == nil && id.Leaf() != nil {
		info.SetPeer(id.Leaf())
	}
	return info
}

// OnStreamOpen implements endpoint.ConnHandler.
func (c *conn) OnStreamOpen(s *endpoint.Stream) {
	defer c.guard()
	if s.ID() == controlStream {
		c.control, c.out = s, datagramSink{sink{s, sendBound}}
		return
	}
	c.openData(s)
}

// OnStreamData implements endpoint.ConnHandler. Credit goes back at once, for what the
// client sent has been handled when Feed returns, unless the client has to wait.
func (c *conn) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	defer c.guard()
	switch x := s.UserData.(type) {
	case *dataStream:
		x.onData(data, fin)
	case *streamClient:
		x.onData(data, fin)
	default:
		c.onControlData(s, data, fin)
	}
}

func (c *conn) onControlData(s *endpoint.Stream, data []byte, fin bool) {
	if c.over {
		s.Consume(len(data))
		return
	}
	if rest, ok := c.next.begin(data); !ok {
		c.end(NextProtocolError, c.client.Fail(errControlHeader))
	} else if len(rest) > 0 {
		c.feed(rest)
	}
	c.owed = giveCredit(s, c.owed+len(data), c.client)
	if !c.accepted && !c.over && c.client.Info() != nil {
		c.accept()
	}
	if fin && !c.over {
		c.end(CodeControlStreamLost, errControlStreamLost)
	}
}

// giveCredit lets a client send n bytes again, which have been handled, if it is not ahead
// of its rates; the broker wakes the connection when it no longer is. It gives what is owed
// to the client still.
func giveCredit(s *endpoint.Stream, n int, client *broker.Client) (owed int) {
	if n > 0 && client.Pause() > 0 {
		return n
	}
	s.Consume(n)
	return 0
}

// giveAllCredit is giveCredit for all streams of the client.
func (c *conn) giveAllCredit() {
	if c.control != nil {
		c.owed = giveCredit(c.control, c.owed, c.client)
	}
	for _, d := range c.data {
		d.owed = giveCredit(d.s, d.owed, c.client)
	}
}

func (c *conn) feed(data []byte) {
	err := c.client.Feed(data)
	c.qc.MarkDirty()
	if err != nil {
		c.end(verdict(err))
		return
	}
	if !c.accepted {
		c.keepAlive(c.client.Info())
	}
}

// verdict is what an error of Client.Feed means: the code for the peer, and why the client is
// gone, nil after a DISCONNECT, which is an error without fault.
func verdict(err error) (code uint64, cause error) {
	reason := broker.CloseCode(err)
	if reason.IsError() {
		cause = err
	}
	return CloseCode(reason), cause
}

// keepAlive has the connection send PINGs when the client may be silent for longer
// than half of the QUIC idle timeout.
func (c *conn) keepAlive(info *broker.ClientInfo) (decided bool) {
	if info == nil {
		return false
	}
	half := c.qc.IdleTimeout() / 2
	silence := time.Duration(info.KeepAlive) * time.Second
	if half > 0 && (silence == 0 || silence > half) {
		c.qc.SetKeepAlive(half)
	}
	return true
}

// end stops reading, flushes a last time and closes the connection. err is nil for
// an end in order. To the broker the client is gone at once: its will does not wait
// for a peer that may never acknowledge the last packet.
func (c *conn) end(code uint64, err error) {
	if c.live > 0 {
		c.partControl(code, err)
		return
	}
	c.over = true
	c.flush()
	defer c.client.Closed(err)
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	c.qc.CloseAfterFlush(code, reason)
}

// OnStreamReset implements endpoint.ConnHandler.
func (c *conn) OnStreamReset(s *endpoint.Stream, code uint64) {
	defer c.guard()
	c.lost(s, code)
}

// OnStopSending implements endpoint.ConnHandler.
func (c *conn) OnStopSending(s *endpoint.Stream, code uint64) {
	defer c.guard()
	c.lost(s, code)
}

// OnStreamClosed implements endpoint.ConnHandler.
func (c *conn) OnStreamClosed(s *endpoint.Stream) {
	defer c.guard()
	c.lost(s, CodeNormal)
	if s == c.control {
		c.control = nil
	}
	c.data = slices.DeleteFunc(c.data, func(d *dataStream) bool { return d.s == s })
	c.clients = slices.DeleteFunc(c.clients, func(m *streamClient) bool { return m.s == s })
}

// lost ends the connection when s is the control stream, else what s is.
func (c *conn) lost(s *endpoint.Stream, code uint64) {
	switch x := s.UserData.(type) {
	case *streamClient:
		x.end(CodeControlStreamLost, errStreamLost)
	case *dataStream:
		if !c.over {
			x.leave(code)
		}
	default:
		if s == c.control && !c.over {
			c.end(CodeControlStreamLost, errControlStreamLost)
		}
	}
}

// OnFlush implements endpoint.ConnHandler: it moves what waits into the streams.
func (c *conn) OnFlush() {
	defer c.guard()
	for _, m := range c.clients {
		m.flush()
	}
	if c.over {
		return
	}
	if closing := c.closing.Load(); closing != 0 {
		code := packet.ReasonCode(closing - 1)
		c.end(CloseCode(code), nil)
		return
	}
	c.giveAllCredit()
	c.flush()
}

func (c *conn) flush() {
	if c.control != nil {
		c.client.Flush(&c.out)
	}
	c.flushData()
}

// OnClosed implements endpoint.ConnHandler: the connection is gone.
func (c *conn) OnClosed(err error) {
	defer c.guard()
	c.closed(err)
}

// closed tells the broker that the connection is gone, for all that is still there.
func (c *conn) closed(err error) {
	if !c.over {
		c.over = true
		c.client.Closed(err)
	}
	for _, m := range c.clients {
		m.closed(err)
	}
}

// guard, deferred by what the worker calls, makes a panic cost this connection only.
func (c *conn) guard() {
	v := recover()
	if v == nil {
		return
	}
	c.l.cfg.Broker.LogPanic("quic connection", v)
	c.closed(errPanic)
	c.qc.Close(uint64(packet.ImplementationSpecificError), errPanic.Error())
}
