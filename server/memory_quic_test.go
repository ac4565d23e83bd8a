//go:build !noquic

package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// asServer in the environment makes the test binary be a server process whose memory
// is measured.
const asServer = "NGMQ_SERVER_TEST_IS_SERVER"

// memory of a server process in bytes.
type memory struct {
	Go, C, RSS int64 // live Go heap; live C heap of ngtcp2 and its binding; resident set
}

// serveAndReport is the server process: it prints where it listens and, for each line
// on standard input, its memory.
func serveAndReport() error {
	s, err := server.New(server.Config{QUIC: anyPort, TCP: []string{server.Off}, DataDir: certificates()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Run(ctx)
	fmt.Println(s.Addrs().QUIC[0], s.CAFile())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		m, err := readMemory()
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(m); err != nil {
			return err
		}
	}
	return nil
}

func readMemory() (memory, error) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return memory{}, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return memory{Go: int64(stats.HeapAlloc), C: ngtcp2.HeapBytes(), RSS: pages * int64(os.Getpagesize())}, err
}

// serverProcess starts a server process.
type serverProcess struct {
	in   io.Writer
	out  *bufio.Scanner
	addr string
	ca   string
}

func startProcess(b *testing.B) *serverProcess {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asServer+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	p := &serverProcess{in: in, out: bufio.NewScanner(out)}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	require.True(b, p.out.Scan(), "no address")
	p.addr, p.ca, _ = strings.Cut(p.out.Text(), " ")
	return p
}

func (p *serverProcess) memory(b *testing.B) (m memory) {
	b.Helper()
	_, err := io.WriteString(p.in, "\n")
	require.NoError(b, err)
	require.True(b, p.out.Scan())
	require.NoError(b, json.Unmarshal(p.out.Bytes(), &m))
	return m
}

// BenchmarkIdleConnection is a QUIC connection with a connected MQTT client that does
// nothing. The metrics are the memory of the server process per connection; give
// -benchtime 2000x for stable ones.
func BenchmarkIdleConnection(b *testing.B) {
	p := startProcess(b)
	r := &running{caFile: p.ca}
	r.startClients(b)
	b.Cleanup(r.stopClients)
	connect := func(id string) *mqtttest.Client {
		ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
		defer cancel()
		conn, err := r.clients.DialConn(ctx, p.addr, endpoint.DialConfig{TLS: r.trust})
		require.NoError(b, err)
		c := mqtttest.New(b, conn, packet.V50)
		c.Connect(&packet.Connect{ClientID: id, CleanStart: true, KeepAlive: 60})
		return c
	}
	connect("first") // what is made once is not counted
	before := p.memory(b)
	b.ResetTimer()
	for i := range b.N {
		connect(fmt.Sprint("idle", i)).Ping()
	}
	b.StopTimer()
	after := p.memory(b)
	perConn := func(before, after int64, unit string) {
		b.ReportMetric(float64(after-before)/float64(b.N), unit)
	}
	perConn(before.Go, after.Go, "go-B/conn")
	perConn(before.C, after.C, "c-B/conn")
	perConn(before.RSS, after.RSS, "rss-B/conn")
}
