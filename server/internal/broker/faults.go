package broker

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Fault is a mistake that the broker makes on purpose, for those who test clients. Its
// text is "connack=CODE" or one of the names below.
type Fault struct {
	Kind FaultKind
	Code byte // FaultConnack: the code of the CONNACK, not 0
}

// FaultKind is a kind of mistake.
type FaultKind uint8

const (
	// FaultConnack ("connack=CODE") refuses every CONNECT with a code, one that no
	// standard knows if need be: 0x87 or 135.
	FaultConnack FaultKind = iota + 1
	// FaultWrongVersion ("wrong-version") accepts a CONNECT with the CONNACK of the wrong
	// version: without Property Length in MQTT 5.0, with one in 3.x.
	FaultWrongVersion
	// FaultWrongPacket ("wrong-packet") answers a CONNECT with a PINGRESP.
	FaultWrongPacket
	// FaultRemainingLength ("remaining-length") sends, behind the CONNACK, the beginning of
	// a PUBLISH that says to be as long as the format allows, 268,435,455 bytes, of which
	// three come.
	FaultRemainingLength
	// FaultMalformedLength ("malformed-length") sends, behind the CONNACK, a PUBLISH with a
	// Remaining Length of five bytes.
	FaultMalformedLength
	// FaultShortPublish ("short-publish") sends, behind every SUBACK, a PUBLISH that ends
	// inside its topic name.
	FaultShortPublish
	// FaultPublishBeforeSuback ("publish-before-suback") sends a message to each filter of a
	// SUBSCRIBE before the SUBACK, which the standard allows [MQTT-3.8.4] and clients
	// tend to forget.
	FaultPublishBeforeSuback
)

var faultNames = map[FaultKind]string{
	FaultConnack: "connack", FaultWrongVersion: "wrong-version", FaultWrongPacket: "wrong-packet",
	FaultRemainingLength: "remaining-length", FaultMalformedLength: "malformed-length",
	FaultShortPublish: "short-publish", FaultPublishBeforeSuback: "publish-before-suback",
}

// String is the text that UnmarshalText reads.
func (f Fault) String() string {
	name, ok := faultNames[f.Kind]
	switch {
	case !ok:
		return fmt.Sprintf("Fault(%d)", f.Kind)
	case f.Kind == FaultConnack:
		return fmt.Sprintf("%s=0x%02x", name, f.Code)
	}
	return name
}

// UnmarshalText reads the text of a fault.
func (f *Fault) UnmarshalText(text []byte) error {
	name, code, coded := strings.Cut(string(text), "=")
	for kind, known := range faultNames {
		if name != known || coded != (kind == FaultConnack) {
			continue
		}
		if !coded {
			*f = Fault{Kind: kind}
			return nil
		}
		n, err := strconv.ParseUint(code, 0, 8)
		if err == nil && n > 0 {
			*f = Fault{kind, byte(n)}
			return nil
		}
	}
	return fmt.Errorf("%q is no fault: use connack=CODE with a code from 1 to 255, wrong-version, wrong-packet, remaining-length, malformed-length, short-publish or publish-before-suback", text)
}

// Validate says what is wrong with f.
func (f Fault) Validate() error {
	if faultNames[f.Kind] == "" || (f.Kind == FaultConnack) != (f.Code != 0) {
		return fmt.Errorf("broker: Faults has %s with code %d: use one of the Fault constants, and a Code with FaultConnack alone", f, f.Code)
	}
	return nil
}

// fault gives the one of a kind that is to be made.
func (c *Client) fault(kind FaultKind) (Fault, bool) {
	faults := c.b.cfg.Faults
	i := slices.IndexFunc(faults, func(f Fault) bool { return f.Kind == kind })
	if i < 0 {
		return Fault{}, false
	}
	c.b.cfg.Logger.LogAttrs(c.b.ctx, slog.LevelInfo, "fault injected", slog.String("fault", faults[i].String()))
	return faults[i], true
}

// faultyAnswer is what answers a CONNECT in place of the CONNACK; nil: nothing does.
func (c *Client) faultyAnswer() []byte {
	if len(c.b.cfg.Faults) == 0 {
		return nil
	}
	if f, ok := c.fault(FaultConnack); ok {
		if c.version == packet.V50 {
			return []byte{0x20, 3, 0, f.Code, 0}
		}
		return []byte{0x20, 2, 0, f.Code}
	}
	if _, ok := c.fault(FaultWrongPacket); ok {
		return []byte{0xD0, 0}
	}
	return nil
}

// faultyConnack appends the CONNACK of a client that is let in, and what is sent behind
// it by mistake. c.mu is held.
func (c *Client) faultyConnack(dst []byte, ack *packet.Connack) []byte {
	_, wrong := c.fault(FaultWrongVersion)
	switch {
	case !wrong:
		dst = ack.AppendTo(dst, c.version)
	case c.version == packet.V50:
		dst = append(dst, 0x20, 2, 0, 0)
	default:
		dst = append(dst, 0x20, 3, 0, 0, 0)
	}
	if _, ok := c.fault(FaultRemainingLength); ok {
		dst = append(dst, 0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, 'a')
	}
	if _, ok := c.fault(FaultMalformedLength); ok {
		dst = append(dst, 0x30, 0x80, 0x80, 0x80, 0x80, 1)
	}
	return dst
}

// faultyBytes are sent before and behind the SUBACK of p.
func (c *Client) faultyBytes(p *packet.Subscribe) (before, behind []byte) {
	if len(c.b.cfg.Faults) == 0 {
		return nil, nil
	}
	if _, ok := c.fault(FaultPublishBeforeSuback); ok {
		for i := range p.Subscriptions {
			m := packet.Publish{Topic: matching(p.Subscriptions[i].Filter), Payload: []byte("before the SUBACK")}
			before = m.AppendTo(before, c.version)
		}
	}
	if _, ok := c.fault(FaultShortPublish); ok {
		behind = []byte{0x30, 3, 0, 5, 'a'}
	}
	return before, behind
}

// sendBytes queues bytes as they are.
func (c *Client) sendBytes(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing.Load() {
		st := c.current.back()
		st.answers = append(st.answers, b...)
	}
}

// matching is a topic name that filter matches.
func matching(filter string) []byte {
	if strings.HasPrefix(filter, "$share/") {
		_, filter, _ = strings.Cut(strings.TrimPrefix(filter, "$share/"), "/")
	}
	return []byte(strings.NewReplacer("+", "x", "#", "x").Replace(filter))
}
