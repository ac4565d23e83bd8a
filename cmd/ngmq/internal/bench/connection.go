package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// stampSize is a time stamp at the beginning of a payload: a mark, the number of the
// topic in a byte, and nanoseconds.
const stampSize = 16

// stampMark tells time stamps from other payloads; its last byte is the topic's.
const stampMark = 0x6e676d7162656e00 // "ngmqben"

// putStamp writes a time and a topic into a payload that has room for it.
func putStamp(payload []byte, t time.Time, topic int) {
	if len(payload) >= stampSize {
		binary.BigEndian.PutUint64(payload, stampMark|uint64(topic))
		binary.BigEndian.PutUint64(payload[8:], uint64(t.UnixNano()))
	}
}

// stamp reads it.
func stamp(payload []byte) (t time.Time, topic int, ok bool) {
	if len(payload) < stampSize {
		return time.Time{}, 0, false
	}
	mark := binary.BigEndian.Uint64(payload)
	return time.Unix(0, int64(binary.BigEndian.Uint64(payload[8:]))), int(mark & 0xff), mark&^0xff == stampMark
}

// connection is one network connection of a client. Callbacks of its link do the work; the
// goroutine that sets it up waits for answers.
type connection struct {
	run    *Run
	client *benchClient
	link   link
	ended  chan struct{} // closed by onClosed

	decoders []*packet.Decoder // by stream; callbacks only
	broken   bool              // the server has sent what is no MQTT; callbacks only

	mu     sync.Mutex
	answer chan error // the next CONNACK or SUBACK; nil: nobody waits
	up     bool
	gone   bool
	flight *flight // publishers with QoS above 0
}

// flight are the packet identifiers 1 to n of a publisher, and when each was used.
type flight struct {
	free chan uint16
	sent []time.Time // under connection.mu; zero: not in use
}

func newFlight(n int) *flight {
	f := &flight{free: make(chan uint16, n), sent: make([]time.Time, n+1)}
	for id := 1; id <= n; id++ {
		f.free <- uint16(id)
	}
	return f
}

// setup connects and subscribes.
func (c *connection) setup(ctx context.Context) error {
	cfg := &c.run.cfg
	if cfg.QoS > 0 && (cfg.Kind == Pub || cfg.Kind == RoundTrip) {
		c.flight = newFlight(cfg.MaxInflight)
	}
	began := time.Now()
	var err error
	if c.link, err = c.run.dialer.dial(ctx, c); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.run.handshakes.Record(time.Since(began))
	connect := cfg.Server.Connect(cfg.Version, c.client.id, cfg.Username, cfg.Password)
	connect.KeepAlive = uint16(max(cfg.KeepAlive, 0) / time.Second)
	if cfg.Datagrams && cfg.Version == packet.V50 {
		connect.Properties = packet.AppendUserProperty(connect.Properties, datagramProperty, datagramQoS0)
	}
	if err := c.ask(ctx, 0, connect); err != nil {
		c.link.end()
		return fmt.Errorf("connect: %w", err)
	}
	c.run.connects.Record(time.Since(began))
	if cfg.Kind == Sub || cfg.Kind == RoundTrip {
		if err := c.subscribe(ctx); err != nil {
			c.link.end()
			return fmt.Errorf("subscribe: %w", err)
		}
	}
	return nil
}

// ask sends a packet and waits for the answer.
func (c *connection) ask(ctx context.Context, stream int, p packet.Packet) error {
	answer := make(chan error, 1)
	c.mu.Lock()
	gone := c.gone
	c.answer = answer
	c.mu.Unlock()
	if gone {
		return errEnded
	}
	c.link.send(stream, p.AppendTo(nil, c.run.cfg.Version))
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// answered hands the outcome to whoever asks.
func (c *connection) answered(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answer != nil {
		c.answer <- err
		c.answer = nil
	}
}

// subscribe sends a SUBSCRIBE on every stream that the publishers use.
func (c *connection) subscribe(ctx context.Context) error {
	cfg := &c.run.cfg
	for i := range cfg.Topics {
		p := &packet.Subscribe{PacketID: uint16(1 + i), Subscriptions: []packet.Subscription{{Filter: c.client.topic(i), QoS: cfg.QoS}}}
		if err := c.ask(ctx, cfg.stream(i), p); err != nil {
			return err
		}
	}
	return nil
}

// stream is the QUIC stream of the i-th topic: the control stream alone, or data streams.
func (cfg *Config) stream(i int) int {
	if cfg.Streams == 1 {
		return 0
	}
	return 1 + i%cfg.Streams
}

// onData takes what the server sends.
func (c *connection) onData(stream int, p []byte) {
	for len(c.decoders) <= stream {
		c.decoders = append(c.decoders, nil)
	}
	d := c.decoders[stream]
	if d == nil {
		d = packet.NewDecoder(0)
		d.SetVersion(c.run.cfg.Version)
		c.decoders[stream] = d
	}
	if c.broken {
		return
	}
	d.Feed(p)
	for {
		p, err := d.Next()
		if err != nil {
			c.broken = true
			c.answered(err)
			c.run.errors.add(err)
			c.link.end()
			return
		}
		if p == nil {
			return
		}
		c.handle(stream, p)
	}
}

func (c *connection) handle(stream int, p packet.Packet) {
	switch p := p.(type) {
	case *packet.Publish:
		c.received(stream, p)
	case *packet.Puback:
		c.acked(p.PacketID, packet.PUBACK, p.ReasonCode)
	case *packet.Pubrec:
		if p.ReasonCode.IsError() {
			c.acked(p.PacketID, packet.PUBREC, p.ReasonCode)
			return
		}
		c.reply(stream, &packet.Pubrel{PacketID: p.PacketID})
	case *packet.Pubcomp:
		c.acked(p.PacketID, packet.PUBCOMP, p.ReasonCode)
	case *packet.Pubrel:
		c.reply(stream, &packet.Pubcomp{PacketID: p.PacketID})
	case *packet.Connack:
		c.answered(refusal(packet.CONNACK, p.ReasonCode, p.Properties))
	case *packet.Suback:
		c.answered(refusal(packet.SUBACK, p.ReasonCodes[0], p.Properties))
	case *packet.Disconnect:
		err := refusal(packet.DISCONNECT, max(p.ReasonCode, packet.UnspecifiedError), p.Properties)
		c.answered(err)
		c.run.errors.add(err)
	}
}

func refusal(t packet.Type, code packet.ReasonCode, props packet.Properties) error {
	if !code.IsError() {
		return nil
	}
	return &client.ReasonError{Packet: t, Code: code, Properties: props}
}

func (c *connection) reply(stream int, p packet.Packet) {
	var buf [8]byte
	c.link.send(stream, p.AppendTo(buf[:0], c.run.cfg.Version))
}

// received counts a message and acknowledges it.
func (c *connection) received(stream int, p *packet.Publish) {
	r := c.run
	all := r.total.received.Add(1)
	sent, topic, stamped := stamp(p.Payload)
	if r.measuring.Load() {
		r.counted.received.Add(1)
		if stamped {
			r.latency.Record(time.Since(sent))
		}
	}
	switch p.QoS {
	case 1:
		c.reply(stream, &packet.Puback{PacketID: p.PacketID})
	case 2:
		c.reply(stream, &packet.Pubrec{PacketID: p.PacketID})
	}
	if stamped {
		c.client.returned(topic)
	}
	if r.cfg.Kind == Sub && all == r.cfg.Messages {
		r.finish()
	}
}

// acked ends a message of QoS 1 or 2.
func (c *connection) acked(id uint16, t packet.Type, code packet.ReasonCode) {
	c.mu.Lock()
	f := c.flight
	if f == nil || int(id) >= len(f.sent) || f.sent[id].IsZero() {
		c.mu.Unlock()
		c.run.errors.add(fmt.Errorf("%s with packet identifier %d, which is not in use", t, id))
		return
	}
	sent := f.sent[id]
	f.sent[id] = time.Time{}
	c.mu.Unlock()
	f.free <- id
	if err := refusal(t, code, nil); err != nil {
		c.run.errors.add(err)
		return
	}
	c.run.total.acked.Add(1)
	if c.run.measuring.Load() {
		c.run.counted.acked.Add(1)
		c.run.acks.Record(time.Since(sent))
	}
}

// onClosed is the end of the connection.
func (c *connection) onClosed(err error) {
	c.mu.Lock()
	wasUp := c.up
	c.up, c.gone = false, true
	c.mu.Unlock()
	close(c.ended)
	if err == nil {
		err = errEnded
	}
	c.answered(err)
	if wasUp {
		c.client.lost(c, err)
	}
}

// setUp notes that the connection is there; it reports whether it still is.
func (c *connection) setUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	c.up = true
	c.client.has(c)
	return true
}

// datagramProperty and datagramQoS0 are the User Property of CONNECT that asks ngmqd for
// messages of QoS 0 in datagrams (server.DatagramProperty).
const (
	datagramProperty = "ngmq-datagrams"
	datagramQoS0     = "qos0"
)

// onDatagram takes a message that came in a datagram.
func (c *connection) onDatagram(p []byte) {
	var d packet.Decoder
	d.Init(0)
	d.SetVersion(c.run.cfg.Version)
	d.Feed(p)
	got, err := d.Next()
	if m, ok := got.(*packet.Publish); err == nil && ok {
		c.run.datagrams.received.Add(1)
		c.received(0, m)
	}
}

// onDatagramLost counts.
func (c *connection) onDatagramLost() { c.run.datagrams.lost.Add(1) }
