package client

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// gated is a client whose handler waits for the gate before its first message, and its server.
func gated(t *testing.T, opts Options, handler func(*Client, Message)) (c *Client, s *peer, open func()) {
	gate, made := make(chan struct{}), make(chan *Client, 1)
	var once sync.Once
	var client *Client
	opts.OnMessage = func(m Message) {
		once.Do(func() { client = <-made; <-gate })
		handler(client, m)
	}
	c, s, _ = connected(t, opts, packet.Connack{})
	made <- c
	open = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	return c, s, open
}

// stopped waits until the reader waits for room in the inbox.
func stopped(t *testing.T, c *Client) {
	t.Helper()
	l, err := c.current()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		l.inbox.mu.Lock()
		defer l.inbox.mu.Unlock()
		return l.inbox.changed != nil && len(l.inbox.waiting)-l.inbox.head == inboxSize
	}, patience, time.Millisecond)
}

func publishes(qos byte, from, to int) (list []packet.Packet) {
	for i := from; i < to; i++ {
		p := &packet.Publish{Topic: fmt.Appendf(nil, "%d", i), QoS: qos}
		if qos > 0 {
			p.PacketID = uint16(i + 1)
		}
		list = append(list, p)
	}
	return list
}

// TestHandlerAnswersWhatIsQueued: acknowledgements that a handler waits for are behind any number of messages.
func TestHandlerAnswersWhatIsQueued(t *testing.T) {
	const n = 1000
	for name, k := range map[string]struct {
		opts Options
		qos  byte
	}{
		"5.0 QoS 0":           {Options{}, 0},
		"5.0 QoS 1":           {Options{}, 1},
		"3.1.1 QoS 1":         {Options{Version: packet.V311}, 1},
		"5.0 QoS 2":           {Options{}, 2},
		"5.0 QoS 1 Reconnect": {Options{Reconnect: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var failed []error
			c, s, open := gated(t, k.opts, func(c *Client, m Message) {
				if _, err := c.Publish(within(t), Message{Topic: m.Topic, QoS: 1}); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = append(failed, err)
				}
			})
			s.send(publishes(k.qos, 0, n)...)
			stopped(t, c) // nothing is awaited yet
			open()
			answers, acks := 0, 0
			for answers < n || k.qos > 0 && acks < n {
				p, err := s.dec.ReadPacket(s.nc, s.buf)
				require.NoError(t, err, "after %d answers", answers)
				switch p := p.(type) {
				case *packet.Publish:
					require.Equal(t, fmt.Sprint(answers), string(p.Topic))
					answers++
					s.send(&packet.Puback{PacketID: p.PacketID})
				case *packet.Puback, *packet.Pubrec:
					acks++
					require.Equal(t, answers, acks, "acknowledged when the handler has returned")
				}
			}
			mu.Lock()
			defer mu.Unlock()
			assert.Empty(t, failed)
			assert.Zero(t, c.Stats().Dropped)
		})
	}
}

// TestInboxSlowsTheServerDown: while nothing is awaited, reading stops, and nothing is lost.
func TestInboxSlowsTheServerDown(t *testing.T) {
	const n = 500
	messages := make(chan Message, n)
	c, s, open := gated(t, Options{}, func(_ *Client, m Message) { messages <- m })
	s.send(publishes(0, 0, n)...)
	stopped(t, c)
	open()
	for i := range n {
		assert.Equal(t, fmt.Sprint(i), receive(t, messages).Topic)
	}
	assert.Zero(t, c.Stats().Dropped)
}

// TestInboxDropsQoS0: beyond its bound QoS 0 makes way for the answer that a handler waits for; QoS 1 stays.
func TestInboxDropsQoS0(t *testing.T) {
	const n, acked = backlogQoS0 + 1000, 10
	var log bytes.Buffer
	messages := make(chan Message, n+acked)
	published := make(chan error, 1)
	var once sync.Once
	opts := Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	c, s, open := gated(t, opts, func(c *Client, m Message) {
		once.Do(func() {
			_, err := c.Publish(within(t), Message{Topic: "answer", QoS: 1})
			published <- err
		})
		messages <- m
	})
	open()
	s.send(publishes(0, 0, 1)...)
	p := expect[*packet.Publish](s)
	s.send(publishes(0, 1, n)...)
	s.send(publishes(1, n, n+acked)...)
	s.send(&packet.Puback{PacketID: p.PacketID})
	require.NoError(t, receive(t, published))
	for range acked {
		expect[*packet.Puback](s)
	}
	dropped := int(c.Stats().Dropped)
	assert.Equal(t, n-backlogQoS0-1, dropped)
	require.Len(t, messages, n-dropped+acked)
	for i := range n - dropped {
		require.Equal(t, fmt.Sprint(i), (<-messages).Topic)
	}
	for i := range acked {
		require.Equal(t, fmt.Sprint(n+i), (<-messages).Topic)
	}
	require.NoError(t, c.Close())
	assert.Equal(t, 1, strings.Count(log.String(), "dropped"))
}

// TestInboxKeepsThePingAlive: a PINGRESP behind messages for a slow handler is read in time.
func TestInboxKeepsThePingAlive(t *testing.T) {
	ack := packet.Connack{Properties: packet.AppendUint16(nil, packet.ServerKeepAlive, 1)}
	gate := make(chan struct{})
	c, s, _ := connected(t, Options{OnMessage: func(Message) { <-gate }}, ack)
	defer close(gate)
	s.send(publishes(0, 0, 500)...)
	stopped(t, c)
	expect[*packet.Pingreq](s)
	s.send(&packet.Pingresp{})
	l, err := c.current()
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return l.pinged.Load() == 0 }, patience/2, time.Millisecond)
}

// TestInboxBounds: what may wait, in messages and bytes.
func TestInboxBounds(t *testing.T) {
	fill := func(d delivery, awaited bool) (n int) {
		for b := newInbox(DefaultInboxBytes); b.put(d, awaited); n++ {
		}
		return n
	}
	large := make([]byte, 1<<20)
	assert.Equal(t, inboxSize, fill(delivery{}, false))
	assert.Equal(t, backlogQoS0, fill(delivery{}, true))
	assert.Equal(t, backlogSize, fill(delivery{message: Message{QoS: 1, Topic: "a"}}, true))
	assert.Equal(t, DefaultInboxBytes>>20, fill(delivery{message: Message{Payload: large}}, true))
	assert.Equal(t, 2*DefaultInboxBytes>>20, fill(delivery{message: Message{QoS: 2, Payload: large}}, true))

	b := newInbox(DefaultInboxBytes)
	for i := range 10_000 { // the memory of those taken is used again
		require.True(t, b.put(delivery{id: uint16(i)}, false))
		if i >= 100 {
			d, ok := b.take()
			require.True(t, ok)
			require.Equal(t, uint16(i-100), d.id)
		}
	}
	assert.LessOrEqual(t, cap(b.waiting), 4*inboxSize)
}

// TestInboxBytes: while the handler does not return, reading stops at the bytes of the Options.
func TestInboxBytes(t *testing.T) {
	const n, limit = 50, 10 << 10
	got := make(chan string, n)
	c, s, open := gated(t, Options{InboxBytes: limit}, func(_ *Client, m Message) { got <- m.Topic })
	l, err := c.current()
	require.NoError(t, err)
	for _, p := range publishes(0, 0, n) {
		p.(*packet.Publish).Payload = make([]byte, 1<<10)
		s.send(p)
	}
	require.Eventually(t, func() bool {
		l.inbox.mu.Lock()
		defer l.inbox.mu.Unlock()
		return l.inbox.changed != nil && l.inbox.bytes >= limit
	}, patience, time.Millisecond)
	l.inbox.mu.Lock()
	assert.Less(t, l.inbox.bytes, limit+2<<10, "one message more")
	l.inbox.mu.Unlock()
	open()
	for i := range n {
		assert.Equal(t, fmt.Sprint(i), receive(t, got))
	}
	assert.ErrorContains(t, (&Options{Servers: []string{"mqtt://h"}, InboxBytes: -1}).Validate(), "InboxBytes")
}
