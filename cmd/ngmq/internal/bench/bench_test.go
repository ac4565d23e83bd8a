package bench

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/netem"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/servertest"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
)

// startServer runs a server of every transport and gives its URLs.
func startServer(t *testing.T, change func(*server.Config)) (urls map[string]string, ca string, stop func()) {
	t.Helper()
	s := servertest.Start(t, change)
	return s.URLs(), s.CA, s.Stop
}

// patience bounds what takes a moment: on a machine that others load it takes many.
const patience = time.Minute

// eventually waits in a goroutine of the test's own.
func eventually(t *testing.T, what func() bool) {
	t.Helper()
	assert.Eventually(t, what, patience, time.Millisecond)
}

func config(t *testing.T, kind Kind, url, ca string) Config {
	t.Helper()
	target, err := remote.Parse(url, client.Options{})
	require.NoError(t, err)
	return Config{Kind: kind, Server: target, TLS: client.TLS{CAFile: ca}, Clients: 3, Timeout: patience}
}

// do runs a benchmark to its end, and waits for messages that are late, but not for those
// that are lost for good.
func do(t *testing.T, cfg Config) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	r, err := New(ctx, cfg)
	require.NoError(t, err)
	defer r.Close()
	if !cfg.Datagrams || cfg.Netem.Loss == 0 {
		r.settling = patience
	}
	report, err := r.Do(ctx)
	require.NoError(t, err)
	assert.Zero(t, r.live.Load(), "all have disconnected")
	return report
}

func clean(t *testing.T, r *Report) {
	t.Helper()
	assert.EqualValues(t, r.Clients, r.Connected)
	assert.Zero(t, r.Failed+r.Lost)
	assert.Empty(t, r.Errors)
	assert.EqualValues(t, r.Clients, r.Connect.Count)
	assert.LessOrEqual(t, r.Handshake.P50, r.Connect.P50)
}

func TestRoundTrips(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	for scheme, url := range urls {
		for qos := range byte(3) {
			for _, rate := range []float64{0, 1000} {
				cfg := config(t, RoundTrip, url, ca)
				cfg.QoS, cfg.Rate, cfg.Messages, cfg.Topics = qos, rate, 20, 2
				r := do(t, cfg)
				clean(t, r)
				sent := uint64(3 * 20)
				if rate == 0 {
					sent *= 2 // of each topic
				}
				assert.Equal(t, sent, r.Sent, "%s QoS %d rate %g", scheme, qos, rate)
				assert.Equal(t, sent, r.Received)
				assert.Equal(t, sent, r.Latency.Count)
				if qos > 0 {
					assert.Equal(t, sent, r.Acked)
					assert.Equal(t, sent, r.Ack.Count)
				}
				assert.Positive(t, r.Latency.P50)
				assert.LessOrEqual(t, r.Latency.P50, r.Latency.Max)
			}
		}
	}
}

func TestPublishersAndSubscribers(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	sub := config(t, Sub, urls["mqtts"], ca)
	sub.Topic, sub.QoS, sub.Messages = "load/#", 1, 3*100
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	receivers, err := New(ctx, sub)
	require.NoError(t, err)
	defer receivers.Close()
	ended := make(chan *Report, 1)
	go func() {
		r, err := receivers.Do(ctx)
		assert.NoError(t, err)
		ended <- r
	}()
	require.Eventually(t, func() bool { return receivers.Progress().Measured > 0 }, patience, time.Millisecond)

	pub := config(t, Pub, urls["mqtt"], ca)
	pub.Clients, pub.Topic, pub.QoS, pub.Messages, pub.Version = 2, "load/%i", 2, 50, packet.V311
	sent := do(t, pub)
	clean(t, sent)
	assert.EqualValues(t, 100, sent.Sent)
	assert.EqualValues(t, 100, sent.Acked)
	got := <-ended
	clean(t, got)
	assert.EqualValues(t, 300, got.Received)
	assert.EqualValues(t, 300, got.Latency.Count)
}

func TestConnect(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	for _, url := range urls {
		cfg := config(t, Conn, url, ca)
		cfg.Clients, cfg.ConnectRate = 10, 200
		r := do(t, cfg)
		clean(t, r)
		assert.GreaterOrEqual(t, r.SetupTime, 0.045, "the rate is kept")
	}
}

// A signal is a normal end: there is a report about what has been so far.
func TestInterrupted(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	for _, url := range urls {
		cfg := config(t, RoundTrip, url, ca)
		cfg.Warmup = time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		r, err := New(ctx, cfg)
		require.NoError(t, err)
		go func() {
			defer cancel()
			eventually(t, func() bool { return r.Progress().Measured > 0 })
			n := r.Progress().Received
			eventually(t, func() bool { return r.Progress().Received >= n+100 })
		}()
		report, err := r.Do(ctx)
		require.NoError(t, err)
		r.Close()
		assert.Positive(t, report.Received)
	}
}

func TestServerGoesAway(t *testing.T) {
	urls, ca, stop := startServer(t, nil)
	cfg := config(t, Pub, urls["mqtt"], ca)
	cfg.NoReconnect, cfg.Duration = true, time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	r, err := New(ctx, cfg)
	require.NoError(t, err)
	defer r.Close()
	go func() {
		defer cancel()
		eventually(t, func() bool { return r.Progress().Measured > 0 })
		stop()
		eventually(t, func() bool { return r.Progress().Lost == 3 })
	}()
	report, err := r.Do(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 3, report.Lost)
	assert.Equal(t, 3, report.Errors["client: server disconnected: Server shutting down (0x8B): server is shutting down"], "%v", report.Errors)
}

func TestNobodyConnects(t *testing.T) {
	urls, ca, _ := startServer(t, func(c *server.Config) {
		c.Handlers.Connect = func(*server.ConnectEvent) error { return server.Refuse(packet.NotAuthorized, "") }
	})
	for _, url := range urls {
		r, err := New(t.Context(), config(t, Conn, url, ca))
		require.NoError(t, err)
		_, err = r.Do(t.Context())
		var refused *client.ReasonError
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, packet.NotAuthorized, refused.Code)
		r.Close()
	}
	r, err := New(t.Context(), config(t, Conn, "mqtt://127.0.0.1:1", ""))
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Do(t.Context())
	assert.ErrorContains(t, err, "connection refused")
}

func TestKeepAlive(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	for _, url := range urls {
		cfg := config(t, Conn, url, ca)
		cfg.KeepAlive, cfg.Duration = 3*time.Second, 5*time.Second // PINGREQ after 2.25 s
		t.Run(cfg.Server.Transport, func(t *testing.T) {
			t.Parallel()
			clean(t, do(t, cfg)) // a server ends a silent connection after 4.5 s
		})
	}
	t.Run("while others connect", func(t *testing.T) {
		t.Parallel()
		cfg := config(t, Conn, urls["mqtt"], ca)
		cfg.KeepAlive, cfg.Clients, cfg.ConnectRate = 3*time.Second, 2, 0.2 // the second one after 5 s
		clean(t, do(t, cfg))
	})
}

func TestWorsePath(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	for _, url := range urls {
		cfg := config(t, RoundTrip, url, ca)
		cfg.Netem, cfg.Messages, cfg.Rate = netem.Params{Delay: 10 * time.Millisecond}, 10, 100
		r := do(t, cfg)
		clean(t, r)
		assert.GreaterOrEqual(t, r.Latency.Min, 19.0)
		assert.GreaterOrEqual(t, r.Connect.Min, 39.0)
	}
}

func TestValidate(t *testing.T) {
	target, err := remote.Parse("mqtt://localhost", client.Options{})
	require.NoError(t, err)
	for want, change := range map[string]func(*Config){
		"--clients":              func(c *Config) { c.Clients = MaxClients + 1 },
		"--rate":                 func(c *Config) { c.Rate = -1 },
		"time stamp":             func(c *Config) { c.Size = 15 },
		"--qos":                  func(c *Config) { c.QoS = 3 },
		"needs QUIC":             func(c *Config) { c.Streams = 2 },
		"--datagrams needs QUIC": func(c *Config) { c.Datagrams = true },
		"are for QoS 0":          func(c *Config) { c.Datagrams, c.QoS = true, 1 },
		"i, c, u":                func(c *Config) { c.Topic = "a/%x" },
		"wildcard":               func(c *Config) { c.Topic = "a/#" },
		"--max-infl":             func(c *Config) { c.MaxInflight = 65536 },
	} {
		cfg := Config{Kind: RoundTrip, Server: target}
		change(&cfg)
		assert.ErrorContains(t, cfg.Validate(), want)
		_, err := New(t.Context(), cfg)
		assert.Error(t, err)
	}
	assert.Equal(t, "a/7/id/me/3/%", expand("a/%i/%c/%u/%s/%%", 7, "id", "me", 3))
	assert.Equal(t, "a\x00", expand("a%", 0, "", "", 0))
}
