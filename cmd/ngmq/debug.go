package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// lockedWriter lets several goroutines write, one line each at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// packetLog shows packets as mosquitto's clients do with -d: without payload, user name and
// password.
type packetLog struct {
	w  io.Writer
	mu sync.Mutex
	id string // of the client
}

// debugPackets has a client show its packets.
func debugPackets(c *console, o *client.Options) {
	log := &packetLog{w: c.stderr, id: o.ClientID}
	o.OnPacket = log.show
}

// show is called by the goroutines of the client (client.Options.OnPacket).
func (l *packetLog) show(sent bool, p packet.Packet) {
	direction, describe := "received", receivedText
	if sent {
		direction, describe = "sending", sentText
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ack, ok := p.(*packet.Connack); ok {
		if id, ok := ack.Properties.Bytes(packet.AssignedClientIdentifier); ok {
			l.id = string(id)
		}
	}
	id := l.id
	if id == "" {
		id = "(null)" // mosquitto's word for: the server will choose one
	}
	for _, text := range describe(p) {
		text = fmt.Sprintf("Client %s %s %s%s", id, direction, p.Type(), text)
		fmt.Fprintln(l.w, strings.Map(printable, text))
	}
}

// sentText is what stands behind the name of a packet that is sent, for each of its lines.
func sentText(p packet.Packet) []string {
	switch p := p.(type) {
	case *packet.Publish:
		return []string{publishText(p)}
	case *packet.Puback:
		return []string{fmt.Sprintf(" (m%d, rc%d)", p.PacketID, p.ReasonCode)}
	case *packet.Pubrec:
		return []string{fmt.Sprintf(" (m%d, rc%d)", p.PacketID, p.ReasonCode)}
	case *packet.Pubrel:
		return []string{fmt.Sprintf(" (m%d)", p.PacketID)}
	case *packet.Pubcomp:
		return []string{fmt.Sprintf(" (m%d, rc%d)", p.PacketID, p.ReasonCode)}
	case *packet.Subscribe:
		var lines []string
		for _, s := range p.Subscriptions {
			lines = append(lines, fmt.Sprintf(" (Mid: %d, Topic: %s, QoS: %d, Options: 0x%02x)", p.PacketID, s.Filter, s.QoS, subscribeOptions(s)))
		}
		return lines
	case *packet.Unsubscribe:
		var lines []string
		for _, filter := range p.Filters {
			lines = append(lines, fmt.Sprintf(" (Mid: %d, Topic: %s)", p.PacketID, filter))
		}
		return lines
	}
	return []string{""}
}

// receivedText is the same for a packet that came.
func receivedText(p packet.Packet) []string {
	text := ""
	switch p := p.(type) {
	case *packet.Publish:
		text = publishText(p)
	case *packet.Connack:
		text = fmt.Sprintf(" (%d)", p.ReasonCode)
	case *packet.Disconnect:
		text = fmt.Sprintf(" (%d)", p.ReasonCode)
	case *packet.Puback:
		text = fmt.Sprintf(" (Mid: %d, RC:%d)", p.PacketID, p.ReasonCode)
	case *packet.Pubrec:
		text = fmt.Sprintf(" (Mid: %d)", p.PacketID)
	case *packet.Pubrel:
		text = fmt.Sprintf(" (Mid: %d)", p.PacketID)
	case *packet.Pubcomp:
		text = fmt.Sprintf(" (Mid: %d, RC:%d)", p.PacketID, p.ReasonCode)
	}
	return []string{text}
}

func publishText(p *packet.Publish) string {
	bit := map[bool]int{true: 1}
	return fmt.Sprintf(" (d%d, q%d, r%d, m%d, '%s', ... (%d bytes))", bit[p.Dup], p.QoS, bit[p.Retain], p.PacketID, p.Topic, len(p.Payload))
}

// subscribeOptions are those of MQTT 5 (section 3.8.3.1) without the QoS.
func subscribeOptions(s packet.Subscription) byte {
	options := byte(s.RetainHandling) << 4
	if s.NoLocal {
		options |= 1 << 2
	}
	if s.RetainAsPublished {
		options |= 1 << 3
	}
	return options
}

// logConnected tells -d what has come about.
func (f *connection) logConnected(ctx context.Context, c *console, conn *client.Client) {
	if !f.Debug {
		return
	}
	args := []any{"server", redactedURL(conn.Stats().Server), "session_present", conn.Connack().SessionPresent}
	if info, err := conn.Connection(ctx); err == nil {
		args = append(args, "local", info.Local.String())
		if info.QUIC != nil {
			args = append(args, "resumed", info.QUIC.Resumed, "early_data", info.QUIC.EarlyData)
		}
	}
	f.log(c).Debug("connected", args...)
}

// logEnd tells -d how the connection was.
func (f *connection) logEnd(ctx context.Context, c *console, conn *client.Client) {
	if !f.Debug {
		return
	}
	if info, err := conn.Connection(ctx); err == nil && info.QUIC != nil {
		f.log(c).Debug("disconnecting", "streams", info.Streams, "rtt", info.QUIC.RTT,
			"packets_sent", info.QUIC.PacketsSent, "packets_received", info.QUIC.PacketsReceived, "packets_lost", info.QUIC.PacketsLost)
	}
}
