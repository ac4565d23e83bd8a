package stream

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
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

// secured is a TLS listener besides l, and how to connect to it.
func secured(t *testing.T, b *broker.Broker) func() net.Conn {
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
	return func() net.Conn {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		return conn
	}
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
