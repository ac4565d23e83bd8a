package client

import (
	"context"
	"slices"
	"sync"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// outbox collects encoded packets of any goroutine for the one that writes them,
// so that many small packets become one write.
type outbox struct {
	version packet.Version
	opts    *Options

	mu       sync.Mutex
	buf      []byte        // to be written
	spare    []byte        // buffer of the last write, to be reused
	writing  bool          // a write is under way
	filled   chan struct{} // capacity 1: buf has become non-empty
	progress chan struct{} // closed and replaced after each write

	aliases    map[string]uint16 // topic aliases in use (MQTT 5.0 section 3.3.2.3.4)
	aliasMax   int
	packetSize int // the server's Maximum Packet Size
}

func newOutbox(v packet.Version, opts *Options) *outbox {
	return &outbox{version: v, opts: opts, aliases: map[string]uint16{}, filled: make(chan struct{}, 1), progress: make(chan struct{})}
}

// put appends a packet. When outboxSize bytes are waiting it waits for a write,
// for ctx or for the end of the connection.
func (o *outbox) put(ctx context.Context, a *lane, p packet.Packet) error {
	o.mu.Lock()
	for len(o.buf) >= outboxSize {
		progress := o.progress
		o.mu.Unlock()
		if err := a.wait(ctx, progress); err != nil {
			return err
		}
		o.mu.Lock()
	}
	o.append(p)
	o.mu.Unlock()
	return nil
}

// hasRoom waits until less than outboxSize bytes are waiting.
func (o *outbox) hasRoom(ctx context.Context, a *lane) error {
	for {
		o.mu.Lock()
		full, progress := len(o.buf) >= outboxSize, o.progress
		o.mu.Unlock()
		if !full {
			return nil
		}
		if err := a.wait(ctx, progress); err != nil {
			return err
		}
	}
}

// putNow appends a packet without waiting: acks, whose number the Receive Maximum
// bounds, pings and DISCONNECT.
func (o *outbox) putNow(p packet.Packet) {
	o.mu.Lock()
	o.append(p)
	o.mu.Unlock()
}

func (o *outbox) append(p packet.Packet) {
	before := len(o.buf)
	if pub, ok := p.(*packet.Publish); ok && o.aliasMax > 0 {
		o.buf = o.alias(pub).AppendTo(o.buf, o.version)
	} else {
		o.buf = p.AppendTo(o.buf, o.version)
	}
	o.note(p, len(o.buf)-before)
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// note tells those who want to know that p has been handed to the connection.
func (o *outbox) note(p packet.Packet, size int) {
	if _, again := p.(encoded); again { // a datagram that did not fit has been told of
		return
	}
	o.opts.Metrics.Sent(p.Type(), size)
	o.opts.OnPacket(true, p)
}

// aliasRoom is more than a Topic Alias adds to a packet, in bytes.
const aliasRoom = 8

// alias is p with an alias for its topic, if there is one left.
func (o *outbox) alias(p *packet.Publish) *packet.Publish {
	id, known := o.aliases[string(p.Topic)]
	if !known {
		if len(o.aliases) == o.aliasMax || p.Size(o.version)+aliasRoom > o.packetSize {
			return p
		}
		id = uint16(len(o.aliases) + 1)
		o.aliases[string(p.Topic)] = id
	}
	short := *p
	short.Properties = packet.AppendUint16(slices.Clip(p.Properties), packet.TopicAlias, id)
	if known {
		short.Topic = nil
	}
	return &short
}

// flush waits until everything has been written.
func (o *outbox) flush(ctx context.Context, a *lane) error {
	for {
		o.mu.Lock()
		idle, progress := len(o.buf) == 0 && !o.writing, o.progress
		o.mu.Unlock()
		if idle {
			return nil
		}
		if err := a.wait(ctx, progress); err != nil {
			return err
		}
	}
}

// writeTo writes until the lane or its connection ends.
func (o *outbox) writeTo(a *lane) error {
	for {
		select {
		case <-a.link.done:
			return nil
		case <-a.ended:
			return nil
		case <-o.filled:
		}
		b := o.take()
		if len(b) == 0 {
			continue
		}
		_, err := a.nc.Write(b)
		o.release(b)
		if err != nil {
			return err
		}
		a.link.touch(&a.link.sent)
	}
}

// take gives the bytes to write and puts the other buffer in place.
func (o *outbox) take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.buf) == 0 {
		return nil
	}
	b := o.buf
	o.buf, o.spare = o.spare[:0], nil
	o.writing = true
	return b
}

// release takes the written buffer back and wakes those who wait. A buffer that
// has become very large is not kept.
func (o *outbox) release(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if cap(b) <= outboxSize {
		o.spare = b
	}
	o.writing = false
	close(o.progress)
	o.progress = make(chan struct{})
}
