package interop

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// What x/net/quic does not do.
const (
	noteXNetV1        = "x/net/quic speaks version 1 only"
	noteXNetNoEarly   = "x/net/quic has no 0-RTT"
	noteXNetNoECN     = "x/net/quic marks no packets"
	noteXNetNoMigrate = "x/net/quic has no migration, as server none of its peer either"
	noteXNetNoDgrams  = "x/net/quic has no datagrams"
)

func xnetColumns() []column {
	return []column{
		{
			name: "x/net/quic -> ngmq",
			dial: func(t *testing.T, addr string) conn {
				c, err := dialXNetEcho(t, addr, nil)
				require.NoError(t, err)
				return c
			},
			serve: serveEchoOurs,
			cells: map[string]cell{
				"chacha20":            {run: xnetChacha20},
				"retry":               {run: xnetRetry},
				"NEW_TOKEN":           cannot("x/net/quic keeps no tokens"),
				"resumption":          {run: xnetResumption},
				"zerortt":             cannot(noteXNetNoEarly),
				"zerortt rejected":    cannot(noteXNetNoEarly),
				"keyupdate":           {run: xnetKeyUpdate},
				"ecn":                 cannot(noteXNetNoECN),
				"v2":                  cannot(noteXNetV1),
				"versionnegotiation":  {run: xnetVersionNegotiation, note: noteVersionEnds},
				"connectionmigration": cannot(noteXNetNoMigrate),
				"preferred address":   {run: func(t *testing.T) { staysAtAddress(t, xnetColumns()[0]) }, note: noteStays},
				"datagrams":           cannot(noteXNetNoDgrams),
				"stateless reset": {run: func(t *testing.T) {
					restart(t, xnetColumns()[0], echoOurs(t, serverOptions{}, keepResets).addr(), echoOurs(t, serverOptions{}, keepResets).addr())
				}},
			},
		},
		{
			name:  "ngmq -> x/net/quic",
			dial:  dialEchoOurs,
			serve: func(t *testing.T, o serverOptions) string { return echoXNet(t, o, nil).String() },
			cells: map[string]cell{
				"chacha20":            {run: func(t *testing.T) { oursChacha20(t, xnetColumns()[1]) }},
				"retry":               {run: oursXNetRetry},
				"NEW_TOKEN":           cannot("x/net/quic sends no tokens for later"),
				"handshakecorruption": {run: oursXNetCorruption, note: "the first datagram of the client arrives unchanged: x/net/quic believes its Connection ID before it is authenticated"},
				"resumption":          cannot("x/net/quic sends no tickets"),
				"zerortt":             cannot(noteXNetNoEarly),
				"zerortt rejected":    cannot(noteXNetNoEarly),
				"keyupdate":           {run: oursXNetKeyUpdate},
				"ecn":                 cannot(noteXNetNoECN),
				"v2":                  cannot(noteXNetV1),
				"versionnegotiation":  {run: oursXNetVersionNegotiation},
				"rebind-port":         cannot(noteXNetNoMigrate),
				"rebind-addr":         cannot(noteXNetNoMigrate),
				"connectionmigration": {run: oursXNetMigration, note: "the server forbids it: refused by our client"},
				"preferred address":   cannot("x/net/quic announces no preferred address"),
				"datagrams":           cannot(noteXNetNoDgrams),
				"stateless reset":     cannot("x/net/quic gives no token for the Connection ID of the handshake, which clients go on using"),
			},
		},
	}
}

func xnetChacha20(t *testing.T) {
	c, err := dialXNetEcho(t, echoOurs(t, serverOptions{}, onlyChacha20).addr(), nil)
	require.NoError(t, err)
	echoes(t, openStream(t, c), 100_000)
	assert.Equal(t, tls.TLS_CHACHA20_POLY1305_SHA256, c.conn.ConnectionState().CipherSuite)
}

func xnetRetry(t *testing.T) {
	s := echoOurs(t, serverOptions{}, alwaysRetry)
	xnetColumns()[0].exchange(t, s.addr(), 100)
	assert.NotZero(t, s.count(t, endpoint.Retries))
}

func xnetResumption(t *testing.T) {
	s := echoOurs(t, serverOptions{})
	cache := newTicketCache()
	config := goClientTLS(t)
	config.ClientSessionCache = cache
	for _, want := range []bool{false, true} {
		c, err := dialXNetEcho(t, s.addr(), config)
		require.NoError(t, err)
		echoes(t, openStream(t, c), 100)
		assert.Equal(t, want, c.conn.ConnectionState().DidResume)
		cache.wait(t)
	}
}

func xnetKeyUpdate(t *testing.T) {
	s := echoOurs(t, serverOptions{})
	c := xnetColumns()[0].dial(t, s.addr())
	twoKeyUpdates(t, s.conn(t), openStream(t, c), func() int { return s.count(t, endpoint.KeyUpdates) })
}

func xnetVersionNegotiation(t *testing.T) {
	s := echoOurs(t, serverOptions{}, onlyV2)
	start := time.Now()
	_, err := dialXNetEcho(t, s.addr(), nil)
	require.ErrorContains(t, err, "version")
	assert.Less(t, time.Since(start), patience)
	assert.NotZero(t, s.count(t, endpoint.VersionNegotiations))
}

func oursXNetRetry(t *testing.T) {
	config := xnetConfig()
	config.RequireAddressValidation = true
	xnetColumns()[1].exchange(t, echoXNet(t, serverOptions{}, config).String(), 100)
}

// oursXNetCorruption spares the first datagram of each client. x/net/quic takes the client's Source
// Connection ID from it before anything is authenticated (Endpoint.handleUnknownDestinationDatagram) and
// sends to that one for ever, also when it was changed on the way and authentic packets have another.
func oursXNetCorruption(t *testing.T) {
	anyHandshakes(t, xnetColumns()[1], Damage{Corrupt: 0.3, MaxTotal: lossyTotal, Spare: 1})
}

func oursXNetKeyUpdate(t *testing.T) {
	m, err := dialOurs(t, echoXNet(t, serverOptions{}, nil).String())
	require.NoError(t, err)
	twoKeyUpdates(t, m.Conn, openStream(t, m), func() int {
		stats, err := m.endpoint.LiveStats(matrixContext(t))
		require.NoError(t, err)
		return int(stats.Count(endpoint.KeyUpdates))
	})
}

func oursXNetVersionNegotiation(t *testing.T) {
	m, err := dialOurs(t, echoXNet(t, serverOptions{}, nil).String(), func(d *endpoint.DialConfig, _ *crypto.Config) { d.Version = ngtcp2.VersionV2 })
	require.NoError(t, err)
	echoes(t, openStream(t, m), 100)
	assert.Equal(t, ngtcp2.VersionV1, m.Version())
}

func oursXNetMigration(t *testing.T) {
	m, err := dialOurs(t, echoXNet(t, serverOptions{}, nil).String())
	require.NoError(t, err)
	st := openStream(t, m)
	echoes(t, st, 100)
	require.ErrorIs(t, m.Migrate(matrixContext(t), endpoint.Migration{}), endpoint.ErrMigrationDisabled)
	echoes(t, st, 10_000)
}
