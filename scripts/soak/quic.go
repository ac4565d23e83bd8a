package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// clientDataFlow begins the header of a stream for messages: with the identifier of the flow, its
// expiry interval and its flags ("MQTT-next").
const clientDataFlow = 0x12

// maxInDatagram is the largest payload, in bytes, that goes in a datagram.
const maxInDatagram = 1000

// abandoned is the application error code of a stream that is reset on purpose.
const abandoned = 0

// carrier is a QUIC connection with the links of one client, or of several for which each
// stream is a connection (model C). It implements endpoint.ConnHandler.
type carrier struct {
	conn *endpoint.Conn

	mu     sync.Mutex
	links  []*quicLink
	closed bool
}

// quicLink is a link over QUIC.
type quicLink struct {
	carrier *carrier
	owner   owner
	uni     bool // publishes on unidirectional streams
	header  bool // which begin with a flow header
	shared  bool // the connection has other links

	mu        sync.Mutex
	queued    [slots][]byte
	datagrams [][]byte
	ended     bool

	// Worker only.
	streams [slots]*place
	over    bool // owner.onClosed has been called
}

// place is what a stream knows: whose it is. link is not changed; dropped: it is not used.
type place struct {
	link    *quicLink
	slot    int
	stream  *endpoint.Stream
	dropped bool
}

// dialQUIC connects with a link on which first goes first, in early data if that is possible.
func dialQUIC(ctx context.Context, e *endpoint.Endpoint, addr string, cfg endpoint.DialConfig, l *quicLink, first []byte) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	c := &carrier{links: []*quicLink{l}}
	l.carrier = c
	l.queued[0] = append(l.queued[0], first...)
	cfg.Handler = c
	cfg.Ready = func(conn *endpoint.Conn) {
		c.mu.Lock()
		c.conn = conn
		c.mu.Unlock()
		c.OnFlush()
	}
	_, err := e.Dial(ctx, addr, cfg)
	return err
}

// join adds a link to a carrier that is open; false: it is not.
func (c *carrier) join(l *quicLink, first []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.conn == nil || c.conn.Closed() {
		return false
	}
	l.carrier = c
	l.queued[0] = append(l.queued[0], first...)
	c.links = append(c.links, l)
	c.conn.Wake()
	return true
}

// leave takes a link away and reports whether it was the last.
func (c *carrier) leave(l *quicLink) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links = slices.DeleteFunc(c.links, func(x *quicLink) bool { return x == l })
	c.closed = c.closed || len(c.links) == 0
	return c.closed
}

func (c *carrier) all() []*quicLink {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.links)
}

func (l *quicLink) send(slot int, p []byte) {
	l.mu.Lock()
	switch {
	case l.ended:
	case slot == datagramSlot:
		l.datagrams = append(l.datagrams, p)
	default:
		l.queued[slot] = append(l.queued[slot], p...)
	}
	l.mu.Unlock()
	l.carrier.conn.Wake()
}

// flush moves what is queued into streams. On the worker.
func (l *quicLink) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.datagrams) > 0 && !errors.Is(l.carrier.conn.SendDatagram(l.datagrams[0], 0), ngtcp2.ErrDatagramQueueFull) {
		l.datagrams = l.datagrams[1:]
	}
	for i, p := range l.queued {
		if len(p) == 0 {
			continue
		}
		at, err := l.open(i)
		if err != nil {
			return // again when there are streams
		}
		_, _ = at.stream.Write(p) // a stream that the server has reset is reported by itself
		l.queued[i] = p[:0]
		if cap(p) > keptBytes {
			l.queued[i] = nil
		}
	}
}

func (l *quicLink) open(slot int) (*place, error) {
	if at := l.streams[slot]; at != nil {
		return at, nil
	}
	open := l.carrier.conn.OpenStream
	if l.uni && slot >= publishing && slot < subscribing {
		open = l.carrier.conn.OpenUniStream
	}
	s, err := open()
	if err != nil {
		return nil, err
	}
	if l.header && !s.Bidi() {
		_, _ = s.Write([]byte{clientDataFlow, byte(slot), 0, 0})
	}
	at := &place{link: l, slot: slot, stream: s}
	s.UserData = at
	l.streams[slot] = at
	return at, nil
}

func (l *quicLink) abandon(slot int, by ending) {
	l.carrier.conn.Post(func() {
		at := l.streams[slot]
		l.mu.Lock()
		l.queued[slot] = nil
		l.mu.Unlock()
		if at == nil {
			l.owner.onSlotClosed(slot)
			return
		}
		l.streams[slot], at.dropped = nil, true
		switch by {
		case finished:
			_ = at.stream.CloseWrite()
		case stopped:
			at.stream.StopReading(abandoned)
		default:
			at.reset()
		}
	})
}

func (at *place) reset() {
	at.stream.Reset(abandoned)
	if at.stream.Bidi() {
		at.stream.StopReading(abandoned)
	}
}

func (l *quicLink) end(graceful bool) {
	l.carrier.conn.Post(func() {
		l.flush()
		l.mu.Lock()
		l.ended = true
		l.mu.Unlock()
		if l.shared {
			l.part(graceful)
			return
		}
		l.close(errEnded)
		if graceful {
			l.carrier.conn.CloseAfterFlush(endpoint.CodeOK, "")
		} else {
			l.carrier.conn.Close(endpoint.CodeAbnormal, "")
		}
	})
}

func (l *quicLink) giveUp() {
	l.carrier.conn.Post(func() { l.carrier.conn.Close(endpoint.CodeAbnormal, "") })
}

// part ends a link whose connection others use as well.
func (l *quicLink) part(graceful bool) {
	if at := l.streams[0]; at != nil && !l.over {
		if at.dropped = true; graceful {
			_ = at.stream.CloseWrite()
		} else {
			at.reset()
		}
	}
	l.close(errEnded)
}

// close tells the owner, once. On the worker.
func (l *quicLink) close(err error) {
	if l.over {
		return
	}
	l.over = true
	l.owner.onClosed(fmt.Errorf("QUIC: %w", err))
	if l.carrier.leave(l) && l.shared {
		l.carrier.conn.CloseAfterFlush(endpoint.CodeOK, "")
	}
}

// OnFlush moves what is queued into streams.
func (c *carrier) OnFlush() {
	for _, l := range c.all() {
		l.flush()
	}
}

// OnStreamOpen: servers of MQTT over QUIC open no stream.
func (c *carrier) OnStreamOpen(s *endpoint.Stream) {
	for _, l := range c.all() {
		l.close(fmt.Errorf("the server has opened stream %d", s.ID()))
	}
}

// OnStreamData hands data on and gives the credit back.
func (c *carrier) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	at := s.UserData.(*place)
	s.Consume(len(data))
	if at.dropped {
		return
	}
	if len(data) > 0 {
		at.link.owner.onData(at.slot, data)
	}
	if fin {
		at.link.lost(at, io.EOF)
	}
}

// lost ends a link one of whose streams the server has ended.
func (l *quicLink) lost(at *place, err error) {
	l.close(fmt.Errorf("slot %d: %w", at.slot, err))
	if l.shared && !at.dropped {
		at.dropped = true
		_ = at.stream.CloseWrite()
	}
}

// OnDatagram hands a message on; the connection has one link.
func (c *carrier) OnDatagram(data []byte, _ bool) {
	for _, l := range c.all() {
		l.owner.onData(datagramSlot, data)
	}
}

// OnDatagramAcked and OnDatagramLost: QoS 0 is sent once.
func (c *carrier) OnDatagramAcked(uint64) {}
func (c *carrier) OnDatagramLost(uint64)  {}

// OnStreamReset is the end of the link, unless the stream has been abandoned.
func (c *carrier) OnStreamReset(s *endpoint.Stream, code uint64) {
	if at := s.UserData.(*place); !at.dropped {
		at.link.lost(at, fmt.Errorf("reset by the server with code %d", code))
	}
}

// OnStopSending is so too.
func (c *carrier) OnStopSending(s *endpoint.Stream, code uint64) {
	if at := s.UserData.(*place); !at.dropped && !at.link.shared {
		at.link.lost(at, fmt.Errorf("stopped by the server with code %d", code))
	}
}

// OnStreamClosed tells the owner of an abandoned stream that the server knows.
func (c *carrier) OnStreamClosed(s *endpoint.Stream) {
	if at := s.UserData.(*place); at.dropped && !at.link.over {
		at.link.owner.onSlotClosed(at.slot)
	}
}

// OnClosed is the end of all links.
func (c *carrier) OnClosed(err error) {
	c.mu.Lock()
	c.closed = true
	links := slices.Clone(c.links)
	c.mu.Unlock()
	if err == nil {
		err = errors.New("closed")
	}
	for _, l := range links {
		if !l.over {
			l.over = true
			l.owner.onClosed(fmt.Errorf("QUIC: %w", err))
		}
	}
}
