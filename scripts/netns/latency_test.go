package netns

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

var (
	latency = flag.Duration("latency", 2*time.Second, "how long TestLatencyUnderLoss measures each transport at each loss")
	load    = flag.String("load", "", "flags of ngmq bench compare for TestLatencyUnderLoss; default: those of each case")
	quicCC  = flag.String("quic-cc", "", "congestion control of QUIC in TestLatencyUnderLoss; default: that of each case")
	tcpCC   = flag.String("tcp-cc", "cubic", "congestion control of TCP in TestLatencyUnderLoss, one that the kernel has")
	loss    = flag.Float64("loss", 0, "role relay: percentage of the packets that are lost, each way")
	delay   = flag.Duration("delay", 0, "role relay: the time that packets take, each way")
)

// Devices of a relay, and the addresses at them.
const (
	nearDev, farDev = "near", "far"
	nearIP, farIP   = "10.77.9.1", "10.77.9.2"
)

// relay carries IP packets between two TUN devices: a path with delay and loss for kernels
// that have no netem. TCP sees it as any other path.
func relay() error {
	near, err := openTUN(nearDev)
	if err != nil {
		return err
	}
	far, err := openTUN(farDev)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- carry(near, far, rand.New(rand.NewPCG(1, 1))) }()
	go func() { failed <- carry(far, near, rand.New(rand.NewPCG(2, 2))) }()
	fmt.Println("ready")
	return <-failed
}

// openTUN makes a TUN device, which can be moved to another namespace.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil // now it can be polled
}

// carry takes packets from one device to the other.
func carry(from io.Reader, to io.Writer, rnd *rand.Rand) error {
	type packet struct {
		due  time.Time
		data []byte
	}
	way := make(chan packet, 10_000)
	defer close(way)
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due)) // the delay of the path
			_, _ = to.Write(p.data)       // a device that is down loses it
		}
	}()
	for buf := make([]byte, 65536); ; {
		n, err := from.Read(buf)
		if err != nil {
			return err
		}
		if rnd.Float64()*100 < *loss {
			continue
		}
		select {
		case way <- packet{time.Now().Add(*delay), append([]byte(nil), buf[:n]...)}:
		default: // the queue is full
		}
	}
}

// relayed joins client and server by a relay. TCP gets its congestion control by the route:
// a new namespace has that of the machine, which may be any.
func (n *network) relayed(loss float64, delay time.Duration) {
	n.t.Helper()
	p := play(n.t, n.router, "relay", "-loss", fmt.Sprint(loss), "-delay", delay.String())
	p.received(1)
	for _, end := range []struct{ dev, ns, ip, peer string }{{nearDev, n.client, nearIP, farIP}, {farDev, n.server, farIP, nearIP}} {
		n.ip(n.router, "link set "+end.dev+" netns "+end.ns)
		n.ip(end.ns, fmt.Sprintf("addr add %s peer %s dev %s", end.ip, end.peer, end.dev))
		n.ip(end.ns, "link set "+end.dev+" up")
		n.ip(end.ns, "route replace "+end.peer+" dev "+end.dev+" congctl "+*tcpCC)
	}
}

// measured is what is used of a report of ngmq bench.
type measured struct {
	Transport      string `json:"transport"`
	Streams        int    `json:"streams"`
	Sent, Received int
	Latency        struct {
		P50 float64 `json:"p50_ms"`
		P90 float64 `json:"p90_ms"`
		P99 float64 `json:"p99_ms"`
		Max float64 `json:"max_ms"`
	} `json:"latency"`
}

// Round trips of messages through the broker on a path of 50 ms there and back that loses
// packets: eight topics over one QUIC stream, over eight, and over TCP with TLS. The last
// case is more than Cubic can send there, over QUIC or TCP; with QUIC it takes no right of
// an administrator to choose another. With -latency 60s it is a measurement, with -load and
// the -cc flags one of something else.
func TestLatencyUnderLoss(t *testing.T) {
	for _, c := range []struct {
		percent  float64
		load, cc string
		better   func(several, tcp measured) bool
	}{
		// A message waits for its own packet, if that is lost, and for no other's. With a
		// percent lost each way that is two messages in a hundred, with five it is ten.
		{1, "--rate 200", "cubic", func(several, tcp measured) bool { return several.Latency.P90 < 0.8*tcp.Latency.P90 }},
		{5, "--rate 200", "cubic", func(several, tcp measured) bool { return several.Latency.P50 < 0.85*tcp.Latency.P50 }},
		{5, "--rate 100 --size 2000", "bbr", func(several, tcp measured) bool {
			return several.Latency.P50 < tcp.Latency.P50/2 && several.Latency.P99 < tcp.Latency.P99/2
		}},
	} {
		c.load, c.cc = cmp.Or(*load, c.load), cmp.Or(*quicCC, c.cc)
		t.Run(fmt.Sprintf("%g %% lost, %s, %s", c.percent, c.cc, c.load), func(t *testing.T) {
			const tries = 4 // each takes twice the time of the last: chance hides less and less
			better := false
			for i := 0; i < tries && !better; i++ {
				got := newNetwork(t).compare(c.percent, c.load, c.cc, *latency<<i)
				require.Len(t, got, 3)
				for _, m := range got {
					t.Logf("%4s, %d streams: p50 %.0f ms, p90 %.0f, p99 %.0f, max %.0f, %d of %d messages",
						m.Transport, m.Streams, m.Latency.P50, m.Latency.P90, m.Latency.P99, m.Latency.Max, m.Received, m.Sent)
				}
				better = c.better(got[1], got[2])
			}
			assert.True(t, better, "several streams are not better than TCP")
		})
	}
}

// compare runs ngmq bench over a path with loss: one stream, several, TCP with TLS, each for
// the time.
func (n *network) compare(percent float64, load, cc string, each time.Duration) (got []measured) {
	n.t.Helper()
	n.relayed(percent, 25*time.Millisecond)
	dir, file := n.t.TempDir(), filepath.Join(n.t.TempDir(), "report.json")
	quic, tls := farIP+":"+quicPort, farIP+":8883"
	start(n.t, n.server, "ngmqd", "--quic", quic, "--tcp", "off", "--tls", tls, "--data-dir", dir,
		"--allow-anonymous", "--congestion-control", cc).ready()
	start(n.t, n.client, "ngmq", append(strings.Fields("bench compare "+load), "--congestion-control", cc, "--servername", "localhost", "--cafile", filepath.Join(dir, "dev-ca.crt"),
		"--streams", "8", "--warmup", "1s", "--duration", each.String(), "--progress", "0",
		"--format", "json", "-o", file, "quic://"+quic, "mqtts://"+tls)...).ends(3*each + patience)
	text, err := os.ReadFile(file)
	require.NoError(n.t, err)
	require.NoError(n.t, json.Unmarshal(text, &got))
	return got
}
