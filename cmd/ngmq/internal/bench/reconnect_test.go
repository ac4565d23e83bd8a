package bench

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/servertest"
	"github.com/ngmq/ngmq/server"
)

// A server that is restarted: clients come back, and go on with what they did.
func TestServerRestarts(t *testing.T) {
	for scheme, change := range map[string]func(*Config){
		"mqtt":  func(c *Config) { c.QoS = 2 },
		"mqtts": func(c *Config) { c.Rate, c.QoS = 500, 1 },
		"ws":    func(c *Config) { c.ConnectRate = 1000 },
		"quic":  func(c *Config) { c.Topics = 2 },
	} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			restart(t, scheme, change)
		})
	}
}

func restart(t *testing.T, scheme string, change func(*Config)) {
	dir := t.TempDir()
	first := servertest.Start(t, func(c *server.Config) { c.DataDir = dir })
	url := first.URLs()[scheme]
	if url == "" {
		return // a build without QUIC
	}
	cfg := config(t, RoundTrip, url, first.CA)
	cfg.Duration = time.Hour
	change(&cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	r, err := New(ctx, cfg)
	require.NoError(t, err)
	defer r.Close()
	ended := make(chan *Report, 1)
	go func() {
		report, err := r.Do(ctx)
		assert.NoError(t, err)
		ended <- report
	}()
	reached := func(what func(Progress) bool) {
		require.Eventually(t, func() bool { return what(r.Progress()) }, patience, time.Millisecond)
	}
	reached(func(p Progress) bool { return p.Received > 10 })
	first.Stop()
	reached(func(p Progress) bool { return p.Lost == 3 && p.Live == 0 })
	servertest.Start(t, func(c *server.Config) { c.DataDir = dir; listenAgain(c, first.Addrs) })
	reached(func(p Progress) bool { return p.Reconnected == 3 && p.Live == 3 })
	n := r.Progress().Received
	reached(func(p Progress) bool { return p.Received >= n+100 })
	cancel()
	report := <-ended
	assert.EqualValues(t, 3, report.Connected)
	assert.EqualValues(t, 3, report.Lost)
	assert.EqualValues(t, 3, report.Reconnected)
	assert.Zero(t, report.Failed)
	assert.Zero(t, r.live.Load(), "all have disconnected")
}

// listenAgain has a server listen where another one has.
func listenAgain(c *server.Config, addrs server.Addrs) {
	c.TCP, c.TLS, c.WS, c.QUIC = texts(addrs.TCP), texts(addrs.TLS), texts(addrs.WS), texts(addrs.QUIC)
}

func texts(addrs []netip.AddrPort) (list []string) {
	for _, addr := range addrs {
		list = append(list, addr.String())
	}
	return list
}

// The pauses grow up to a limit, and begin anew after a connection that has lasted.
func TestPauses(t *testing.T) {
	c := new(benchClient)
	last := time.Duration(0)
	for range 20 {
		pause := c.pause()
		assert.GreaterOrEqual(t, pause, last/2)
		assert.LessOrEqual(t, pause, longestPause)
		last = pause
	}
	assert.Greater(t, last, longestPause/3)
	c.since = time.Now().Add(-2 * longestPause)
	assert.LessOrEqual(t, c.pause(), firstPause)
	c.since = time.Now()
	assert.Greater(t, c.pause(), firstPause/2, "it was lost at once")
	assert.Equal(t, 2, c.tries)
}

// Who is refused a data stream is not refused it again and again.
func TestRefusedStreamIsForGood(t *testing.T) {
	r := &Run{cfg: Config{Clients: 1}}
	r.reconnector = newReconnector(r)
	c := newClient(r, 0)
	c.lost(nil, &StreamError{ID: 4})
	assert.Nil(t, c.wait(t.Context()))
	assert.Empty(t, r.reconnector.waiting)
	c = newClient(r, 0)
	c.lost(nil, errors.New("broken"))
	assert.Len(t, r.reconnector.waiting, 1)
}
