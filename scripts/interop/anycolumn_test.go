package interop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the cases of all columns transfer, in bytes each way, and what the paths do.
const (
	transferSize  = 3 << 20
	badPathSize   = 1 << 20
	longRTTSize   = 100 << 10
	streams       = 2000
	lossyRounds   = 8 // handshakes
	lossyTotal    = 2 // datagrams of a direction that a handshake loses
	longDelay     = 375 * time.Millisecond
	blackholeTime = 1500 * time.Millisecond
)

// anyColumn are cases that are the same for every pair of stacks.
var anyColumn = map[string]func(*testing.T, column){
	"handshake":           func(t *testing.T, c column) { c.exchange(t, c.serve(t, serverOptions{}), 100) },
	"transfer":            func(t *testing.T, c column) { c.exchange(t, c.serve(t, serverOptions{}), transferSize) },
	"longrtt":             anyLongRTT,
	"multiplexing":        anyMultiplexing,
	"amplificationlimit":  func(t *testing.T, c column) { anyAmplification(t, c, 0) },
	"handshakeloss":       func(t *testing.T, c column) { anyHandshakes(t, c, Damage{Drop: 0.3, MaxTotal: lossyTotal}) },
	"handshakecorruption": func(t *testing.T, c column) { anyHandshakes(t, c, Damage{Corrupt: 0.3, MaxTotal: lossyTotal}) },
	"transferloss":        func(t *testing.T, c column) { anyBadTransfer(t, c, Damage{Drop: 0.02, MaxRun: 3}) },
	"transfercorruption":  func(t *testing.T, c column) { anyBadTransfer(t, c, Damage{Corrupt: 0.02, MaxRun: 3}) },
	"blackhole":           anyBlackhole,
	"ipv6":                func(t *testing.T, c column) { c.exchange(t, c.serve(t, serverOptions{addr: "[::1]:0"}), 100) },
	"rebind-port":         func(t *testing.T, c column) { anyRebinding(t, c, (*Proxy).Rebind) },
	"rebind-addr":         func(t *testing.T, c column) { anyRebinding(t, c, (*Proxy).RebindAddr) },
}

// exchange opens a connection and has size bytes come back on its first stream.
func (c column) exchange(t *testing.T, addr string, size int) conn {
	t.Helper()
	conn := c.dial(t, addr)
	echoes(t, openStream(t, conn), size)
	return conn
}

func openStream(t *testing.T, c conn) stream {
	t.Helper()
	s, err := c.open(matrixContext(t))
	require.NoError(t, err)
	return s
}

// echoes sends size bytes and wants them back.
func echoes(t *testing.T, s stream, size int) {
	t.Helper()
	require.NoError(t, exchanged(s, size))
}

// exchanged sends size bytes and reads what comes back.
func exchanged(s stream, size int) error {
	s.SetDeadline(time.Now().Add(matrixPatience))
	sent := make([]byte, size)
	seed := rand.NewChaCha8([32]byte{byte(size)})
	seed.Read(sent)
	failed := make(chan error, 1)
	go func() {
		_, err := s.Write(sent)
		failed <- err
	}()
	got := make([]byte, size)
	n, err := io.ReadFull(s, got)
	switch {
	case err != nil:
		return fmt.Errorf("%d of %d bytes came back: %w", n, size, err)
	case !bytes.Equal(sent, got):
		return fmt.Errorf("%d bytes came back changed", size)
	}
	return <-failed
}

// path starts a proxy to addr and prints its seed, which INTEROP_SEED repeats.
func path(t *testing.T, addr string, damage Damage) *Proxy {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("INTEROP_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	p, err := StartProxy(addr, damage, seed)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Close()
		t.Logf("INTEROP_SEED=%d: %s", seed, &p.Stats)
	})
	return p
}

func anyLongRTT(t *testing.T, c column) {
	p := path(t, c.serve(t, serverOptions{}), Damage{Delay: longDelay})
	start := time.Now()
	c.exchange(t, p.Addr(), longRTTSize)
	assert.Greater(t, time.Since(start), 4*longDelay, "a handshake and an answer")
}

// anyMultiplexing opens all streams at once, as far as the server lets it: far less than there are.
func anyMultiplexing(t *testing.T, c column) {
	conn := c.dial(t, c.serve(t, serverOptions{}))
	errs := make([]error, streams)
	ctx := matrixContext(t)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = oneStream(ctx, conn, i) })
	}
	wg.Wait()
	for i, err := range errs {
		require.NoError(t, err, "stream %d", i)
	}
}

// oneStream has a line and its end come back.
func oneStream(ctx context.Context, c conn, i int) error {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	s.SetDeadline(time.Now().Add(matrixPatience))
	want := fmt.Sprintf("stream %d of many", i)
	if _, err := io.WriteString(s, want); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	got, err := io.ReadAll(s)
	if err == nil && string(got) != want {
		err = fmt.Errorf("%q came back as %q", want, got)
	}
	return err
}

// anyAmplification: a server that hears no more of the client sends three times what it has received
// at most, though its certificate is longer than that (RFC 9000, section 8.1). over is by how many bytes
// the stack is known to go over that.
func anyAmplification(t *testing.T, c column, over int) {
	var mu sync.Mutex
	var up, down, limit int
	shut, opened := false, false // the way to the server
	answered := make(chan struct{})
	p := path(t, c.serve(t, serverOptions{leaf: largeLeaf, curves: x25519.curves}), Damage{Filter: func(toServer bool, b []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case opened:
		case toServer && shut:
			return false
		case toServer:
			up += len(b)
		default:
			down += len(b)
			if !shut && len(b) >= 1000 { // no mere acknowledgement of half a ClientHello
				shut, limit = true, 3*up
				close(answered)
			}
		}
		return true
	}})
	go func() {
		<-answered
		time.Sleep(time.Second) // for what the server can send by itself, and a probe timeout
		mu.Lock()
		defer mu.Unlock()
		opened = true
	}()
	c.exchange(t, p.Addr(), 100)
	mu.Lock()
	defer mu.Unlock()
	assert.LessOrEqual(t, down, limit+over, "bytes of the server before it knew the address")
	assert.Greater(t, down, limit/2, "the server was held back by the limit")
}

// anyHandshakes makes some connections at once through a bad path. What it does to each has a limit:
// probe timeouts double from a second (RFC 9002, section 6.2), those of a client whatever is acknowledged
// of its Initials, so that of handshakes without a limit one in some hundred takes more than a minute.
// x/net/quic as server adds to that: it goes on doubling after the end of a handshake (its discardKeys keeps
// ptoBackoffCount, against RFC 9002, section 6.2.2). That they end all the same is for the simulator
// (TestLossyHandshakes).
func anyHandshakes(t *testing.T, c column, damage Damage) {
	p := path(t, c.serve(t, serverOptions{}), damage)
	t.Run("connections", func(t *testing.T) {
		for i := range lossyRounds {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				c.exchange(t, p.Addr(), 1000)
			})
		}
	})
	assert.Positive(t, p.Stats.Dropped.Load()+p.Stats.Corrupted.Load())
}

func anyBadTransfer(t *testing.T, c column, damage Damage) {
	p := path(t, c.serve(t, serverOptions{}), damage)
	c.exchange(t, p.Addr(), badPathSize)
	assert.Positive(t, p.Stats.Dropped.Load()+p.Stats.Corrupted.Load())
}

// anyBlackhole: in the middle of a transfer nothing passes for a while.
func anyBlackhole(t *testing.T, c column) {
	var bytes int
	var since time.Time
	p := path(t, c.serve(t, serverOptions{}), Damage{Filter: func(_ bool, b []byte) bool {
		bytes += len(b)
		if bytes > badPathSize/4 && since.IsZero() {
			since = time.Now()
		}
		return since.IsZero() || time.Since(since) > blackholeTime
	}})
	c.exchange(t, p.Addr(), badPathSize)
	assert.Positive(t, p.Stats.Dropped.Load())
}

// anyRebinding: a NAT between client and server gives the client another port or address.
func anyRebinding(t *testing.T, c column, rebind func(*Proxy)) {
	p := path(t, c.serve(t, serverOptions{}), Damage{})
	s := openStream(t, c.dial(t, p.Addr()))
	for range 4 {
		echoes(t, s, 10_000)
		rebind(p)
	}
	echoes(t, s, 10_000)
}

// restart leads a connection to another server, which knows the secret of the stateless resets of the
// first, and returns what the client's stream then says (RFC 9000, section 10.3).
func restart(t *testing.T, c column, first, second string) error {
	t.Helper()
	p := path(t, first, Damage{})
	s := openStream(t, c.dial(t, p.Addr()))
	echoes(t, s, 100)
	require.NoError(t, p.Redirect(second))
	err := exchanged(s, 2000)
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it was not told")
	return err
}
