package client

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

var soon = Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond}

// welcome lets the client's next connection succeed.
func welcome(accept func() *peer, ack packet.Connack) (*peer, *packet.Connect) {
	s := accept()
	connect := expect[*packet.Connect](s)
	s.send(&ack)
	return s, connect
}

func TestReconnectTellsWhatHappens(t *testing.T) {
	events := make(chan string, 10)
	c, s, accept := connected(t, Options{
		Reconnect: true, Backoff: soon,
		OnConnected:      func(ack packet.Connack) { events <- fmt.Sprint("connected ", ack.SessionPresent) },
		OnConnectionLost: func(err error) { assert.ErrorIs(t, err, io.EOF); events <- "lost" },
	}, packet.Connack{})
	assert.Equal(t, "connected false", receive(t, events))
	for range 3 {
		s.nc.Close()
		assert.Equal(t, "lost", receive(t, events))
		s, _ = welcome(accept, packet.Connack{})
		assert.Equal(t, "connected false", receive(t, events))
	}
	require.NoError(t, c.AwaitConnection(within(t)))
	_, err := c.Connect(within(t))
	assert.ErrorIs(t, err, ErrConnected)
	require.NoError(t, c.Close())
	assert.ErrorIs(t, c.AwaitConnection(within(t)), ErrNotConnected)
	s.expectEnd()
	assert.Empty(t, events)

	s, _ = reconnect(t, c, accept, packet.Connack{})
	result := async(func() error { return c.Disconnect(within(t)) })
	expect[*packet.Disconnect](s)
	s.nc.Close()
	require.NoError(t, receive(t, result))
}

// TestStart: the server comes later than the client, and refuses once.
func TestStart(t *testing.T) {
	url, accept := listen(t)
	errs := make(chan error, 10)
	c, err := New(Options{Servers: []string{url}, Reconnect: true, Backoff: soon, OnError: func(err error) { errs <- err }})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Start())
	assert.ErrorIs(t, c.Start(), ErrConnected)
	welcome(accept, packet.Connack{ReasonCode: packet.ServerBusy})
	var refusal *ReasonError
	require.ErrorAs(t, receive(t, errs), &refusal)
	assert.Equal(t, packet.ServerBusy, refusal.Code)
	welcome(accept, packet.Connack{})
	require.NoError(t, c.AwaitConnection(within(t)))

	direct, err := New(Options{Servers: []string{url}})
	require.NoError(t, err)
	assert.ErrorContains(t, direct.Start(), "Reconnect")
}

// TestDisconnectWhileConnecting: nothing is left behind.
func TestDisconnectWhileConnecting(t *testing.T) {
	url, accept := listen(t)
	c, err := New(Options{Servers: []string{url}, Reconnect: true, Backoff: soon})
	require.NoError(t, err)
	require.NoError(t, c.Start())
	s := accept()
	expect[*packet.Connect](s)
	waiting := async(func() error { return c.AwaitConnection(within(t)) })
	require.NoError(t, c.Disconnect(within(t)))
	assert.ErrorIs(t, receive(t, waiting), ErrNotConnected)
	s.expectEnd()
	assert.ErrorIs(t, c.Disconnect(within(t)), ErrNotConnected)
}

// TestCloseWhileConnecting: Connect does not bring a closed client back.
func TestCloseWhileConnecting(t *testing.T) {
	for _, reconnects := range []bool{false, true} {
		url, accept := listen(t)
		c, err := New(Options{Servers: []string{url}, Reconnect: reconnects})
		require.NoError(t, err)
		result := async(func() error { _, err := c.Connect(within(t)); return err })
		s := accept()
		expect[*packet.Connect](s)
		require.NoError(t, c.Close())
		s.send(&packet.Connack{})
		assert.ErrorIs(t, receive(t, result), ErrClosed)
		s.expectEnd()
		assert.ErrorIs(t, c.AwaitConnection(within(t)), ErrNotConnected)
	}
}

// TestReconnectResumesTheSession: a clean start is for the first connection; the calls that
// wait see nothing of the loss.
func TestReconnectResumesTheSession(t *testing.T) {
	c, s, accept := connected(t, Options{ClientID: "me", SessionExpiry: 60, Reconnect: true, Backoff: soon}, packet.Connack{})
	var results []<-chan error
	for i := range 4 {
		_, result := publishing(c, within(t), Message{Topic: fmt.Sprint(i), QoS: byte(1 + i%2)})
		results = append(results, result)
		expect[*packet.Publish](s)
	}
	s.send(&packet.Pubrec{PacketID: 2})
	expect[*packet.Pubrel](s)
	s.nc.Close()
	s, connect := welcome(accept, packet.Connack{SessionPresent: true})
	assert.False(t, connect.CleanStart)
	for i := range 4 {
		if i == 1 {
			assert.Equal(t, uint16(2), expect[*packet.Pubrel](s).PacketID)
			continue
		}
		p := expect[*packet.Publish](s)
		assert.True(t, p.Dup)
		assert.Equal(t, fmt.Sprint(i), string(p.Topic))
	}
	s.send(&packet.Puback{PacketID: 1}, &packet.Pubcomp{PacketID: 2}, &packet.Puback{PacketID: 3}, &packet.Pubrec{PacketID: 4})
	expect[*packet.Pubrel](s)
	s.send(&packet.Pubcomp{PacketID: 4})
	for _, result := range results {
		assert.NoError(t, receive(t, result))
	}
	assert.Zero(t, c.session.queue.count)
	assert.Zero(t, c.session.queue.bytes)
}

// TestReconnectWithoutTheSession: subscriptions come first, then what was not
// acknowledged, as new messages in their order.
func TestReconnectWithoutTheSession(t *testing.T) {
	delivered := make(chan string, 10)
	c, s, accept := connected(t, Options{
		ClientID: "me", ResumeSession: true, Reconnect: true, Backoff: soon,
		OnDelivered: func(p *Pending) { delivered <- p.Topic() },
	}, packet.Connack{})
	subscribing := async(func() error {
		_, err := c.SubscribeWith(within(t), packet.AppendVarint(nil, packet.SubscriptionIdentifier, 9),
			packet.Subscription{Filter: "a", QoS: 1}, packet.Subscription{Filter: "refused"}, packet.Subscription{Filter: "b", NoLocal: true}, packet.Subscription{Filter: "ended"})
		return err
	})
	id := expect[*packet.Subscribe](s).PacketID
	s.send(&packet.Suback{PacketID: id, ReasonCodes: []packet.ReasonCode{1, packet.NotAuthorized, 0, 0}})
	require.Error(t, receive(t, subscribing))
	unsubscribing := c.UnsubscribeAsync(within(t), "ended")
	s.send(&packet.Unsuback{PacketID: expect[*packet.Unsubscribe](s).PacketID, ReasonCodes: []packet.ReasonCode{0}})
	_, err := unsubscribing.Wait(within(t))
	require.NoError(t, err)
	for i, qos := range []byte{1, 2, 2, 1} {
		_, err := c.PublishAsync(within(t), Message{Topic: fmt.Sprint(i), Payload: []byte("x"), QoS: qos})
		require.NoError(t, err)
	}
	var taken uint16
	for i := range 4 {
		if p := expect[*packet.Publish](s); i == 1 {
			taken = p.PacketID
		}
	}
	s.send(&packet.Pubrec{PacketID: taken})
	expect[*packet.Pubrel](s)
	s.nc.Close()

	s, _ = welcome(accept, packet.Connack{})
	for _, want := range []packet.Subscription{{Filter: "a", QoS: 1}, {Filter: "b", NoLocal: true}} {
		p := expect[*packet.Subscribe](s)
		assert.Equal(t, []packet.Subscription{want}, p.Subscriptions)
		identifier, _ := p.Properties.Uint(packet.SubscriptionIdentifier)
		assert.Equal(t, uint32(9), identifier)
		s.send(&packet.Suback{PacketID: p.PacketID, ReasonCodes: []packet.ReasonCode{0}})
	}
	assert.Equal(t, "1", receive(t, delivered), "the server had it: PUBREC")
	for _, want := range []string{"0", "2", "3"} {
		p := expect[*packet.Publish](s)
		assert.Equal(t, want, string(p.Topic))
		assert.Equal(t, "x", string(p.Payload))
		assert.False(t, p.Dup)
		if p.QoS == 1 {
			s.send(&packet.Puback{PacketID: p.PacketID})
			assert.Equal(t, want, receive(t, delivered))
		}
	}
}

// TestRestoredSubscriptionRefused: the application learns it, and it is not tried again.
func TestRestoredSubscriptionRefused(t *testing.T) {
	errs := make(chan error, 10)
	c, s, accept := connected(t, Options{Reconnect: true, Backoff: soon, OnError: func(err error) { errs <- err }}, packet.Connack{})
	pending := c.SubscribeAsync(within(t), nil, packet.Subscription{Filter: "a"})
	s.send(&packet.Suback{PacketID: expect[*packet.Subscribe](s).PacketID, ReasonCodes: []packet.ReasonCode{0}})
	_, err := pending.Wait(within(t))
	require.NoError(t, err)
	assert.Equal(t, []packet.ReasonCode{0}, pending.Codes())
	s.nc.Close()
	s, _ = welcome(accept, packet.Connack{})
	s.send(&packet.Suback{PacketID: expect[*packet.Subscribe](s).PacketID, ReasonCodes: []packet.ReasonCode{packet.NotAuthorized}})
	var refusal *ReasonError
	require.ErrorAs(t, receive(t, errs), &refusal)
	assert.Equal(t, "a", refusal.Filter)
	s.nc.Close()
	s, _ = welcome(accept, packet.Connack{})
	require.NoError(t, c.AwaitConnection(within(t)))
	_, err = c.Publish(within(t), Message{Topic: "marker"})
	require.NoError(t, err)
	expect[*packet.Publish](s)
}

// TestSubscribeSurvivesTheConnection: the call is made again on the next one.
func TestSubscribeSurvivesTheConnection(t *testing.T) {
	c, s, accept := connected(t, Options{Reconnect: true, Backoff: soon}, packet.Connack{})
	result := async(func() error { _, err := c.Subscribe(within(t), packet.Subscription{Filter: "a"}); return err })
	expect[*packet.Subscribe](s)
	s.nc.Close()
	s, _ = welcome(accept, packet.Connack{})
	s.send(&packet.Suback{PacketID: expect[*packet.Subscribe](s).PacketID, ReasonCodes: []packet.ReasonCode{0}})
	assert.NoError(t, receive(t, result))
}

// TestOfflineQueue: what is published without connection goes out in order, before what
// follows; the limits hold.
func TestOfflineQueue(t *testing.T) {
	url, accept := listen(t)
	c, err := New(Options{Servers: []string{url}, Reconnect: true, Backoff: soon, Queue: Queue{Messages: 3, QoS0: true}})
	require.NoError(t, err)
	defer c.Close()
	var pending []*Pending
	for i := range 3 {
		p, err := c.PublishAsync(within(t), Message{Topic: fmt.Sprint(i), QoS: byte(i)})
		require.NoError(t, err)
		pending = append(pending, p)
	}
	_, err = c.PublishAsync(within(t), Message{Topic: "too much", QoS: 1})
	assert.ErrorIs(t, err, ErrQueueFull)
	require.NoError(t, c.Start())
	s, _ := welcome(accept, packet.Connack{})
	require.NoError(t, c.AwaitConnection(within(t)))
	blocked := async(func() error { _, err := c.PublishAsync(within(t), Message{Topic: "3", QoS: 1}); return err })
	go answerAll(s)
	for _, p := range pending {
		_, err := p.Wait(within(t))
		assert.NoError(t, err)
	}
	assert.NoError(t, receive(t, blocked), "room again")

	c, err = New(Options{Servers: []string{url}, Reconnect: true, Queue: Queue{Bytes: 1000}})
	require.NoError(t, err)
	_, err = c.PublishAsync(within(t), Message{Topic: "one always fits", Payload: make([]byte, 2000), QoS: 1})
	assert.NoError(t, err)
	_, err = c.PublishAsync(within(t), Message{Topic: "a", QoS: 1})
	assert.ErrorIs(t, err, ErrQueueFull)
	_, err = c.PublishAsync(within(t), Message{Topic: "a"})
	assert.ErrorIs(t, err, ErrNotConnected, "QoS 0 is not kept by default")
	waiting := async(func() error { _, err := c.Publish(within(t), Message{Topic: "a", QoS: 1}); return err })
	assert.ErrorIs(t, receive(t, waiting), ErrQueueFull)
	require.NoError(t, c.Close())
	_, err = c.PublishAsync(within(t), Message{Topic: "a", QoS: 1})
	assert.ErrorIs(t, err, ErrClosed)
}

// TestQueuedMessageThatTheServerDoesNotTake ends with its error and holds nothing up.
func TestQueuedMessageThatTheServerDoesNotTake(t *testing.T) {
	url, accept := listen(t)
	c, err := New(Options{Servers: []string{url}, Reconnect: true})
	require.NoError(t, err)
	defer c.Close()
	refused, err := c.PublishAsync(within(t), Message{Topic: "a", QoS: 2})
	require.NoError(t, err)
	_, err = c.PublishAsync(within(t), Message{Topic: "b", QoS: 1})
	require.NoError(t, err)
	require.NoError(t, c.Start())
	s, _ := welcome(accept, packet.Connack{Properties: packet.AppendByte(nil, packet.MaximumQoS, 1)})
	assert.Equal(t, "b", string(expect[*packet.Publish](s).Topic))
	_, err = refused.Wait(within(t))
	assert.ErrorIs(t, err, ErrNotSupported)
}

// TestManyReconnects: every message arrives, in order, over a server that hangs up all the time.
func TestManyReconnects(t *testing.T) {
	const count = 300
	c, s, accept := connected(t, Options{ClientID: "me", ResumeSession: true, Reconnect: true, Backoff: soon, MaxInflight: 7}, packet.Connack{})
	result := async(func() error {
		var last *Pending
		for i := range count {
			var err error
			if last, err = c.PublishAsync(within(t), Message{Topic: fmt.Sprint(i), QoS: 1}); err != nil {
				return err
			}
		}
		_, err := last.Wait(within(t))
		return err
	})
	next := 0
	for n := 0; next < count; n++ {
		p := expect[*packet.Publish](s)
		if string(p.Topic) == fmt.Sprint(next) {
			next++
		} else {
			assert.True(t, p.Dup)
		}
		if n%10 == 9 && next < count {
			s.nc.Close()
			s, _ = welcome(accept, packet.Connack{SessionPresent: true})
			continue
		}
		s.send(&packet.Puback{PacketID: p.PacketID})
	}
	assert.NoError(t, receive(t, result))
}

func TestBackoff(t *testing.T) {
	b := Backoff{}.withDefaults()
	assert.Equal(t, Backoff{DefaultBackoffMin, DefaultBackoffMax}, b)
	for range 100 {
		assert.LessOrEqual(t, b.pause(0), b.Min)
		assert.GreaterOrEqual(t, b.pause(3), b.Min)
		assert.LessOrEqual(t, b.pause(3), 4*b.Min)
		assert.GreaterOrEqual(t, b.pause(1000), b.Max/2)
		assert.LessOrEqual(t, b.pause(1000), b.Max)
	}
	_, err := New(Options{Servers: []string{"mqtt://h"}, Backoff: Backoff{Min: 2, Max: 1}, Queue: Queue{Messages: -1}})
	for _, part := range []string{"Backoff.Max", "Queue is negative", "need Reconnect"} {
		assert.ErrorContains(t, err, part)
	}
}

func TestRandomServer(t *testing.T) {
	c, err := New(Options{Servers: []string{"mqtt://a", "mqtt://b", "mqtt://c"}, RandomServer: true})
	require.NoError(t, err)
	first := map[string]bool{}
	for range 200 {
		first[c.servers()[0]] = true
	}
	assert.Len(t, first, 3)
}

func TestPendingWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := newPending("a")
	_, err := p.Wait(ctx)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Nil(t, p.Codes())
	p.complete(answer{code: 1, codes: []packet.ReasonCode{1}})
	p.complete(answer{code: 2})
	code, err := p.Wait(ctx)
	assert.NoError(t, err)
	assert.Equal(t, packet.ReasonCode(1), code)
	assert.Equal(t, []packet.ReasonCode{1}, p.Codes())
	<-p.Done()
}

// TestQueueWakesInGroups: those who wait for room all try again, so not for each message that leaves.
func TestQueueWakesInGroups(t *testing.T) {
	s := newSession(true)
	s.queue.init(Queue{Messages: 16, Bytes: 1 << 20})
	var first []*exchange
	for range 16 {
		x := newPublish(&packet.Publish{Topic: []byte("a"), QoS: 1})
		room, err := s.enqueue(x)
		require.NoError(t, err)
		require.Nil(t, room)
		first = append(first, x)
	}
	room, err := s.enqueue(newPublish(&packet.Publish{Topic: []byte("a"), QoS: 1}))
	require.NoError(t, err)
	require.NotNil(t, room)
	for i, open := range []bool{false, true} {
		s.refuse(first[i], ErrNotSupported)
		select {
		case <-room:
			assert.True(t, open, i)
		default:
			assert.False(t, open, i)
		}
	}
}
