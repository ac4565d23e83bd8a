package interop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const streamStack = "quic-go streams (QUIC)"

// pingreq is a complete MQTT packet, legal on a data stream.
var pingreq = []byte{0xC0, 0x00}

// TestExtraStreams: further streams are served, what is wrong on one ends it alone, and the control stream lives on.
func TestExtraStreams(t *testing.T) {
	proves(t, streamStack, "further bidi streams served", func(t *testing.T) {
		conn := controlConn(t)
		for range 10 {
			stream, err := conn.conn.OpenStreamSync(within(t, patience))
			require.NoError(t, err)
			stream.SetDeadline(time.Now().Add(patience))
			_, err = stream.Write(pingreq)
			require.NoError(t, err)
			answer := make([]byte, 2)
			readFull(t, stream, answer)
			require.Equal(t, []byte{0xD0, 0}, answer, "PINGRESP")
		}
		stillServed(t, conn)
	})
	proves(t, streamStack, "uni streams with zero bytes refused", func(t *testing.T) {
		conn := controlConn(t)
		stream, err := conn.conn.OpenUniStreamSync(within(t, patience))
		require.NoError(t, err)
		stream.SetWriteDeadline(time.Now().Add(patience))
		for err == nil {
			_, err = stream.Write(make([]byte, 1<<16))
		}
		wantReset(t, err)
		stillServed(t, conn)
	})
	proves(t, streamStack, "more streams than granted", func(t *testing.T) {
		conn := controlConn(t)
		for range 300 {
			stream, err := conn.conn.OpenStream()
			if err != nil {
				break // STREAMS_BLOCKED is an answer too
			}
			stream.SetDeadline(time.Now().Add(patience))
			stream.Write(pingreq)
		}
		stillServed(t, conn)
	})
}

// TestALPN: without a common protocol the handshake ends with the TLS alert no_application_protocol.
func TestALPN(t *testing.T) {
	for _, alpn := range []string{"h3", "mqtt-next", "MQTT"} {
		proves(t, streamStack, "ALPN mismatch refused (0x178)", func(t *testing.T) {
			config, err := broker.tlsConfig(alpn)
			require.NoError(t, err)
			_, err = quic.DialAddr(within(t, patience), broker.quic, config, nil)
			var refused *quic.TransportError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, quic.TransportErrorCode(0x178), refused.ErrorCode)
			assert.True(t, refused.Remote, "the broker said so")
		})
	}
}

// TestUnknownVersion: a client of a QUIC version that does not exist gets a version negotiation packet.
func TestUnknownVersion(t *testing.T) {
	proves(t, streamStack, "version negotiation", func(t *testing.T) {
		answer := askUDP(t, unknownVersionInitial())
		require.GreaterOrEqual(t, len(answer), 7)
		assert.NotZero(t, answer[0]&0x80, "a long header")
		assert.Equal(t, []byte{0, 0, 0, 0}, answer[1:5], "version 0 = version negotiation")
	})
}

// controlConn is a connection whose control stream has an accepted CONNECT.
func controlConn(t *testing.T) *quicConn {
	t.Helper()
	conn, err := dialQUIC(within(t, patience))
	require.NoError(t, err)
	c := conn.(*quicConn)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * patience))
	_, err = c.Write(rawConnect(unique("raw")))
	require.NoError(t, err)
	ack := make([]byte, 4)
	readFull(t, c, ack)
	require.Equal(t, []byte{0x20, 2, 0, 0}, ack, "CONNACK")
	return c
}

// stillServed proves that the control stream answers.
func stillServed(t *testing.T, c *quicConn) {
	t.Helper()
	_, err := c.Write(pingreq)
	require.NoError(t, err)
	answer := make([]byte, 2)
	readFull(t, c, answer)
	assert.Equal(t, []byte{0xD0, 0}, answer, "PINGRESP")
}

func wantReset(t *testing.T, err error) {
	t.Helper()
	var reset *quic.StreamError
	require.True(t, errors.As(err, &reset), "want a reset of the stream, got %v", err)
	assert.True(t, reset.Remote)
	require.False(t, errors.Is(err, context.DeadlineExceeded))
}

// rawConnect is a CONNECT of MQTT 3.1.1 with Clean Session and keep alive 60 s.
func rawConnect(id string) []byte {
	body := []byte{0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(id))}
	body = append(body, id...)
	return append([]byte{0x10, byte(len(body))}, body...)
}
