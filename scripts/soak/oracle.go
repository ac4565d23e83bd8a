package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	levels = 3 // QoS 0, 1 and 2
	// headSize is what a payload begins with: publisher, QoS and number of the message.
	headSize = 4 + 1 + 4
	// maxShown is how many violations are kept; all are counted.
	maxShown = 200
)

// message is one message as the oracle knows it: the number counts those of a publisher and
// QoS from 1.
type message struct {
	publisher int
	qos       byte
	number    uint32
}

func (m message) String() string {
	return fmt.Sprintf("message %d of client %d at QoS %d", m.number, m.publisher, m.qos)
}

// appendPayload appends the payload of m: its head, and then size bytes that tell whether it
// arrives whole.
func (m message) appendPayload(dst []byte, size int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.publisher))
	dst = append(dst, m.qos)
	dst = binary.BigEndian.AppendUint32(dst, m.number)
	for range size {
		dst = append(dst, byte(m.number))
	}
	return dst
}

// parseMessage reads what appendPayload has written.
func parseMessage(payload []byte) (message, error) {
	if len(payload) < headSize {
		return message{}, fmt.Errorf("a payload of %d bytes", len(payload))
	}
	m := message{int(binary.BigEndian.Uint32(payload)), payload[4], binary.BigEndian.Uint32(payload[5:])}
	for i, b := range payload[headSize:] {
		if b != byte(m.number) {
			return m, fmt.Errorf("%s is damaged at byte %d of %d", m, headSize+i, len(payload))
		}
	}
	return m, nil
}

// oracle collects what must not happen, and counts what may. Its methods may be called from
// any goroutine.
type oracle struct {
	published, acknowledged, delivered [levels]atomic.Int64
	repeated                           atomic.Int64 // at QoS 1, where it is legal
	late                               atomic.Int64 // first deliveries after one of a higher number, by another stream

	violations atomic.Int64
	mu         sync.Mutex
	shown      []string
}

// violation notes what must not happen, with the histories of the clients concerned.
func (o *oracle) violation(what string, histories ...string) {
	o.violations.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.shown) >= maxShown {
		return
	}
	for _, h := range histories {
		what += "\n" + h
	}
	o.shown = append(o.shown, what)
}

// sequence is which messages of one publisher and QoS a client has received.
type sequence struct {
	high  uint32              // the highest number so far
	holes map[uint32]struct{} // lower ones that have not come yet
}

// first notes a number and reports whether it came for the first time.
func (s *sequence) first(number uint32) bool {
	if number > s.high {
		for missing := s.high + 1; missing < number; missing++ {
			if s.holes == nil {
				s.holes = make(map[uint32]struct{})
			}
			s.holes[missing] = struct{}{}
		}
		s.high = number
		return true
	}
	if _, hole := s.holes[number]; !hole {
		return false
	}
	delete(s.holes, number)
	return true
}

// span is the numbers after one up to another.
type span struct{ after, to uint32 }

// published is what one client has published at one QoS: the number of the last message, and
// those that may be missing.
type published struct {
	last    uint32
	excused []span
}

func (p *published) counts(number uint32) bool {
	return !slices.ContainsFunc(p.excused, func(s span) bool { return number > s.after && number <= s.to })
}

// missing gives the numbers that have to come and have not.
func (s *sequence) missing(p published) (numbers []uint32) {
	for n := range s.holes {
		if p.counts(n) {
			numbers = append(numbers, n)
		}
	}
	for n := s.high + 1; n <= p.last; n++ {
		if p.counts(n) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// inbox is what one client has received: the sequences of all publishers of its group. It is
// guarded by its owner.
type inbox struct {
	of map[int]*[levels]sequence
}

// order is the highest number of each publisher and QoS that one stream of one connection
// has brought for the first time.
type order map[message]uint32

// take judges a message that a client has received on a stream. The result names what is
// wrong with it.
func (b *inbox) take(o *oracle, m message, on order) (wrong string) {
	if int(m.qos) >= levels || b.of[m.publisher] == nil {
		return m.String() + " is not for this client"
	}
	if !b.of[m.publisher][m.qos].first(m.number) {
		if m.qos == 1 {
			o.repeated.Add(1)
			return ""
		}
		return "duplicated: " + m.String()
	}
	o.delivered[m.qos].Add(1)
	key := message{publisher: m.publisher, qos: m.qos}
	last := on[key]
	on[key] = max(last, m.number)
	switch {
	case m.number < last && m.qos > 0: // datagrams carry QoS 0 in any order
		return fmt.Sprintf("out of order: %s came after %d on the same stream", m, last)
	case m.number < b.of[m.publisher][m.qos].high:
		o.late.Add(1)
	}
	return ""
}
