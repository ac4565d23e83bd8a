//go:build !noquic

package server_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	mqttclient "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// switchboard passes datagrams between one client and the server that it is set to.
type switchboard struct {
	near, far *net.UDPConn
	server    atomic.Pointer[net.UDPAddr]
	client    atomic.Pointer[netip.AddrPort]
}

func newSwitchboard(t *testing.T) *switchboard {
	loopback := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	near, err := net.ListenUDP("udp", loopback)
	require.NoError(t, err)
	far, err := net.ListenUDP("udp", loopback)
	require.NoError(t, err)
	b := &switchboard{near: near, far: far}
	var ended sync.WaitGroup
	ended.Go(func() {
		for buf := make([]byte, 65536); ; {
			n, from, err := near.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			b.client.Store(&from)
			far.WriteToUDP(buf[:n], b.server.Load())
		}
	})
	ended.Go(func() {
		for buf := make([]byte, 65536); ; {
			n, from, err := far.ReadFromUDP(buf)
			if err != nil {
				return
			}
			if from.Port == b.server.Load().Port {
				near.WriteToUDPAddrPort(buf[:n], *b.client.Load())
			}
		}
	})
	t.Cleanup(func() {
		near.Close()
		far.Close()
		ended.Wait()
	})
	return b
}

func (b *switchboard) connect(s *running) {
	b.server.Store(net.UDPAddrFromAddrPort(s.Addrs().QUIC[0]))
}

// A server that takes the place of one that was killed resets its connections: the client
// knows with its next packet, not after a timeout (RFC 9000 section 10.3).
func TestServerAfterACrashResets(t *testing.T) {
	board := newSwitchboard(t)
	killed := start(t, server.Config{})
	board.connect(killed)
	lost := make(chan error, 1)
	c, err := mqttclient.New(mqttclient.Options{
		Servers: []string{"quic://" + board.near.LocalAddr().String()}, ClientID: "survivor", KeepAlive: time.Hour,
		TLS: mqttclient.TLS{CAFile: killed.caFile}, OnConnectionLost: func(err error) { lost <- err },
	})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	_, err = c.Connect(ctx)
	require.NoError(t, err)

	board.connect(start(t, server.Config{}))
	_, err = c.Publish(ctx, mqttclient.Message{Topic: "t", QoS: 1, Payload: make([]byte, 100)})
	require.Error(t, err)
	select {
	case err := <-lost:
		assert.ErrorContains(t, err, "reset")
	case <-ctx.Done():
		t.Fatal("the client does not notice")
	}
	info, err := os.Stat(filepath.Join(certificates(), "quic-reset.key"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
