package endpoint

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// silentPort is a UDP port that takes everything and answers nothing.
func silentPort(t testing.TB) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

// deadPort is a UDP port of ip where nobody listens until the end of the test: a socket that
// is connected to another one holds it, and takes nothing else.
func deadPort(t testing.TB, ip string) string {
	t.Helper()
	addr := net.ParseIP(ip)
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: addr}, &net.UDPAddr{IP: addr, Port: 9})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

// A port where nobody listens fails at once, not after the handshake timeout.
func TestDialRefused(t *testing.T) {
	leakCheck(t)
	client := start(t, Config{Workers: 1, HandshakeTimeout: time.Hour})
	for _, ip := range []string{"127.0.0.1", "::1"} {
		addr := deadPort(t, ip)
		_, err := client.DialConn(within(t), addr, DialConfig{TLS: clientTLS(t)})
		require.EqualError(t, err, "endpoint: Dial "+addr+": unreachable: connection refused")
		require.ErrorIs(t, err, ErrUnreachable, ip)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, ip)
	}
	s := client.Stats()
	assert.Zero(t, s.Conns)
}

// Many dials to dead ports on the socket of a connection in use: it loses nothing,
// and every dial learns of it.
func TestRefusalsDisturbNobody(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 1})
	client := start(t, Config{Workers: 1, HandshakeTimeout: time.Hour})
	c := dial(t, client, l.Addr().String())
	end := transfer(t, c)
	tls := clientTLS(t)
	var dials sync.WaitGroup
	for i := range 8 {
		dead := deadPort(t, fmt.Sprintf("127.0.0.%d", 20+i)) // one each: see Core.Unreachable
		dials.Go(func() {
			for range 8 {
				_, err := client.DialConn(within(t), dead, DialConfig{TLS: tls})
				assert.ErrorIs(t, err, syscall.ECONNREFUSED)
			}
		})
	}
	dials.Wait()
	end()
	assert.Zero(t, client.Stats().SendRefused)
}

var wirePath = ngtcp2.Path{Local: wireClient, Remote: wireServer}

// An ICMP error counts only when it quotes the dial's own packet, and only before
// the server has answered.
func TestForgedUnreachable(t *testing.T) {
	w := newWire(t)
	var ended []error
	conn, err := w.client.Connect(wirePath, DialConfig{TLS: clientTLS(t), ServerName: "localhost",
		Handler: silentHandler{}}, w.now, func(err error) { ended = append(ended, err) })
	require.NoError(t, err)
	buf, runs := w.client.Poll(w.now)
	quote := slices.Clone(buf[runs[0].Off : runs[0].Off+64])
	w.client.Sent(nil)
	good := Unreachable{Remote: wireServer, Err: syscall.ECONNREFUSED, Quote: quote}

	guessed := slices.Clone(quote)
	guessed[5+1+initialDCIDLen+1+3] ^= 1 // in the source CID
	for _, u := range []Unreachable{
		{Remote: wireServer, Err: syscall.ECONNREFUSED},
		{Remote: wireServer, Err: syscall.ECONNREFUSED, Quote: quote[:20]},
		{Remote: wireServer, Err: syscall.ECONNREFUSED, Quote: guessed},
		{Remote: wireServer, Err: syscall.ECONNREFUSED, Quote: []byte{0x40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{Remote: netip.MustParseAddrPort("10.0.0.9:1"), Err: syscall.ECONNREFUSED, Quote: quote},
		{Remote: wireServer, Err: syscall.EMSGSIZE, Quote: quote},
	} {
		w.client.Unreachable([]Unreachable{u}, w.now)
		assert.Empty(t, ended)
	}
	w.now = w.now.Add(2 * time.Second) // the first packet counts as lost: again
	w.client.HandleExpiry(w.now)
	for w.accepted == nil {
		w.step(10 * time.Millisecond)
	}
	require.Equal(t, []error{nil}, ended)
	w.client.Unreachable([]Unreachable{good}, w.now)
	assert.False(t, conn.Closed(), "the server has answered")

	for range 10 {
		w.step(10 * time.Millisecond)
	}
	_, err = w.client.Connect(wirePath, DialConfig{TLS: clientTLS(t), ServerName: "localhost",
		Handler: silentHandler{}}, w.now, func(err error) { ended = append(ended, err) })
	require.NoError(t, err)
	buf, runs = w.client.Poll(w.now)
	good.Quote = slices.Clone(buf[runs[0].Off : runs[0].Off+64])
	w.client.Unreachable([]Unreachable{good, good}, w.now)
	require.Len(t, ended, 2)
	assert.ErrorIs(t, ended[1], syscall.ECONNREFUSED)
	w.client.Sent(nil)
	assert.False(t, conn.Closed())
}
