package sim

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// duties are what a QUIC endpoint owes its peers and its users, by the names
// that the interop runner of the QUIC working group gives them where it has one.
var duties = []struct {
	name string
	test func(*testing.T)
}{
	{"handshake", testHandshake},
	{"transfer", testTransfer},
	{"longrtt", testLongRTT},
	{"multiplexing", testMultiplexing},
	{"chacha20", testChaCha20},
	{"retry", testRetry},
	{"retry-under-load", testRetryUnderLoad},
	{"newtoken", testNewToken},
	{"keyupdate", testKeyUpdate},
	{"ecn", testECN},
	{"ecn-bleached", testECNBleached},
	{"v2", testVersion2},
	{"v2-compatible", testCompatibleVersion},
	{"versionnegotiation", testVersionNegotiation},
	{"amplificationlimit", testAmplificationLimit},
	{"handshakeloss", testHandshakeLoss},
	{"handshakecorruption", testHandshakeCorruption},
	{"handshake-backoff", testHandshakeBackoff},
	{"transferloss", testTransferLoss},
	{"transfercorruption", testTransferCorruption},
	{"blackhole", testBlackhole},
	{"blackhole-forever", testBlackholeForever},
	{"ipv6", testIPv6},
	{"rebind-port", testRebindPort},
	{"rebind-addr", testRebindAddr},
	{"statelessreset-received", testStatelessReset},
	{"statelessreset-limited", testStatelessResetLimited},
	{"idletimeout", testIdleTimeout},
	{"keepalive", testKeepAlive},
	{"closing-answers", testLostClose},
	{"draining-silent", testDrainingSilent},
	{"mtu-rises", testMTURises},
	{"mtu-drop", testMTUDrop},
	{"mtu-outage", testMTUAfterOutage},
	{"mtu-comes-back", testMTUComesBack},
	{"ackdelay", testAckDelay},
	{"ack-with-answer", testAckWithAnswer},
	{"ack-alone", testAckAlone},
	{"ack-held-with-loss", testAckHeldWithLoss},
	{"ack-after-gap", testAckAfterGap},
	{"streamlimit", testStreamLimit},
	{"reset-in-every-state", testResetInEveryState},
	{"flowcontrol-stream", testStreamCredit},
	{"flowcontrol-connection", testConnectionCredit},
	{"congestion-control", testCongestionControllers},
	{"slow-handshake", testSlowHandshake},
}

func TestDuty(t *testing.T) {
	for _, d := range duties {
		t.Run(d.name, d.test)
	}
}

// dialWith starts a connection whose configuration change has changed.
func (w *world) dialWith(change func(*endpoint.DialConfig)) *peer {
	w.t.Helper()
	p := &peer{}
	cfg := endpoint.DialConfig{TLS: w.tls, ServerName: "localhost", Handler: p}
	change(&cfg)
	c, err := w.Dial(w.client, w.server, cfg, func(err error) { p.ended, p.dialErr = true, err })
	require.NoError(w.t, err)
	p.conn = c
	return p
}

// upload starts sending n bytes on a new connection; the second peer is the
// server's.
func (w *world) upload(n int) (client, server *peer) {
	w.t.Helper()
	client = w.connect()
	server = w.accepted[len(w.accepted)-1]
	server.sum = sha256.New()
	client.send(w.t, n)
	return client, server
}

// arrived waits until all of an upload is there, unharmed.
func (w *world) arrived(client, server *peer, limit time.Duration) {
	w.t.Helper()
	w.until(limit, func() bool { return server.fins == 1 })
	require.Equal(w.t, client.sum.Sum(nil), server.sum.Sum(nil), "bytes changed on the way")
}

// settings is an option that changes both sides' settings.
func settings(change func(*ngtcp2.Settings)) option {
	return func(s, c *endpoint.Config) { s.Settings, c.Settings = change, change }
}

// patience is how long handshakes over bad links may take: time costs nothing here, and
// a timeout that doubles soon takes hours when chance is against it.
const patience = 24 * time.Hour

// patient lets handshakes over bad links take their time.
func patient(s, c *endpoint.Config) {
	s.HandshakeTimeout, c.HandshakeTimeout = patience, patience
	s.IdleTimeout, c.IdleTimeout = patience, patience
}
