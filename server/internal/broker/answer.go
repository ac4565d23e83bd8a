package broker

import (
	"errors"
	"strings"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// What the broker says besides reason codes: Reason String, User Property, Server
// Reference, Response Information.

// properties are the Reason String and the properties of e that a packet of type t may
// have, in 5.0.
func (e *Error) properties(t packet.Type) (props packet.Properties) {
	if e.Reason != "" {
		props = packet.AppendString(props, packet.ReasonString, e.Reason)
	}
	for q := range e.Properties.All() {
		switch {
		case q.ID == packet.UserProperty:
			props = packet.AppendUserProperty(props, string(q.Key), string(q.Value))
		case q.ID == packet.ServerReference && (t == packet.CONNACK || t == packet.DISCONNECT):
			props = packet.AppendString(props, packet.ServerReference, string(q.Value))
		}
	}
	return props
}

// problem is what an acknowledgement of type t says about err, if the client wants any
// of it [MQTT-3.1.2-29].
func (c *Client) problem(err error, t packet.Type) packet.Properties {
	var e *Error
	if c.terse || c.version != packet.V50 || !errors.As(err, &e) {
		return nil
	}
	return e.properties(t)
}

// spoken are the properties that a packet can do without, in the order in which they
// are left out of one that is too large for the client [MQTT-3.2.2-19] [MQTT-3.2.2-20].
var spoken = [...]packet.PropertyID{packet.UserProperty, packet.ReasonString, packet.ServerReference}

// shorten leaves properties out of p until it fits the client's Maximum Packet Size, and
// reports whether it does.
func (c *Client) shorten(p packet.Packet) bool {
	props := propertiesOf(p)
	for _, id := range spoken {
		if p.Size(c.version) <= c.maxPacket || props == nil {
			break
		}
		*props = props.AppendExcept(nil, id)
	}
	return p.Size(c.version) <= c.maxPacket
}

// propertiesOf are the properties of a packet that the broker sends, nil for one that
// has none.
func propertiesOf(p packet.Packet) *packet.Properties {
	switch p := p.(type) {
	case *packet.Connack:
		return &p.Properties
	case *packet.Puback:
		return &p.Properties
	case *packet.Pubrec:
		return &p.Properties
	case *packet.Suback:
		return &p.Properties
	case *packet.Unsuback:
		return &p.Properties
	case *packet.Disconnect:
		return &p.Properties
	case *packet.Auth:
		return &p.Properties
	}
	return nil
}

// responseInformation is the beginning of the topics at which a client should ask to be
// answered (MQTT 5.0 section 4.10.1), empty for none. Client identifiers that are not a
// level of a topic have none, so that no two are in each other's way.
func (b *Broker) responseInformation(id string) string {
	whole := b.cfg.ResponsePrefix + id + "/"
	if b.cfg.ResponsePrefix == "" || strings.Contains(id, "/") || topic.ValidateName(whole) != nil {
		return ""
	}
	return whole
}
