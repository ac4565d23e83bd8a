//go:build !noquic

package client

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// largestDatagram is the limit of the DATAGRAM frames that are taken, in bytes: whatever fits
// a packet (RFC 9221 section 3).
const largestDatagram = 65535

// datagrams are those of one QUIC connection; it is its endpoint.DatagramHandler, but for a
// connection without them.
type datagrams struct {
	came                   chan []byte // nil: none are taken
	sent, lost, tooLarge   atomic.Uint64
	receivedCount, dropped atomic.Uint64

	conn    *endpoint.Conn   // worker only; nil before the first is sent
	waiting []queuedDatagram // worker only; for room in the queue of conn, maxDatagrams at most
}

// queuedDatagram waits to be sent; done is told whether it could be.
type queuedDatagram struct {
	data []byte
	done func(sent bool)
}

func newDatagrams(on bool) *datagrams {
	d := &datagrams{}
	if on {
		d.came = make(chan []byte, maxDatagrams)
	}
	return d
}

// OnDatagram hands a copy to the reader, which must not hold the worker up.
func (d *datagrams) OnDatagram(b []byte, _ bool) {
	d.receivedCount.Add(1)
	select {
	case d.came <- bytes.Clone(b):
	default:
		d.dropped.Add(1)
	}
}

// OnDatagramAcked is nothing to QoS 0.
func (d *datagrams) OnDatagramAcked(uint64) {}

// OnDatagramLost counts.
func (d *datagrams) OnDatagramLost(uint64) { d.lost.Add(1) }

// OnFlush sends as many as QUIC takes: it bounds those that wait for the congestion window
// (endpoint.DialConfig.Datagrams).
func (d *datagrams) OnFlush() {
	n := 0
	for ; n < len(d.waiting) && d.send(d.waiting[n]); n++ {
	}
	if n > 0 {
		d.waiting = slices.Delete(d.waiting, 0, n)
	}
}

// send is false when there is no room now.
func (d *datagrams) send(q queuedDatagram) bool {
	err := d.conn.SendDatagram(q.data, 0)
	switch {
	case errors.Is(err, ngtcp2.ErrDatagramQueueFull):
		return false
	case err == nil:
		d.sent.Add(1)
	case errors.Is(err, ngtcp2.ErrDatagramTooLarge):
		d.tooLarge.Add(1)
	}
	q.done(err == nil)
	return true
}

// received and drop are those of quicTransport.
func (d *datagrams) received() <-chan []byte { return d.came }
func (d *datagrams) drop()                   { d.dropped.Add(1) }

func (d *datagrams) info() DatagramInfo {
	return DatagramInfo{
		Sent: d.sent.Load(), Lost: d.lost.Load(), TooLarge: d.tooLarge.Load(),
		Received: d.receivedCount.Load(), Dropped: d.dropped.Load(),
	}
}

// takesDatagrams asks the transport (quicTransport).
func (c *quicConn) takesDatagrams(ctx context.Context) bool {
	result := make(chan bool, 1)
	c.Conn().Post(func() { result <- c.Conn().MaxDatagramSize() > 0 })
	select {
	case yes := <-result:
		return yes
	case <-c.Closed():
	case <-ctx.Done():
	}
	return false
}

// datagram sends b as a DATAGRAM frame (quicTransport).
func (c *quicConn) datagram(b []byte, done func(sent bool)) {
	conn := c.Conn()
	conn.Post(func() {
		c.conn = conn
		c.waiting = append(c.waiting, queuedDatagram{b, done})
		conn.MarkDirty() // OnFlush follows
	})
}
