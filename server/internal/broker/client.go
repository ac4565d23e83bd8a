package broker

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Client is the MQTT side of one network connection. Its owner (a QUIC worker, or
// the reader goroutine of a stream connection) calls Feed and, exactly once and last,
// Closed. Flush is called by the owner too, or by one other goroutine (the writer
// of a stream connection), then at the same time as Feed.
type Client struct {
	b *Broker
	t Transport

	// Owner only. What each packet needs is together.
	current    *Stream  // whose packet is being handled
	session    *Session // from an accepted CONNECT on; it may have another client by now
	meter      *meter   // nil without rate limits
	n          tally
	dirty      bool // something waits for Flush
	control    Stream
	datagrams  *Stream             // of datagrams; nil: none has come
	conn       *ConnInfo           // of t, once it has been needed
	info       *ClientInfo         // from CONNECT on
	aliasBytes int                 // of topic names, by Stream.setAlias on data streams
	begun      int                 // of all Stream.begun, in bytes
	terse      bool                // no Reason Strings but where they are always allowed [MQTT-3.1.2-29]
	answer     packet.Properties   // of the Connect handler, for the CONNACK
	auth       *authentication     // nil without enhanced authentication
	names      *[topicNames]string // see nameOf; nil without Authorize
	nextName   uint                // place in names
	deferrer   Deferrer            // t; nil: is none, or handlers may keep Feed
	from       netip.Addr          // counted in addresses; invalid: not
	excess     bool                // one more than MaxConnectionsPerIP

	// Set by the owner before accepted, then constant.
	version   packet.Version
	maxPacket int   // the client's Maximum Packet Size
	keepAlive int64 // nanoseconds, 0 = off
	// getsDatagrams: messages with QoS 0 may be sent in datagrams.
	getsDatagrams bool
	flows         bool           // see UseFlows
	openFlow      func() *Stream // see UseFlows; owner only
	// outAliases belongs to who calls Flush once it is set; nil = none.
	outAliases *outAliases

	// Any goroutine.
	live    atomic.Pointer[Session] // session, once CONNACK has been queued: Flush may send from it
	seen    atomic.Int64            // broker time of the last input
	woken   atomic.Bool             // Wake has been called and Flush has not
	closing atomic.Bool             // the connection is over; written under mu
	streams atomic.Int32            // data streams that are open
	timer   timer                   // CONNECT deadline, then keep alive
	routing sync.Mutex              // held by the owner while it routes a message, see forward

	mu       sync.Mutex
	last     []byte // the packet after which nothing may be sent [MQTT-3.14.4-1]
	accepted bool   // CONNACK 0 has been queued
	early    *Early // what an early CONNECT has been told, written before Feed; nil without
	cause    *Error // why closing
}

// keepControl is the largest buffer for control packets that an idle client keeps, in
// bytes.
const keepControl = 128

var errTakenOver = &Error{Code: packet.SessionTakenOver, Reason: "another connection has taken over the session"}

// NewClient makes the client of a network connection that has just been opened. The
// deadline for its CONNECT (Config.ConnectTimeout) begins now.
func (b *Broker) NewClient(t Transport) *Client {
	c := &Client{b: b, t: t, maxPacket: packet.MaxPacketSize}
	c.control.c, c.current = c, &c.control
	c.control.decoder.Init(uint32(b.cfg.MaxConnectSize))
	c.meter = newMeter(c)
	if h := &b.cfg.Handlers; h.Authorize == nil && h.Deliver == nil && h.Subscribe == nil {
		c.deferrer, _ = t.(Deferrer)
	}
	b.count.connections.Add(1)
	b.mu.Lock()
	b.clients[c] = struct{}{}
	b.mu.Unlock()
	b.timers.set(&c.timer, c, b.now()+int64(b.cfg.ConnectTimeout))
	return c
}

// Feed takes the next bytes of the connection and handles all packets that are
// complete. chunk is not kept. What there is to send is announced by
// Transport.Wake, also from within Feed.
//
// An error means that the connection is over: the owner stops reading, calls Flush
// (the last packet, CONNACK or DISCONNECT, is waiting there), closes the network
// connection with CloseCode(err) and calls Closed(err). After an orderly DISCONNECT
// the error is an *Error with NormalDisconnection.
func (c *Client) Feed(chunk []byte) error { return c.take(&c.control, chunk, len(chunk)) }

// Space is where to read the rest of a large packet to, instead of a chunk for Feed; nil:
// Feed is wanted. Filled then does what Feed does. Owner only, on connections that are one
// stream of bytes.
func (c *Client) Space() []byte { return c.control.decoder.Space() }

// Filled is Feed for n bytes that have been read to Space.
func (c *Client) Filled(n int) error { return c.take(&c.control, nil, n) }

// take is Feed for n bytes of a stream; without a chunk they are in the decoder's space.
func (c *Client) take(st *Stream, chunk []byte, n int) error {
	now := c.b.now()
	c.seen.Store(now)
	err := c.feed(st, chunk, n)
	if c.meter != nil {
		c.slowDown(now, n, &c.n)
	}
	c.b.count.add(n, &c.n)
	if c.dirty {
		c.dirty = false
		c.wakeAfter(c)
	}
	return err
}

// feed handles the packets of a chunk. A panic ends this connection only.
func (c *Client) feed(st *Stream, chunk []byte, n int) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.b.LogPanic("client", v)
			err = c.over(errPanic, nil)
		}
	}()
	if c.meter != nil {
		if err := c.admitBytes(c.seen.Load(), n); err != nil {
			return c.fail(err)
		}
	}
	c.current = st
	if chunk != nil {
		st.decoder.Feed(chunk)
	} else {
		st.decoder.Filled(n)
	}
	for !c.closing.Load() {
		p, err := st.decoder.Next()
		if p == nil && err == nil {
			return st.wait()
		}
		if err == nil {
			err = c.handle(p)
		}
		switch {
		case err == nil:
		case st.isControl():
			return c.fail(err)
		default:
			return st.fail(err)
		}
	}
	return c.reason()
}

// handle does what one packet asks for.
func (c *Client) handle(p packet.Packet) error {
	c.n.packets++
	if c.session == nil {
		return c.handleFirst(p)
	}
	if !c.current.isControl() {
		if err := c.current.carries(p.Type()); err != nil {
			return err
		}
	}
	switch p := p.(type) {
	case *packet.Publish:
		return c.onPublish(p)
	case *packet.Puback:
		return c.onPuback(p)
	case *packet.Pubrec:
		return c.onPubrec(p)
	case *packet.Pubrel:
		return c.onPubrel(p)
	case *packet.Pubcomp:
		return c.onPubcomp(p)
	case *packet.Subscribe:
		return c.onSubscribe(p)
	case *packet.Unsubscribe:
		return c.onUnsubscribe(p)
	case *packet.Pingreq:
		return c.reply(&packet.Pingresp{})
	case *packet.Disconnect:
		return c.onDisconnect(p)
	case *packet.Auth:
		return c.onAuth(p)
	}
	return &Error{Code: packet.ProtocolError, Reason: p.Type().String() + " is not legal here"} // second CONNECT [MQTT-3.1.0-2]
}

// handleFirst does what a packet of a client asks for that has not been let in.
func (c *Client) handleFirst(p packet.Packet) error {
	switch p := p.(type) {
	case *packet.Connect:
		if c.auth == nil {
			return c.onConnect(p)
		}
	case *packet.Auth:
		if c.auth != nil {
			return c.onAuth(p)
		}
	case *packet.Disconnect:
		if c.auth != nil { // [MQTT-3.1.2-30]
			return c.over(&Error{Code: packet.NormalDisconnection}, nil)
		}
	}
	if c.auth != nil {
		return &Error{Code: packet.ProtocolError, Reason: p.Type().String() + " during authentication [MQTT-3.1.2-30]"}
	}
	return &Error{Code: packet.ProtocolError, Reason: "first packet is not CONNECT [MQTT-3.1.0-1]"}
}

// onDisconnect lets the session go at once, so that a new connection finds it free.
// The will goes unless the code is 0x00 [MQTT-3.14.4-3].
func (c *Client) onDisconnect(p *packet.Disconnect) error {
	if !p.ReasonCode.AllowedIn(packet.DISCONNECT, packet.Client) {
		return &Error{Code: packet.ProtocolError, Reason: "reason code that only a server may send"}
	}
	d := departure{keepWill: p.ReasonCode != packet.NormalDisconnection}
	if n, ok := p.Properties.Uint(packet.SessionExpiryInterval); ok {
		if n != 0 && c.session.transient() {
			return &Error{Code: packet.ProtocolError, Reason: "Session Expiry Interval above 0 after 0 in the CONNECT"}
		}
		n = c.b.grantExpiry(n)
		d.expiry = &n
	}
	c.b.detach(c, d)
	c.over(&Error{Code: p.ReasonCode}, nil)
	return &Error{Code: packet.NormalDisconnection}
}

// fail ends the connection because of err, with a last packet when the version has
// one.
func (c *Client) fail(err error) error {
	if c.closing.Load() { // the last packet is waiting already
		return err
	}
	var malformed *packet.Error
	if errors.As(err, &malformed) {
		return c.malformed(malformed)
	}
	e := &Error{Code: CloseCode(err), Reason: err.Error()}
	var known *Error
	if errors.As(err, &known) {
		e = known
	}
	c.b.logClosed(c, e)
	return c.over(e, c.disconnect(e))
}

// malformed ends the connection because of bytes that are no acceptable packet.
func (c *Client) malformed(err *packet.Error) error {
	e := &Error{Code: err.Code, Reason: err.Reason}
	c.b.logClosed(c, e)
	if c.accepted {
		return c.over(e, c.disconnect(e))
	}
	var last []byte
	if ack, ok := err.Reply().(*packet.Connack); ok {
		c.b.count.refused[err.Code].Add(1)
		if err.Version == packet.V50 {
			ack.Properties = e.properties(packet.CONNACK)
		}
		last = ack.AppendTo(nil, err.Version)
	}
	return c.over(e, last)
}

// over marks the connection as ended, with the packet that is to be sent last, nil for
// none, and gives the error for Feed. If it has ended already, the first end counts.
func (c *Client) over(e *Error, last []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing.Load() {
		return c.cause
	}
	c.closing.Store(true)
	c.cause, c.last = e, last
	c.dirty = true
	return e
}

// kick ends the connection from outside. Any goroutine.
func (c *Client) kick(code packet.ReasonCode, reason string) {
	c.kickFor(&Error{Code: code, Reason: reason})
}

// kickFor ends the connection from outside with everything that e says.
func (c *Client) kickFor(e *Error) {
	c.mu.Lock()
	if c.closing.Load() {
		c.mu.Unlock()
		return
	}
	c.closing.Store(true)
	c.cause = e
	c.last = c.disconnect(e)
	c.mu.Unlock()
	c.wake()
	c.t.Close(e.Code)
}

func (c *Client) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// wake asks the owner to call Flush, once until it does.
func (c *Client) wake() {
	if !c.woken.Load() && !c.woken.Swap(true) {
		c.t.Wake()
	}
}

// wakeAfter is wake during the Feed of a client, nil: none.
func (c *Client) wakeAfter(feeder *Client) {
	if c.woken.Load() || c.woken.Swap(true) {
		return
	}
	if feeder == nil || feeder.deferrer == nil || !feeder.deferrer.Defer(c.t) {
		c.t.Wake()
	}
}

// armKeepAlive sets the timer to one and a half intervals after the last input
// [MQTT-3.1.2-22]; with an interval of 0 there is no timer.
func (c *Client) armKeepAlive() {
	if c.keepAlive == 0 {
		c.b.timers.stop(&c.timer)
		return
	}
	c.b.timers.set(&c.timer, c, c.silentAt())
}

func (c *Client) silentAt() int64 { return c.seen.Load() + c.keepAlive + c.keepAlive/2 }

// onTimer ends a connection whose CONNECT is late, or that has been silent for too
// long. Input does not move the timer; it is set again here.
func (c *Client) onTimer(now int64) {
	c.mu.Lock()
	accepted := c.accepted
	c.mu.Unlock()
	switch {
	case c.closing.Load():
	case !accepted:
		c.kick(packet.UnspecifiedError, "no CONNECT within "+c.b.cfg.ConnectTimeout.String())
	case c.keepAlive == 0:
	case now >= c.silentAt():
		c.kick(packet.KeepAliveTimeout, "silent for "+time.Duration(now-c.seen.Load()).Round(time.Second).String())
	default:
		c.armKeepAlive()
	}
}

// Closed tells that the network connection is gone, for the reason err (nil: the peer
// closed it, or the broker asked for it). The will becomes due, the session is kept
// or ends. Owner only, once, after the last Feed; a Flush that is running, or comes
// later, does nothing harmful.
func (c *Client) Closed(err error) {
	c.over(&Error{Code: packet.UnspecifiedError, Reason: "network connection lost"}, nil)
	c.live.Store(nil)
	b := c.b
	b.timers.stop(&c.timer)
	if c.meter != nil {
		b.timers.stop(&c.meter.timer)
	}
	b.addresses.leave(c.from, b.now())
	_ = b.Protect("end of a client", func() error { b.detach(c, departure{keepWill: true}); return nil })
	c.control.decoder, c.control.aliases = packet.Decoder{}, nil
	b.count.connections.Add(-1)
	b.count.streams.Add(-int64(c.streams.Load()))
	if c.accepted {
		b.count.clients.Add(-1)
		b.count.disconnects[c.cause.Code].Add(1)
		b.cfg.Logger.LogAttrs(b.ctx, slog.LevelDebug, "client gone", slog.String("client", c.info.ID),
			slog.String("code", c.cause.Code.String()), slog.Any("error", err))
		b.callDisconnect(&DisconnectEvent{Client: c.info, Code: c.cause.Code, Err: err})
	}
	b.remove(c)
}

// connInfo describes the network connection, for logs also before CONNECT. Owner only.
func (c *Client) connInfo() *ConnInfo {
	if c.conn == nil {
		info := c.t.Info()
		c.conn = &info
	}
	return c.conn
}

// Info describes the client; nil until its CONNECT has been accepted. It is set
// during Feed; owner only.
func (c *Client) Info() *ClientInfo {
	if c.session == nil {
		return nil
	}
	return c.info
}
