package interop

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	mrand "math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoise: random bytes on the UDP and TCP ports while clients work disturb nobody.
func TestNoise(t *testing.T) {
	for _, s := range stacks() {
		proves(t, s.name, "beside random bytes", func(t *testing.T) {
			stop := make(chan struct{})
			var noise sync.WaitGroup
			noise.Go(func() { noiseUDP(stop) })
			for _, addr := range []string{broker.tcp, broker.tls} {
				noise.Go(func() { noiseTCP(stop, addr) })
			}
			working(t, s, 200)
			close(stop)
			noise.Wait()
		})
	}
}

// working publishes count messages to itself at QoS 1 and 2 and wants each exactly once.
func working(t *testing.T, s stack, count int) {
	t.Helper()
	topic := unique("interop/working")
	c := s.open(t, options{})
	subscribe(t, c, topic, 2)
	payload := make([]byte, 300)
	for i := range count {
		binary.BigEndian.PutUint32(payload, uint32(i))
		publish(t, c, message{topic: topic, payload: string(payload), qos: byte(1 + i%2)})
		got := next(t, c)
		require.Equal(t, uint32(i), binary.BigEndian.Uint32([]byte(got.payload)))
	}
	nothingMore(t, c)
}

// noiseUDP sends datagrams that look like QUIC to different degrees.
func noiseUDP(stop <-chan struct{}) {
	conn, err := net.Dial("udp", broker.quic)
	if err != nil {
		return
	}
	defer conn.Close()
	for !stopped(stop) {
		b := make([]byte, mrand.IntN(1400)+1)
		rand.Read(b)
		switch mrand.IntN(4) {
		case 0: // short header, unknown connection
			b[0] = 0x40 | b[0]&0x3f
		case 1: // Initial of version 1 with random content
			b = append([]byte{0xC3, 0, 0, 0, 1, 8}, append(b, make([]byte, 1200)...)...)
		case 2: // long header of an unknown version
			b = append(unknownVersionInitial()[:len(b)%1200+1], b...)
		}
		conn.Write(b)
		time.Sleep(200 * time.Microsecond) // the pace of the noise
	}
}

// noiseTCP connects, writes garbage (bare, or after a valid CONNECT) and goes.
func noiseTCP(stop <-chan struct{}, addr string) {
	for !stopped(stop) {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			continue
		}
		b := make([]byte, mrand.IntN(4000)+1)
		rand.Read(b)
		if mrand.IntN(2) == 0 {
			b = append(rawConnect(unique("noise")), b...)
		}
		conn.Write(b)
		conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		io.Copy(io.Discard, conn)
		conn.Close()
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// TestMalformed: garbage after CONNECT ends that connection, on every transport.
func TestMalformed(t *testing.T) {
	for _, s := range []stack{{name: "raw bytes (QUIC)", dial: dialQUIC}, {name: "raw bytes (TCP)", dial: dialTCP}, {name: "raw bytes (TLS)", dial: dialTLS}} {
		proves(t, s.name, "malformed packet closes the connection", func(t *testing.T) {
			conn, err := s.dial(within(t, patience))
			require.NoError(t, err)
			defer conn.abort()
			conn.SetDeadline(time.Now().Add(patience))
			_, err = conn.Write(append(rawConnect(unique("raw")), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF))
			require.NoError(t, err)
			got, err := io.ReadAll(conn)
			if nerr, ok := err.(net.Error); ok {
				assert.False(t, nerr.Timeout(), "the broker left the connection open")
			}
			assert.Equal(t, []byte{0x20, 2, 0, 0}, got, "the CONNACK came before the end")
		})
	}
}

// unknownVersionInitial is a 1200-byte long header packet of version 0x1a2a3a4a (RFC 9000, section 15).
func unknownVersionInitial() []byte {
	b := make([]byte, 1200)
	copy(b, []byte{0xC0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1})
	return b
}

// askUDP sends a datagram to the broker and returns its answer.
func askUDP(t *testing.T, datagram []byte) []byte {
	t.Helper()
	conn, err := net.Dial("udp", broker.quic)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(datagram)
	require.NoError(t, err)
	conn.SetReadDeadline(time.Now().Add(patience))
	answer := make([]byte, 2000)
	n, err := conn.Read(answer)
	require.NoError(t, err)
	return answer[:n]
}

func readFull(t *testing.T, r io.Reader, b []byte) {
	t.Helper()
	_, err := io.ReadFull(r, b)
	require.NoError(t, err)
}
