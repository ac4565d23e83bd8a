package main

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// loopback is a small MQTT server for these tests: it passes messages on at the
// QoS of the subscription and remembers what it was sent.
type loopback struct {
	t    *testing.T
	addr string

	mu       sync.Mutex
	conns    map[*loopbackConn]bool
	connects []*packet.Connect
	messages []packet.Publish
	// properties of messages, and the DISCONNECT packets
	properties  []packet.Properties
	disconnects []*packet.Disconnect
	// UNSUBSCRIBE packets
	unsubscribes []*packet.Unsubscribe
	kept         bool          // the messages are retained: new subscriptions get them
	changed      chan struct{} // closed and replaced at each change

	connack packet.Properties // of the answer to CONNECT
	refuse  packet.ReasonCode // answer to CONNECT
	refused packet.ReasonCode // answer to PUBLISH and SUBSCRIBE
}

type loopbackConn struct {
	nc   net.Conn
	mu   sync.Mutex
	v    packet.Version
	subs []packet.Subscription
}

func startLoopback(t *testing.T) *loopback {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &loopback{t: t, addr: l.Addr().String(), conns: map[*loopbackConn]bool{}, changed: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(&loopbackConn{nc: nc})
		}
	}()
	return b
}

func (b *loopback) serve(c *loopbackConn) {
	defer c.nc.Close()
	dec, buf := packet.NewDecoder(0), make([]byte, 4096)
	for {
		p, err := dec.ReadPacket(c.nc, buf)
		if err != nil {
			b.update(func() { delete(b.conns, c) })
			return
		}
		if connect, ok := p.(*packet.Connect); ok {
			dec.SetVersion(connect.Version)
			c.v = connect.Version
		}
		b.handle(c, p)
	}
}

func (b *loopback) handle(c *loopbackConn, p packet.Packet) {
	switch p := p.(type) {
	case *packet.Connect:
		b.update(func() { b.connects = append(b.connects, p); b.conns[c] = true })
		c.send(&packet.Connack{ReasonCode: b.refuse, Properties: b.connack})
	case *packet.Subscribe:
		codes := make([]packet.ReasonCode, len(p.Subscriptions))
		for i := range codes {
			codes[i] = max(packet.ReasonCode(p.Subscriptions[i].QoS), b.refused)
		}
		c.send(&packet.Suback{PacketID: p.PacketID, ReasonCodes: codes})
		b.update(func() {
			c.subs = append(c.subs, p.Subscriptions...)
			for _, m := range b.messages {
				if b.kept && topic.Match(p.Subscriptions[0].Filter, string(m.Topic)) {
					c.send(&m)
				}
			}
		})
	case *packet.Unsubscribe:
		b.update(func() { b.unsubscribes = append(b.unsubscribes, p) })
		c.send(&packet.Unsuback{PacketID: p.PacketID, ReasonCodes: make([]packet.ReasonCode, len(p.Filters))})
	case *packet.Publish:
		b.publish(c, p)
	case *packet.Pingreq:
		c.send(&packet.Pingresp{})
	case *packet.Disconnect:
		b.update(func() { b.disconnects = append(b.disconnects, p) })
	case *packet.Pubrel:
		c.send(&packet.Pubcomp{PacketID: p.PacketID})
	case *packet.Pubrec:
		c.send(&packet.Pubrel{PacketID: p.PacketID})
	}
}

func (b *loopback) publish(from *loopbackConn, p *packet.Publish) {
	kept := *p
	kept.Topic, kept.Payload, kept.Properties = bytes.Clone(p.Topic), bytes.Clone(p.Payload), bytes.Clone(p.Properties)
	b.update(func() {
		b.messages = append(b.messages, kept)
		b.properties = append(b.properties, kept.Properties)
		for c := range b.conns {
			for _, s := range c.subs {
				if topic.Match(s.Filter, string(p.Topic)) {
					out := kept
					out.QoS = min(p.QoS, s.QoS)
					c.send(&out)
				}
			}
		}
	})
	switch p.QoS {
	case 1:
		from.send(&packet.Puback{PacketID: p.PacketID, ReasonCode: b.refused})
	case 2:
		from.send(&packet.Pubrec{PacketID: p.PacketID, ReasonCode: b.refused})
	}
}

func (c *loopbackConn) send(p packet.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.Write(p.AppendTo(nil, c.v))
}

func (b *loopback) update(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.changed)
	b.changed = make(chan struct{})
}

// asked reports whether a message has come.
func (b *loopback) asked() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.messages) > 0
}

// wait returns when ok does; ok may look at b.
func (b *loopback) wait(ok func() bool) {
	b.t.Helper()
	limit := time.After(patience)
	for {
		b.mu.Lock()
		done, changed := ok(), b.changed
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit:
			require.FailNow(b.t, "it did not come about")
		}
	}
}

// subscribers waits until count filters are subscribed.
func (b *loopback) subscribers(count int) {
	b.wait(func() bool {
		n := 0
		for c := range b.conns {
			n += len(c.subs)
		}
		return n == count
	})
}

// host is -h and -p of the server.
func (b *loopback) host() []string {
	host, port, _ := net.SplitHostPort(b.addr)
	return []string{"-h", host, "-p", port}
}

// seen are the messages so far.
func (b *loopback) seen() []packet.Publish {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages
}
