package ngtcp2

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	pathMoved     = Path{netip.MustParseAddrPort("198.51.100.1:41000"), addrServer}
	addrPreferred = netip.MustParseAddrPort("203.0.113.9:4434")
)

// movable is a pair whose link knows paths, at rest.
func movable(t *testing.T, o options) *pair {
	t.Helper()
	p := newPair(t, o)
	p.byPath = true
	p.handshake()
	p.runFor(time.Second)
	p.c.events, p.s.events = nil, nil
	return p
}

// validated is the first outcome of a path validation.
func (p *pair) validated(s *side) (path Path, flags EventFlags) {
	p.t.Helper()
	p.run(func() bool { return s.has(EventPathValidation) })
	r, _ := s.find(EventPathValidation)
	return pathOf(r), r.Flags
}

func (p *pair) migrate(f func(Path, Timestamp) error, to Path) {
	p.t.Helper()
	err := f(to, p.now)
	p.c.check(err)
	require.NoError(p.t, err)
}

func reversed(p Path) Path { return Path{p.Remote, p.Local} }

func TestMigration(t *testing.T) {
	p := movable(t, options{})
	old := p.c.conn.Path()
	cid := p.c.conn.DCID()
	p.migrate(p.c.conn.InitiateMigration, pathMoved)
	begun, ok := p.c.find(EventBeginPathValidation)
	require.True(t, ok)
	assert.Equal(t, pathMoved, pathOf(begun))
	assert.True(t, p.c.has(EventDCIDStatus), "a CID of its own for the new path")
	assert.Equal(t, old, p.c.conn.Path(), "the old path carries on")

	path, flags := p.validated(p.c)
	assert.Equal(t, pathMoved, path)
	assert.Zero(t, flags)
	assert.Equal(t, pathMoved, p.c.conn.Path())
	assert.NotEqual(t, cid, p.c.conn.DCID())
	p.exchange(100_000)
	path, flags = p.validated(p.s)
	assert.Equal(t, reversed(pathMoved), path)
	assert.Zero(t, flags&(FlagFailed|FlagAborted))
	assert.Equal(t, reversed(pathMoved), p.s.conn.Path())

	// And back, when the server has let go of the old path and its CIDs have been
	// replaced.
	p.runFor(6 * time.Second)
	p.c.events = nil
	p.migrate(p.c.conn.InitiateMigration, old)
	p.run(func() bool { return p.c.conn.Path() == old })
	p.exchange(100_000)
	assert.Equal(t, reversed(old), p.s.conn.Path())
}

func TestImmediateMigration(t *testing.T) {
	p := movable(t, options{})
	p.link = func(from *side, d dgram) []dgram { // the old path is dead
		if d.path != pathMoved && d.path != reversed(pathMoved) {
			return nil
		}
		return []dgram{d}
	}
	p.migrate(p.c.conn.InitiateImmediateMigration, pathMoved)
	assert.Equal(t, pathMoved, p.c.conn.Path())
	p.exchange(100_000)
	path, flags := p.validated(p.c)
	assert.Equal(t, pathMoved, path)
	assert.Zero(t, flags)
	assert.Equal(t, reversed(pathMoved), p.s.conn.Path())
}

// A path that carries nothing is given up; the old one carries on.
func TestMigrationFails(t *testing.T) {
	p := movable(t, options{})
	p.link = func(from *side, d dgram) []dgram {
		if d.path == pathMoved {
			return nil
		}
		return []dgram{d}
	}
	old := p.c.conn.Path()
	p.migrate(p.c.conn.InitiateMigration, pathMoved)
	p.exchange(10_000)
	path, flags := p.validated(p.c)
	assert.Equal(t, pathMoved, path)
	assert.Equal(t, FlagFailed, flags)
	assert.Equal(t, old, p.c.conn.Path())
	p.exchange(10_000)
}

func TestMigrationRefused(t *testing.T) {
	p := newPair(t, options{})
	assert.ErrorIs(t, p.c.conn.InitiateMigration(pathMoved, p.now), ErrInvalidState, "no handshake yet")
	p.handshake()
	p.runFor(time.Second)
	assert.ErrorIs(t, p.s.conn.InitiateMigration(reversed(pathMoved), p.now), ErrInvalidState, "a server")
	assert.ErrorIs(t, p.c.conn.InitiateMigration(p.c.path, p.now), ErrInvalidArgument)
	mixed := Path{netip.MustParseAddrPort("[2001:db8::1]:1"), addrServer}
	assert.ErrorIs(t, p.c.conn.InitiateMigration(mixed, p.now), ErrInvalidArgument)
	assert.Error(t, p.c.conn.InitiateImmediateMigration(Path{}, p.now))
	p.exchange(1000)
	p.c.conn.Free()
	assert.ErrorIs(t, p.c.conn.InitiateMigration(pathMoved, p.now), ErrFreed)
	assert.ErrorIs(t, p.c.conn.SetLocalAddr(addrClient), ErrFreed)

	fixed := movable(t, options{sparam: func(tp *TransportParams) { tp.DisableActiveMigration = true }})
	assert.ErrorIs(t, fixed.c.conn.InitiateImmediateMigration(pathMoved, fixed.now), ErrInvalidState)
}

// Many migrations in a row run out of CIDs, and never of anything else.
func TestMigrationCIDsRunOut(t *testing.T) {
	p := movable(t, options{})
	blocked := false
	for i := range 20 {
		to := Path{netip.AddrPortFrom(pathMoved.Local.Addr(), uint16(50000+i)), addrServer}
		err := p.c.conn.InitiateImmediateMigration(to, p.now)
		p.c.check(nil)
		if err != nil {
			require.ErrorIs(t, err, ErrConnIDBlocked)
			blocked = true
		}
	}
	assert.True(t, blocked)
	p.exchange(1000)
}

func TestSetLocalAddr(t *testing.T) {
	p := movable(t, options{})
	require.NoError(t, p.c.conn.SetLocalAddr(pathMoved.Local))
	assert.Equal(t, pathMoved, p.c.conn.Path())
	assert.ErrorIs(t, p.c.conn.SetLocalAddr(netip.MustParseAddrPort("[::1]:1")), ErrInvalidArgument)
	assert.Error(t, p.c.conn.SetLocalAddr(netip.AddrPort{}))
	p.exchange(10_000) // for the server it is a rebinding
	assert.Equal(t, reversed(pathMoved), p.s.conn.Path())
	assert.False(t, p.c.has(EventBeginPathValidation))
}

func preferring(policy PreferredAddrPolicy, a PreferredAddr) options {
	a.CID, a.StatelessResetToken = randomCID(testCIDLen), StatelessResetToken{1}
	return options{preferred: policy, sparam: func(tp *TransportParams) { tp.PreferredAddr = &a }}
}

func TestPreferredAddr(t *testing.T) {
	p := newPair(t, preferring(PreferredAddrFollow, PreferredAddr{IPv4: addrPreferred}))
	p.byPath = true
	p.handshake()
	to := Path{addrClient, addrPreferred}
	path, flags := p.validated(p.c)
	assert.Equal(t, to, path)
	assert.Equal(t, FlagPreferredAddr, flags)
	assert.Equal(t, to, p.c.conn.Path())
	p.exchange(100_000)
	assert.Equal(t, reversed(to), p.s.conn.Path())
}

func TestPreferredAddrStays(t *testing.T) {
	v6 := netip.MustParseAddrPort("[2001:db8::9]:4434")
	for name, o := range map[string]options{
		"ignored":      preferring(PreferredAddrIgnore, PreferredAddr{IPv4: addrPreferred}),
		"other family": preferring(PreferredAddrFollow, PreferredAddr{IPv6: v6}),
	} {
		p := newPair(t, o)
		p.byPath = true
		p.handshake()
		p.exchange(10_000)
		assert.False(t, p.c.has(EventBeginPathValidation), name)
		assert.Equal(t, p.c.path, p.c.conn.Path(), name)
	}

	// An address that does not answer: the connection lives on.
	p := newPair(t, preferring(PreferredAddrFollow, PreferredAddr{IPv4: addrPreferred}))
	p.byPath = true
	p.link = func(from *side, d dgram) []dgram {
		if d.path.Remote == addrPreferred {
			return nil
		}
		return []dgram{d}
	}
	p.handshake()
	_, flags := p.validated(p.c)
	assert.Equal(t, FlagPreferredAddr|FlagFailed, flags)
	p.exchange(10_000)
	assert.Equal(t, p.c.path, p.c.conn.Path())
}

// A server may not send its clients to addresses that only they can reach.
func TestPreferredAddrScope(t *testing.T) {
	for _, c := range []struct {
		server, preferred string
		follows           bool
	}{
		{"192.0.2.2:4433", "10.0.0.9:1", false},
		{"192.0.2.2:4433", "172.31.0.9:1", false},
		{"192.0.2.2:4433", "172.32.0.9:1", true},
		{"192.0.2.2:4433", "192.168.1.9:1", false},
		{"192.0.2.2:4433", "100.127.0.9:1", false},
		{"192.0.2.2:4433", "100.128.0.9:1", true},
		{"192.0.2.2:4433", "169.254.1.9:1", false},
		{"192.0.2.2:4433", "127.0.0.1:1", false},
		{"192.0.2.2:4433", "0.0.0.9:1", false},
		{"192.0.2.2:4433", "224.0.0.9:1", false},
		{"192.0.2.2:4433", "255.255.255.255:1", false},
		{"10.0.0.2:4433", "192.168.1.9:1", true},
		{"10.0.0.2:4433", "192.0.2.9:1", true},
		{"10.0.0.2:4433", "127.0.0.1:1", false},
		{"127.0.0.1:4433", "127.0.0.9:1", true},
		{"[2001:db8::2]:4433", "[2001:db8::9]:1", true},
		{"[2001:db8::2]:4433", "[fd00::9]:1", false},
		{"[2001:db8::2]:4433", "[fe80::9]:1", false},
		{"[2001:db8::2]:4433", "[::1]:1", false},
		{"[2001:db8::2]:4433", "[ff02::1]:1", false},
		{"[2001:db8::2]:4433", "[::ffff:127.0.0.1]:1", false},
		{"[2001:db8::2]:4433", "[::ffff:192.0.2.9]:1", false},
		{"[fd00::2]:4433", "[fd00::9]:1", true},
	} {
		server, to := netip.MustParseAddrPort(c.server), netip.MustParseAddrPort(c.preferred)
		a, local := PreferredAddr{IPv4: to}, netip.MustParseAddrPort("192.0.2.1:40000")
		if to.Addr().Is6() {
			a, local = PreferredAddr{IPv6: to}, netip.MustParseAddrPort("[2001:db8::1]:40000")
		}
		o := preferring(PreferredAddrFollow, a)
		o.path = Path{local, server}
		p := newPair(t, o)
		p.byPath = true
		p.handshake()
		p.exchange(10_000)
		assert.Equal(t, c.follows, p.c.has(EventBeginPathValidation), "%s to %s", c.server, c.preferred)
	}
}

// pathOf is the path that a copied event carries.
func pathOf(r rec) Path { return pathFromBytes(r.Data) }
