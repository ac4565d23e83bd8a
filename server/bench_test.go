package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// BenchmarkConnect is a QUIC handshake, without QUIC one of TLS, with CONNECT, CONNACK and the end, both sides.
func BenchmarkConnect(b *testing.B) {
	s := start(b, server.Config{})
	b.ReportAllocs()
	for b.Loop() {
		c := connected(b, s, favourite, packet.V50, "c")
		c.Send(&packet.Disconnect{})
		c.ExpectEnd()
	}
}

// BenchmarkOneToOne is a message at QoS 0 from one client to another, with pipelining.
func BenchmarkOneToOne(b *testing.B) {
	for _, transport := range transports {
		b.Run(transport, func(b *testing.B) { fanOut(b, transport, 1) })
	}
}

// BenchmarkOneToThousand is a message at QoS 0 from one client to 1,000.
func BenchmarkOneToThousand(b *testing.B) {
	for _, transport := range transports {
		b.Run(transport, func(b *testing.B) { fanOut(b, transport, 1000) })
	}
}

// fanOut publishes b.N messages of 100 bytes to n subscribers, a window at a time.
// The allocations are nearly all the server's: the clients count bytes.
func fanOut(b *testing.B, transport string, n int) {
	s := start(b, server.Config{})
	message := (&packet.Publish{Topic: []byte("t"), Payload: make([]byte, 100)}).AppendTo(nil, packet.V50)
	window := max(1, 1000/n)
	burst := bytes.Repeat(message, window)
	received := make(chan struct{}, n)
	for i := range n {
		c := connected(b, s, transport, packet.V50, fmt.Sprint("sub", i))
		c.Subscribe("t", 0)
		c.Conn().SetReadDeadline(time.Time{})
		go countBytes(c.Conn(), len(burst), received)
	}
	pub := connected(b, s, transport, packet.V50, "pub").Conn()
	pub.SetWriteDeadline(time.Time{})
	b.ReportAllocs()
	b.ResetTimer()
	begin := time.Now()
	sent := 0
	for sent < b.N {
		_, err := pub.Write(burst)
		require.NoError(b, err)
		sent += window
		for range n {
			<-received
		}
	}
	b.ReportMetric(float64(sent*n)/time.Since(begin).Seconds(), "msg/s")
}

// countBytes tells about every n bytes that arrive.
func countBytes(conn net.Conn, n int, received chan<- struct{}) {
	for buf := make([]byte, n); ; {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return
		}
		received <- struct{}{}
	}
}
