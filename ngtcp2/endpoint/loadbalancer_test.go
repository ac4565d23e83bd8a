package endpoint

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/quiclb"
)

// lbForms are the forms of Connection IDs for load balancers.
var lbForms = map[string]quiclb.Config{
	"plaintext":   {ServerID: []byte{0xa1}, NonceLen: 4},
	"single pass": {ID: 2, ServerID: []byte("server-a"), NonceLen: 8, Key: []byte("0123456789abcdef")},
	"four passes": {ID: 6, ServerID: []byte{0xa1, 0xb2}, NonceLen: 7, Key: []byte("0123456789abcdef")},
	"longest":     {ID: 1, ServerID: make([]byte, 15), NonceLen: 4, Key: []byte("0123456789abcdef")},
}

// The worker is found in the Connection IDs of all forms, of a server and of a client, and
// in those that are issued later, which a migration uses.
func TestLoadBalancerForms(t *testing.T) {
	for name, form := range lbForms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := echoServer(t, Config{Workers: 4, Addrs: []string{"0.0.0.0:0"}, LoadBalancer: &form, Retry: RetryAlways})
			nat := newNAT(t, netip.MustParseAddrPort(net.JoinHostPort("127.0.0.1", portOf(l.Addr()))))
			other := form
			other.ServerID = make([]byte, len(form.ServerID))
			client := start(t, Config{Workers: 2, LoadBalancer: &other})
			conn := dial(t, client, nat.addr())
			for range 2 {
				migrate(t, conn.conn, Migration{})
				assert.Len(t, ask(t, conn, make([]byte, 100_000)), 100_000)
			}
			for i := range 12 {
				assert.Equal(t, []byte("ping"), ask(t, conn, []byte("ping")), "binding %d", i)
				nat.rebind(t)
			}
			stats := l.Endpoint().Stats()
			assert.Positive(t, stats.Count(Forwarded))
			assert.Equal(t, uint64(1), stats.Count(HandshakesCompleted), "the connection is the same")
			assert.Positive(t, stats.Count(Retries), "more when the client was not answered in a second")
			assert.Zero(t, stats.Count(StatelessResets))
			require.NoError(t, conn.Close())
		})
	}
}

// Every Connection ID that a connection has is one that the load balancer can read.
func TestLoadBalancerReadsAll(t *testing.T) {
	for name, form := range lbForms {
		lb, err := quiclb.New(form)
		require.NoError(t, err)
		w := newWireOf(t, Config{LoadBalancer: &form})
		w.connect(t)
		for range 100 {
			w.step(10 * time.Millisecond)
		}
		issued := w.accepted.nc.SCIDs()
		assert.Greater(t, len(issued), 2, name)
		for _, id := range issued {
			sid, _, ok := lb.Decode(id.Bytes())
			assert.True(t, ok, name)
			assert.Equal(t, form.ServerID, sid, name)
		}
	}
}

// A packet for a connection of another server that comes here by mistake is not answered
// with a stateless reset, which the client would believe; one for this server is.
func TestLoadBalancerResetsOnlyItsOwn(t *testing.T) {
	form := lbForms["four passes"]
	w := newWireOf(t, Config{LoadBalancer: &form})
	lb, err := quiclb.New(form)
	require.NoError(t, err)
	resets := func(serverID []byte) uint64 {
		before := w.server.Stats()
		pkt := lb.Encode([]byte{0x40}, serverID, make([]byte, form.NonceLen))
		give(w.server, append(pkt, make([]byte, 60)...), wireServer, wireClient, ngtcp2.Timestamp(time.Hour))
		after := w.server.Stats()
		return after.Count(StatelessResets) - before.Count(StatelessResets)
	}
	assert.Zero(t, resets([]byte{9, 9}))
	assert.Equal(t, uint64(1), resets(form.ServerID))
	s := w.server.Stats()
	assert.Equal(t, uint64(1), s.Count(DropUnknownCID))
}

func TestLoadBalancerValidate(t *testing.T) {
	err := (&Config{LoadBalancer: &quiclb.Config{ID: 9, NonceLen: 4}}).Validate()
	assert.ErrorContains(t, err, "Config.LoadBalancer: quiclb: Config.ID: 9: use 0 to 6")
	assert.ErrorContains(t, err, "Config.ServerID")
}

// A new key while connections live: they keep what they have, and get what is new, on all
// workers.
func TestLoadBalancerRotates(t *testing.T) {
	leakCheck(t)
	form := lbForms["single pass"]
	next := form
	next.ID, next.Key = form.ID+1, []byte("fedcba9876543210")
	l := echoServer(t, Config{Workers: 4, Addrs: []string{"0.0.0.0:0"}, LoadBalancer: &form})
	addr := netip.MustParseAddrPort(net.JoinHostPort("127.0.0.1", portOf(l.Addr())))
	oldNAT, youngNAT := newNAT(t, addr), newNAT(t, addr) // each serves one socket
	client := start(t, Config{Workers: 1})
	old := dial(t, client, oldNAT.addr())
	assert.Equal(t, []byte("ping"), ask(t, old, []byte("ping")))
	require.NoError(t, l.Endpoint().RotateLoadBalancer(next))
	assert.ErrorContains(t, l.Endpoint().RotateLoadBalancer(next), "the same as before")
	_, err := l.Endpoint().LiveStats(within(t)) // all workers have heard of it
	require.NoError(t, err)

	lb, err := quiclb.New(next)
	require.NoError(t, err)
	young := dial(t, client, youngNAT.addr())
	dcid := make(chan ngtcp2.ConnectionID, 1)
	young.conn.Post(func() { dcid <- young.conn.nc.DCID() })
	got := <-dcid
	sid, _, ok := lb.Decode(got.Bytes())
	assert.True(t, ok, "a new connection has the new form")
	assert.Equal(t, form.ServerID, sid)
	for range 8 { // to other workers, which know both forms
		oldNAT.rebind(t)
		assert.Equal(t, []byte("ping"), ask(t, old, []byte("ping")))
		youngNAT.rebind(t)
		assert.Equal(t, []byte("ping"), ask(t, young, []byte("ping")))
	}
	assert.ErrorContains(t, client.RotateLoadBalancer(next), "no Config.LoadBalancer")
}

// What was made ahead of a rotation is not issued after it.
func TestNothingOfTheOldFormAfterRotation(t *testing.T) {
	form := lbForms["four passes"]
	w := newWireOf(t, Config{LoadBalancer: &form})
	w.connect(t)
	next := form
	next.ID, next.Key = 0, nil
	w.server.rotate(next)
	w.accepted = nil
	w.connect(t)
	for range 100 {
		w.step(10 * time.Millisecond)
	}
	issued := w.accepted.nc.SCIDs()
	assert.Greater(t, len(issued), 2)
	for _, id := range issued {
		assert.Zero(t, quiclb.ID(id.Bytes()))
		worker, ok := w.server.workerOf(id.Bytes())
		assert.True(t, ok)
		assert.Zero(t, worker)
	}
}
