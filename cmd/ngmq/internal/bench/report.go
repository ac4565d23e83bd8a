package bench

import (
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/hist"
)

// Report is what came out. Its JSON is the output of --format json.
type Report struct {
	Kind      Kind    `json:"kind"`
	Transport string  `json:"transport"`
	Clients   int     `json:"clients"`
	Streams   int     `json:"streams"`
	Size      int     `json:"size_bytes"`
	QoS       byte    `json:"qos"`
	Rate      float64 `json:"rate_per_client"`
	Netem     string  `json:"netem,omitempty"`

	Connected   int64   `json:"connected"`
	Failed      int64   `json:"failed"`
	Lost        int64   `json:"lost"`        // connections
	Reconnected int64   `json:"reconnected"` // of these clients
	SetupTime   float64 `json:"setup_s"`
	ConnectRate float64 `json:"connects_per_s"`

	// Datagrams that came, and that were sent and taken for lost, from the beginning.
	DatagramsReceived uint64 `json:"datagrams_received,omitempty"`
	DatagramsLost     uint64 `json:"datagrams_lost,omitempty"`

	Seconds  float64 `json:"measured_s"`
	Sent     uint64  `json:"sent"`
	Acked    uint64  `json:"acked"`
	Received uint64  `json:"received"`

	SentRate     float64 `json:"sent_per_s"`
	ReceivedRate float64 `json:"received_per_s"`

	Handshake Times `json:"handshake"` // TCP and TLS, or QUIC
	Connect   Times `json:"connect"`   // until the CONNACK
	Ack       Times `json:"ack"`       // QoS 1 and 2: from when a message was due to its last acknowledgement
	Latency   Times `json:"latency"`   // from when a message was due to its arrival

	RSS    int64          `json:"rss_bytes"`       // of this process at the end, 0 where it is not known
	Grown  int64          `json:"rss_grown_bytes"` // by how much it has grown since the beginning
	Errors map[string]int `json:"errors,omitempty"`
}

// Times are percentiles, in milliseconds.
type Times struct {
	Count uint64  `json:"count"`
	Min   float64 `json:"min_ms"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`

	Histogram *hist.Snapshot `json:"-"`
}

func newTimes(h *hist.Histogram) Times {
	s := h.Snapshot()
	q := func(q float64) float64 { return millis(s.Quantile(q)) }
	return Times{s.Count(), millis(s.Least()), millis(s.Mean()), q(0.5), q(0.9), q(0.99), q(0.999), q(1), s}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// report is made when all clients are still connected.
func (r *Run) report() *Report {
	seconds := r.lasted.Seconds()
	out := &Report{
		Kind: r.cfg.Kind, Transport: r.cfg.Server.Transport, Clients: r.cfg.Clients, Streams: r.cfg.Streams, Size: r.cfg.Size,
		QoS: r.cfg.QoS, Rate: r.cfg.Rate, Netem: r.cfg.Netem.String(),
		Connected: r.connected.Load(), Failed: r.failed.Load(), Lost: r.losses.Load(), Reconnected: r.reconnector.done.Load(), SetupTime: r.setup.Seconds(),
		Seconds: seconds, Sent: r.counted.sent.Load(), Acked: r.counted.acked.Load(), Received: r.counted.received.Load(),
		Handshake: newTimes(&r.handshakes), Connect: newTimes(&r.connects), Ack: newTimes(&r.acks), Latency: newTimes(&r.latency),
		DatagramsReceived: r.datagrams.received.Load(), DatagramsLost: r.datagrams.lost.Load(),
		RSS: residentBytes(),
	}
	if out.SetupTime > 0 {
		out.ConnectRate = float64(out.Connected) / out.SetupTime
	}
	if seconds > 0 {
		out.SentRate, out.ReceivedRate = float64(out.Sent)/seconds, float64(out.Received)/seconds
	}
	out.Grown = out.RSS - r.rss
	r.errors.mu.Lock()
	defer r.errors.mu.Unlock()
	out.Errors = maps.Clone(r.errors.counts)
	return out
}

// residentBytes is the memory of this process as Linux counts it; 0 elsewhere.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// Progress is the state of a run.
type Progress struct {
	Connected, Live, Failed, Lost, Reconnected int64
	Sent, Received                             uint64        // from the beginning
	Measured                                   time.Duration // so far; 0 before
	P50, P99                                   time.Duration // of the latency so far, or of the acknowledgements
}

// Progress may be called by any goroutine while Do runs.
func (r *Run) Progress() Progress {
	p := Progress{Connected: r.connected.Load(), Live: r.live.Load(), Failed: r.failed.Load(), Lost: r.losses.Load(), Reconnected: r.reconnector.done.Load(),
		Sent: r.total.sent.Load(), Received: r.total.received.Load()}
	if from := r.from.Load(); from != nil {
		p.Measured = time.Since(*from)
	}
	s := r.latency.Snapshot()
	if s.Count() == 0 {
		s = r.acks.Snapshot()
	}
	p.P50, p.P99 = s.Quantile(0.5), s.Quantile(0.99)
	return p
}
