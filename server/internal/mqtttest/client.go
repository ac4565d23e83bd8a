// Package mqtttest is a raw MQTT client for the tests of the server: it sends the
// packets that a test tells it and waits for those that the test expects, over any
// net.Conn. It knows no protocol beyond the codec, so that a test sees everything.
package mqtttest

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Patience is how long a client waits for a packet, generous for a loaded machine: only a
// test that fails waits that long.
const Patience = 30 * time.Second

// Client is a raw client. Its methods fail the test when something goes wrong. One
// goroutine at a time.
type Client struct {
	tb      testing.TB
	conn    net.Conn
	version packet.Version
	decoder *packet.Decoder
	buf     []byte
}

// New makes a client on conn, which it closes at the end of the test.
func New(tb testing.TB, conn net.Conn, v packet.Version) *Client {
	tb.Helper()
	tb.Cleanup(func() { conn.Close() })
	c := &Client{tb: tb, conn: conn, version: v, decoder: packet.NewDecoder(0), buf: make([]byte, 64<<10)}
	c.decoder.SetVersion(v)
	return c
}

// Conn is the network connection.
func (c *Client) Conn() net.Conn { return c.conn }

// Raw sends bytes as they are.
func (c *Client) Raw(b []byte) {
	c.tb.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(Patience))
	if _, err := c.conn.Write(b); err != nil {
		c.tb.Fatalf("write: %s", err)
	}
}

// Send sends a packet.
func (c *Client) Send(p packet.Packet) {
	c.tb.Helper()
	c.Raw(p.AppendTo(nil, c.version))
}

// Read gives the next packet, or the error of the connection.
func (c *Client) Read() (packet.Packet, error) {
	c.conn.SetReadDeadline(time.Now().Add(Patience))
	p, err := c.decoder.ReadPacket(c.conn, c.buf)
	if pub, ok := p.(*packet.Publish); ok {
		p = clone(pub)
	}
	return p, err
}

// clone copies a PUBLISH, which belongs to the decoder.
func clone(p *packet.Publish) *packet.Publish {
	q := *p
	q.Topic = append([]byte(nil), p.Topic...)
	q.Properties = append(packet.Properties(nil), p.Properties...)
	q.Payload = append([]byte(nil), p.Payload...)
	return &q
}

// Expect gives the next packet, which must be a P.
func Expect[P packet.Packet](c *Client) P {
	c.tb.Helper()
	p, err := c.Read()
	if err != nil {
		c.tb.Fatalf("waiting for a %T: %s", *new(P), err)
	}
	q, ok := p.(P)
	if !ok {
		c.tb.Fatalf("got %T %+v, not a %T", p, p, *new(P))
	}
	return q
}

// ExpectEnd waits for the end of the connection and closes it; only a DISCONNECT may
// come before, which it gives (nil: none).
func (c *Client) ExpectEnd() *packet.Disconnect {
	c.tb.Helper()
	defer c.conn.Close()
	var last *packet.Disconnect
	for {
		p, err := c.Read()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				c.tb.Fatalf("the connection did not end within %s", Patience)
			}
			return last
		}
		var ok bool
		if last, ok = p.(*packet.Disconnect); !ok {
			c.tb.Fatalf("got %T %+v, not the end of the connection", p, p)
		}
	}
}

// Connect sends a CONNECT and gives the CONNACK, which must say Success.
func (c *Client) Connect(p *packet.Connect) *packet.Connack {
	c.tb.Helper()
	c.Send(p)
	ack := Expect[*packet.Connack](c)
	if ack.ReasonCode != packet.Success {
		c.tb.Fatalf("CONNACK %s", ack.ReasonCode)
	}
	return ack
}

// ConnectAs connects with a client identifier, a clean start and no keep alive.
func (c *Client) ConnectAs(id string) {
	c.tb.Helper()
	c.Connect(&packet.Connect{ClientID: id, CleanStart: true})
}

// Subscribe subscribes to one filter and waits for the SUBACK.
func (c *Client) Subscribe(filter string, qos byte) {
	c.tb.Helper()
	c.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}})
	ack := Expect[*packet.Suback](c)
	if len(ack.ReasonCodes) != 1 || ack.ReasonCodes[0] != packet.ReasonCode(qos) {
		c.tb.Fatalf("SUBACK %v", ack.ReasonCodes)
	}
}

// Publish sends a message and does the sender's part of its QoS.
func (c *Client) Publish(topic, payload string, qos byte) {
	c.tb.Helper()
	p := &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), QoS: qos}
	if qos > 0 {
		p.PacketID = 7
	}
	c.Send(p)
	switch qos {
	case 1:
		Expect[*packet.Puback](c)
	case 2:
		Expect[*packet.Pubrec](c)
		c.Send(&packet.Pubrel{PacketID: p.PacketID})
		Expect[*packet.Pubcomp](c)
	}
}

// Receive waits for a message and does the receiver's part of its QoS.
func (c *Client) Receive() *packet.Publish {
	c.tb.Helper()
	p := Expect[*packet.Publish](c)
	switch p.QoS {
	case 1:
		c.Send(&packet.Puback{PacketID: p.PacketID})
	case 2:
		c.Send(&packet.Pubrec{PacketID: p.PacketID})
		Expect[*packet.Pubrel](c)
		c.Send(&packet.Pubcomp{PacketID: p.PacketID})
	}
	return p
}

// ExpectMessage waits for a message with this topic and payload.
func (c *Client) ExpectMessage(topic, payload string) *packet.Publish {
	c.tb.Helper()
	p := c.Receive()
	if string(p.Topic) != topic || string(p.Payload) != payload {
		c.tb.Fatalf("got %s %q, not %s %q", p.Topic, short(p.Payload), topic, short([]byte(payload)))
	}
	return p
}

func short(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%s... (%d bytes)", b[:40], len(b))
	}
	return string(b)
}

// Ping sends a PINGREQ and waits for the answer: what was sent before has been handled.
func (c *Client) Ping() {
	c.tb.Helper()
	c.Send(&packet.Pingreq{})
	Expect[*packet.Pingresp](c)
}
