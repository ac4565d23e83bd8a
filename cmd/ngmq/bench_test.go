package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/bench"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// numbers masks what is measured, and the blanks and bars that follow from it.
var numbers = [][2]string{{` +<= .*\n`, "  <= BAR\n"}, {`(  <= BAR\n)+`, "  <= BARS\n"}, {`-?\d+\.\d+`, "N"}, {`, \d+/s`, ", N/s"}, {`N {2,}`, "N  "}}

func TestBenchText(t *testing.T) {
	b := startServer(t, nil)
	url := "mqtt://" + b.addrs.TCP[0].String()
	for name, args := range map[string]string{
		"conn": "conn -c 3",
		"pub":  "pub -c 2 -n 10 -q 1 -r 1000 -t load/%i",
		"rtt":  "rtt -c 2 -n 10 --histogram",
	} {
		got := ngmq(t.Context(), "", append(strings.Fields("bench "+args), "-L", url)...)
		require.Equal(t, exitOK, got.status, got.stderr)
		assert.Empty(t, got.stderr)
		golden(t, "bench/"+name+".txt", masked(got.stdout, numbers...))
	}
}

func TestBenchFiles(t *testing.T) {
	b := startServer(t, nil)
	url, out := "mqtts://"+b.addrs.TLS[0].String(), filepath.Join(t.TempDir(), "out")
	args := []string{"bench", "rtt", "-L", url, "--cafile", b.ca, "-c", "2", "-n", "5", "-q", "2", "-o", out, "--format"}
	require.Equal(t, result{}, ngmq(t.Context(), "", append(args, "json")...))
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	var r bench.Report
	require.NoError(t, json.Unmarshal(text, &r))
	assert.EqualValues(t, 10, r.Received)
	assert.EqualValues(t, 10, r.Latency.Count)
	assert.Positive(t, r.Latency.P50)
	assert.Equal(t, bench.RoundTrip, r.Kind)

	require.Equal(t, result{}, ngmq(t.Context(), "", append(args, "csv")...))
	text, err = os.ReadFile(out)
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	assert.Equal(t, csvHead, rows[0])
	assert.Equal(t, []string{"rtt", "tls", "2", "1", "64", "2", "0", ""}, rows[1][:8])
}

func TestBenchProgress(t *testing.T) {
	b := startServer(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	line := regexp.MustCompile(`(?m)^rtt: 1/1 connected, \d+s of 50s, \d+/s out, \d+/s in, p50 \d+\.\d\d ms, p99 \d+\.\d\d ms$`)
	var text []byte
	errors := writer(func(b []byte) {
		if text = append(text, b...); line.Match(text) {
			cancel() // that is enough
		}
	})
	status := run(&console{ctx, strings.NewReader(""), io.Discard, errors},
		[]string{"bench", "rtt", "-L", "mqtt://" + b.addrs.TCP[0].String(), "-r", "100", "--duration", "50s", "--progress", "100ms"})
	require.Equal(t, exitOK, status)
	assert.ErrorIs(t, ctx.Err(), context.Canceled, "%s", text)
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func TestBenchCompare(t *testing.T) {
	b := startServer(t, nil)
	tcp, ws := "mqtt://"+b.addrs.TCP[0].String(), "ws://"+b.addrs.WS[0].String()
	got := ngmq(t.Context(), "", "bench", "compare", tcp, ws, "-n", "10", "--rounds", "2", "--netem", "loss=1%")
	require.Equal(t, exitOK, got.status, got.stderr)
	text := strings.NewReplacer(tcp, "mqtt://HOST", ws, "ws://HOST").Replace(got.stdout)
	golden(t, "bench/compare.txt", masked(text, [2]string{` {2,}`, "  "}, times, [2]string{`(received/s) .*`, "$1  N"}))

	got = ngmq(t.Context(), "", "bench", "compare", tcp, ws, "-n", "10", "--rounds", "2", "--format", "csv")
	require.Equal(t, exitOK, got.status, got.stderr)
	assert.Equal(t, 5, strings.Count(got.stdout, "\n"))
}

func TestBenchFails(t *testing.T) {
	b := startLoopback(t)
	b.refuse = packet.NotAuthorized
	got := ngmq(t.Context(), "", append([]string{"bench", "conn", "-c", "2"}, b.host()...)...)
	assert.Equal(t, exitRefused, got.status)
	assert.Contains(t, got.stderr, "-u and -P")
	for args, want := range map[string]string{
		"conn -c 0":                              "--clients",
		"conn -L mqtt://127.0.0.1:1":             "is the server running",
		"rtt -s 10":                              "time stamp",
		"rtt --streams 2":                        "needs QUIC",
		"rtt --netem loss=200%":                  "percentage",
		"pub -t a/%x":                            "stands i, c",
		"compare mqtt://a":                       "two URLs",
		"compare mqtt://a mqtt://b -L mqtt://c":  "without --url",
		"compare mqtt://a mqtt://b --rounds 0":   "--rounds",
		"rtt --format xml":                       "--format",
		"rtt -o /does/not/exist -n 1 -L " + "%s": "/does/not/exist",
	} {
		if strings.Contains(args, "%s") {
			args = strings.ReplaceAll(args, "%s", "mqtt://"+startLoopback(t).addr)
		}
		got := ngmq(t.Context(), "", strings.Fields("bench "+args)...)
		assert.NotEqual(t, exitOK, got.status, args)
		assert.Contains(t, got.stderr, want, args)
	}
}

// A server that is restarted while a benchmark runs: the line of progress and the result tell.
func TestBenchReconnects(t *testing.T) {
	b := startLoopback(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() {
		ended <- ngmq(ctx, "", append([]string{"bench", "rtt", "-c", "2", "--progress", "10ms"}, b.host()...)...)
	}()
	for _, still := range []bool{true, false} {
		b.subscribers(2)
		n := len(b.seen())
		b.wait(func() bool { return len(b.messages) >= n+10 })
		if still {
			b.update(func() {
				for c := range b.conns {
					c.nc.Close()
					delete(b.conns, c)
				}
			})
		}
	}
	cancel()
	got := <-ended
	assert.Equal(t, exitLost, got.status)
	assert.Contains(t, got.stdout, "trouble       0 clients could not connect, 2 connections lost, 2 reconnected\n")
	assert.Contains(t, got.stderr, "rtt: 2/2 connected, 2 connections lost, 2 reconnected, ")
	assert.Contains(t, got.stderr, "ngmq: 0 of 2 clients could not connect, 2 connections lost, 2 reconnected\n")
}
