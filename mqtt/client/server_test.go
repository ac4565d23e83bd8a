package client

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// patience is for a machine that does much else: only a test that fails waits that long.
const patience = 20 * time.Second

// within is a context for one step.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// peer is the server's end of one connection; the test says what it does.
type peer struct {
	t   *testing.T
	nc  net.Conn
	dec *packet.Decoder
	buf []byte
	v   packet.Version
}

// owned counts the addresses that own has given.
var owned atomic.Uint32

// own is an address of this machine for one test, which closes a port there and uses it again:
// nobody else is given that port meanwhile.
func own(t *testing.T) string {
	t.Helper()
	pid, n := os.Getpid(), owned.Add(1)
	return netip.AddrFrom4([4]byte{127, byte(1 + pid>>8&0x7f), byte(pid), byte(n)}).String()
}

// listen gives a URL, and the connections made to it.
func listen(t *testing.T) (url string, accept func() *peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return "mqtt://" + l.Addr().String(), func() *peer {
		l.(*net.TCPListener).SetDeadline(time.Now().Add(4 * patience))
		nc, err := l.Accept()
		require.NoError(t, err)
		return newPeer(t, nc)
	}
}

func newPeer(t *testing.T, nc net.Conn) *peer {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(4 * patience))
	return &peer{t: t, nc: nc, dec: packet.NewDecoder(0), buf: make([]byte, 4096)}
}

// expect reads the next packet, which has to be a P.
func expect[P packet.Packet](s *peer) P {
	s.t.Helper()
	p, err := s.dec.ReadPacket(s.nc, s.buf)
	require.NoError(s.t, err)
	typed, ok := p.(P)
	require.True(s.t, ok, "got %s", p.Type())
	if c, ok := p.(*packet.Connect); ok {
		s.v = c.Version
		s.dec.SetVersion(s.v)
	}
	return typed
}

func (s *peer) send(packets ...packet.Packet) {
	s.t.Helper()
	var b []byte
	for _, p := range packets {
		b = p.AppendTo(b, s.v)
	}
	_, err := s.nc.Write(b)
	require.NoError(s.t, err)
}

// expectEnd wants the connection to end without another packet.
func (s *peer) expectEnd() {
	s.t.Helper()
	p, err := s.dec.ReadPacket(s.nc, s.buf)
	require.Error(s.t, err, "got %v", p)
}

// connected is a client and its server, past CONNACK.
func connected(t *testing.T, opts Options, ack packet.Connack) (*Client, *peer, func() *peer) {
	t.Helper()
	url, accept := listen(t)
	opts.Servers = []string{url}
	c, err := New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	s, _ := reconnect(t, c, accept, ack)
	return c, s, accept
}

// reconnect lets c connect and answers with ack.
func reconnect(t *testing.T, c *Client, accept func() *peer, ack packet.Connack) (*peer, *packet.Connect) {
	t.Helper()
	result := async(func() error { _, err := c.Connect(within(t)); return err })
	s := accept()
	connect := expect[*packet.Connect](s)
	s.send(&ack)
	require.NoError(t, <-result)
	return s, connect
}

// async runs f beside the test.
func async(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

// receive waits for a value.
func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
