package stream

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

func TestDuty(t *testing.T) {
	var d duty
	require.True(t, d.take())
	require.False(t, d.take())
	require.False(t, d.take())
	require.False(t, d.leave(), "there is more")
	require.True(t, d.leave())
	require.True(t, d.take())
}

// secured is how to connect to a TLS listener of b.
func secured(t *testing.T, b *broker.Broker) func() net.Conn {
	t.Helper()
	l := listenTLS(t, b)
	return func() net.Conn {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		return conn
	}
}

// listenTLS is a TLS listener of b.
func listenTLS(t *testing.T, b *broker.Broker) *Listener {
	t.Helper()
	cert, err := devcert.Generate(t.TempDir())
	require.NoError(t, err)
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), Config{
		Broker: b, Logger: slog.New(slog.DiscardHandler), HandshakeTimeout: time.Minute, WriteTimeout: time.Minute,
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}},
	})
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- l.Serve(t.Context()) }()
	t.Cleanup(func() {
		l.Close()
		assert.NoError(t, <-ended)
	})
	return l
}

// recorded is a connection that keeps what it has read.
type recorded struct {
	net.Conn
	read []byte
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.read = append(r.read, p[:n]...)
	return n, err
}

// lastRecord is the type of the last TLS record in b.
func lastRecord(b []byte) (kind byte) {
	for len(b) >= 5 {
		kind = b[0]
		b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):]
	}
	return kind
}

// The end of a TLS connection is told in TLS: without its close_notify the peer has to
// take it for one that somebody else has cut (RFC 8446 section 6.1).
func TestCloseNotify(t *testing.T) {
	const alert = 21
	l := listenTLS(t, broker.New(broker.Config{AllowAnonymous: true}))
	raw := &recorded{Conn: dial(t, l)}
	// TLS 1.2 shows the type of an encrypted record.
	c := mqtttest.New(t, tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}), packet.V50)
	c.ConnectAs("c")
	c.Send(&packet.Disconnect{})
	c.ExpectEnd()
	assert.EqualValues(t, alert, lastRecord(raw.read))
}

// A publisher's reader writes to receivers without waiting for them. One that reads late
// gets everything in order, whatever the network has taken of a message before, and keeps
// nobody waiting.
func TestLateReaderGetsEverything(t *testing.T) {
	l, b := listen(t, broker.Config{}, time.Minute)
	dialTLS := secured(t, b)
	for name, dial := range map[string]func() net.Conn{
		"tcp": func() net.Conn { return dial(t, l) },
		"tls": dialTLS,
	} {
		t.Run(name, func(t *testing.T) {
			late := mqtttest.New(t, dial(), packet.V50)
			late.ConnectAs("late")
			late.Subscribe("big", 0)
			pub := mqtttest.New(t, dial(), packet.V50)
			pub.ConnectAs("pub")
			const n, size = 150, 100 << 10
			for i := range n {
				pub.Publish("big", fmt.Sprint(strings.Repeat("x", size+i), i), 0)
			}
			pub.Ping() // is answered though nobody reads the messages
			for i := range n {
				p := late.Receive()
				require.Equal(t, fmt.Sprint(strings.Repeat("x", size+i), i), string(p.Payload))
			}
			late.Ping()
		})
	}
}

// A reader defers for a few connections alone; the others get goroutines.
func TestDefer(t *testing.T) {
	l, _ := listen(t, broker.Config{}, time.Minute)
	pub := connect(t, l, "pub")
	var subs []*mqtttest.Client
	for i := range 2*mostDeferred + 1 {
		s := connect(t, l, fmt.Sprint("sub", i))
		s.Subscribe("all", 0)
		subs = append(subs, s)
	}
	for i := range 100 {
		pub.Publish("all", fmt.Sprint(i), 0)
	}
	for _, s := range subs {
		for i := range 100 {
			s.ExpectMessage("all", fmt.Sprint(i))
		}
	}
}

// endless is a store in which a walk comes to no end and finds nothing until ended.
type endless struct {
	broker.RetainedStore
	ended *atomic.Bool
}

func (e endless) Match(string) broker.RetainedWalk { return e }
func (e endless) Next(int) ([]*broker.Message, int, bool) {
	return nil, 0, !e.ended.Load()
}
func (endless) Stop() {}

// A reader is not kept by another connection for which there is always more to do.
func TestTurnEnds(t *testing.T) {
	var ended atomic.Bool
	l, _ := listen(t, broker.Config{Retained: endless{broker.NewMemoryRetained(), &ended}}, time.Minute)
	peer, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer peer.Close()
	raw, err := net.Dial("tcp", peer.Addr().String())
	require.NoError(t, err)
	defer raw.Close()
	c := newConn(l, raw.(*net.TCPConn)) // has the duty
	defer c.client.Closed(nil)
	in := (&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50)
	in = (&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "a"}}}).AppendTo(in, packet.V50)
	require.NoError(t, c.client.Feed(in))
	turned := make(chan struct{})
	go func() {
		c.turn(nil)
		close(turned)
	}()
	select {
	case <-turned:
	case <-time.After(mqtttest.Patience):
		assert.Fail(t, "the reader writes on")
	}
	ended.Store(true)
	assert.Eventually(t, c.duty.take, mqtttest.Patience, time.Millisecond)
}

// What a peer makes TLS say without reading it is bounded.
func TestSealerIsBounded(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	s := newSealer(pipe{near}, new(tls.Config))
	s.keep()
	assert.False(t, s.has())
	record := make([]byte, 16<<10)
	var err error
	for n := 0; err == nil; n += len(record) {
		require.LessOrEqual(t, n, mostSealed)
		_, err = s.Write(record)
	}
	assert.ErrorIs(t, err, errSealed)
	assert.True(t, s.has())
}
