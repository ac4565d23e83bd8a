package netem

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	p, err := Parse("loss=1.5%, delay=50ms,rate=10mbit")
	require.NoError(t, err)
	assert.Equal(t, Params{Loss: 0.015, Delay: 50 * time.Millisecond, Rate: 1.25e6}, p)
	assert.Equal(t, "loss=1.5%,delay=50ms,rate=10mbit", p.String())
	assert.Empty(t, Params{}.String())
	for text, want := range map[string]string{
		"": "give loss=1%", "loss": "percentage", "loss=1": "percentage", "loss=60%": "up to 50%", "loss=NaN%": "percentage", "delay=5": "e.g. 50ms",
		"delay=1h": "up to 10s", "rate=10": "10mbit", "rate=-1mbit": "10mbit", "jitter=5ms": "unknown",
	} {
		_, err := Parse(text)
		assert.ErrorContains(t, err, want, text)
	}
	_, err = Start("icmp", "", Params{})
	assert.Error(t, err)
}

func startProxy(t *testing.T, network, target string, p Params) *Proxy {
	t.Helper()
	proxy, err := Start(network, target, p)
	require.NoError(t, err)
	t.Cleanup(proxy.Close)
	return proxy
}

// echoUDP answers every datagram with itself.
func echoUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(buf[:n], from)
		}
	}()
	return c.LocalAddr().String()
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}

func TestUDPDelay(t *testing.T) {
	proxy := startProxy(t, "udp", echoUDP(t), Params{Delay: 20 * time.Millisecond})
	c := dial(t, "udp", proxy.Addr())
	began := time.Now()
	buf := make([]byte, 100)
	for i := range 10 {
		_, err := c.Write([]byte{byte(i)})
		require.NoError(t, err)
	}
	for i := range 10 {
		_, err := c.Read(buf)
		require.NoError(t, err)
		assert.EqualValues(t, i, buf[0], "in order")
	}
	assert.GreaterOrEqual(t, time.Since(began), 40*time.Millisecond)
	assert.EqualValues(t, 20, proxy.Stats.Relayed.Load())
}

func TestUDPLoss(t *testing.T) {
	proxy := startProxy(t, "udp", echoUDP(t), Params{Loss: 0.3})
	c := dial(t, "udp", proxy.Addr())
	const sent = 400
	answered, buf := int64(0), make([]byte, 100)
	for i := range int64(sent) { // one at a time, so that no socket buffer loses anything
		_, err := c.Write([]byte{byte(i)})
		require.NoError(t, err)
		for end := time.Now().Add(time.Minute); proxy.Stats.Lost.Load()+answered == i; {
			require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
			if _, err := c.Read(buf); err == nil {
				answered++
			}
			require.True(t, time.Now().Before(end), "neither lost nor answered")
		}
	}
	assert.InDelta(t, 0.49*sent, answered, 70) // 7 standard deviations
	assert.EqualValues(t, sent-answered, proxy.Stats.Lost.Load())
}

func TestUDPRate(t *testing.T) {
	proxy := startProxy(t, "udp", echoUDP(t), Params{Rate: 100_000})
	c := dial(t, "udp", proxy.Addr())
	began := time.Now()
	for range 10 { // 10 kB are 100 ms there, and more than the queue on top of what is sent
		_, err := c.Write(make([]byte, 1000))
		require.NoError(t, err)
	}
	for range 10 {
		_, err := c.Read(make([]byte, 1000))
		require.NoError(t, err)
	}
	assert.GreaterOrEqual(t, time.Since(began), 95*time.Millisecond)
	for proxy.Stats.Dropped.Load() <= 50 { // the queue is full
		_, err := c.Write(make([]byte, 1000))
		require.NoError(t, err) // it has a deadline
	}
}

// echoTCP sends back what comes, then ends.
func echoTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	return l.Addr().String()
}

func TestTCP(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), 1<<14) // 256 KiB: 182 segments
	for name, k := range map[string]struct {
		params Params
		least  time.Duration
	}{
		"nothing": {Params{}, 0},
		"delay":   {Params{Delay: 20 * time.Millisecond}, 80 * time.Millisecond}, // handshake and one round trip
		"rate":    {Params{Rate: 1 << 20}, 240 * time.Millisecond},
		"loss":    {Params{Loss: 0.05, Delay: time.Millisecond}, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := startProxy(t, "tcp", echoTCP(t), k.params)
			began := time.Now()
			c := dial(t, "tcp", proxy.Addr())
			go func() { c.Write(payload); c.(*net.TCPConn).CloseWrite() }()
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(payload, got), "the stream is whole")
			assert.GreaterOrEqual(t, time.Since(began), k.least)
			assert.Equal(t, k.params.Loss > 0, proxy.Stats.Lost.Load() > 0)
		})
	}
}

// What is alone on its way and lost waits for the timeout.
func TestTCPTimeout(t *testing.T) {
	proxy := startProxy(t, "tcp", echoTCP(t), Params{Loss: 0.05})
	c := dial(t, "tcp", proxy.Addr())
	began := time.Now()
	for range 3 {
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)
	}
	if proxy.Stats.Lost.Load() > 0 {
		assert.GreaterOrEqual(t, time.Since(began), minRTO)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	proxy := startProxy(t, "tcp", echoTCP(t), Params{Delay: maxDelay})
	c := dial(t, "tcp", proxy.Addr())
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	proxy.Close()
	proxy.Close()
	_, err = c.Read(make([]byte, 1))
	assert.Error(t, err)
}
