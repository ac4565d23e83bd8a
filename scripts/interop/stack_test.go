package interop

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for something that must happen, on a machine that others load.
const patience = time.Minute

// tries is how often something is done that such a machine may be too slow for once.
const tries = 3

// message is what all client libraries have in common.
type message struct {
	topic   string
	payload string
	qos     byte
	retain  bool
}

// options of one MQTT connection.
type options struct {
	id         string
	persistent bool // Clean Start 0 and a session that outlives the connection
	keepAlive  uint16
	will       *message
}

// client is one MQTT connection made by a library that is not ours.
type client interface {
	connect(ctx context.Context) (sessionPresent bool, err error)
	publish(ctx context.Context, m message) error // returns when the last acknowledgement is there
	subscribe(ctx context.Context, filter string, qos byte) (granted byte, err error)
	unsubscribe(ctx context.Context, filter string) error
	received() <-chan message
	disconnect()
	drop() // the network connection ends without DISCONNECT
}

// dialer opens a network connection to the broker.
type dialer func(ctx context.Context) (abortableConn, error)

// abortableConn can also end the way a crashed program does.
type abortableConn interface {
	net.Conn
	abort()
}

// stack is an MQTT library on a transport.
type stack struct {
	name string
	dial dialer
	new  func(dial dialer, o options) client
	// atRelease: it hands on a QoS 2 message when its PUBREL comes (MQTT 3.1.1 section 4.3.3, method A), and so after
	// QoS 1 messages that were sent later.
	atRelease bool

	addr string                  // where it dials; of stacks on QUIC
	via  func(addr string) stack // the same to another address; of stacks on QUIC
}

// onQUIC is a stack that dials addr, the broker's or that of a proxy before it.
func onQUIC(name string, to func(addr string) dialer, new func(dialer, options) client, addr string) stack {
	return stack{name: name, dial: to(addr), new: new, addr: addr,
		via: func(addr string) stack { return onQUIC(name, to, new, addr) }}
}

// quicStacks come with each MQTT library first on QUIC.
func quicStacks() []stack {
	return []stack{
		onQUIC("quic-go + paho.golang 5.0 (QUIC)", quicTo, newPaho5, broker.quic),
		onQUIC("quic-go + paho.mqtt.golang 3.1.1 (QUIC)", quicTo, newPaho3, broker.quic),
		onQUIC("x/net/quic + paho.golang 5.0 (QUIC)", xnetTo, newPaho5, broker.quic),
	}
}

func tcpStacks() []stack {
	return []stack{
		{name: "paho.golang 5.0 (TCP)", dial: dialTCP, new: newPaho5},
		{name: "paho.mqtt.golang 3.1.1 (TCP)", dial: dialTCP, new: newPaho3},
	}
}

func tlsStacks() []stack {
	return []stack{
		{name: "paho.golang 5.0 (TLS)", dial: dialTLS, new: newPaho5},
		{name: "paho.mqtt.golang 3.1.1 (TLS)", dial: dialTLS, new: newPaho3},
	}
}

func webStacks() []stack {
	return []stack{
		{name: "paho.mqtt.golang 3.1.1 (WebSocket)", dial: dialWS, new: newPaho3},
		{name: "paho.mqtt.golang 3.1.1 (secure WebSocket)", dial: dialWSS, new: newPaho3},
	}
}

func stacks() []stack { return slices.Concat(quicStacks(), tcpStacks(), tlsStacks(), webStacks()) }

var serial atomic.Int64

// unique makes client ids and topics that no other test uses.
func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, serial.Add(1)) }

// open connects a client and disconnects it when the test ends.
func (s stack) open(t *testing.T, o options) client {
	t.Helper()
	c, _ := s.openSession(t, o)
	return c
}

func (s stack) openSession(t *testing.T, o options) (client, bool) {
	t.Helper()
	if o.id == "" {
		o.id = unique("interop")
	}
	if o.keepAlive == 0 {
		o.keepAlive = 30
	}
	c := s.new(s.dial, o)
	present, err := c.connect(within(t, patience))
	require.NoError(t, err, "%s: connect", s.name)
	t.Cleanup(c.disconnect)
	return c, present
}

// within is the context of one step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// publish and subscribe fail the test on errors.
func publish(t *testing.T, c client, m message) {
	t.Helper()
	require.NoError(t, c.publish(within(t, patience), m), "publish to %s at QoS %d", m.topic, m.qos)
}

func subscribe(t *testing.T, c client, filter string, qos byte) {
	t.Helper()
	granted, err := c.subscribe(within(t, patience), filter, qos)
	require.NoError(t, err, "subscribe to %s at QoS %d", filter, qos)
	require.Equal(t, qos, granted, "granted QoS of %s", filter)
}

// next waits for one message.
func next(t *testing.T, c client) message {
	t.Helper()
	select {
	case m := <-c.received():
		return m
	case <-time.After(patience):
		require.FailNow(t, "no message arrived", "within %s", patience)
		return message{}
	}
}

// nothingMore wants no further message: it publishes a marker to itself and it must be the next to come.
func nothingMore(t *testing.T, c client) {
	t.Helper()
	topic := unique("interop/marker")
	subscribe(t, c, topic, 0)
	publish(t, c, message{topic: topic, payload: "marker"})
	got := next(t, c)
	require.Equal(t, topic, got.topic, "an unexpected message came: %.80q", got.payload)
}
