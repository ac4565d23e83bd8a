package endpoint

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// A client whose first version the server does not speak comes again with one that
// both have.
func TestVersionNegotiation(t *testing.T) {
	leakCheck(t)
	for _, speaks := range []uint32{ngtcp2.VersionV1, ngtcp2.VersionV2} {
		l := echoServer(t, Config{Workers: 1, Versions: []uint32{speaks}})
		client := start(t, Config{Workers: 1})
		for _, first := range []uint32{ngtcp2.VersionV1, ngtcp2.VersionV2} {
			c, err := client.DialConn(within(t), l.Addr().String(), DialConfig{TLS: clientTLS(t), Version: first})
			require.NoError(t, err)
			assert.Equal(t, []byte("hello"), ask(t, c, []byte("hello")))
			got := make(chan uint32, 1)
			c.conn.Post(func() { got <- c.conn.Version() })
			assert.Equal(t, speaks, <-got)
			require.NoError(t, c.Close())
			closed(t, c)
		}
		s := l.Endpoint().Stats()
		assert.Positive(t, s.Count(VersionNegotiations))
		assert.Equal(t, uint64(2), s.Count(Accepted))
	}
}

func TestNoCommonVersion(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 1, Versions: []uint32{ngtcp2.VersionV2}})
	client := start(t, Config{Workers: 1, Versions: []uint32{ngtcp2.VersionV1}})
	_, err := client.DialConn(within(t), l.Addr().String(), DialConfig{TLS: clientTLS(t)})
	var ve *VersionError
	require.ErrorAs(t, err, &ve)
	assert.Equal(t, []uint32{ngtcp2.VersionV1}, ve.Offered)
	assert.Contains(t, ve.Server, ngtcp2.VersionV2)
	assert.ErrorContains(t, err, "this side offers 0x1, the server 0x6b3343cf")
}

// A forged Version Negotiation packet that leads a client to a worse version is
// found out: the server's authenticated list says that it had the better one
// (RFC 9368 section 4). And there is no second one.
func TestVersionDowngrade(t *testing.T) {
	w := newWireOf(t, Config{})
	var ended []error
	_, err := w.client.Connect(wirePath, DialConfig{TLS: clientTLS(t), ServerName: "localhost",
		Handler: silentHandler{}}, w.now, func(err error) { ended = append(ended, err) })
	require.NoError(t, err)
	forge := func(offer uint32) {
		hello := flight(w.client, w.now)
		require.NotEmpty(t, hello)
		v, err := ngtcp2.DecodeVersionCID(hello[0], cidLen)
		require.NoError(t, err)
		var pkt [200]byte
		n, err := ngtcp2.WriteVersionNegotiation(pkt[:], 7, v, []uint32{offer})
		require.NoError(t, err)
		give(w.client, pkt[:n], wireClient, wireServer, w.now)
	}
	forge(ngtcp2.VersionV2)
	hello := flight(w.client, w.now)
	v, err := ngtcp2.DecodeVersionCID(hello[0], cidLen)
	require.NoError(t, err)
	require.Equal(t, ngtcp2.VersionV2, v.Version)
	for _, d := range hello {
		give(w.server, d, wireServer, wireClient, w.now)
	}
	for range 20 {
		w.step(10 * time.Millisecond)
	}
	require.Len(t, ended, 1)
	var e *ngtcp2.Error
	require.ErrorAs(t, ended[0], &e)
	assert.Equal(t, ngtcp2.CodeVersionNegotiationFailure, e.Code)

	_, err = w.client.Connect(wirePath, DialConfig{TLS: clientTLS(t), ServerName: "localhost",
		Handler: silentHandler{}}, w.now, func(err error) { ended = append(ended, err) })
	require.NoError(t, err)
	forge(ngtcp2.VersionV2)
	forge(ngtcp2.VersionV1) // ignored, however often
	assert.Len(t, ended, 1)
	assert.Empty(t, flight(w.client, w.now))
}
