package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/scripts/internal/generator"
)

// Payload of a message: flow, number and when it was sent, then the low byte of the
// number until the end.
const (
	headerSize  = 20
	payloadSize = 64       // bytes
	bulkSize    = 64 << 10 // bytes
	mostBatch   = 64 << 10 // bytes that a publisher writes at a time
)

// clockStart is what times in messages count from.
var clockStart = time.Now()

// flow is the messages of one publisher. At most window of them are on their way, so that
// no server has a reason to drop one; the publisher writes what there is room for. A
// message has arrived when every subscriber has it and, at QoS 1, the PUBACK is there.
type flow struct {
	index   int
	topic   string
	qos     byte
	window  int
	ahead   int // messages that the publisher sends ahead, window at most
	payload []byte
	pub     *client

	missing []atomic.Int32 // arrivals of the messages of the window, by number
	arrive  int32          // arrivals that make a message complete
	arrived atomic.Int64   // complete messages
	room    chan struct{}  // one of them is complete
	failed  chan error     // the first fault
	sent    int
	batch   []byte
	acked   int // PUBACKs; of the publisher's reader

	latency []time.Duration // of messages, when kept; of the only subscriber's reader
	keep    atomic.Bool
}

// subscriber receives flows, each in order; its fields belong to its client's reader.
type subscriber struct {
	flows []*flow
	next  []int
}

// plan says how flows and clients belong together.
type plan struct {
	publishers  int
	subscribers int
	pairs       bool // each publisher has a subscriber and a topic of its own; else all share
	qos         byte
	window      int
	size        int // of payloads; 0: payloadSize
}

// newFlows connects the clients and subscribes.
func newFlows(ctx context.Context, f *fleet, p plan) ([]*flow, error) {
	flows := make([]*flow, p.publishers)
	for i := range flows {
		flows[i] = p.flow(i)
	}
	err := generator.Each(p.subscribers, atOnce, func(i int) error {
		s := &subscriber{flows: flows, next: make([]int, len(flows))}
		c, err := f.dial(ctx, s)
		if err != nil {
			return err
		}
		return c.subscribe(ctx, flows[i%len(flows)].topic, p.qos)
	})
	return flows, errors.Join(err, generator.Each(len(flows), atOnce, func(i int) (err error) {
		flows[i].pub, err = f.dial(ctx, flows[i])
		return err
	}))
}

func (p plan) flow(i int) *flow {
	f := &flow{index: i, topic: "peers/flow", qos: p.qos, window: p.window, ahead: p.window, missing: make([]atomic.Int32, p.window),
		arrive: int32(p.subscribers), room: make(chan struct{}, 1), failed: make(chan error, 1)}
	if p.pairs {
		f.topic = fmt.Sprintf("peers/flow/%d", i)
		f.arrive = 1
	}
	f.arrive += int32(p.qos)
	f.payload = make([]byte, max(p.size, payloadSize))
	return f
}

// sendAll sends n messages on each flow, as fast as windows allow, and waits for them.
func sendAll(ctx context.Context, flows []*flow, n int) error {
	return together(flows, func(f *flow) error { return f.send(ctx, n) })
}

func together(flows []*flow, f func(*flow) error) error {
	errs := make([]error, len(flows))
	var ended sync.WaitGroup
	for i := range flows {
		ended.Go(func() { errs[i] = f(flows[i]) })
	}
	ended.Wait()
	return errors.Join(errs...)
}

func (f *flow) send(ctx context.Context, n int) error {
	for last := f.sent + n; f.sent < last; {
		free := min(last, int(f.arrived.Load())+f.ahead) - f.sent
		if free == 0 {
			if err := f.wait(ctx); err != nil {
				return err
			}
			continue
		}
		if err := f.write(free); err != nil {
			return err
		}
	}
	return f.all(ctx)
}

// all waits until everything that was sent has arrived.
func (f *flow) all(ctx context.Context) error {
	for int(f.arrived.Load()) < f.sent {
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pace sends n messages at intervals; a window that is full is a fault.
func (f *flow) pace(ctx context.Context, n int, interval time.Duration) error {
	start := time.Now().Add(interval * time.Duration(f.index) / 10)
	for i := range n {
		time.Sleep(time.Until(start.Add(interval * time.Duration(i))))
		if f.sent-int(f.arrived.Load()) >= f.window {
			if err := f.wait(ctx); err != nil {
				return err
			}
		}
		if err := f.write(1); err != nil {
			return err
		}
	}
	return f.all(ctx)
}

func (f *flow) wait(ctx context.Context) error {
	select {
	case <-f.room:
		return nil
	case err := <-f.failed:
		return err
	case <-f.pub.gone:
		return f.pub.lost(f.pub.err)
	case <-ctx.Done():
		return fmt.Errorf("%d of %d messages have arrived: %w", f.arrived.Load(), f.sent, ctx.Err())
	}
}

// write sends at most n messages, fewer when they are large.
func (f *flow) write(n int) error {
	f.batch = f.batch[:0]
	for ; n > 0 && len(f.batch) < mostBatch; n-- {
		binary.BigEndian.PutUint32(f.payload, uint32(f.index))
		binary.BigEndian.PutUint64(f.payload[4:], uint64(f.sent))
		binary.BigEndian.PutUint64(f.payload[12:], uint64(time.Since(clockStart)))
		for i := headerSize; i < payloadSize; i++ {
			f.payload[i] = byte(f.sent)
		}
		f.payload[len(f.payload)-1] = byte(f.sent)
		f.batch = appendPublish(f.batch, f.topic, f.qos, packetID(f.sent), f.payload)
		f.sent++
	}
	return f.pub.write(f.batch)
}

// packetID of message n; a window is smaller than the range.
func packetID(n int) uint16 { return uint16(n%0xffff + 1) }

// arrival counts one of what makes message n complete.
func (f *flow) arrival(n int) {
	if f.missing[n%f.window].Add(1) < f.arrive {
		return
	}
	f.missing[n%f.window].Store(0)
	f.arrived.Add(1)
	select {
	case f.room <- struct{}{}:
	default:
	}
}

// fail ends the measurement.
func (f *flow) fail(err error) error {
	select {
	case f.failed <- err:
	default:
	}
	return err
}

// acknowledged implements traffic of the publisher: PUBACKs come in order.
func (f *flow) acknowledged(id uint16) error {
	if id != packetID(f.acked) {
		return f.fail(fmt.Errorf("%s: PUBACK of %d where %d was next", f.topic, id, packetID(f.acked)))
	}
	f.acked++
	f.arrival(f.acked - 1)
	return nil
}

// received implements traffic: a publisher has not subscribed.
func (f *flow) received(frame) (uint16, error) {
	return 0, f.fail(errors.New("a publisher got a message"))
}

// received implements traffic.
func (s *subscriber) received(m frame) (uint16, error) {
	_, id, payload, ok := m.published()
	if !ok || len(payload) < payloadSize {
		return 0, s.flows[0].fail(fmt.Errorf("a message of %d bytes came", len(payload)))
	}
	index := int(binary.BigEndian.Uint32(payload))
	if index >= len(s.flows) {
		return 0, s.flows[0].fail(fmt.Errorf("a message of flow %d came", index))
	}
	f := s.flows[index]
	return id, f.check(m, payload, &s.next[index])
}

// check wants message next of the flow.
func (f *flow) check(m frame, payload []byte, next *int) error {
	number := int(binary.BigEndian.Uint64(payload[4:]))
	switch {
	case number != *next:
		return f.fail(fmt.Errorf("%s: message %d came where %d was next", f.topic, number, *next))
	case m.qos() != f.qos || len(payload) != len(f.payload) || payload[len(payload)-1] != byte(number):
		return f.fail(fmt.Errorf("%s: message %d was changed: QoS %d, %d bytes", f.topic, number, m.qos(), len(payload)))
	}
	*next++
	if f.keep.Load() {
		f.latency = append(f.latency, time.Since(clockStart)-time.Duration(binary.BigEndian.Uint64(payload[12:])))
	}
	f.arrival(number)
	return nil
}

// acknowledged implements traffic: a subscriber publishes nothing.
func (s *subscriber) acknowledged(id uint16) error {
	return s.flows[0].fail(fmt.Errorf("a subscriber got PUBACK %d", id))
}
