package broker

import (
	"github.com/ngmq/ngmq/mqtt/packet"
)

// The acknowledgements of messages towards the client.

// onPuback ends a QoS 1 message [MQTT-4.3.2-3]. A code that is a failure ends it too
// [MQTT-4.4.0-2].
func (c *Client) onPuback(p *packet.Puback) error {
	return c.finish(p.PacketID, 1, flightSent)
}

// onPubrec begins the second half of a QoS 2 message, or ends the message when the
// client refuses it.
func (c *Client) onPubrec(p *packet.Pubrec) error {
	if p.ReasonCode.IsError() {
		return c.finish(p.PacketID, 2, flightSent)
	}
	s := c.session
	s.mu.Lock()
	mine := s.client == c
	var m *Message
	f := s.out.find(p.PacketID)
	known := mine && f != nil && f.qos == 2
	if known {
		s.settle(f, false)
		m = s.out.release(f)
	}
	s.mu.Unlock()
	if m != nil {
		m.Release()
	}
	switch {
	case !mine:
		return errTakenOver
	case !known:
		return c.ack(packet.PUBREL, p.PacketID, packet.PacketIdentifierNotFound)
	}
	return c.ack(packet.PUBREL, p.PacketID, packet.Success) // [MQTT-4.3.3-4]
}

// onPubcomp ends a QoS 2 message [MQTT-4.3.3-5].
func (c *Client) onPubcomp(p *packet.Pubcomp) error {
	return c.finish(p.PacketID, 2, flightReleased)
}

// finish ends a message towards the client and gives back its part of Receive Maximum.
// An acknowledgement for something that is not open is ignored: it may belong to a
// message of a session that is no more.
func (c *Client) finish(id uint16, qos byte, state flightState) error {
	s := c.session
	s.mu.Lock()
	if s.client != c {
		s.mu.Unlock()
		return errTakenOver
	}
	var m *Message
	f := s.out.find(id)
	found := f != nil && f.qos == qos && f.state == state
	if found {
		s.credit(f)
		s.settle(f, true)
		m = s.out.finish(f)
	}
	c.dirty = c.dirty || found && s.waiting()
	s.mu.Unlock()
	if m != nil {
		m.Release()
	}
	return nil
}
