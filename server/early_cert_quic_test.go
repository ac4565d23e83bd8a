//go:build !noquic

package server_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	mqttclient "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// withCertificate has r show the certificate of ca to name.
func (r *returning) withCertificate(s *running, ca *clientCA, name string) (id mqttclient.TLS) {
	r.t.Helper()
	id = ca.client(name, x509.Certificate{Subject: pkix.Name{CommonName: name}})
	tls, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: s.caFile, ALPN: []string{"mqtt"}, CertFile: id.CertFile, KeyFile: id.KeyFile})
	require.NoError(r.t, err)
	r.t.Cleanup(tls.Close)
	r.cfg.TLS = tls
	return id
}

// A session stands for the certificate that its client has shown once. Who it is is told to
// the handlers each time, and they can refuse it, early CONNECT or not.
func TestEarlyDataOfARevokedClient(t *testing.T) {
	t.Parallel()
	ca := newClientCA(t)
	var revoked atomic.Bool
	cfg := server.Config{EarlyData: server.EarlyDataOn, ClientCAFile: ca.file, CertUsername: server.CertUsernameCN, QUIC: anyQUIC, TCP: []string{server.Off}}
	asked := make(chan *server.Client, 10)
	cfg.Handlers.Connect = func(e *server.ConnectEvent) error {
		asked <- e.Client
		if revoked.Load() && e.Client.Conn.TLS.PeerCommonName == "alice" {
			return server.Refuse(packet.NotAuthorized, "revoked")
		}
		return nil
	}
	s := start(t, cfg)
	r := newReturning(t, s)
	r.withCertificate(s, ca, "alice")
	addr := s.Addrs().QUIC[0].String()
	r.visit(addr)
	nextConnect(t, asked)

	conn, c := r.dial(addr)
	c.ConnectAs("c")
	require.True(t, r.handshake(conn).EarlyData)
	info := nextConnect(t, asked)
	assert.True(t, info.Conn.TLS.PeerVerified && info.Conn.TLS.Resumed && info.Conn.TLS.EarlyData)
	assert.Equal(t, "alice", info.Username)
	assert.Equal(t, "CN=alice", info.Conn.TLS.PeerIdentity)
	r.remember()
	conn.Close()

	revoked.Store(true)
	conn, c = r.dial(addr)
	c.Send(&packet.Connect{ClientID: "c", CleanStart: true})
	assert.Equal(t, packet.NotAuthorized, mqtttest.Expect[*packet.Connack](c).ReasonCode)
	require.True(t, r.handshake(conn).EarlyData)
	c.ExpectEnd()
}

// A server that verifies clients in another way takes no session of theirs, whoever made the
// ticket: they have to show their certificates again.
func TestEarlyDataUnderAnotherClientCA(t *testing.T) {
	t.Parallel()
	ca := newClientCA(t)
	cfg := server.Config{EarlyData: server.EarlyDataOn, ClientCAFile: ca.file, TicketKeysFile: sharedKeys(t), QUIC: anyQUIC, TCP: []string{server.Off}}
	s := start(t, cfg)
	r := newReturning(t, s)
	r.withCertificate(s, ca, "alice")
	r.visit(s.Addrs().QUIC[0].String())

	cfg.ClientCert = server.ClientCertOptional
	asked := connects(&cfg)
	other := start(t, cfg)
	conn, c := r.dial(other.Addrs().QUIC[0].String())
	c.ConnectAs("c")
	state := r.handshake(conn)
	assert.True(t, state.EarlyDataRejected && !state.Resumed)
	assert.Equal(t, "alice", nextConnect(t, asked).Conn.TLS.PeerCommonName)
	conn.Close()

	cfg.ClientCert, cfg.ClientCAFile = server.ClientCertRequired, newClientCA(t).file
	stranger := start(t, cfg)
	conn, c = r.dial(stranger.Addrs().QUIC[0].String())
	conn.Write((&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50)) // may be too late already
	_, err := c.Read()
	assert.ErrorContains(t, err, "TLS alert 48", "unknown_ca")
	assert.Empty(t, asked)
	conn.Close()
}

// Neither does a session help whose certificate is on a revocation list by now: its early data
// is rejected, and the full handshake fails.
func TestEarlyDataOfARevokedCertificate(t *testing.T) {
	t.Parallel()
	ca := newClientCA(t)
	file, later := filepath.Join(t.TempDir(), "crl"), time.Now().Add(time.Hour)
	ca.revoke(file, later)
	cfg := server.Config{EarlyData: server.EarlyDataOn, ClientCAFile: ca.file, ClientCRLFile: file, QUIC: anyQUIC, TCP: []string{server.Off}}
	asked := connects(&cfg)
	s := starting(t, cfg)
	r := newReturning(t, s)
	alice := r.withCertificate(s, ca, "alice")
	addr := s.Addrs().QUIC[0].String()
	r.visit(addr)
	ca.revoke(file, later, alice)
	require.Eventually(t, func() bool { return knockWith(t, s, "quic://"+addr, alice, "") != nil }, mqtttest.Patience, time.Millisecond)
	for len(asked) > 0 {
		<-asked
	}
	conn, c := r.dial(addr)
	conn.Write((&packet.Connect{ClientID: "c", CleanStart: true}).AppendTo(nil, packet.V50)) // may be too late already
	_, err := c.Read()
	assert.ErrorContains(t, err, "TLS alert 44", "certificate_revoked")
	assert.Empty(t, asked)
	conn.Close()
}
