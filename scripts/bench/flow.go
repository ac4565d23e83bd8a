package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/scripts/internal/generator"
)

const (
	payloadSize = 64       // bytes
	writeAhead  = 64 << 10 // bytes that a publisher has outstanding at most
	topicName   = "bench/flow"
)

// flow is one publisher and its subscribers. Every message carries its number, which
// each subscriber expects to follow the one before. The publisher keeps at most window
// messages on their way, so that nothing has to be dropped: it fills the window whenever
// there is room, or, in bursts, when all have arrived.
type flow struct {
	qos    byte
	bursts bool
	pub    *publisher
	subs   []*subscriber

	window    atomic.Uint64 // messages on their way
	limit     atomic.Uint64 // messages to send in all
	delivered atomic.Uint64 // by all subscribers
	failed    chan error    // the first fault
	once      sync.Once
	finished  chan uint64 // how many messages were sent, when all of them have arrived
}

// publisher is the sending end; its fields belong to its client's worker.
type publisher struct {
	*flow
	c           *client
	sent, acked uint64
	allowed     uint64 // messages that the window has let through in all
	message     packet.Publish
	payload     [payloadSize]byte
	buf         []byte
}

// subscriber is a receiving end; its fields belong to its client's worker.
type subscriber struct {
	*flow
	c    *client
	next uint64 // number expected
	seen uint64 // not yet added to delivered
	acks []byte
}

// newFlow subscribes all clients but the first, which is going to publish.
func newFlow(ctx context.Context, clients []*client, qos byte, bursts bool) (*flow, error) {
	f := &flow{qos: qos, bursts: bursts, failed: make(chan error, 1), finished: make(chan uint64, 1)}
	f.pub = &publisher{flow: f, c: clients[0], message: packet.Publish{QoS: qos, Topic: []byte(topicName)}}
	f.pub.message.Payload = f.pub.payload[:]
	f.subs = make([]*subscriber, len(clients)-1)
	return f, errors.Join(
		generator.Each(len(f.subs), atOnce, func(i int) error {
			s := &subscriber{flow: f, c: clients[i+1]}
			f.subs[i] = s
			return errors.Join(attach(ctx, s.c, s), s.c.subscribe(ctx, topicName, qos))
		}),
		attach(ctx, f.pub.c, f.pub))
}

// attach gives c its traffic and waits until its worker knows it.
func attach(ctx context.Context, c *client, t traffic) error {
	known := make(chan struct{})
	c.conn.Post(func() {
		c.traffic = t
		close(known)
	})
	select {
	case <-known:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *flow) fail(format string, args ...any) {
	f.once.Do(func() { f.failed <- fmt.Errorf(format, args...) })
}

// send publishes n more messages and waits until all have arrived; with a duration it
// stops earlier, when that has passed. It tells how many there were.
func (f *flow) send(ctx context.Context, window, n uint64, d time.Duration) (uint64, error) {
	before := f.limit.Load()
	f.window.Store(window)
	f.limit.Store(before + n)
	f.pub.c.conn.Wake()
	var end <-chan time.Time
	if d > 0 {
		end = time.After(d)
	}
	for {
		select {
		case <-end:
			f.stop()
		case sent := <-f.finished:
			if sent == f.limit.Load() { // else it is about an earlier call
				return sent - before, nil
			}
		case err := <-f.failed:
			return 0, err
		case <-ctx.Done():
			all := f.limit.Load() * uint64(len(f.subs))
			return 0, fmt.Errorf("%d of %d deliveries are missing: %w", all-f.delivered.Load(), all, ctx.Err())
		}
	}
}

// packets counts what all connections of the flow have received and sent, which on
// loopback is what the server has sent and received.
func (f *flow) packets(ctx context.Context) (received, sent uint64, err error) {
	clients := []*client{f.pub.c}
	for _, s := range f.subs {
		clients = append(clients, s.c)
	}
	infos := make(chan ngtcp2.ConnInfo, len(clients))
	for _, c := range clients {
		c.conn.Post(func() { infos <- c.conn.Info() })
	}
	for range clients {
		select {
		case i := <-infos:
			received, sent = received+i.PktRecv, sent+i.PktSent
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
	return received, sent, nil
}

// stop makes what has been sent all there is.
func (f *flow) stop() {
	f.pub.c.conn.Post(func() {
		f.limit.Store(f.pub.sent)
		f.pub.check()
	})
}

// flush writes as many messages as the window and the stream allow.
func (p *publisher) flush() {
	p.open()
	limit, before := min(p.limit.Load(), p.allowed), p.sent
	room := writeAhead - p.c.control.Buffered()
	p.buf = p.buf[:0]
	for p.sent < limit && len(p.buf) < room {
		binary.BigEndian.PutUint64(p.payload[:], p.sent)
		if p.qos > 0 {
			p.message.PacketID = packetID(p.sent)
		}
		p.buf = p.message.AppendTo(p.buf, version)
		p.sent++
	}
	if len(p.buf) > 0 {
		p.c.control.Write(p.buf)
	}
	if p.sent == before {
		p.check()
	}
}

// open lets more messages through when the window has room.
func (p *publisher) open() {
	window, arrived := p.window.Load(), p.delivered.Load()/uint64(len(p.subs))
	if p.qos > 0 {
		arrived = min(arrived, p.acked)
	}
	if !p.bursts || arrived == p.sent {
		p.allowed = arrived + window
	}
}

// check tells send when everything has arrived.
func (p *publisher) check() {
	done := p.sent == p.limit.Load() && p.delivered.Load() == p.sent*uint64(len(p.subs))
	if p.qos > 0 {
		done = done && p.acked == p.sent
	}
	if done && p.sent > 0 {
		select {
		case <-p.finished: // of an earlier call
		default:
		}
		p.finished <- p.sent
	}
}

// packetID of message n: never 0, and not used again within a window.
func packetID(n uint64) uint16 { return uint16(n%65535) + 1 }

// acknowledged expects PUBACKs in the order of the messages [MQTT-4.6.0-2].
func (p *publisher) acknowledged(a packet.Packet) {
	ack := a.(*packet.Puback)
	if ack.PacketID != packetID(p.acked) || ack.ReasonCode.IsError() {
		p.fail("message %d: PUBACK %+v", p.acked, *ack)
	}
	p.acked++
}

func (p *publisher) received(*packet.Publish) { p.fail("the publisher got a message") }

func (p *publisher) drained() {}

func (s *subscriber) received(m *packet.Publish) {
	if len(m.Payload) != payloadSize || m.QoS != s.qos || binary.BigEndian.Uint64(m.Payload) != s.next {
		s.fail("%s: message %d was expected, not %d bytes of QoS %d: % x", s.c.id, s.next, len(m.Payload), m.QoS, m.Payload[:min(8, len(m.Payload))])
		return
	}
	if s.qos > 0 {
		s.acks = (&packet.Puback{PacketID: m.PacketID}).AppendTo(s.acks, version)
	}
	s.next++
	s.seen++
}

// drained acknowledges, and wakes the publisher when a message has arrived everywhere.
func (s *subscriber) drained() {
	if len(s.acks) > 0 {
		s.c.control.Write(s.acks)
		s.acks = s.acks[:0]
	}
	if s.seen == 0 {
		return
	}
	subs := uint64(len(s.subs))
	after := s.delivered.Add(s.seen)
	if after/subs != (after-s.seen)/subs {
		s.pub.c.conn.Wake()
	}
	s.seen = 0
}

func (s *subscriber) acknowledged(p packet.Packet) { s.fail("the subscriber got %+v", p) }

func (s *subscriber) flush() {}
