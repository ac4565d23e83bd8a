package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// connect is the CONNECT that the options ask for (MQTT 5.0 section 3.1).
func (o *Options) connect(srv server) *packet.Connect {
	p := &packet.Connect{
		Version:    o.version(),
		CleanStart: !o.ResumeSession,
		KeepAlive:  seconds(o.KeepAlive),
		ClientID:   o.ClientID,
		Will:       o.Will,
		Password:   o.Password,
	}
	username := o.Username
	if srv.username != "" {
		username = srv.username
	}
	if srv.password != nil {
		p.Password = srv.password
	}
	if username != "" || p.Password != nil && p.Version != packet.V50 {
		p.Username = &username
	}
	if p.Version == packet.V31 && p.ClientID == "" {
		p.ClientID = randomIDPrefix // only for Validate: withDefaults chooses one
	}
	if p.Version == packet.V50 {
		p.Properties = o.askForDatagrams(o.connectProperties(), srv)
	}
	return p
}

func (o *Options) connectProperties() packet.Properties {
	var p packet.Properties
	if o.SessionExpiry > 0 {
		p = packet.AppendUint32(p, packet.SessionExpiryInterval, o.SessionExpiry)
	}
	if o.ReceiveMaximum > 0 {
		p = packet.AppendUint16(p, packet.ReceiveMaximum, o.ReceiveMaximum)
	}
	if o.MaxPacketSize > 0 {
		p = packet.AppendUint32(p, packet.MaximumPacketSize, o.MaxPacketSize)
	}
	if o.TopicAliasMaximum > 0 {
		p = packet.AppendUint16(p, packet.TopicAliasMaximum, o.TopicAliasMaximum)
	}
	return append(p, o.Properties...)
}

// seconds rounds up; negative is 0, off.
func seconds(d time.Duration) uint16 {
	if d <= 0 {
		return 0
	}
	return uint16(min((d+time.Second-1)/time.Second, maxKeepAlive/time.Second))
}

// handshake sends CONNECT and waits for CONNACK. nc is closed by the caller when
// it fails.
func (l *link) handshake(ctx context.Context, connect *packet.Connect) (*packet.Connack, error) {
	stop := context.AfterFunc(ctx, func() { l.nc.SetDeadline(time.Unix(1, 0)) })
	ack, err := l.exchangeConnect(connect)
	if !stop() {
		return nil, fmt.Errorf("no CONNACK: %w", ctx.Err())
	}
	if err != nil {
		return nil, err
	}
	if err := failure(packet.CONNACK, ack.ReasonCode, ack.Properties); err != nil {
		return nil, err
	}
	l.learn(connect, ack)
	return ack, nil
}

func (l *link) exchangeConnect(connect *packet.Connect) (*packet.Connack, error) {
	run, props, err := l.c.opts.beginAuth()
	if err != nil {
		return nil, err
	}
	connect.Properties = append(connect.Properties, props...)
	if err := l.write(connect); err != nil {
		return nil, err
	}
	for {
		p, err := l.dec.ReadPacket(l.nc, l.chunk)
		if err != nil {
			return nil, fmt.Errorf("waiting for CONNACK: %w", err)
		}
		l.c.opts.Metrics.Received(p.Type(), p.Size(l.version))
		l.c.opts.OnPacket(false, p)
		switch p := p.(type) {
		case *packet.Connack:
			if p.ReasonCode == packet.Success {
				err = run.finish(p.Properties)
			}
			return p, err
		case *packet.Disconnect:
			return nil, &ReasonError{Packet: packet.DISCONNECT, Code: p.ReasonCode, Properties: p.Properties}
		case *packet.Auth:
			reply, err := run.step(p)
			if err != nil {
				return nil, err
			}
			if err := l.write(reply); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("client: the server sent %s instead of CONNACK", p.Type())
		}
	}
}

// write sends a packet before there is a writer.
func (l *link) write(p packet.Packet) error {
	b := p.AppendTo(nil, l.version)
	l.c.opts.Metrics.Sent(p.Type(), len(b))
	l.c.opts.OnPacket(true, p)
	_, err := l.nc.Write(b)
	return err
}

// limits are what the server's CONNACK allows (MQTT 5.0 section 3.2.2.3).
type limits struct {
	inflight   uint16
	packetSize uint32
	qos        byte
	retain     bool
}

// learn takes limits and keep alive from the CONNACK.
func (l *link) learn(connect *packet.Connect, ack *packet.Connack) {
	l.keepAlive = time.Duration(connect.KeepAlive) * time.Second
	l.limits = limits{inflight: l.c.opts.MaxInflight, packetSize: packet.MaxPacketSize, qos: 2, retain: true}
	for p := range ack.Properties.All() {
		switch p.ID {
		case packet.ReceiveMaximum:
			l.limits.inflight = min(l.limits.inflight, uint16(p.Uint))
		case packet.MaximumPacketSize:
			l.limits.packetSize = p.Uint
		case packet.MaximumQoS:
			l.limits.qos = byte(p.Uint)
		case packet.RetainAvailable:
			l.limits.retain = p.Uint != 0
		case packet.ServerKeepAlive:
			l.keepAlive = time.Duration(p.Uint) * time.Second
		}
	}
	l.slots = make(chan struct{}, l.limits.inflight)
	allowed, _ := ack.Properties.Uint(packet.TopicAliasMaximum)
	l.out.aliasMax, l.out.packetSize = min(int(allowed), int(l.c.opts.TopicAliases)), int(l.limits.packetSize)
}

// check refuses what the server has excluded [MQTT-3.2.2-11] [MQTT-3.2.2-14]
// [MQTT-3.2.2-15].
func (m *limits) check(p *packet.Publish, v packet.Version) error {
	switch size := p.Size(v); {
	case p.QoS > m.qos:
		return fmt.Errorf("%w: QoS %d, its Maximum QoS is %d", ErrNotSupported, p.QoS, m.qos)
	case p.Retain && !m.retain:
		return fmt.Errorf("%w: retained messages", ErrNotSupported)
	case size > int(m.packetSize):
		return fmt.Errorf("%w: a packet of %d bytes, its Maximum Packet Size is %d", ErrNotSupported, size, m.packetSize)
	}
	return nil
}

// disconnect sends p as the last packet and closes when it has arrived.
func (l *link) disconnect(ctx context.Context, p *packet.Disconnect) error {
	if err := packet.Validate(p, l.version); err != nil {
		return err
	}
	l.stopDelivery(ctx)
	l.flushDatagrams(ctx)
	l.finishStreams(ctx)
	l.out.putNow(p)
	err := l.out.flush(ctx, l.lane)
	if err == nil {
		l.linger(ctx)
	}
	l.end(ErrClosed)
	if errors.Is(err, ErrClosed) { // the server was faster
		return nil
	}
	return err
}

// leave is disconnect for a client that goes on with another connection.
func (l *link) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	l.flushDatagrams(ctx)
	l.finishStreams(ctx)
	l.leaving.Store(true)
	l.out.putNow(&packet.Disconnect{})
	if l.out.flush(ctx, l.lane) == nil {
		l.linger(ctx)
	}
	l.end(ErrReturned)
}

// stopDelivery lets no further message through to OnMessage. It waits a moment for
// the one there, so that its acknowledgement comes before the DISCONNECT.
func (l *link) stopDelivery(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	select {
	case l.handling <- struct{}{}:
		defer func() { <-l.handling }()
	case <-ctx.Done():
	}
	l.local.Store(true)
}

// linger lets the last packet arrive: over TCP it ends the sending side and waits
// a moment for the server's end, so that no reset overtakes the packet.
func (l *link) linger(ctx context.Context) {
	switch nc := l.nc.(type) {
	case interface{ linger(context.Context) }: // quicConn
		nc.linger(ctx)
	case interface{ CloseWrite() error }:
		if nc.CloseWrite() != nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		select {
		case <-l.done:
		case <-ctx.Done():
		}
	}
}
