package sim

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// lan is 10 ms away and as fast as Ethernet was.
var lan = Link{Delay: 5 * time.Millisecond, Rate: 12_500_000}

// mover is a peer that is told about paths.
type mover struct {
	*peer
	to     []ngtcp2.Path
	failed []ngtcp2.Path
}

func (m *mover) OnPathChanged(_, to ngtcp2.Path) { m.to = append(m.to, to) }
func (m *mover) OnPathFailed(p ngtcp2.Path)      { m.failed = append(m.failed, p) }

// roam is a world whose client has a second address.
type roam struct {
	*world
	first, second  netip.AddrPort
	client, server *mover
}

func newRoam(t *testing.T, link Link, opts ...option) *roam {
	t.Helper()
	w := newWorld(t, 21, link, opts...)
	r := &roam{world: w, first: w.client.Addr, second: w.AddAddr(w.client, "10.0.3.2:5000")}
	w.wrap = func(p *peer) endpoint.ConnHandler {
		p.echo = true
		r.server = &mover{peer: p}
		return r.server
	}
	r.client = &mover{peer: &peer{}}
	c, err := w.Dial(w.client, w.server, endpoint.DialConfig{TLS: w.tls, ServerName: "localhost", Handler: r.client},
		func(err error) { r.client.ended, r.client.dialErr = true, err })
	require.NoError(t, err)
	r.client.conn = c
	w.until(time.Minute, func() bool { return r.client.ended && r.server != nil })
	require.NoError(t, r.client.dialErr)
	w.Pass(time.Second) // confirmed, and spare CIDs have come
	return r
}

// migrate runs until the outcome of a migration is known.
func (r *roam) migrate(m endpoint.Migration) (result error) {
	r.t.Helper()
	done := false
	r.client.conn.StartMigration(m, func(err error) { done, result = true, err })
	r.until(time.Minute, func() bool { return done })
	return result
}

// echo sends n bytes and gets them back.
func (r *roam) echo(n int) {
	r.t.Helper()
	got := r.client.got
	r.client.send(r.t, n)
	r.until(time.Minute, func() bool { return r.client.got >= got+n })
}

func TestMigrate(t *testing.T) {
	r := newRoam(t, lan)
	r.client.send(t, 4<<20)
	r.Pass(20 * time.Millisecond)
	require.NoError(t, r.migrate(endpoint.Migration{Local: r.second}))
	assert.Positive(t, r.client.toSend, "in the middle of a transfer")
	to := ngtcp2.Path{Local: r.second, Remote: r.world.server.Addr}
	assert.Equal(t, []ngtcp2.Path{to}, r.client.to)
	assert.Equal(t, to, r.client.conn.Path())
	r.until(time.Minute, func() bool { return r.client.got == 4<<20 })
	back := ngtcp2.Path{Local: to.Remote, Remote: to.Local}
	assert.Equal(t, []ngtcp2.Path{back}, r.server.to)
	assert.Empty(t, r.client.failed)
	assert.Empty(t, r.server.failed)
	for _, node := range []*Node{r.world.client, r.world.server} {
		s := node.Core.Stats()
		assert.Equal(t, uint64(1), s.Count(endpoint.PathChanges))
		assert.Zero(t, s.Count(endpoint.PathsFailed))
	}
}

func TestMigrateImmediately(t *testing.T) {
	r := newRoam(t, lan)
	r.Cut(r.first)
	require.NoError(t, r.migrate(endpoint.Migration{Local: r.second, Immediate: true}))
	assert.Equal(t, r.second, r.client.conn.Path().Local)
	r.echo(100_000)
	assert.Equal(t, r.second, r.server.conn.Path().Remote)
}

func TestMigrateFails(t *testing.T) {
	r := newRoam(t, lan)
	r.Cut(r.second)
	require.ErrorIs(t, r.migrate(endpoint.Migration{Local: r.second}), endpoint.ErrPathFailed)
	assert.Empty(t, r.client.to)
	assert.Equal(t, []ngtcp2.Path{{Local: r.second, Remote: r.world.server.Addr}}, r.client.failed)
	r.echo(100_000)
	s := r.world.client.Core.Stats()
	assert.Equal(t, uint64(1), s.Count(endpoint.PathsFailed))
}

func TestMigrateReplaced(t *testing.T) {
	r := newRoam(t, lan)
	var first error
	r.client.conn.StartMigration(endpoint.Migration{Local: r.second}, func(err error) { first = err })
	r.Pass(0)
	third := r.AddAddr(r.world.client, "10.0.4.2:6000")
	require.NoError(t, r.migrate(endpoint.Migration{Local: third}))
	assert.ErrorIs(t, first, endpoint.ErrMigrationReplaced)
	assert.Equal(t, third, r.client.conn.Path().Local)
	r.echo(100_000)
}

func TestMigrateRefused(t *testing.T) {
	r := newRoam(t, lan, func(s, _ *endpoint.Config) { s.DisableActiveMigration = true })
	assert.ErrorIs(t, r.migrate(endpoint.Migration{Local: r.second}), endpoint.ErrMigrationDisabled)

	r = newRoam(t, lan)
	var err error
	keep := func(e error) { err = e }
	r.server.conn.StartMigration(endpoint.Migration{Local: r.second}, keep)
	assert.ErrorIs(t, err, endpoint.ErrNotClient)
	p := r.dial()
	p.conn.StartMigration(endpoint.Migration{Local: r.second}, keep)
	assert.ErrorIs(t, err, endpoint.ErrNotConfirmed)
	assert.ErrorContains(t, r.migrate(endpoint.Migration{}), "Migration.Local")
	assert.ErrorIs(t, r.migrate(endpoint.Migration{Local: r.first}), ngtcp2.ErrInvalidArgument)
	for i := range 10 { // CIDs run out, and come again
		to := r.AddAddr(r.world.client, fmt.Sprintf("10.0.9.9:%d", 7000+i))
		r.client.conn.StartMigration(endpoint.Migration{Local: to, Immediate: true}, keep)
		r.Pass(0)
	}
	assert.ErrorIs(t, err, ngtcp2.ErrConnIDBlocked)
	r.Pass(5 * time.Second)
	require.NoError(t, r.migrate(endpoint.Migration{Local: r.second, Immediate: true}))
	r.echo(1000)
	r.client.conn.Close(0, "")
	r.client.conn.StartMigration(endpoint.Migration{Local: r.second}, keep)
	assert.ErrorIs(t, err, endpoint.ErrClosed)
}

// A migration that is under way ends with its connection.
func TestMigrateAndClose(t *testing.T) {
	r := newRoam(t, lan)
	r.Cut(r.second)
	var ends []error
	r.client.conn.StartMigration(endpoint.Migration{Local: r.second}, func(err error) { ends = append(ends, err) })
	r.Pass(time.Millisecond)
	r.client.conn.Close(0, "")
	r.Pass(time.Minute)
	assert.Equal(t, []error{endpoint.ErrClosed}, ends)
}

// A client that returns while the server validates its former address once more is
// followed when that ends. All that the server had sent to the other address is lost
// then, and it has nothing new to send.
func TestMigrateBackSoon(t *testing.T) {
	for _, immediate := range []bool{false, true} {
		r := newRoam(t, Link{Delay: 10 * time.Millisecond})
		require.NoError(t, r.migrate(endpoint.Migration{Local: r.second}))
		r.echo(100_000)
		r.Pass(1200 * time.Millisecond)
		got := r.client.got
		r.client.send(t, 100_000)
		r.Pass(time.Millisecond)
		r.client.conn.StartMigration(endpoint.Migration{Local: r.first, Immediate: immediate}, func(error) {})
		r.until(10*time.Second, func() bool { return r.client.got >= got+100_000 })
		assert.Equal(t, r.first, r.server.conn.Path().Remote)
		r.Pass(time.Second)
		sent := r.server.conn.Info().PktSent
		r.Pass(10 * time.Second)
		assert.Equal(t, sent, r.server.conn.Info().PktSent, "it is quiet again")
	}
}

// A NAT that gives the client another address, and the first one again.
func TestRebindingIsReported(t *testing.T) {
	r := newRoam(t, lan)
	r.client.send(t, 2<<20)
	r.Pass(20 * time.Millisecond)
	r.Rebind(r.world.client, "10.0.0.2:4999")
	r.until(time.Minute, func() bool { return r.client.got == 2<<20 })
	require.Len(t, r.server.to, 1)
	assert.Equal(t, "10.0.0.2:4999", r.server.to[0].Remote.String())
	assert.Empty(t, r.client.to)
	r.Rebind(r.world.client, "10.0.0.2:4000")
	r.echo(100_000)
	require.Len(t, r.server.to, 2)
	assert.Equal(t, "10.0.0.2:4000", r.server.to[1].Remote.String())
}

// Every migration is reported once, also one that begins inside the report of another.
func TestMigrationsReplaced(t *testing.T) {
	r := newRoam(t, lan)
	got := map[string][]error{}
	report := func(name string) func(error) {
		return func(err error) { got[name] = append(got[name], err) }
	}
	third := r.AddAddr(r.world.client, "10.0.4.2:5000")
	r.client.conn.StartMigration(endpoint.Migration{Local: r.second}, func(err error) {
		report("first")(err)
		r.client.conn.StartMigration(endpoint.Migration{Local: third}, report("inner"))
	})
	r.client.conn.StartMigration(endpoint.Migration{Local: r.second}, report("second"))
	r.Pass(time.Second)
	assert.Equal(t, map[string][]error{
		"first": {endpoint.ErrMigrationReplaced}, "second": {endpoint.ErrMigrationReplaced}, "inner": {nil},
	}, got)
	assert.Equal(t, third, r.client.conn.Path().Local)
}

// A client that goes from address to address does not fill the server's memory with
// tokens.
func TestTokensAreBounded(t *testing.T) {
	w := newWorld(t, 240, lan, func(s, _ *endpoint.Config) { s.Retry = endpoint.RetryAlways })
	tokens := 0
	client := w.dialWith(func(c *endpoint.DialConfig) { c.OnToken = func([]byte) { tokens++ } })
	w.until(time.Minute, func() bool { return client.ended && len(w.accepted) == 1 })
	for i := range 30 {
		w.Rebind(w.client, fmt.Sprintf("10.0.%d.2:4000", 1+i))
		client.send(t, 1000)
		w.Pass(time.Second)
	}
	stats := w.server.Core.Stats()
	assert.GreaterOrEqual(t, stats.Count(endpoint.PathChanges), uint64(30))
	assert.Equal(t, 16, tokens)
}
