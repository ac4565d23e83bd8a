package client

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
)

func TestHandle(t *testing.T) {
	rest, others := collect()
	c, s, _ := connected(t, Options{OnMessage: rest}, packet.Connack{})
	one, ones := collect()
	many, manies := collect()
	_, err := c.Handle("a/+", one)
	require.NoError(t, err)
	remove, err := c.Handle("$share/g/a/#", many)
	require.NoError(t, err)
	_, err = c.Handle("a/#/b", one)
	assert.Error(t, err)
	s.send(&packet.Publish{Topic: []byte("a/b")}, &packet.Publish{Topic: []byte("a/b/c")}, &packet.Publish{Topic: []byte("b"), QoS: 1, PacketID: 1})
	assert.Equal(t, "a/b", receive(t, ones).Topic)
	assert.Equal(t, "a/b", receive(t, manies).Topic)
	assert.Equal(t, "a/b/c", receive(t, manies).Topic)
	assert.Equal(t, "b", receive(t, others).Topic)
	expect[*packet.Puback](s)
	remove()
	s.send(&packet.Publish{Topic: []byte("a/b/c")})
	assert.Equal(t, "a/b/c", receive(t, others).Topic)
}

func TestRequest(t *testing.T) {
	c, s, _ := connected(t, Options{ResponseTopic: "answers/me"}, packet.Connack{})
	type result struct {
		m   Message
		err error
	}
	results := make(chan result, 2)
	for _, text := range []string{"one", "two"} {
		go func() {
			m, err := c.Request(within(t), Message{Topic: "service", Payload: []byte(text), QoS: 1, Properties: packet.AppendUserProperty(nil, "k", text)})
			results <- result{m, err}
		}()
	}
	sub := expect[*packet.Subscribe](s)
	assert.Equal(t, []packet.Subscription{{Filter: "answers/me", QoS: 1}}, sub.Subscriptions)
	s.send(&packet.Suback{PacketID: sub.PacketID, ReasonCodes: []packet.ReasonCode{1}})
	for range 2 {
		p := expect[*packet.Publish](s)
		s.send(&packet.Puback{PacketID: p.PacketID})
		name, _ := p.Properties.Bytes(packet.ResponseTopic)
		assert.Equal(t, "answers/me", string(name))
		data, _ := p.Properties.Bytes(packet.CorrelationData)
		response := packet.AppendBinary(nil, packet.CorrelationData, data)
		wrong := packet.AppendBinary(nil, packet.CorrelationData, []byte("12345678"))
		s.send(&packet.Publish{Topic: name, Properties: wrong}, &packet.Publish{Topic: name})
		s.send(&packet.Publish{Topic: name, Payload: append([]byte("re: "), p.Payload...), Properties: response})
		s.send(&packet.Publish{Topic: name, Payload: []byte("again"), Properties: response})
		r := receive(t, results)
		require.NoError(t, r.err)
		assert.Equal(t, "re: "+string(p.Payload), string(r.m.Payload))
	}
	assert.Empty(t, c.requests.open)

	ctx, cancel := context.WithCancel(within(t))
	failing := async(func() error { _, err := c.Request(ctx, Message{Topic: "service"}); return err })
	expect[*packet.Publish](s)
	cancel()
	assert.ErrorIs(t, receive(t, failing), context.Canceled)
	failing = async(func() error { _, err := c.Request(within(t), Message{Topic: "service"}); return err })
	expect[*packet.Publish](s)
	s.nc.Close()
	assert.ErrorIs(t, receive(t, failing), ErrNotConnected)

	old, _, _ := connected(t, Options{Version: packet.V311}, packet.Connack{})
	_, err := old.Request(within(t), Message{Topic: "service"})
	assert.ErrorContains(t, err, "5.0")
}

func TestRespond(t *testing.T) {
	c, s, _ := connected(t, Options{}, packet.Connack{})
	request := packet.AppendBinary(packet.AppendString(nil, packet.ResponseTopic, "back"), packet.CorrelationData, []byte("id"))
	require.NoError(t, c.Respond(within(t), Message{Properties: request}, Message{Payload: []byte("yes")}))
	p := expect[*packet.Publish](s)
	assert.Equal(t, "back", string(p.Topic))
	data, _ := p.Properties.Bytes(packet.CorrelationData)
	assert.Equal(t, "id", string(data))
	assert.ErrorIs(t, c.Respond(within(t), Message{}, Message{}), ErrNoResponseTopic)
}

func TestTopicAliasesTowardsTheServer(t *testing.T) {
	props := packet.AppendUint32(packet.AppendUint16(nil, packet.TopicAliasMaximum, 2), packet.MaximumPacketSize, 100)
	c, s, _ := connected(t, Options{TopicAliases: 10}, packet.Connack{Properties: props})
	long := strings.Repeat("x", 90)
	for _, name := range []string{long, "a", "b", "a", "c", "b", long} {
		_, err := c.Publish(within(t), Message{Topic: name, Properties: packet.AppendUserProperty(nil, "", "")})
		require.NoError(t, err, name)
	}
	for _, want := range []struct {
		name  string
		alias uint32
	}{{long, 0}, {"a", 1}, {"b", 2}, {"", 1}, {"c", 0}, {"", 2}, {long, 0}} {
		p := expect[*packet.Publish](s)
		alias, _ := p.Properties.Uint(packet.TopicAlias)
		assert.Equal(t, want.name, string(p.Topic))
		assert.Equal(t, want.alias, alias)
		assert.True(t, p.Properties.Has(packet.UserProperty))
	}
}

// scramServer is the server's side of one exchange.
func scramServer(t *testing.T) *scram.Exchange {
	credential, err := scram.NewCredential("secret", scram.MinIterations)
	require.NoError(t, err)
	return scram.NewServer(scram.Users{"anna": credential}).Begin()
}

func authData(t *testing.T, p packet.Properties) []byte {
	method, _ := p.Bytes(packet.AuthenticationMethod)
	assert.Equal(t, scram.Method, string(method))
	data, _ := p.Bytes(packet.AuthenticationData)
	return data
}

func authProperties(data []byte) packet.Properties {
	return packet.AppendBinary(packet.AppendString(nil, packet.AuthenticationMethod, scram.Method), packet.AuthenticationData, data)
}

func TestSCRAM(t *testing.T) {
	url, accept := listen(t)
	c, err := New(Options{Servers: []string{url}, Auth: SCRAM("anna", "secret")})
	require.NoError(t, err)
	defer c.Close()
	result := async(func() error { _, err := c.Connect(within(t)); return err })
	s := accept()
	server := scramServer(t)
	reply, _, err := server.Next(authData(t, expect[*packet.Connect](s).Properties))
	require.NoError(t, err)
	s.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProperties(reply)})
	last, done, err := server.Next(authData(t, expect[*packet.Auth](s).Properties))
	require.NoError(t, err)
	assert.True(t, done)
	s.send(&packet.Connack{Properties: authProperties(last)})
	require.NoError(t, receive(t, result))

	result = async(func() error { return c.Reauthenticate(within(t)) })
	again := expect[*packet.Auth](s)
	assert.Equal(t, packet.Reauthenticate, again.ReasonCode)
	server = scramServer(t)
	reply, _, err = server.Next(authData(t, again.Properties))
	require.NoError(t, err)
	s.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProperties(reply)})
	last, _, err = server.Next(authData(t, expect[*packet.Auth](s).Properties))
	require.NoError(t, err)
	s.send(&packet.Auth{Properties: authProperties(last)})
	require.NoError(t, receive(t, result))
	s.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProperties(nil)})
	assert.Equal(t, packet.ProtocolError, expect[*packet.Disconnect](s).ReasonCode)
}

// TestSCRAMServerThatKnowsNothing: who does not prove to know the password is not talked to.
func TestSCRAMServerThatKnowsNothing(t *testing.T) {
	url, accept := listen(t)
	for name, ack := range map[string]packet.Packet{
		"no proof":    &packet.Connack{},
		"false proof": &packet.Connack{Properties: authProperties([]byte("v=AAAA"))},
		"other method": &packet.Auth{ReasonCode: packet.ContinueAuthentication,
			Properties: packet.AppendString(nil, packet.AuthenticationMethod, "PLAIN")},
	} {
		result := async(func() error {
			_, err := Dial(within(t), url, Options{Auth: SCRAM("anna", "secret")})
			return err
		})
		s := accept()
		expect[*packet.Connect](s)
		s.send(ack)
		assert.Error(t, receive(t, result), name)
		s.expectEnd()
	}
	_, err := New(Options{Servers: []string{url}, Version: packet.V311, Auth: SCRAM("a", "b")})
	assert.ErrorContains(t, err, "Auth needs MQTT 5.0")
	_, err = Dial(within(t), url, Options{Auth: SCRAM("\x00", "b")})
	assert.ErrorContains(t, err, "user name")
}

// counted is a Metrics for tests.
type counted struct {
	mu     sync.Mutex
	events []string
	bytes  map[string]int
}

func (c *counted) note(event string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, event)
	c.bytes[event] += n
}
func (c *counted) Connected(string, time.Duration)  { c.note("connected", 0) }
func (c *counted) ConnectFailed(error)              { c.note("failed", 0) }
func (c *counted) Disconnected(error)               { c.note("disconnected", 0) }
func (c *counted) Sent(t packet.Type, n int)        { c.note("sent "+t.String(), n) }
func (c *counted) Received(t packet.Type, size int) { c.note("received "+t.String(), size) }

func TestMetricsAndStats(t *testing.T) {
	m := &counted{bytes: map[string]int{}}
	c, s, _ := connected(t, Options{Reconnect: true, Metrics: m}, packet.Connack{})
	pending, err := c.PublishAsync(within(t), Message{Topic: "abc", QoS: 1})
	require.NoError(t, err)
	p := expect[*packet.Publish](s)
	st := c.Stats()
	assert.Equal(t, 1, st.Inflight)
	assert.True(t, st.Connected)
	assert.Positive(t, st.QueueBytes)
	s.send(&packet.Puback{PacketID: p.PacketID})
	_, err = pending.Wait(within(t))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.Equal(t, Stats{Server: c.opts.Servers[0]}, c.Stats())
	_, err = Dial(within(t), url0, Options{Metrics: m})
	assert.Error(t, err)
	assert.Equal(t, []string{"sent CONNECT", "received CONNACK", "connected", "sent PUBLISH", "received PUBACK", "disconnected", "failed"}, m.events)
	assert.Equal(t, p.Size(packet.V50), m.bytes["sent PUBLISH"])
	assert.Equal(t, 4, m.bytes["received PUBACK"])
}

func TestOnPacket(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	note := func(sent bool, p packet.Packet) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, map[bool]string{true: "sent ", false: "received "}[sent]+p.Type().String())
	}
	c, s, _ := connected(t, Options{OnPacket: note}, packet.Connack{})
	result := async(func() error { _, err := c.Publish(within(t), Message{Topic: "a", QoS: 2}); return err })
	p := expect[*packet.Publish](s)
	s.send(&packet.Pubrec{PacketID: p.PacketID})
	expect[*packet.Pubrel](s)
	s.send(&packet.Pubcomp{PacketID: p.PacketID})
	require.NoError(t, receive(t, result))
	require.NoError(t, c.Disconnect(within(t)))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{"sent CONNECT", "received CONNACK", "sent PUBLISH", "received PUBREC", "sent PUBREL", "received PUBCOMP", "sent DISCONNECT"}, seen)
}

// A datagram that does not fit goes on a stream, and has been counted before.
func TestPacketsCountOnce(t *testing.T) {
	m := &counted{bytes: map[string]int{}}
	o := newOutbox(packet.V50, &Options{Metrics: m, OnPacket: func(bool, packet.Packet) {}})
	p := &packet.Publish{Topic: []byte("a")}
	o.note(p, p.Size(packet.V50))
	o.putNow(encoded(p.AppendTo(nil, packet.V50)))
	assert.Equal(t, []string{"sent PUBLISH"}, m.events)
	assert.NotEmpty(t, o.buf)
}
