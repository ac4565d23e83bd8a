package client

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// publishing starts a Publish and gives its outcome.
func publishing(c *Client, ctx context.Context, m Message) (<-chan packet.ReasonCode, <-chan error) {
	codes := make(chan packet.ReasonCode, 1)
	return codes, async(func() error {
		code, err := c.Publish(ctx, m)
		codes <- code
		return err
	})
}

func TestPublishQoS0(t *testing.T) {
	c, s, _ := connected(t, Options{}, packet.Connack{})
	props := packet.AppendUserProperty(nil, "k", "v")
	_, err := c.Publish(within(t), Message{Topic: "a/b", Payload: []byte("hi"), Retain: true, Properties: props})
	require.NoError(t, err)
	p := expect[*packet.Publish](s)
	assert.Equal(t, "a/b", string(p.Topic))
	assert.Equal(t, "hi", string(p.Payload))
	assert.True(t, p.Retain)
	assert.Equal(t, byte(0), p.QoS)
	assert.Equal(t, props, p.Properties)
}

func TestPublishQoS1(t *testing.T) {
	c, s, _ := connected(t, Options{}, packet.Connack{})
	codes, result := publishing(c, within(t), Message{Topic: "a", QoS: 1})
	p := expect[*packet.Publish](s)
	assert.NotZero(t, p.PacketID)
	assert.Empty(t, result, "no answer yet")
	s.send(&packet.Puback{PacketID: p.PacketID, ReasonCode: packet.NoMatchingSubscribers})
	require.NoError(t, receive(t, result))
	assert.Equal(t, packet.NoMatchingSubscribers, <-codes)
}

func TestPublishQoS2(t *testing.T) {
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V50} {
		c, s, _ := connected(t, Options{Version: v}, packet.Connack{})
		_, result := publishing(c, within(t), Message{Topic: "a", QoS: 2})
		id := expect[*packet.Publish](s).PacketID
		s.send(&packet.Pubrec{PacketID: id})
		assert.Equal(t, id, expect[*packet.Pubrel](s).PacketID)
		assert.Empty(t, result, "PUBCOMP is due")
		s.send(&packet.Pubcomp{PacketID: id})
		require.NoError(t, receive(t, result))
	}
}

func TestPublishRefused(t *testing.T) {
	c, s, _ := connected(t, Options{MaxInflight: 1}, packet.Connack{})
	for _, qos := range []byte{1, 2} {
		_, result := publishing(c, within(t), Message{Topic: "a", QoS: qos})
		id := expect[*packet.Publish](s).PacketID
		props := packet.AppendString(nil, packet.ReasonString, "because")
		if qos == 1 {
			s.send(&packet.Puback{PacketID: id, ReasonCode: packet.QuotaExceeded, Properties: props})
		} else {
			s.send(&packet.Pubrec{PacketID: id, ReasonCode: packet.QuotaExceeded, Properties: props})
		}
		err := receive(t, result)
		var refusal *ReasonError
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, packet.QuotaExceeded, refusal.Code)
		assert.ErrorContains(t, err, "because")
	}
}

func TestPublishChecksItsMessage(t *testing.T) {
	c, _, _ := connected(t, Options{}, packet.Connack{})
	for name, m := range map[string]Message{
		"QoS 3":         {Topic: "a", QoS: 3},
		"no topic":      {},
		"wildcard":      {Topic: "a/+"},
		"bad UTF-8":     {Topic: "\xff"},
		"long topic":    {Topic: strings.Repeat("x", 65536)},
		"topic alias":   {Topic: "a", Properties: packet.AppendUint16(nil, packet.TopicAlias, 1)},
		"misplaced":     {Topic: "a", Properties: packet.AppendUint16(nil, packet.ReceiveMaximum, 1)},
		"no properties": {Topic: "a", Properties: packet.Properties{0xff}},
	} {
		_, err := c.Publish(within(t), m)
		assert.Error(t, err, name)
	}
}

func TestPublishRespectsTheServersLimits(t *testing.T) {
	props := packet.AppendByte(nil, packet.MaximumQoS, 1)
	props = packet.AppendByte(props, packet.RetainAvailable, 0)
	props = packet.AppendUint32(props, packet.MaximumPacketSize, 100)
	c, _, _ := connected(t, Options{}, packet.Connack{Properties: props})
	for _, m := range []Message{{Topic: "a", QoS: 2}, {Topic: "a", Retain: true}, {Topic: "a", Payload: make([]byte, 100)}} {
		_, err := c.Publish(within(t), m)
		assert.ErrorIs(t, err, ErrNotSupported)
	}
}

// TestReceiveMaximum proves MQTT-3.3.4-7: no more unacknowledged messages than the server takes.
func TestReceiveMaximum(t *testing.T) {
	c, s, _ := connected(t, Options{}, packet.Connack{Properties: packet.AppendUint16(nil, packet.ReceiveMaximum, 2)})
	var results []<-chan error
	for range 3 {
		_, result := publishing(c, within(t), Message{Topic: "a", QoS: 1})
		results = append(results, result)
	}
	first := expect[*packet.Publish](s).PacketID
	second := expect[*packet.Publish](s).PacketID
	_, err := c.Publish(within(t), Message{Topic: "marker"})
	require.NoError(t, err)
	assert.Equal(t, "marker", string(expect[*packet.Publish](s).Topic), "QoS 0 has no quota")
	s.send(&packet.Puback{PacketID: first})
	third := expect[*packet.Publish](s).PacketID
	s.send(&packet.Puback{PacketID: second}, &packet.Puback{PacketID: third})
	for _, result := range results {
		assert.NoError(t, receive(t, result))
	}
}

func TestPublishEndsWithItsContext(t *testing.T) {
	c, s, _ := connected(t, Options{MaxInflight: 1}, packet.Connack{})
	ctx, cancel := context.WithCancel(within(t))
	_, result := publishing(c, ctx, Message{Topic: "a", QoS: 1})
	id := expect[*packet.Publish](s).PacketID
	_, waiting := publishing(c, ctx, Message{Topic: "b", QoS: 1})
	cancel()
	assert.ErrorIs(t, receive(t, result), context.Canceled)
	assert.ErrorIs(t, receive(t, waiting), context.Canceled, "waiting for the quota")
	s.send(&packet.Puback{PacketID: id})
	_, result = publishing(c, within(t), Message{Topic: "c", QoS: 1})
	s.send(&packet.Puback{PacketID: expect[*packet.Publish](s).PacketID})
	assert.NoError(t, receive(t, result), "the late PUBACK freed the quota")
}

func TestNotConnected(t *testing.T) {
	c, err := New(Options{Servers: []string{"mqtt://127.0.0.1:1"}})
	require.NoError(t, err)
	_, err = c.Publish(within(t), Message{Topic: "a"})
	assert.ErrorIs(t, err, ErrNotConnected)
	_, err = c.Subscribe(within(t), packet.Subscription{Filter: "a"})
	assert.ErrorIs(t, err, ErrNotConnected)
	_, err = c.Unsubscribe(within(t), "a")
	assert.ErrorIs(t, err, ErrNotConnected)
	assert.ErrorIs(t, c.Disconnect(within(t)), ErrNotConnected)
	assert.NoError(t, c.Close())
	<-c.Done()
}

// TestSessionResumed proves MQTT-4.4.0-1: unacknowledged messages come again, in order, as DUP or PUBREL.
func TestSessionResumed(t *testing.T) {
	c, s, accept := connected(t, Options{ClientID: "me", ResumeSession: true}, packet.Connack{})
	var results []<-chan error
	for i := range 3 {
		_, result := publishing(c, within(t), Message{Topic: fmt.Sprint(i), QoS: byte(1 + i%2)})
		results = append(results, result)
		expect[*packet.Publish](s)
	}
	s.send(&packet.Pubrec{PacketID: 2})
	expect[*packet.Pubrel](s)
	s.nc.Close()
	for _, result := range results {
		var lost *ConnectionLostError
		assert.ErrorAs(t, receive(t, result), &lost)
	}
	<-c.Done()

	s, _ = reconnect(t, c, accept, packet.Connack{SessionPresent: true})
	p := expect[*packet.Publish](s)
	assert.True(t, p.Dup)
	assert.Equal(t, "0", string(p.Topic))
	assert.Equal(t, uint16(2), expect[*packet.Pubrel](s).PacketID)
	p = expect[*packet.Publish](s)
	assert.True(t, p.Dup)
	assert.Equal(t, "2", string(p.Topic))
	s.send(&packet.Puback{PacketID: 1}, &packet.Pubcomp{PacketID: 2}, &packet.Puback{PacketID: 3})
	_, result := publishing(c, within(t), Message{Topic: "new", QoS: 1})
	id := expect[*packet.Publish](s).PacketID
	assert.Equal(t, uint16(4), id)
	s.send(&packet.Puback{PacketID: id})
	require.NoError(t, receive(t, result))
	s.nc.Close()
	<-c.Done()

	s, _ = reconnect(t, c, accept, packet.Connack{SessionPresent: true})
	_, err := c.Publish(within(t), Message{Topic: "nothing before this"})
	require.NoError(t, err)
	assert.Equal(t, "nothing before this", string(expect[*packet.Publish](s).Topic))
}

func TestSessionLostForgetsMessages(t *testing.T) {
	c, s, accept := connected(t, Options{ClientID: "me", ResumeSession: true}, packet.Connack{})
	_, result := publishing(c, within(t), Message{Topic: "old", QoS: 1})
	expect[*packet.Publish](s)
	s.nc.Close()
	require.Error(t, receive(t, result))
	<-c.Done()
	s, _ = reconnect(t, c, accept, packet.Connack{})
	_, err := c.Publish(within(t), Message{Topic: "new"})
	require.NoError(t, err)
	assert.Equal(t, "new", string(expect[*packet.Publish](s).Topic))
}

// TestManyGoroutines publishes and subscribes from many goroutines at a time.
func TestManyGoroutines(t *testing.T) {
	c, s, _ := connected(t, Options{MaxInflight: 10}, packet.Connack{})
	const goroutines, each = 20, 50
	go answerAll(s)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range each {
				_, err := c.Publish(within(t), Message{Topic: "a", Payload: make([]byte, i), QoS: byte(i % 3)})
				assert.NoError(t, err)
				_, err = c.Subscribe(within(t), packet.Subscription{Filter: "a", QoS: 1})
				assert.NoError(t, err)
				_, err = c.Unsubscribe(within(t), "a")
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	assert.Empty(t, c.session.exchanges)
	require.NoError(t, c.Disconnect(within(t)))
}

// answerAll is a server that agrees to everything.
func answerAll(s *peer) {
	for {
		p, err := s.dec.ReadPacket(s.nc, s.buf)
		if err != nil {
			return
		}
		var reply packet.Packet
		switch p := p.(type) {
		case *packet.Publish:
			switch p.QoS {
			case 0:
				continue
			case 1:
				reply = &packet.Puback{PacketID: p.PacketID}
			case 2:
				reply = &packet.Pubrec{PacketID: p.PacketID}
			}
		case *packet.Pubrel:
			reply = &packet.Pubcomp{PacketID: p.PacketID}
		case *packet.Subscribe:
			reply = &packet.Suback{PacketID: p.PacketID, ReasonCodes: make([]packet.ReasonCode, len(p.Subscriptions))}
		case *packet.Unsubscribe:
			reply = &packet.Unsuback{PacketID: p.PacketID, ReasonCodes: make([]packet.ReasonCode, len(p.Filters))}
		case *packet.Disconnect:
			s.nc.Close()
			return
		}
		if _, err := s.nc.Write(reply.AppendTo(nil, s.v)); err != nil {
			return
		}
	}
}

// TestBackPressure: a server that does not read makes Publish wait instead of growing memory.
func TestBackPressure(t *testing.T) {
	c, s, _ := connected(t, Options{}, packet.Connack{})
	sent := 0
	for {
		ctx, cancel := context.WithTimeout(within(t), 100*time.Millisecond)
		_, err := c.Publish(ctx, Message{Topic: "a", Payload: make([]byte, 1<<16)})
		cancel()
		if err != nil {
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			break
		}
		sent++
	}
	for range sent {
		expect[*packet.Publish](s)
	}
}
