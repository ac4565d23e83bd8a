package client

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sync"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// session is what outlives a network connection (MQTT 5.0 section 4.1). All
// methods may be called by any goroutine; none blocks.
type session struct {
	mu        sync.Mutex
	lastID    uint16
	lastOrder uint64
	exchanges map[uint16]*exchange // by packet identifier
	received  map[uint16]struct{}  // QoS 2 from the server, PUBREL not yet here
}

// exchange is a packet of the client that waits for an answer.
type exchange struct {
	id    uint16
	order uint64 // order of sending
	// kind is PUBLISH, SUBSCRIBE or UNSUBSCRIBE.
	kind packet.Type
	// qos of a PUBLISH; released: PUBREC is here, PUBCOMP is due.
	qos      byte
	released bool
	// wire is the encoded PUBLISH, kept to send it again.
	wire []byte
	// done gets the one answer; nobody may be waiting.
	done chan answer
}

// answer ends an exchange.
type answer struct {
	codes []packet.ReasonCode
	code  packet.ReasonCode
	props packet.Properties
	err   error // the connection ended
}

var errNoPacketID = errors.New("client: all 65535 packet identifiers are in use")

func newSession() *session {
	return &session{exchanges: map[uint16]*exchange{}, received: map[uint16]struct{}{}}
}

// begin gives x an identifier that is not in use [MQTT-2.2.1-3]. A PUBLISH is
// encoded with it, to be sent now and perhaps again. The channel gets the answer.
func (s *session) begin(x *exchange, p *packet.Publish, v packet.Version) (<-chan answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.exchanges) == 65535 {
		return nil, errNoPacketID
	}
	for {
		s.lastID++
		if _, used := s.exchanges[s.lastID]; s.lastID != 0 && !used {
			break
		}
	}
	s.lastOrder++
	x.id, x.order, x.done = s.lastID, s.lastOrder, make(chan answer, 1)
	s.exchanges[x.id] = x
	if p != nil {
		p.PacketID = x.id
		x.wire = p.AppendTo(make([]byte, 0, p.Size(v)), v)
	}
	return x.done, nil
}

// forget ends x without an answer: it was never sent.
func (s *session) forget(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.exchanges, x.id)
}

// finish ends the exchange of id if it matches, and reports whether there was one.
func (s *session) finish(id uint16, match func(*exchange) bool, a answer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.exchanges[id]
	if x == nil || !match(x) {
		return false
	}
	delete(s.exchanges, id)
	x.done <- a
	return true
}

// release notes a PUBREC: from now on PUBREL is what is sent again. It reports
// whether id is a QoS 2 exchange.
func (s *session) release(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.exchanges[id]
	if x == nil || x.kind != packet.PUBLISH || x.qos != 2 {
		return false
	}
	x.released, x.wire = true, nil
	return true
}

// interrupt tells every waiting call that the connection ended. Messages stay for
// the next connection; subscribing and unsubscribing do not.
func (s *session) interrupt(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, x := range s.exchanges {
		select {
		case x.done <- answer{err: err}:
		default: // it has been told about an earlier connection
		}
		if x.kind != packet.PUBLISH {
			delete(s.exchanges, id)
			continue
		}
		x.done = make(chan answer, 1) // nobody waits any more
	}
}

// clear forgets everything: the server has no session.
func (s *session) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.exchanges)
	clear(s.received)
}

// unfinished are the messages to send again, in the order of their first sending
// [MQTT-4.4.0-1] [MQTT-4.6.0-1].
func (s *session) unfinished() []*exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*exchange, 0, len(s.exchanges))
	for _, x := range s.exchanges {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *exchange) int { return cmp.Compare(a.order, b.order) })
	return list
}

// again is what to send for an unfinished exchange: PUBREL, or PUBLISH with DUP
// [MQTT-3.3.1-1].
func (s *session) again(x *exchange) packet.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.released {
		return &packet.Pubrel{PacketID: x.id}
	}
	wire := bytes.Clone(x.wire)
	wire[0] |= 1 << 3
	return encoded(wire)
}

// arrive notes a QoS 2 message and reports whether it is new [MQTT-4.3.3-10].
func (s *session) arrive(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.received[id]
	s.received[id] = struct{}{}
	return !known
}

// depart notes a PUBREL, or that a message was dropped unseen. It reports whether
// id was known.
func (s *session) depart(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.received[id]
	delete(s.received, id)
	return known
}

// encoded is a packet that is encoded already.
type encoded []byte

func (e encoded) Type() packet.Type                            { return packet.Type(e[0] >> 4) }
func (e encoded) Size(packet.Version) int                      { return len(e) }
func (e encoded) AppendTo(dst []byte, _ packet.Version) []byte { return append(dst, e...) }
