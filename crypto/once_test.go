package crypto

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clocked is a once with a clock that the test moves.
type clocked struct {
	once
	now time.Duration // of the C clock
}

func newClocked(t *testing.T, limit int, keys ...[]byte) *clocked {
	t.Helper()
	o, err := newOnce(&Config{EarlyDataOnce: limit, TicketKeys: keys})
	require.NoError(t, err)
	t.Cleanup(o.free)
	return &clocked{o, monotonic()}
}

// use is the use of ticket n, which is as old as the clock.
func (c *clocked) use(n uint64) bool { return c.useOf(n, time.Now().Unix()) }

func (c *clocked) useOf(n uint64, made int64) bool {
	var hash [onceKeyLen]byte
	binary.NativeEndian.PutUint64(hash[:], n*0x9E3779B97F4A7C15)
	hash[15] = 1
	return c.once.use(hash, made, c.now, time.Now().Unix())
}

// A ticket is used once for as long as a copy of its use would pass, and whatever is
// forgotten after that is older than a window.
func TestTicketIsRememberedForAWindow(t *testing.T) {
	c := newClocked(t, 10)
	require.True(t, c.use(1))
	for range 30 { // at all times of a window
		used := c.now
		require.True(t, c.use(uint64(used)))
		for c.now < used+onceWindow-time.Second {
			c.now += time.Second
			require.False(t, c.use(uint64(used)), "used %s ago", c.now-used)
		}
		c.now += 1700 * time.Millisecond
	}
	c.now += 2 * onceWindow
	c.use(2) // the tables take turns
	c.now += onceWindow
	assert.True(t, c.use(1), "all that time must not cost memory")
	c.now -= 5 * time.Second // a thread that has looked at the clock before another one
	assert.False(t, c.use(1))
	c.now += 5 * time.Second
	assert.False(t, c.use(1))
}

// When there is no room, no early data is accepted: that is better than to forget.
func TestFullMemoryRefusesEarlyData(t *testing.T) {
	const limit = 1000
	c := newClocked(t, limit)
	for n := range uint64(limit) {
		require.True(t, c.use(n+1))
	}
	assert.False(t, c.use(limit+1))
	for n := range uint64(limit) {
		require.False(t, c.use(n+1))
	}
	c.now += onceWindow
	assert.True(t, c.use(limit+1))
	for n := range uint64(limit) {
		require.False(t, c.use(n+1), "in the table before")
	}
}

// With keys that others have too, tickets that are older than this process may have been
// used before it began.
func TestTicketsOfBeforeTheStart(t *testing.T) {
	now := time.Now().Unix()
	c := newClocked(t, 10, ticketKey(1))
	assert.False(t, c.useOf(1, now-60))
	assert.False(t, c.useOf(2, now))
	assert.True(t, c.useOf(3, now+5))
	c.now += onceWindow
	assert.True(t, c.useOf(1, now-60))
	assert.False(t, c.useOf(1, now-60))

	own := newClocked(t, 10)
	assert.True(t, own.useOf(1, now-60), "a key of its own is as old as the process")
}

// Of many threads with the same ticket one is the first.
func TestTicketOfManyThreads(t *testing.T) {
	c := newClocked(t, 1000)
	var first atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range uint64(500) {
				if c.use(n + 1) {
					first.Add(1)
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 500, first.Load())
}

func TestOnceConfig(t *testing.T) {
	base := Config{CertFile: "c", KeyFile: "k", ALPN: []string{"mqtt"}, EarlyData: true}
	for _, n := range []int{-1, maxEarlyDataOnce + 1} {
		cfg := base
		cfg.EarlyDataOnce = n
		requireFault(t, cfg.Validate(), "EarlyDataOnce", "", "is ")
	}
	cfg := base
	cfg.EarlyData, cfg.EarlyDataOnce = false, 1
	requireFault(t, cfg.Validate(), "EarlyDataOnce", "", "is 1")
	cfg = base
	cfg.EarlyDataOnce = DefaultEarlyDataOnce
	assert.NoError(t, cfg.Validate())
}

// The memory outlives a reload, and stays as it was made.
func TestOnceAndReload(t *testing.T) {
	cfg := serverConfig(t, newTestCA(t, "ca"))
	cfg.EarlyData, cfg.EarlyDataOnce = true, 4
	ctx := open(t, cfg)
	before := ctx.once
	require.NoError(t, ctx.Reload())
	assert.Equal(t, before, ctx.once)
	cfg.EarlyDataOnce = 5
	requireFault(t, ctx.ReloadConfig(cfg), "EarlyDataOnce", "", "differs")
}

func TestSetTicketKeys(t *testing.T) {
	ca := newTestCA(t, "ca")
	ctx := open(t, serverConfig(t, ca))
	cfg := clientTLS(ca)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumed := func() bool {
		t.Helper()
		out := handshake(t, ctx, "", goClient(cfg))
		require.NoError(t, out.ours)
		return out.state.Resumed
	}
	key := make([]byte, TicketKeyLen)
	rand.Read(key)
	require.NoError(t, ctx.SetTicketKeys([][]byte{key}))
	assert.False(t, resumed())
	require.NoError(t, ctx.SetTicketKeys([][]byte{ticketKey(1), key}))
	assert.True(t, resumed())
	require.NoError(t, ctx.Reload())
	assert.True(t, resumed())
	require.Error(t, ctx.SetTicketKeys([][]byte{{1}}))
	assert.True(t, resumed())
	ctx.Close()
	assert.ErrorIs(t, ctx.SetTicketKeys(nil), ErrClosed)
}
