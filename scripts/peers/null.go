package main

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// null is the cheapest broker one can make of quic-go: MQTT 3.1.1 with QoS 0 and 1 on the
// first stream of a connection, exact topics, no sessions, no retained messages, no
// access control, no wildcards, nothing that is sent again. What it costs is the ceiling
// of a Go broker on that stack.
//
// A connection has one goroutine, which reads. It puts packets into the receivers' output
// and then writes them; who finds another goroutine writing to a receiver leaves the bytes
// to it. Nothing is dropped: a receiver with too much output makes publishers wait.
type null struct {
	mu     sync.Mutex
	topics sync.Map // string -> *topic
}

// topic has its receivers in a list that is never changed, only replaced.
type topic struct {
	receivers atomic.Pointer[[]receiver]
}

type receiver struct {
	*nullConn
	qos byte
}

// mostOutput is how many bytes may wait for a receiver.
const mostOutput = 1 << 20

type nullConn struct {
	server *null
	stream *quic.Stream
	in     frames
	name   []byte   // topic of the last message and
	last   *topic   // what it is: publishers repeat themselves
	dirty  []*topic // whose receivers have output

	mu      sync.Mutex
	drained sync.Cond
	out     []byte
	spare   []byte
	nextID  uint16
	writing bool
	closed  bool
}

// serveNull serves connections until the listener ends.
func serveNull(l *quic.Listener) error {
	s := new(null)
	for {
		conn, err := l.Accept(context.Background())
		if err != nil {
			return err
		}
		go s.serve(conn)
	}
}

func (s *null) serve(conn *quic.Conn) {
	stream, err := conn.AcceptStream(context.Background())
	if err != nil {
		return
	}
	c := &nullConn{server: s, stream: stream, in: frames{r: stream}}
	c.drained.L = &c.mu
	defer conn.CloseWithError(0, "")
	defer c.end()
	for c.in.fill() == nil {
		if !c.handleAll() {
			return
		}
	}
}

// handleAll works on all packets of a read, then writes what came of it.
func (c *nullConn) handleAll() bool {
	for {
		f, err := c.in.next()
		if err != nil || f.whole != nil && !c.handle(f) {
			return false
		}
		if f.whole == nil {
			break
		}
	}
	for _, t := range c.dirty {
		for _, r := range *t.receivers.Load() {
			r.flush()
		}
	}
	c.dirty = c.dirty[:0]
	c.flush()
	return true
}

func (c *nullConn) handle(f frame) bool {
	switch f.kind() {
	case typeConnect:
		c.answer(typeConnack<<4, 2, 0, 0)
	case typePublish:
		return c.publish(f)
	case typeSubscribe:
		return c.subscribe(f.body)
	case typePingreq:
		c.answer(typePingresp<<4, 0)
	case typePuback:
	default:
		return false
	}
	return true
}

// answer sends a packet to the client itself.
func (c *nullConn) answer(packet ...byte) {
	c.mu.Lock()
	c.out = append(c.out, packet...)
	c.mu.Unlock()
}

func (c *nullConn) publish(f frame) bool {
	name, id, payload, ok := f.published()
	if !ok {
		return false
	}
	if c.last == nil || string(c.name) != string(name) {
		c.name = append(c.name[:0], name...)
		c.last = c.server.topic(string(name))
	}
	if receivers := c.last.receivers.Load(); receivers != nil {
		for _, r := range *receivers {
			r.deliver(f, name, min(r.qos, f.qos()), payload)
		}
		if n := len(c.dirty); n == 0 || c.dirty[n-1] != c.last {
			c.dirty = append(c.dirty, c.last)
		}
	}
	if f.qos() > 0 {
		c.answer(typePuback<<4, 2, byte(id>>8), byte(id))
	}
	return true
}

// deliver puts a message into the output; at QoS 0 that is the packet as it came.
func (c *nullConn) deliver(f frame, name []byte, qos byte, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) > mostOutput && c.writing && !c.closed {
		c.drained.Wait()
	}
	switch {
	case c.closed:
	case qos == f.qos() && qos == 0:
		c.out = append(c.out, f.whole...)
	case qos == 0:
		c.out = appendPublish(c.out, string(name), 0, 0, payload)
	default:
		c.nextID = max(1, c.nextID+1)
		at := len(c.out) + len(f.whole) - len(payload) - 2 // of the packet identifier
		c.out = append(c.out, f.whole...)
		binary.BigEndian.PutUint16(c.out[at:], c.nextID)
	}
}

// flush writes the output until there is none, unless somebody does.
func (c *nullConn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return
	}
	c.writing = true
	for len(c.out) > 0 && !c.closed {
		out := c.out
		c.out, c.spare = c.spare[:0], nil
		c.mu.Unlock()
		_, err := c.stream.Write(out)
		c.mu.Lock()
		c.spare = out[:0]
		c.closed = c.closed || err != nil
		c.drained.Broadcast()
	}
	c.writing = false
	c.drained.Broadcast()
}

func (s *null) topic(name string) *topic {
	t, ok := s.topics.Load(name)
	if !ok {
		t, _ = s.topics.LoadOrStore(name, new(topic))
	}
	return t.(*topic)
}

// subscribe grants what is asked for, QoS 1 at most.
func (c *nullConn) subscribe(body []byte) bool {
	if len(body) < 2 {
		return false
	}
	granted := append([]byte(nil), body[:2]...)
	for rest := body[2:]; len(rest) > 0; {
		name, after, ok := text(rest)
		if !ok || len(after) == 0 {
			return false
		}
		qos := min(after[0], 1)
		c.server.change(string(name), func(old []receiver) []receiver { return append(old, receiver{c, qos}) })
		granted = append(granted, qos)
		rest = after[1:]
	}
	c.answer(append(appendRemaining([]byte{typeSuback << 4}, len(granted)), granted...)...)
	return true
}

// change replaces the receivers of a topic.
func (s *null) change(name string, f func(old []receiver) []receiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topic(name)
	var old []receiver
	if list := t.receivers.Load(); list != nil {
		old = append(old, *list...)
	}
	old = f(old)
	t.receivers.Store(&old)
}

// end takes the connection out of all topics.
func (c *nullConn) end() {
	c.mu.Lock()
	c.closed = true
	c.drained.Broadcast()
	c.mu.Unlock()
	c.server.topics.Range(func(name, t any) bool {
		for _, r := range *orNone(t.(*topic).receivers.Load()) {
			if r.nullConn == c {
				c.server.change(name.(string), func(old []receiver) []receiver { return without(old, c) })
				break
			}
		}
		return true
	})
}

func orNone(list *[]receiver) *[]receiver {
	if list == nil {
		return new([]receiver)
	}
	return list
}

func without(list []receiver, c *nullConn) []receiver {
	kept := list[:0]
	for _, r := range list {
		if r.nullConn != c {
			kept = append(kept, r)
		}
	}
	return kept
}
