package broker

import (
	"bytes"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Early looks at what a client sends before its handshake is complete (TLS 1.3 early
// data, 0-RTT). That may be a copy, sent by somebody else: so nothing is done, nothing is
// counted and no session is touched. Early says what the answer to a CONNECT will be, and
// no more; the real Client gets the same bytes again once the handshake is complete.
//
// The Connect and Authorize handlers are asked, once for each copy. Owner only.
type Early struct {
	c       *Client // never registered: it has no session, no timer and no place in the counts
	done    bool
	connack []byte // nil: none was given
	order   uint64 // its place among all CONNECTs
}

// NewEarly makes the Early of a connection that has just been opened.
func (b *Broker) NewEarly(t Transport) *Early {
	e := &Early{c: &Client{b: b, t: t, maxPacket: packet.MaxPacketSize}}
	e.c.control.c = e.c
	e.c.control.decoder.Init(uint32(b.cfg.MaxConnectSize))
	return e
}

// Feed takes the next bytes of the connection and gives the CONNACK to send when it can be
// said already: once, and only one that lets the client in. Everything else, and a CONNECT
// that begins an authentication or leaves its client identifier to the server, is answered
// when the handshake is complete. chunk is not kept.
func (e *Early) Feed(chunk []byte) (connack []byte) {
	if e.done {
		return nil
	}
	e.c.control.decoder.Feed(chunk)
	p, err := e.c.control.decoder.Next()
	if p == nil && err == nil {
		return nil
	}
	e.done = true
	if c, ok := p.(*packet.Connect); ok && err == nil {
		e.connack = e.foretell(c)
	}
	e.c.control.decoder = packet.Decoder{}
	return e.connack
}

// foretell is the CONNACK that p will get, nil when it is not a good one, or not certain.
func (e *Early) foretell(p *packet.Connect) (connack []byte) {
	b := e.c.b
	_, authenticates := p.Properties.Bytes(packet.AuthenticationMethod)
	if authenticates || p.ClientID == "" || len(b.cfg.Faults) > 0 {
		return nil
	}
	_ = b.Protect("early connect", func() error {
		connack = e.simulate(p)
		return nil
	})
	return connack
}

// simulate does what onConnect does, as far as it changes nothing.
func (e *Early) simulate(p *packet.Connect) []byte {
	c := e.c
	c.negotiate(p)
	if c.checkConnect(p) != nil {
		return nil
	}
	c.info = c.describe(p)
	if c.nameByCertificate() != nil || c.authenticate(p) != nil || c.mayWill(p.Will) != nil {
		return nil
	}
	bare := *p
	bare.Will = nil
	ack := &packet.Connack{Properties: c.connackProperties(p, c.attachment(&bare))}
	ack.SessionPresent, e.order = c.b.keeps(p)
	if !c.shorten(ack) {
		return nil
	}
	return ack.AppendTo(nil, c.version)
}

// keeps reports whether p would find its session, and gives p its place among all CONNECTs.
func (b *Broker) keeps(p *packet.Connect) (present bool, order uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connects++
	s := b.cfg.Sessions.Lookup(p.ClientID)
	if s == nil || p.CleanStart {
		return false, b.connects
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ended && s.expiry != 0, b.connects
}

// place is that of the CONNECT of c among all. b.mu is held.
func (b *Broker) place(c *Client) uint64 {
	if c.early != nil {
		return c.early.order
	}
	b.connects++
	return b.connects
}

// Answered tells that the client has got the CONNACK of e, if there was one: c sends none,
// and does not ask the Connect handler again. Should the answer be another one by now, or should
// another connection have got the session meanwhile, the connection ends. Before the first Feed.
func (c *Client) Answered(e *Early) {
	if e.connack == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.early = e
}

// confirm is queueing ack for a client that has got its CONNACK already.
func (e *Early) confirm(ack *packet.Connack, v packet.Version) error {
	if bytes.Equal(ack.AppendTo(nil, v), e.connack) {
		return nil
	}
	return &Error{Code: packet.UnspecifiedError, Reason: "the session has changed during the handshake: connect again"}
}
