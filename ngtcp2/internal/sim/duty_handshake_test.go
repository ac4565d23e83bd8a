package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// Two sides of the earth and a satellite: nothing times out, and the handshake
// is not repeated for nothing after the first probe.
func testLongRTT(t *testing.T) {
	w := newWorld(t, 200, Link{Delay: 750 * ms})
	p := w.dial()
	w.until(time.Minute, func() bool { return p.ended })
	require.NoError(t, p.dialErr)
	assert.Less(t, w.Elapsed(), 1600*ms, "one round trip")
	w.until(time.Minute, func() bool { return len(w.accepted) == 1 })
	took := w.transfer(300<<10, time.Minute)
	assert.Less(t, took, 12*time.Second, "six windows, each twice the last, and the way there")
}

func testChaCha20(t *testing.T) {
	w := newWorld(t, 201, Link{Delay: 10 * ms, Loss: 0.02})
	w.tls = clientTLS(t, crypto.Config{CipherSuites: "TLS_CHACHA20_POLY1305_SHA256"})
	w.transfer(200<<10, time.Minute)
	assert.Equal(t, "TLS_CHACHA20_POLY1305_SHA256", w.accepted[0].conn.TLS().CipherSuite)
}

// clientTLS is a client's context for the test certificate.
func clientTLS(t *testing.T, cfg crypto.Config) *crypto.Context {
	t.Helper()
	if cfg.CAPEM == nil {
		c, err := certs()
		require.NoError(t, err)
		cfg.CAFile = c.CAFile
	}
	cfg.Role, cfg.ALPN = crypto.Client, []string{"mqtt"}
	ctx, err := crypto.NewContext(cfg)
	require.NoError(t, err)
	t.Cleanup(ctx.Close)
	return ctx
}

// A server that prefers version 2 moves a client there that offers it in version
// 1, without another round trip (RFC 9368 section 2.3).
func testCompatibleVersion(t *testing.T) {
	w := newWorld(t, 202, Link{Delay: 25 * ms}, func(s, _ *endpoint.Config) {
		s.Settings = func(s *ngtcp2.Settings) { s.PreferredVersions = []uint32{ngtcp2.VersionV2, ngtcp2.VersionV1} }
	})
	p := w.connect()
	assert.Less(t, w.Elapsed(), 80*ms)
	assert.Equal(t, ngtcp2.VersionV2, p.conn.Version())
	assert.Equal(t, ngtcp2.VersionV2, w.accepted[0].conn.Version())
}

// certificate makes one that takes size bytes and more on the wire.
func certificate(t *testing.T, size int) (cert, key []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{"localhost"}}
	for i := 0; i*40 < size; i++ {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("a-name-that-takes-room-%05d.example.org", i))
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	require.NoError(t, err)
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk})
}

// Before a client has proven its address, the server sends at most three times
// what came from there (RFC 9000 section 8.1), however long its certificate is.
func testAmplificationLimit(t *testing.T) {
	cert, key := certificate(t, 9000)
	ctx, err := crypto.NewContext(crypto.Config{ALPN: []string{"mqtt"}, CertPEM: cert, KeyPEM: key})
	require.NoError(t, err)
	t.Cleanup(ctx.Close)
	link := Link{Delay: 25 * ms}
	w := newWorld(t, 203, link, func(s, _ *endpoint.Config) { s.TLS = ctx })
	w.tls = clientTLS(t, crypto.Config{CAPEM: cert})
	p := w.dial()
	w.until(time.Second, func() bool { return w.LinkStats(w.client, w.server).Sent > 0 })
	received := w.LinkStats(w.client, w.server).Bytes
	w.SetOneWay(w.client, w.server, Link{Loss: 1}) // the first flight is under way
	w.Pass(3 * time.Second)
	sent := w.LinkStats(w.server, w.client).Bytes
	t.Logf("%d bytes for %d", sent, received)
	assert.LessOrEqual(t, sent, 3*received)
	assert.Greater(t, sent, 2*received, "the limit is what held it back")
	w.SetOneWay(w.client, w.server, link) // the client's probes set the server free
	w.until(10*time.Second, func() bool { return p.ended && len(w.accepted) == 1 })
	require.NoError(t, p.dialErr)
	assert.Greater(t, w.LinkStats(w.server, w.client).Bytes, 9000)
}

// One client that sends its first packet and no more costs others nothing.
func testSlowHandshake(t *testing.T) {
	w := newWorld(t, 204, Link{Delay: 25 * ms})
	silent := w.Add(w.core(endpoint.Config{}), "10.0.0.3:4000")
	w.SetLink(silent, w.server, Link{Delay: 25 * ms})
	p := &peer{}
	_, err := w.Dial(silent, w.server, endpoint.DialConfig{TLS: w.tls, ServerName: "localhost", Handler: p},
		func(err error) { p.ended, p.dialErr = true, err })
	require.NoError(t, err)
	w.Pass(26 * ms)
	w.Remove(silent)
	for range 20 {
		start := w.Now()
		w.connect()
		assert.Less(t, w.Now().Sub(start), 80*ms)
	}
	stats := w.server.Core.Stats()
	assert.Equal(t, int64(1), stats.Handshakes, "the silent one")
	w.Pass(11 * time.Second)
	stats = w.server.Core.Stats()
	assert.Zero(t, stats.Handshakes)
	assert.Equal(t, uint64(1), stats.Count(endpoint.ClosedHandshakeTimeout))
}

// manyHandshakes makes connections one after the other, each with a few bytes. A
// client's probes are 1, 2, 4 s and so on apart: seven of ten get through, and six in a
// row fail in one of 1,400 connections, which is a minute gone; sixteen in a row, which
// take 18 hours, in one of 230 million.
func manyHandshakes(t *testing.T, seed uint64, link Link) {
	w := newWorld(t, seed, link, patient)
	for range 25 {
		client, server := w.upload(1000)
		w.arrived(client, server, patience)
		client.conn.Close(0, "")
	}
}

// A client repeats its first flight after 1, 3, 7, 15, 31 and 63 seconds (RFC 9002
// sections 6.2.1 and 6.2.2), and the first one that arrives is answered.
func testHandshakeBackoff(t *testing.T) {
	link := Link{Delay: 15 * ms}
	w := newWorld(t, 208, link, patient)
	w.SetOneWay(w.client, w.server, Link{Loss: 1})
	p := w.dial()
	w.until(patience, func() bool { return w.LinkStats(w.client, w.server).Sent == 6 })
	w.SetOneWay(w.client, w.server, link)
	w.until(patience, func() bool { return p.ended && len(w.accepted) == 1 })
	require.NoError(t, p.dialErr)
	assert.InDelta(t, 63, w.Elapsed().Seconds(), 1)
}

func testHandshakeLoss(t *testing.T) { manyHandshakes(t, 205, Link{Delay: 15 * ms, Loss: 0.3}) }

func testHandshakeCorruption(t *testing.T) {
	manyHandshakes(t, 206, Link{Delay: 15 * ms, Corrupt: 0.3})
}

// An answer to garbage may not make a server a source of traffic.
func testStatelessResetLimited(t *testing.T) {
	w := newWorld(t, 207, Link{Delay: ms})
	const flood = 5000
	pkt := make([]byte, 100)
	for i := range flood {
		pkt[0], pkt[1], pkt[2], pkt[3] = 0x40, 0, byte(i), byte(i>>8)
		w.Send(w.client, w.server, pkt)
	}
	w.Pass(100 * ms)
	stats := w.server.Core.Stats()
	resets := stats.Count(endpoint.StatelessResets)
	assert.InDelta(t, 200, resets, 30, "per second")
	assert.Equal(t, uint64(flood), resets+stats.Count(endpoint.DropRateLimited))
	assert.Less(t, w.LinkStats(w.server, w.client).Longest, len(pkt), "shorter than what it answers")
	w.Send(w.client, w.server, pkt[:21])
	w.Pass(time.Second)
	stats = w.server.Core.Stats()
	assert.Equal(t, uint64(1), stats.Count(endpoint.DropUnknownCID), "no shorter reset is possible")
}
