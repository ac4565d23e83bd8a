package endpoint

import (
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

func BenchmarkHandshake(b *testing.B) {
	l := echoServer(b, Config{})
	client := start(b, Config{})
	tls := clientTLS(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := client.Dial(within(b), l.Addr().String(), DialConfig{TLS: tls, Handler: silentHandler{}})
		require.NoError(b, err)
		c.Post(c.abandon)
	}
}

// One small message there and back over loopback, through the net.Conn adapters.
func BenchmarkPingPong(b *testing.B) {
	l := echoServer(b, Config{Workers: 1})
	c := dial(b, start(b, Config{Workers: 1}), l.Addr().String())
	msg := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Write(msg)
		require.NoError(b, err)
		_, err = io.ReadFull(c, msg)
		require.NoError(b, err)
	}
}

// Bytes from a client to a server over loopback.
func BenchmarkBulk(b *testing.B) {
	l, err := NewListener(Config{TLS: serverTLS(b), Addrs: []string{"127.0.0.1:0"}, Workers: 1})
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	c := dial(b, start(b, Config{Workers: 1}), l.Addr().String())
	done := make(chan int64, 1)
	go func() {
		s, err := l.Accept()
		if err != nil {
			done <- 0
			return
		}
		n, _ := io.Copy(io.Discard, struct{ io.Reader }{s})
		done <- n
	}()
	block := make([]byte, 64<<10)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	var sent int64
	for b.Loop() {
		n, err := c.Write(block)
		require.NoError(b, err)
		sent += int64(n)
	}
	_ = c.CloseWrite()
	require.Equal(b, sent, <-done)
}

// The echo of a small message through two Cores, without sockets.
func BenchmarkCoreEcho(b *testing.B) {
	w := newWire(b)
	_, s := w.connect(b)
	msg := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Write(msg)
		w.step(time.Millisecond)
		w.step(time.Millisecond)
	}
}

// Memory per idle connection, both sides together.
func BenchmarkIdleConnection(b *testing.B) {
	const conns = 500
	for b.Loop() {
		w := newWire(b)
		tls := clientTLS(b)
		before, heap := heapAlloc(), ngtcp2.HeapBytes()
		for range conns {
			_, err := w.client.Connect(ngtcp2.Path{Local: wireClient, Remote: wireServer},
				DialConfig{TLS: tls, ServerName: "localhost", Handler: silentHandler{}}, w.now, func(error) {})
			require.NoError(b, err)
		}
		for range 200 {
			w.step(10 * time.Millisecond)
		}
		require.Equal(b, conns, w.server.Live())
		b.ReportMetric(float64(heapAlloc()-before)/conns/2, "go-B/conn")
		b.ReportMetric(float64(ngtcp2.HeapBytes()-heap)/conns/2, "ngtcp2-B/conn")
		w.client.Shutdown()
		w.step(time.Millisecond)
	}
}

func heapAlloc() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
