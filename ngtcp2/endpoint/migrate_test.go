package endpoint

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
)

// transfer echoes large messages, one after the other, until end is called, which waits for
// the last one: each has a minute.
func transfer(t testing.TB, c net.Conn) (end func()) {
	t.Helper()
	msg := make([]byte, 1<<20)
	for i := range msg {
		msg[i] = byte(i * 2654435761 >> 13)
	}
	var ending atomic.Bool
	done := make(chan error, 1)
	go func() {
		for !ending.Load() {
			got, err := roundTrip(c, msg)
			if err == nil && string(got) != string(msg) {
				err = errors.New("other bytes came back")
			}
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return func() {
		t.Helper()
		ending.Store(true)
		require.NoError(t, <-done)
	}
}

// migrate retries while the handshake is not confirmed or no spare CID is there, and when the
// new path did not answer in time, which a busy machine may not do. It returns how often
// that was.
func migrate(t testing.TB, c *Conn, m Migration) (slow int) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		switch err := c.Migrate(ctx, m); {
		case errors.Is(err, ErrPathFailed):
			slow++
		case !errors.Is(err, ErrNotConfirmed) && !errors.Is(err, ngtcp2.ErrConnIDBlocked):
			require.NoError(t, err)
			return slow
		}
	}
}

func sockets(e *Endpoint) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sockets)
}

func TestMigrateEndpoint(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 3, Addrs: []string{"0.0.0.0:0"}})
	client := start(t, Config{Workers: 1, Settings: func(s *ngtcp2.Settings) {
		s.InitialRTT = 100 * time.Millisecond // of a new path: a socket that was left stays for 3 PTOs
	}})
	c := dial(t, client, net.JoinHostPort("127.0.0.1", portOf(l.Addr())))
	end := transfer(t, c)
	changes := 0
	for _, m := range []Migration{
		{Local: netip.MustParseAddrPort("127.0.0.2:0")},
		{Local: netip.MustParseAddrPort("127.0.0.3:0"), Immediate: true},
		{},
	} {
		before := c.conn.Path()
		changes++
		if slow := migrate(t, c.conn, m); m.Immediate {
			changes += slow // it went there, and stayed
		}
		now := c.conn.Path()
		assert.NotEqual(t, before.Local, now.Local)
		if m.Local.IsValid() {
			assert.Equal(t, m.Local.Addr(), now.Local.Addr())
		} else {
			assert.Equal(t, "127.0.0.1", now.Local.Addr().String())
		}
	}
	end()
	s := client.Stats()
	assert.EqualValues(t, changes, s.Count(PathChanges))
	s = l.Endpoint().Stats()
	assert.Equal(t, uint64(1), s.Count(HandshakesCompleted), "the connection is the same")
	eventually(t, func() bool { return sockets(client) == 2 }, "sockets that were left are still open")
	require.NoError(t, c.Close())
	eventually(t, func() bool { return sockets(client) == 1 }, "the socket of a closed connection is still open")
}

func TestMigrateEndpointFails(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 1})
	client := start(t, Config{Workers: 1})
	c := dial(t, client, l.Addr().String())
	ask(t, c, []byte("x"))
	eventually(t, func() bool {
		return !errors.Is(c.conn.Migrate(within(t), Migration{Local: netip.MustParseAddrPort("[::1]:0")}), ErrNotConfirmed)
	}, "never confirmed")
	before := c.conn.Path()
	for _, bad := range []string{"[::1]:0", "192.0.2.1:0", before.Local.String()} {
		assert.Error(t, c.conn.Migrate(within(t), Migration{Local: netip.MustParseAddrPort(bad)}), bad)
	}
	assert.Equal(t, before, c.conn.Path())
	eventually(t, func() bool { return sockets(client) == 1 }, "a socket is left")
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	_ = c.conn.Migrate(ctx, Migration{}) // either way: nothing hangs
	assert.Equal(t, []byte("y"), ask(t, c, []byte("y")))
	require.NoError(t, c.Close())
	closed(t, c)
	require.ErrorIs(t, c.conn.Migrate(within(t), Migration{}), ErrClosed)
}

// pathLog is a server's connection that echoes and counts path changes.
type pathLog struct {
	silentHandler
	changes *atomic.Int32
}

func (p pathLog) OnStreamData(s *Stream, data []byte, fin bool) {
	s.Consume(len(data))
	_, _ = s.Write(data)
}
func (p pathLog) OnPathChanged(_, _ ngtcp2.Path) { p.changes.Add(1) }
func (p pathLog) OnPathFailed(ngtcp2.Path)       {}

// The client's port, then its address, change under way, as behind a NAT, while
// both sides send. SO_REUSEPORT then hands its datagrams to any worker.
func TestTransferOverRebindings(t *testing.T) {
	leakCheck(t)
	var changes atomic.Int32
	server := start(t, Config{Workers: 4, TLS: serverTLS(t), Addrs: []string{"0.0.0.0:0"},
		Handler: onConn(func(*Conn) ConnHandler { return pathLog{changes: &changes} })})
	to := netip.MustParseAddrPort(net.JoinHostPort("127.0.0.1", portOf(server.Addrs()[0])))
	nat := newNAT(t, to)
	// A client that has sent all, and waits for what the server sends to its last address, is
	// found by a PING.
	c := dial(t, start(t, Config{Workers: 1, KeepAlive: time.Second}), nat.addr())
	end := transfer(t, c)
	for i := range 8 {
		was := changes.Load()
		if i%2 == 0 {
			nat.rebind(t)
		} else {
			nat.rebindTo(t, netip.AddrFrom4([4]byte{127, 0, 0, byte(10 + i)}))
		}
		eventually(t, func() bool { return changes.Load() > was }, "the server did not follow")
	}
	end()
	s := server.Stats()
	assert.Positive(t, s.Count(Forwarded))
	// A first datagram that was sent twice may come from two addresses, to two workers: both
	// accept, and the client answers one.
	assert.Equal(t, uint64(1), s.Count(HandshakesCompleted), "the connection is the same")
	assert.Zero(t, s.Count(StatelessResets))
}

// A client that migrates again and again, also right after its NAT has given it another
// address, keeps its connection: the server takes the Connection IDs that it replaces.
func TestMigrateAgainAndAgain(t *testing.T) {
	leakCheck(t)
	for _, rebinds := range []bool{false, true} {
		l := echoServer(t, Config{Workers: 3})
		to := l.Addr().(*net.UDPAddr).AddrPort()
		nat := newNAT(t, to)
		addr := to.String()
		if rebinds {
			addr = nat.addr()
		}
		c := dial(t, start(t, Config{Workers: 1}), addr)
		for i := range 12 {
			assert.Len(t, ask(t, c, make([]byte, 10_000)), 10_000, "migration %d", i)
			if rebinds {
				nat.rebind(t)
			}
			migrate(t, c.conn, Migration{})
		}
		ask(t, c, []byte("x"))
		require.NoError(t, c.Close())
		closed(t, c)
	}
}

// A migration that finds no Connection ID has the peer hear from an idle client, which may
// be at another address by now; the keep-alive time stays what it is.
func TestMigrationThatIsBlockedPings(t *testing.T) {
	leakCheck(t)
	peer := make(chan *Conn, 1)
	server := start(t, Config{Workers: 1, TLS: serverTLS(t), Addrs: []string{"127.0.0.1:0"},
		Handler: onConn(func(c *Conn) ConnHandler { peer <- c; return silentHandler{} })})
	quiet := func(s *ngtcp2.Settings) { s.NoPMTUD = true } // its probes have a PING too
	c := dial(t, start(t, Config{Workers: 1, Settings: quiet}), server.Addrs()[0].String())
	require.NoError(t, c.Handshake(within(t)))
	s := <-peer
	info := func(of *Conn) ngtcp2.ConnInfo {
		got := make(chan ngtcp2.ConnInfo, 1)
		of.Post(func() { got <- of.Info() })
		return <-got
	}
	for range 3 {
		n := info(s).PingRecv
		eventually(t, func() bool {
			c.conn.Post(func() {
				c.conn.ping() // when the client is idle
				c.conn.MarkDirty()
			})
			return info(s).PingRecv > n
		}, "no PING came")
	}
}
