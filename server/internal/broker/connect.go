package broker

import (
	"crypto/rand"
	"errors"
	"hash/maphash"
	"log/slog"
	"math"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// onConnect lets the client in or refuses it (MQTT 5.0 section 3.1.4).
func (c *Client) onConnect(p *packet.Connect) error {
	c.negotiate(p)
	if answer := c.faultyAnswer(); answer != nil {
		return c.over(&Error{Code: packet.ImplementationSpecificError, Reason: "fault injected"}, answer)
	}
	err := c.checkConnect(p)
	if err == nil {
		err = c.b.admitConnect(c.from)
	}
	if err != nil {
		return c.refuse(err)
	}
	c.info = c.identify(p)
	if err := c.nameByCertificate(); err != nil {
		return c.refuse(err)
	}
	if method, ok := p.Properties.Bytes(packet.AuthenticationMethod); ok {
		by := c.b.authenticator(method)
		if by == nil { // [MQTT-4.12.0-1]
			return c.refuse(&Error{Code: packet.BadAuthenticationMethod, Reason: "no such Authentication Method here"})
		}
		return c.beginAuth(p, by)
	}
	return c.admit(p)
}

// admit lets a client in that is who it says, as far as that has been asked, if the
// handlers and limits do.
func (c *Client) admit(p *packet.Connect) error {
	if err := c.authenticate(p); err != nil {
		return c.refuse(err)
	}
	if err := c.mayWill(p.Will); err != nil {
		return c.refuse(err)
	}
	a := c.attachment(p)
	ack := &packet.Connack{Properties: c.connackProperties(p, a)}
	if !c.shorten(ack) {
		a.will.discard()
		return &Error{Code: packet.PacketTooLarge, Reason: "CONNACK is larger than the client's Maximum Packet Size"}
	}
	present, err := c.b.attach(c, a)
	if err != nil {
		a.will.discard()
		return c.refuse(err)
	}
	ack.SessionPresent = present
	return c.accept(ack)
}

// negotiate reads what the client says about itself.
func (c *Client) negotiate(p *packet.Connect) {
	c.version = p.Version
	c.control.decoder.SetVersion(p.Version)
	if n, ok := p.Properties.Uint(packet.MaximumPacketSize); ok {
		c.maxPacket = int(min(n, packet.MaxPacketSize))
	}
	if n, ok := p.Properties.Uint(packet.TopicAliasMaximum); ok && n > 0 && c.b.cfg.OutgoingTopicAliasMaximum > 0 { // [MQTT-3.1.2-26]
		n := min(int(n), c.b.cfg.OutgoingTopicAliasMaximum)
		c.outAliases = &outAliases{seed: maphash.MakeSeed(), slots: make([]outAlias, n)}
	}
	if n, ok := p.Properties.Uint(packet.RequestProblemInformation); ok && n == 0 {
		c.terse = true
	}
	c.getsDatagrams = c.wantsDatagrams(p)
}

// checkConnect refuses what needs no look at the client's identity.
func (c *Client) checkConnect(p *packet.Connect) error {
	b := c.b
	switch {
	case b.closing.Load():
		return &Error{Code: packet.ServerUnavailable, Reason: "server is shutting down"}
	case b.count.connections.Load() > int64(b.cfg.MaxClients):
		return &Error{Code: packet.ServerBusy, Reason: "too many connections"}
	case c.excess:
		return &Error{Code: packet.QuotaExceeded, Reason: "too many connections from this address"}
	case len(p.ClientID) > b.cfg.MaxClientIDLength:
		return &Error{Code: packet.ClientIdentifierNotValid, Reason: "client identifier is too long"}
	case p.Will != nil && (len(p.Will.Topic) > b.cfg.MaxTopicLength || topic.Levels(p.Will.Topic) > b.cfg.MaxTopicLevels):
		return &Error{Code: packet.TopicNameInvalid, Reason: "will topic is too long or has too many levels"}
	case p.Will != nil && !b.wellFormed(p.Will.Properties, p.Will.Payload):
		return &Error{Code: packet.PayloadFormatInvalid, Reason: "will payload is not UTF-8, as its Payload Format Indicator says"}
	case p.Will != nil && b.reserved([]byte(p.Will.Topic)):
		return &Error{Code: packet.NotAuthorized, Reason: "will topic is the server's own"}
	}
	return nil
}

// identify is describe, or what the handlers have been told about an early CONNECT.
func (c *Client) identify(p *packet.Connect) *ClientInfo {
	if c.early == nil {
		return c.describe(p)
	}
	info := c.early.c.info
	c.conn = &info.Conn
	return info
}

func (c *Client) describe(p *packet.Connect) *ClientInfo {
	info := &ClientInfo{
		ID: p.ClientID, Version: p.Version, KeepAlive: c.b.grantKeepAlive(p),
		CleanStart: p.CleanStart, Conn: c.t.Info(), Connected: c.b.cfg.Now(),
	}
	c.conn = &info.Conn
	if info.ID == "" { // [MQTT-3.1.3-6]
		info.ID = assignedPrefix + rand.Text()
	}
	if p.Username != nil {
		info.Username = *p.Username
	}
	return info
}

// assignedPrefix begins the client identifiers that the broker makes up; 128 random
// bits follow.
const assignedPrefix = "ngmq-"

// grantKeepAlive is the interval that the broker will enforce, in seconds.
func (b *Broker) grantKeepAlive(p *packet.Connect) uint16 {
	most := b.cfg.MaxKeepAlive
	if most == 0 || p.Version != packet.V50 || p.KeepAlive > 0 && p.KeepAlive <= most {
		return p.KeepAlive
	}
	return most
}

// authenticate asks the handler, or the policy about anonymous clients.
func (c *Client) authenticate(p *packet.Connect) error {
	b := c.b
	if c.early != nil { // it has been asked
		c.answer = c.early.c.answer
		return nil
	}
	if b.cfg.Handlers.Connect == nil {
		if !b.cfg.AllowAnonymous && c.auth == nil && !c.info.Conn.certified() {
			return &Error{Code: packet.NotAuthorized, Reason: "no authentication is configured and anonymous clients are not allowed"}
		}
		return nil
	}
	ev := &ConnectEvent{Client: c.info, HasUsername: p.Username != nil, Password: p.Password, Properties: p.Properties}
	if c.auth != nil {
		ev.AuthMethod, ev.HasUsername = c.auth.method, true
	}
	if w := p.Will; w != nil {
		ev.Will = &Publication{Topic: w.Topic, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain, Properties: w.Properties}
	}
	err := b.Protect("connect handler", func() error { return b.cfg.Handlers.Connect(ev) })
	c.answer = ev.Answer
	return err
}

func (c *Client) attachment(p *packet.Connect) *attachment {
	a := &attachment{clean: p.CleanStart, expiry: c.b.grantExpiry(requestedExpiry(p)), quota: c.b.cfg.MaxInflight}
	if n, ok := p.Properties.Uint(packet.ReceiveMaximum); ok {
		a.quota = min(a.quota, int(n))
	}
	if p.Will != nil {
		a.will = newWill(c.info, p.Will)
		a.will.capDelay(c.b.cfg.MaxWillDelay)
	}
	return a
}

// requestedExpiry is the Session Expiry Interval in seconds. In 3.x a session is for
// this connection or for ever [MQTT-3.1.2-4, 3.1.1] [MQTT-3.1.2-6, 3.1.1].
func requestedExpiry(p *packet.Connect) uint32 {
	if p.Version != packet.V50 {
		if p.CleanStart {
			return 0
		}
		return math.MaxUint32
	}
	n, _ := p.Properties.Uint(packet.SessionExpiryInterval)
	return n
}

func (b *Broker) grantExpiry(seconds uint32) uint32 {
	if most := b.cfg.MaxSessionExpiry; most > 0 {
		return min(seconds, uint32(min(most/time.Second, math.MaxUint32)))
	}
	return seconds
}

// accept answers with CONNACK 0 [MQTT-3.1.4-5] and starts the keep alive timer. Only
// then the session may send: CONNACK is the first packet [MQTT-3.2.0-1].
func (c *Client) accept(ack *packet.Connack) error {
	c.control.decoder.SetMaxPacketSize(uint32(c.b.cfg.MaxPacketSize)) // not for strangers
	c.keepAlive = int64(c.info.KeepAlive) * int64(time.Second)
	c.mu.Lock()
	if c.closing.Load() { // taken over already
		c.mu.Unlock()
		return errTakenOver
	}
	c.accepted = true
	err := c.queueConnack(ack)
	c.mu.Unlock()
	c.live.Store(c.session)
	c.dirty = true
	c.armKeepAlive()
	c.b.count.clients.Add(1)
	c.b.count.clientsTotal.Add(1)
	if ack.SessionPresent {
		c.b.count.resumed.Add(1)
	}
	if c.b.cfg.Logger.Enabled(c.b.ctx, slog.LevelDebug) {
		c.b.cfg.Logger.LogAttrs(c.b.ctx, slog.LevelDebug, "client connected", append([]slog.Attr{slog.String("client", c.info.ID),
			slog.String("version", c.version.String()), slog.Bool("session_present", ack.SessionPresent)}, c.info.Conn.attrs()...)...)
	}
	c.b.callConnected(ConnectedEvent{c.info, ack.SessionPresent})
	return err
}

// queueConnack has ack sent, unless the client has got it. c.mu is held.
func (c *Client) queueConnack(ack *packet.Connack) error {
	if c.early != nil {
		return c.early.confirm(ack, c.version)
	}
	if len(c.b.cfg.Faults) == 0 {
		c.control.answers = ack.AppendTo(c.control.answers, c.version)
	} else {
		c.control.answers = c.faultyConnack(c.control.answers, ack)
	}
	c.control.answered++
	return nil
}

// connackProperties tells what the broker can do and what it grants.
func (c *Client) connackProperties(p *packet.Connect, a *attachment) (props packet.Properties) {
	if p.Version != packet.V50 {
		return nil
	}
	cfg := &c.b.cfg
	if a.expiry != requestedExpiry(p) {
		props = packet.AppendUint32(props, packet.SessionExpiryInterval, a.expiry)
	}
	if cfg.ReceiveMaximum < math.MaxUint16 {
		props = packet.AppendUint16(props, packet.ReceiveMaximum, cfg.ReceiveMaximum)
	}
	if cfg.MaxPacketSize < packet.MaxPacketSize {
		props = packet.AppendUint32(props, packet.MaximumPacketSize, uint32(cfg.MaxPacketSize))
	}
	if p.ClientID == "" { // [MQTT-3.2.2-16]
		props = packet.AppendString(props, packet.AssignedClientIdentifier, c.info.ID)
	}
	if cfg.TopicAliasMaximum > 0 {
		props = packet.AppendUint16(props, packet.TopicAliasMaximum, uint16(cfg.TopicAliasMaximum))
	}
	if c.info.KeepAlive != p.KeepAlive {
		props = packet.AppendUint16(props, packet.ServerKeepAlive, c.info.KeepAlive)
	}
	if n, ok := p.Properties.Uint(packet.RequestResponseInformation); ok && n == 1 { // [MQTT-3.1.2-28]
		if info := c.b.responseInformation(c.info.ID); info != "" {
			props = packet.AppendString(props, packet.ResponseInformation, info)
		}
	}
	if c.auth != nil {
		props = append(props, c.auth.properties(c.auth.data)...)
		c.auth.data = nil
	}
	for key, value := range c.answer.UserProperties() {
		props = packet.AppendUserProperty(props, string(key), string(value))
	}
	return props
}

// refusal is what a packet of type t tells about cause.
func refusal(cause error, t packet.Type) *Error {
	e := &Error{Code: answerCode(cause, t)}
	var known *Error
	if errors.As(cause, &known) {
		e.Reason, e.Properties = known.Reason, known.Properties
	}
	return e
}

// refuse answers a CONNECT with a failure; the connection ends [MQTT-3.2.2-7].
func (c *Client) refuse(cause error) error {
	answer := packet.CONNACK
	if c.early != nil { // it has got one
		answer = packet.DISCONNECT
	}
	e := refusal(cause, answer)
	c.b.count.refused[e.Code].Add(1)
	c.b.logRefused(c, e, cause)
	if c.early != nil {
		return c.over(e, c.disconnect(e))
	}
	if _, ok := e.Code.ReturnCode(); !ok && c.version != packet.V50 {
		return c.over(e, nil)
	}
	return c.over(e, c.fitting(&packet.Connack{ReasonCode: e.Code, Properties: e.properties(packet.CONNACK)}))
}
