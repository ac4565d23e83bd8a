//go:build !noquic

package client

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// earlyServer is a QUIC server with or without 0-RTT.
func earlyServer(t *testing.T, addr string, early bool, keys [][]byte) (url, ca string, accept func() *peer, stop func()) {
	t.Helper()
	cert, err := crypto.GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	tls, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{alpn}, EarlyData: early, TicketKeys: keys})
	require.NoError(t, err)
	l, err := endpoint.NewListener(endpoint.Config{TLS: tls, Addrs: []string{addr}, Workers: 1, EarlyData: early})
	require.NoError(t, err)
	stop = func() { l.Close(); tls.Close() }
	t.Cleanup(stop)
	return "quic://" + l.Addr().String(), cert.CAFile, func() *peer {
		nc, err := l.Accept()
		require.NoError(t, err)
		return newPeer(t, nc)
	}, stop
}

// state of the server's end of a connection.
func state(t *testing.T, s *peer) crypto.ConnectionState {
	nc := s.nc.(*endpoint.StreamConn)
	require.NoError(t, nc.Handshake(within(t)))
	return nc.TLS()
}

// meet connects and disconnects, and gives what the server's TLS says.
func meet(t *testing.T, c *Client, accept func() *peer) crypto.ConnectionState {
	t.Helper()
	s, _ := reconnect(t, c, accept, packet.Connack{})
	st := state(t, s)
	require.Eventually(t, func() bool { // the ticket is here
		c.dialer.sessions.mu.Lock()
		defer c.dialer.sessions.mu.Unlock()
		return c.opts.TLS.NoResumption || len(c.dialer.sessions.servers) > 0
	}, patience, time.Millisecond)
	result := async(func() error { return c.Disconnect(within(t)) })
	expect[*packet.Disconnect](s)
	s.expectEnd()
	s.nc.Close()
	require.NoError(t, receive(t, result))
	return st
}

func TestQUICResumptionAndEarlyData(t *testing.T) {
	url, ca, accept, _ := earlyServer(t, "127.0.0.1:0", true, nil)
	file := filepath.Join(t.TempDir(), "sessions")
	for _, k := range []struct {
		name           string
		tls            TLS
		resumed, early bool
	}{
		{"first", TLS{SessionFile: file}, false, false},
		{"early data is off", TLS{SessionFile: file}, true, false},
		{"on", TLS{SessionFile: file, EarlyData: EarlyDataOn}, true, true},
		{"auto, clean start", TLS{SessionFile: file, EarlyData: EarlyDataAuto}, true, false},
		{"no resumption", TLS{NoResumption: true}, false, false},
	} {
		k.tls.CAFile = ca
		c, err := New(Options{Servers: []string{url}, TLS: k.tls})
		require.NoError(t, err)
		st := meet(t, c, accept)
		assert.Equal(t, k.resumed, st.Resumed, k.name)
		assert.Equal(t, k.early, st.EarlyData, k.name)
		if !k.tls.NoResumption {
			assert.True(t, meet(t, c, accept).Resumed, "%s: in memory", k.name)
		}
	}
}

// TestQUICSessionOfAnotherServer: early data that is rejected costs a round trip, a session that cannot
// be used nothing.
func TestQUICSessionOfAnotherServer(t *testing.T) {
	url, ca, accept, stop := earlyServer(t, own(t)+":0", true, nil)
	file := filepath.Join(t.TempDir(), "sessions")
	c, err := New(Options{Servers: []string{url}, TLS: TLS{CAFile: ca, ServerName: "localhost", SessionFile: file, EarlyData: EarlyDataOn}})
	require.NoError(t, err)
	meet(t, c, accept)
	stop()
	_, ca, accept, _ = earlyServer(t, url[len("quic://"):], true, nil) // other CA and ticket keys
	other, err := New(Options{Servers: []string{url}, TLS: TLS{CAFile: ca, ServerName: "localhost", SessionFile: file, EarlyData: EarlyDataOn}})
	require.NoError(t, err)
	assert.False(t, meet(t, other, accept).Resumed)
	assert.True(t, meet(t, other, accept).EarlyData)
	_, err = c.Connect(within(t))
	assert.ErrorContains(t, err, "certificate")
}

// TestEarlyDataIntoTheVoid: early data wins a race without a word of the server, and loses it when
// none comes.
func TestEarlyDataIntoTheVoid(t *testing.T) {
	quic, ca, acceptQUIC, stop := earlyServer(t, own(t)+":0", true, nil)
	url, accept := listen(t)
	session := TLS{CAFile: ca, ServerName: "localhost", EarlyData: EarlyDataOn, SessionFile: filepath.Join(t.TempDir(), "sessions")}
	c, err := New(Options{Servers: []string{quic}, TLS: session}) // nobody to race against
	require.NoError(t, err)
	meet(t, c, acceptQUIC)
	assert.True(t, meet(t, c, acceptQUIC).EarlyData)
	stop()
	silent, err := net.ListenPacket("udp", quic[len("quic://"):])
	require.NoError(t, err)
	defer silent.Close()
	c, err = New(Options{Servers: []string{quic, url}, HeadStart: 200 * time.Millisecond, ConnectTimeout: 4 * patience, TLS: session})
	require.NoError(t, err)
	reconnect(t, c, accept, packet.Connack{}) // long before the first one times out
	require.NoError(t, c.Close())
}
