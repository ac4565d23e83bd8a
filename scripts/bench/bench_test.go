package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/scripts/internal/generator"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

// TestMain makes the test an embedded server when it has started itself as one.
func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		os.Exit(serve(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

const (
	patience = 5 * time.Minute // bounds every test: what takes seconds takes minutes on a machine that others load
	trying   = 2 * time.Minute // for a ratio that is reached in seconds where nobody else takes processor time
)

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// bareStack builds cbench.
func bareStack(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("cbench/run.sh", "--help").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return "../../bin/cbench"
}

// daemon builds ngmqd.
func daemon(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(t.TempDir(), "ngmqd"))
	require.NoError(t, err)
	build := exec.Command("go", "build", "-o", path, "./cmd/ngmqd")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// asEmbedded starts this test as a server.
func asEmbedded(t *testing.T, ctx context.Context) *embedded {
	t.Helper()
	e, err := startEmbedded(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.Stop()) })
	return e
}

// fleetOf connects n clients.
func fleetOf(t *testing.T, ctx context.Context, p *process.Server, sockets, n int) []*client {
	t.Helper()
	f, err := newFleet(p, classic, sockets)
	require.NoError(t, err)
	t.Cleanup(f.close)
	clients, err := f.connect(ctx, n)
	require.NoError(t, err)
	return clients
}

// The binding and the event loop cost at most 0.3 of the bare C stack on top. Noise of
// other processes only ever adds, so the best of some series of rounds counts.
func TestHandshakeCost(t *testing.T) {
	ctx := deadline(t)
	b := &bench{options: options{cbench: bareStack(t), perRound: 50}}
	best := math.Inf(1)
	for began := time.Now(); best > handshakeGoal && time.Since(began) < trying; {
		res, err := compare(5, b.bare(ctx, classic), b.inMemory(classic, false))
		require.NoError(t, err)
		t.Logf("bare C stack %.0f us, ngmq %.0f us, ratio %.2f", res[0].cpu, res[1].cpu, res[1].ratio)
		best = min(best, res[1].ratio)
	}
	assert.LessOrEqual(t, best, handshakeGoal)
}

// One connection over loopback sockets carries bulkGoal of what the bare C stack does with
// the same batch calls: medians of 0.81 to 0.89 were measured on a machine that does nothing else. Rounds of
// both take turns, and the best of some series counts, as above; where others take processor time most
// series may be below.
func TestBulkRate(t *testing.T) {
	ctx := deadline(t)
	b := &bench{options: options{cbench: bareStack(t), rounds: 3, megabytes: 64}}
	best := 0.0
	for began := time.Now(); best < bulkGoal && time.Since(began) < trying; {
		bare, ours, ratio, err := b.bulkTurns(ctx)
		require.NoError(t, err)
		t.Logf("bare C pair %.0f us/MiB, ngmq %.0f us/MiB, share %.2f, CPU ratio %.2f", bare.wall, ours.wall, 1/ratio.wall, ratio.cpu)
		best = max(best, 1/ratio.wall)
	}
	assert.GreaterOrEqual(t, best, bulkGoal)
}

func TestRelay(t *testing.T) {
	const messages, window = 20_000, 500
	ctx := deadline(t)
	p := asEmbedded(t, ctx).Server
	for qos := range byte(2) {
		t.Run("QoS "+strconv.Itoa(int(qos)), func(t *testing.T) {
			f, err := newFlow(ctx, fleetOf(t, ctx, p, 2, 2), qos, false)
			require.NoError(t, err)
			for range 2 {
				n, err := f.send(ctx, window, messages, 0)
				require.NoError(t, err)
				assert.EqualValues(t, messages, n)
			}
			assert.EqualValues(t, 2*messages, f.delivered.Load())
			assert.EqualValues(t, 2*messages, f.subs[0].next)
		})
	}
}

// A round that ends by time has delivered all that was sent.
func TestTimedRound(t *testing.T) {
	ctx := deadline(t)
	f, err := newFlow(ctx, fleetOf(t, ctx, asEmbedded(t, ctx).Server, 2, 2), 0, false)
	require.NoError(t, err)
	n, err := f.send(ctx, 100, manyMessages, 100*time.Millisecond)
	require.NoError(t, err)
	assert.Positive(t, n)
	assert.Less(t, n, uint64(manyMessages))
	assert.Equal(t, n, f.delivered.Load())
}

func TestFanout(t *testing.T) {
	const subscribers, messages = 200, 64
	ctx := deadline(t)
	f, err := newFlow(ctx, fleetOf(t, ctx, asEmbedded(t, ctx).Server, 4, 1+subscribers), 0, true)
	require.NoError(t, err)
	n, err := f.send(ctx, fanoutBurst, messages, 0)
	require.NoError(t, err)
	assert.EqualValues(t, messages, n)
	assert.EqualValues(t, messages*subscribers, f.delivered.Load())
	for _, s := range f.subs {
		assert.EqualValues(t, messages, s.next, s.c.id)
	}
}

func TestIdle(t *testing.T) {
	ctx := deadline(t)
	e := asEmbedded(t, ctx)
	w, err := weigh(ctx, e.Server, options{connections: 200, sockets: 4}, e.heap)
	require.NoError(t, err)
	assert.Greater(t, w.cHeap, 10_000.0, "ngtcp2 alone takes that much per connection")
	assert.Less(t, w.cHeap, 50_000.0)
	assert.Less(t, w.goHeap, 10_000.0)
	assert.Less(t, w.rss, 100_000.0)
	assert.Positive(t, w.ping)
}

// The whole program with the smallest numbers, against ngmqd.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	o := options{ngmqd: daemon(t), cbench: bareStack(t), rounds: 1, perRound: 10, megabytes: 8, duration: 50 * time.Millisecond,
		subscribers: 20, connections: 50, sockets: 4, limit: patience}
	require.NoError(t, run(o, &out))
	for _, name := range []string{
		"handshake_X25519_bare_cpu", "handshake_X25519_server_cpu", "handshake_X25519_ratio", "connect_X25519_server_cpu",
		"bulk_rate", "bulk_share", "bulk_cpu_ratio", "relay_qos0_server_cpu", "relay_qos1_rate", "fanout_20_burst_16_server_cpu", "fanout_20_burst_1_packets_out",
		"idle_conn_ngtcp2_heap", "idle_pingreq_server_cpu",
	} {
		assert.Positive(t, figureIn(t, out.String(), name), name)
	}
	assert.Contains(t, out.String(), "1->1 QoS 1, per message")
	for way, trips := range map[string]float64{"quic_full": 2, "quic_resumed": 2, "quic_0-rtt": 1, "tcp_and_tls_1.3_full": 3, "tcp_and_tls_1.3_resumed": 3} {
		assert.Positive(t, figureIn(t, out.String(), "reconnect_"+way+"_server_cpu"))
		assert.Equal(t, trips, figureIn(t, out.String(), "reconnect_"+way+"_round_trips"), way)
	}
}

func figureIn(t *testing.T, text, name string) float64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name {
			v, err := strconv.ParseFloat(f[1], 64)
			require.NoError(t, err, line)
			return v
		}
	}
	require.Fail(t, "no figure", "%s in\n%s", name, text)
	return 0
}

func numbered(n uint64) *packet.Publish {
	p := &packet.Publish{Payload: make([]byte, payloadSize)}
	binary.BigEndian.PutUint64(p.Payload, n)
	return p
}

func TestLossAndDisorderAreFaults(t *testing.T) {
	for name, n := range map[string]uint64{"lost": 2, "twice": 0} {
		t.Run(name, func(t *testing.T) {
			s := &subscriber{flow: &flow{failed: make(chan error, 1)}, c: newClient("c")}
			s.received(numbered(0))
			assert.Empty(t, s.failed)
			s.received(numbered(n))
			require.Len(t, s.failed, 1)
			assert.ErrorContains(t, <-s.failed, "message 1 was expected")
		})
	}
}

func TestMissingServer(t *testing.T) {
	_, err := startServer(deadline(t), filepath.Join(t.TempDir(), "ngmqd"))
	assert.ErrorContains(t, err, "make build")

	_, err = barePeer{filepath.Join(t.TempDir(), "cbench")}.handshake(deadline(t), classic, 1)
	assert.ErrorContains(t, err, "cbench/run.sh")
}

func TestOptions(t *testing.T) {
	o, err := parse([]string{"-quick", "-only", "relay,idle", "-rounds", "3"})
	require.NoError(t, err)
	assert.Equal(t, quick.connections, o.connections)
	assert.Equal(t, []string{"relay", "idle"}, o.only)
	assert.Equal(t, 3, o.rounds)

	_, err = parse([]string{"-only", "nothing", "-sockets", "0"})
	assert.ErrorContains(t, err, "no such row")
	assert.ErrorContains(t, err, "-sockets 0")
}

func TestMedian(t *testing.T) {
	assert.Equal(t, 0.0, generator.Median(nil))
	assert.Equal(t, 2.0, generator.Median([]float64{3, 2, 1}))
	assert.Equal(t, 2.5, generator.Median([]float64{4, 3, 2, 1}))
}

func TestProcessCPU(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := generator.ProcessCPU(os.Getpid())
	require.NoError(t, err)
	for start := threadCPU(); threadCPU()-start < 20*time.Millisecond; {
	}
	after, err := generator.ProcessCPU(os.Getpid())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after-before, 10*time.Millisecond)
}
