//go:build !noquic

package client

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// listenQUIC is a QUIC server on a free port, with its CA file.
func listenQUIC(t *testing.T, alpn string) (url, ca string, accept func() *peer) {
	t.Helper()
	cert, err := crypto.GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	tls, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{alpn}})
	require.NoError(t, err)
	l, err := endpoint.NewListener(endpoint.Config{TLS: tls, Addrs: []string{"127.0.0.1:0"}, Workers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close(); tls.Close() })
	return "quic://" + l.Addr().String(), cert.CAFile, func() *peer {
		nc, err := l.Accept()
		require.NoError(t, err)
		return newPeer(t, nc)
	}
}

func TestQUIC(t *testing.T) {
	url, ca, accept := listenQUIC(t, "mqtt")
	handler, messages := collect()
	keys := filepath.Join(t.TempDir(), "keys.log")
	c, err := New(Options{Servers: []string{url}, TLS: TLS{CAFile: ca, KeyLogFile: keys}, OnMessage: handler})
	require.NoError(t, err)
	s, _ := reconnect(t, c, accept, packet.Connack{})
	text, err := os.ReadFile(keys)
	require.NoError(t, err)
	assert.Contains(t, string(text), "CLIENT_TRAFFIC_SECRET_0 ")

	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for qos := byte(0); qos <= 2; qos++ {
		result := async(func() error {
			_, err := c.Publish(within(t), Message{Topic: "a", Payload: large, QoS: qos})
			return err
		})
		p := expect[*packet.Publish](s)
		assert.Len(t, p.Payload, len(large))
		id := p.PacketID
		if qos == 1 {
			s.send(&packet.Puback{PacketID: id})
		}
		if qos == 2 {
			s.send(&packet.Pubrec{PacketID: id})
			expect[*packet.Pubrel](s)
			s.send(&packet.Pubcomp{PacketID: id})
		}
		require.NoError(t, receive(t, result))
	}
	s.send(&packet.Publish{Topic: []byte("b"), Payload: large})
	assert.Equal(t, large, receive(t, messages).Payload)

	result := async(func() error { return c.Disconnect(within(t)) })
	expect[*packet.Disconnect](s)
	s.expectEnd()
	s.nc.Close()
	assert.NoError(t, receive(t, result))
}

// TestQUICDisconnectArrives: what was published last is there although the program ends at once.
func TestQUICDisconnectArrives(t *testing.T) {
	url, ca, accept := listenQUIC(t, "mqtt")
	for range 20 {
		c, err := New(Options{Servers: []string{url}, TLS: TLS{CAFile: ca}})
		require.NoError(t, err)
		s, _ := reconnect(t, c, accept, packet.Connack{})
		_, err = c.Publish(within(t), Message{Topic: "last", Payload: make([]byte, 100_000)})
		require.NoError(t, err)
		result := async(func() error { return c.Disconnect(within(t)) })
		assert.Len(t, expect[*packet.Publish](s).Payload, 100_000)
		expect[*packet.Disconnect](s)
		s.nc.Close()
		require.NoError(t, receive(t, result))
	}
}

func TestQUICRefusals(t *testing.T) {
	url, ca, _ := listenQUIC(t, "other")
	_, err := Dial(within(t), url, Options{TLS: TLS{CAFile: ca}})
	var transport *ngtcp2.TransportError
	require.ErrorAs(t, err, &transport)
	assert.Equal(t, uint64(0x178), transport.Code, "no common ALPN")
	assert.ErrorContains(t, err, "no MQTT")

	url, _, _ = listenQUIC(t, "mqtt")
	_, err = Dial(within(t), url, Options{})
	assert.ErrorContains(t, err, "certificate")
	_, err = Dial(within(t), url, Options{TLS: TLS{CAFile: ca}})
	assert.Error(t, err, "another CA")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	silent, err := net.ListenPacket("udp", own(t)+":0")
	require.NoError(t, err)
	_, err = Dial(ctx, "quic://"+silent.LocalAddr().String(), Options{TLS: TLS{CAFile: ca}})
	assert.ErrorIs(t, err, context.DeadlineExceeded, "nobody answers")
	assert.ErrorContains(t, err, "no answer over UDP")
	require.NoError(t, silent.Close())
	_, err = Dial(within(t), "quic://"+silent.LocalAddr().String(), Options{TLS: TLS{CAFile: ca}})
	assert.ErrorIs(t, err, syscall.ECONNREFUSED, "nobody listens")
	assert.EqualError(t, err, "quic://"+silent.LocalAddr().String()+": unreachable: connection refused: nobody listens on this UDP port")
}

func TestQUICInsecureAndLostConnection(t *testing.T) {
	url, _, accept := listenQUIC(t, "mqtt")
	lost := make(chan error, 1)
	c, err := New(Options{Servers: []string{url}, TLS: TLS{Insecure: true}, OnConnectionLost: func(err error) { lost <- err }})
	require.NoError(t, err)
	s, _ := reconnect(t, c, accept, packet.Connack{})
	s.nc.Close()
	assert.Error(t, receive(t, lost))
	_, err = c.Publish(within(t), Message{Topic: "a"})
	assert.ErrorIs(t, err, ErrNotConnected)
}

// TestFallbackWithoutUDP: a network that swallows UDP costs the head start once, and QUIC is used again
// when it works.
func TestFallbackWithoutUDP(t *testing.T) {
	silent, err := net.ListenPacket("udp", own(t)+":0")
	require.NoError(t, err)
	url, accept := listen(t)
	c, err := New(Options{
		Servers: []string{"quic://" + silent.LocalAddr().String(), url}, HeadStart: DefaultHeadStart, ReturnAfter: 300 * time.Millisecond,
		ConnectTimeout: 4 * patience, // what it would wait for QUIC alone
		ClientID:       "me", ResumeSession: true, Reconnect: true, Backoff: soon, TLS: TLS{Insecure: true},
	})
	require.NoError(t, err)
	defer c.Close()
	s, _ := reconnect(t, c, accept, packet.Connack{})
	s.nc.Close()
	s, _ = welcome(accept, packet.Connack{SessionPresent: true})

	require.NoError(t, silent.Close())
	acceptQUIC := listenQUICAt(t, silent.LocalAddr().String())
	expect[*packet.Disconnect](s)
	s.nc.Close()
	s, _ = welcome(acceptQUIC, packet.Connack{SessionPresent: true})
	require.NoError(t, c.AwaitConnection(within(t)))
	_, err = c.Publish(within(t), Message{Topic: "over QUIC"})
	require.NoError(t, err)
	assert.Equal(t, "over QUIC", string(expect[*packet.Publish](s).Topic))
}

func listenQUICAt(t *testing.T, addr string) (accept func() *peer) {
	t.Helper()
	cert, err := crypto.GenerateDevCert(t.TempDir())
	require.NoError(t, err)
	tls, err := crypto.NewContext(crypto.Config{CertFile: cert.CertFile, KeyFile: cert.KeyFile, ALPN: []string{alpn}})
	require.NoError(t, err)
	l, err := endpoint.NewListener(endpoint.Config{TLS: tls, Addrs: []string{addr}, Workers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { l.Close(); tls.Close() })
	return func() *peer {
		nc, err := l.Accept()
		require.NoError(t, err)
		return newPeer(t, nc)
	}
}

// TestDialerQUIC: what was written before Close arrives; the second connection is resumed.
func TestDialerQUIC(t *testing.T) {
	url, ca, accept := listenQUIC(t, alpn)
	d := Dialer{TLS: TLS{CAFile: ca}}
	for _, resumed := range []bool{false, true} {
		nc, err := d.Dial(within(t), url)
		require.NoError(t, err)
		_, err = nc.Write([]byte("last words"))
		require.NoError(t, err)
		s := accept()
		assert.Equal(t, resumed, s.nc.(*endpoint.StreamConn).TLS().Resumed)
		b := make([]byte, 10)
		_, err = s.nc.Read(b)
		require.NoError(t, err)
		assert.Equal(t, "last words", string(b))
		require.Eventually(t, func() bool {
			d.dialer.sessions.mu.Lock()
			defer d.dialer.sessions.mu.Unlock()
			return len(d.dialer.sessions.servers) > 0
		}, patience, time.Millisecond)
		require.NoError(t, nc.Close())
		_, err = s.nc.Read(b)
		assert.Error(t, err)
	}
}

func TestQUICOptions(t *testing.T) {
	url, ca, accept := listenQUIC(t, "x-mqtt")
	local := netip.MustParseAddr("127.0.0.1")
	o := Options{Servers: []string{url}, LocalAddr: local, TLS: TLS{CADir: filepath.Dir(ca), ALPN: []string{"x-mqtt"}}}
	c, err := New(o)
	require.NoError(t, err)
	s, _ := reconnect(t, c, accept, packet.Connack{})
	assert.Equal(t, local, netip.MustParseAddrPort(s.nc.RemoteAddr().String()).Addr())
	require.NoError(t, c.Close())
	o.LocalAddr = netip.IPv6Loopback()
	_, err = Dial(within(t), url, o)
	assert.ErrorContains(t, err, "another address family")
}
