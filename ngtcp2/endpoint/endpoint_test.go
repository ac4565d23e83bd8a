package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

func TestEcho(t *testing.T) {
	for _, c := range []struct{ name, listen, host string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "[::1]"},
		{"dual stack over IPv4", "[::]:0", "127.0.0.1"},
		{"dual stack over IPv6", "[::]:0", "[::1]"},
		{"wildcard", "0.0.0.0:0", "127.0.0.1"},
		{"by name", "127.0.0.1:0", "localhost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leakCheck(t)
			l := echoServer(t, Config{Addrs: []string{c.listen}, Workers: 2})
			client := start(t, Config{Workers: 1})
			conn := dial(t, client, c.host+":"+portOf(l.Addr()))
			for _, size := range []int{1, 5, 1500, 70_000, 1 << 20} {
				msg := bytes.Repeat([]byte{byte(size), 1, 2}, size/3+1)
				assert.True(t, bytes.Equal(msg, ask(t, conn, msg)), "%d bytes", size)
			}
			assert.Equal(t, "mqtt", conn.TLS().ALPN)
			assert.True(t, conn.TLS().Verified)
			require.NotNil(t, conn.PeerIdentity().Certificates)
			require.NoError(t, conn.Close())
			closed(t, conn)
		})
	}
}

func portOf(a net.Addr) string { return fmt.Sprint(a.(*net.UDPAddr).Port) }

func TestEchoWithoutKernelBatching(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{NoGRO: true, NoGSO: true})
	conn := dial(t, start(t, Config{NoGRO: true, NoGSO: true}), l.Addr().String())
	msg := bytes.Repeat([]byte("0123456789"), 50_000)
	assert.True(t, bytes.Equal(msg, ask(t, conn, msg)))
}

func TestManyConnections(t *testing.T) {
	leakCheck(t)
	const conns = 200
	l := echoServer(t, Config{Workers: 2})
	client := start(t, Config{Workers: 2})
	tls := clientTLS(t)
	var all sync.WaitGroup
	errs := make(chan error, 5*conns)
	for i := range conns {
		all.Go(func() {
			c, err := client.DialConn(within(t), l.Addr().String(), DialConfig{TLS: tls})
			if err != nil {
				errs <- err
				return
			}
			defer c.Close()
			for range 5 {
				msg := bytes.Repeat([]byte{byte(i)}, 100+i*10)
				got, err := roundTrip(c, msg)
				if err == nil && !bytes.Equal(got, msg) {
					err = errors.New("wrong echo")
				}
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	stats := l.Endpoint().Stats()
	assert.Equal(t, uint64(conns), stats.Count(HandshakesCompleted))
	assert.Zero(t, stats.Handshakes)
}

// A datagram that reaches a worker that does not own the connection is given to
// the owner: SO_REUSEPORT chooses by address, and each rebinding is another
// throw.
func TestRebindingIsForwardedBetweenWorkers(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 4})
	nat := newNAT(t, l.Addr().(*net.UDPAddr).AddrPort())
	conn := dial(t, start(t, Config{Workers: 1}), nat.addr())
	for i := range 12 {
		assert.Equal(t, []byte("ping"), ask(t, conn, []byte("ping")), "binding %d", i)
		nat.rebind(t)
	}
	stats := l.Endpoint().Stats()
	assert.Positive(t, stats.Count(Forwarded))
	assert.Equal(t, uint64(1), stats.Count(HandshakesCompleted), "the connection is the same")
	assert.Zero(t, stats.Count(StatelessResets))
}

// nat is a UDP relay for one client whose outer address can change.
type nat struct {
	inner  *net.UDPConn
	server netip.AddrPort
	mu     sync.Mutex
	outer  *net.UDPConn
	client netip.AddrPort
	relays sync.WaitGroup
}

func newNAT(t testing.TB, server netip.AddrPort) *nat {
	t.Helper()
	inner, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	n := &nat{inner: inner, server: server}
	n.rebind(t)
	n.relays.Go(n.out)
	t.Cleanup(func() {
		_ = n.inner.Close()
		_ = n.outer.Close()
		n.relays.Wait()
	})
	return n
}

func (n *nat) addr() string { return n.inner.LocalAddr().String() }

func (n *nat) rebind(t testing.TB) {
	t.Helper()
	n.rebindTo(t, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

func (n *nat) rebindTo(t testing.TB, ip netip.Addr) {
	t.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)), net.UDPAddrFromAddrPort(n.server))
	require.NoError(t, err)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outer != nil {
		_ = n.outer.Close()
	}
	n.outer = c
	n.relays.Go(func() { n.in(c) })
}

func (n *nat) out() {
	buf := make([]byte, 65536)
	for {
		k, from, err := n.inner.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		n.client = from
		_, _ = n.outer.Write(buf[:k])
		n.mu.Unlock()
	}
}

func (n *nat) in(c *net.UDPConn) {
	buf := make([]byte, 65536)
	for {
		k, err := c.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		to := n.client
		n.mu.Unlock()
		_, _ = n.inner.WriteToUDPAddrPort(buf[:k], to)
	}
}

// Garbage of all kinds while a client works: nobody notices.
func TestGarbageDisturbsNobody(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 2})
	conn := dial(t, start(t, Config{}), l.Addr().String())
	stop := make(chan struct{})
	var attackers sync.WaitGroup
	t.Cleanup(func() {
		close(stop)
		attackers.Wait()
	})
	for k := range 2 {
		attackers.Go(func() { attack(l.Addr(), uint64(k), stop) })
	}
	msg := bytes.Repeat([]byte("work"), 5000)
	dropped := func() uint64 {
		s := l.Endpoint().Stats()
		return s.Count(DropMalformed) + s.Count(DropNotInitial)
	}
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end) || dropped() < 1000; {
		require.Equal(t, msg, ask(t, conn, msg))
	}
}

func attack(to net.Addr, seed uint64, stop <-chan struct{}) {
	c, err := net.Dial("udp", to.String())
	if err != nil {
		return
	}
	defer c.Close()
	rng := rand.New(rand.NewPCG(seed, 1))
	buf := make([]byte, 1500)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		for k := range buf {
			buf[k] = byte(rng.Uint32())
		}
		if i%3 > 0 { // what looks like version 1
			copy(buf, []byte{0xC0 | byte(i), 0, 0, 0, 1, 8})
		}
		_, _ = c.Write(buf[:rng.IntN(len(buf))])
	}
}

// Clients that send their first datagram and fall silent delay nobody: they are waited for
// all the time.
func TestSilentHandshakesDelayNobody(t *testing.T) {
	leakCheck(t)
	const silent = 100
	l := echoServer(t, Config{Workers: 1, HandshakeTimeout: time.Hour})
	client := start(t, Config{Workers: 1})
	handshakes := func() int64 { s := l.Endpoint().Stats(); return s.Handshakes }
	deaf, err := net.ListenPacket("udp", "127.0.0.1:0") // drops what it gets
	require.NoError(t, err)
	defer deaf.Close()
	initial := firstDatagram(t, l.Addr())
	for i := range int64(silent) {
		_, err := deaf.WriteTo(initial(), l.Addr())
		require.NoError(t, err)
		eventually(t, func() bool { return handshakes() == i+1 }, "a first datagram did not arrive")
	}
	conn := dial(t, client, l.Addr().String())
	assert.Equal(t, []byte("hi"), ask(t, conn, []byte("hi")))
	assert.EqualValues(t, silent, handshakes())
}

// firstDatagram makes first datagrams of new clients.
func firstDatagram(t testing.TB, to net.Addr) func() []byte {
	t.Helper()
	core, err := NewCore(Config{})
	require.NoError(t, err)
	t.Cleanup(core.Free)
	tls := clientTLS(t)
	remote := to.(*net.UDPAddr).AddrPort()
	return func() []byte {
		path := ngtcp2.Path{Local: netip.MustParseAddrPort("127.0.0.1:9"), Remote: remote}
		_, err := core.Connect(path, DialConfig{TLS: tls, ServerName: "localhost", Handler: silentHandler{}},
			ngtcp2.Now(), func(error) {})
		require.NoError(t, err)
		buf, runs := core.Poll(ngtcp2.Now())
		require.NotEmpty(t, runs)
		pkt := bytes.Clone(buf[runs[0].Off : runs[0].Off+min(runs[0].Len, runs[0].SegmentSize)])
		core.Sent(nil)
		return pkt
	}
}

type silentHandler struct{}

func (silentHandler) OnStreamOpen(*Stream)               {}
func (silentHandler) OnStreamData(*Stream, []byte, bool) {}
func (silentHandler) OnStreamReset(*Stream, uint64)      {}
func (silentHandler) OnStopSending(*Stream, uint64)      {}
func (silentHandler) OnStreamClosed(*Stream)             {}
func (silentHandler) OnFlush()                           {}
func (silentHandler) OnClosed(error)                     {}

func TestShutdownClosesClients(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 2})
	client := start(t, Config{})
	var conns []*StreamConn
	for range 10 {
		c := dial(t, client, l.Addr().String())
		ask(t, c, []byte("here"))
		conns = append(conns, c)
	}
	begin := time.Now()
	require.NoError(t, l.Shutdown(within(t)))
	assert.Less(t, time.Since(begin), waitLimit/2, "nothing waits for CloseTimeout")
	for _, c := range conns {
		closed(t, c)
		_, err := c.Read(make([]byte, 1))
		assert.ErrorIs(t, err, io.EOF, "closed with code 0")
	}
	_, err := l.Accept()
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.ErrorIs(t, l.Endpoint().Start(), ErrClosed)
}

// A connection that closes gracefully towards a peer that is gone is cut off
// when Shutdown's context ends.
func TestShutdownCutsOff(t *testing.T) {
	leakCheck(t)
	deaf := echoServer(t, Config{})
	client, err := New(Config{CloseTimeout: time.Hour})
	require.NoError(t, err)
	nat := newNAT(t, deaf.Addr().(*net.UDPAddr).AddrPort())
	conn := dial(t, client, nat.addr())
	_ = nat.inner.Close()
	_, err = conn.Write([]byte("nobody hears"))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, client.Shutdown(ctx), context.DeadlineExceeded)
	closed(t, conn)
	assert.NoError(t, client.Shutdown(context.Background()))
}

func TestRun(t *testing.T) {
	leakCheck(t)
	e, err := New(Config{TLS: serverTLS(t), Addrs: []string{"127.0.0.1:0", "[::1]:0"}, Handler: onConn(func(*Conn) ConnHandler { return silentHandler{} })})
	require.NoError(t, err)
	require.Len(t, e.Addrs(), 2)
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error)
	go func() { ran <- e.Run(ctx) }()
	client := start(t, Config{})
	for _, a := range e.Addrs() {
		_, err := client.Dial(within(t), a.String(), DialConfig{TLS: clientTLS(t), Handler: silentHandler{}})
		require.NoError(t, err)
	}
	cancel()
	require.NoError(t, <-ran)
}

type onConn func(*Conn) ConnHandler

func (f onConn) OnConn(c *Conn) ConnHandler { return f(c) }

func TestAddressInUse(t *testing.T) {
	for _, workers := range []int{1, 3} {
		leakCheck(t)
		l := echoServer(t, Config{Workers: workers})
		_, err := NewListener(Config{Workers: workers, TLS: serverTLS(t), Addrs: []string{l.Addr().String()}})
		require.ErrorContains(t, err, "address already in use")
	}
}

func TestDialFails(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{})
	client := start(t, Config{})
	hasty := start(t, Config{HandshakeTimeout: 200 * time.Millisecond})
	t.Run("unknown ALPN", func(t *testing.T) {
		_, err := client.DialConn(within(t), l.Addr().String(), DialConfig{TLS: clientTLS(t, "other")})
		var te *ngtcp2.TransportError
		require.ErrorAs(t, err, &te)
		assert.Equal(t, ngtcp2.CryptoError+120, te.Code, "no_application_protocol")
	})
	t.Run("wrong name", func(t *testing.T) {
		_, err := client.DialConn(within(t), l.Addr().String(), DialConfig{TLS: clientTLS(t), ServerName: "example.org"})
		require.ErrorContains(t, err, "certificate verify failed")
	})
	t.Run("nobody answers", func(t *testing.T) {
		_, err := hasty.DialConn(within(t), silentPort(t), DialConfig{TLS: clientTLS(t)})
		require.ErrorIs(t, err, ngtcp2.ErrHandshakeTimeout)
	})
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_, err := client.DialConn(ctx, silentPort(t), DialConfig{TLS: clientTLS(t)})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("bad address", func(t *testing.T) {
		_, err := client.DialConn(within(t), "127.0.0.1", DialConfig{TLS: clientTLS(t)})
		require.ErrorContains(t, err, "host:port")
	})
	t.Run("no TLS", func(t *testing.T) {
		_, err := client.Dial(within(t), "127.0.0.1:9", DialConfig{})
		require.ErrorContains(t, err, "DialConfig.TLS")
		require.ErrorContains(t, err, "DialConfig.Handler")
	})
	conn := dial(t, client, l.Addr().String())
	assert.Equal(t, []byte("still works"), ask(t, conn, []byte("still works")))
}

func TestDialConnOwnEndpoint(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Retry: RetryAlways})
	c, err := DialConn(within(t), l.Addr().String(), DialConfig{TLS: clientTLS(t)})
	require.NoError(t, err)
	assert.Equal(t, []byte("x"), ask(t, c, []byte("x")))
	require.NoError(t, c.Close())
	closed(t, c)
}

func TestConfigValidate(t *testing.T) {
	require.NoError(t, (&Config{}).Validate())
	err := (&Config{Addrs: []string{"nowhere"}, Workers: -1, ResetSecret: []byte("short"), IdleTimeout: -1, Retry: 9}).Validate()
	for _, field := range []string{"TLS", "Handler", "Addrs", "Workers", "ResetSecret", "IdleTimeout", "Retry"} {
		assert.ErrorContains(t, err, "Config."+field+":")
	}
	assert.ErrorContains(t, (&Config{Handler: onConn(nil)}).Validate(), "Config.Addrs")
	assert.ErrorContains(t, (&Config{TLS: clientTLS(t)}).Validate(), "Config.TLS")
}

func TestMain(m *testing.M) {
	code := m.Run()
	if c, err := certs(); err == nil {
		_ = os.RemoveAll(dirOf(c.CAFile))
	}
	os.Exit(code)
}
