package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/bench"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/netem"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// benchCommand are the benchmarks.
type benchCommand struct {
	Conn    benchConn    `cmd:"" help:"Connect many clients and keep them connected."`
	Pub     benchPub     `cmd:"" help:"Publish with many clients."`
	Sub     benchSub     `cmd:"" help:"Subscribe with many clients."`
	RTT     benchRTT     `cmd:"" name:"rtt" help:"Round trips: clients receive what they publish."`
	Compare benchCompare `cmd:"" help:"Round trips over two or more servers or transports, side by side."`
}

// benchFlags are those of every benchmark.
type benchFlags struct {
	Clients     int           `short:"c" default:"1" placeholder:"N" group:"Load" help:"Number of clients. (${default})"`
	ConnectRate float64       `short:"R" placeholder:"N" group:"Load" help:"Connections begun per second, the ramp. Default: as fast as they come about, 64 at a time."`
	Duration    time.Duration `placeholder:"TIME" group:"Load" help:"Measure for this long, e.g. 30s. Default: until a signal; conn: not at all; rtt and compare: 10s."`
	Warmup      time.Duration `placeholder:"TIME" group:"Load" help:"Do not count so long, once all are connected."`
	KeepAlive   time.Duration `short:"k" name:"keepalive" default:"60s" placeholder:"TIME" group:"Load" help:"Keep alive time of MQTT. (${default})"`
	ConnTimeout time.Duration `name:"connect-timeout" default:"30s" placeholder:"TIME" group:"Load" help:"How long a client may take to be connected and subscribed. (${default})"`
	NoReconnect bool          `group:"Load" help:"A client that loses its connection stays away. Default: it connects again, at the rate of -R, after pauses of 0.1 s to 5 s."`
	Protocol    protocol      `short:"V" name:"protocol-version" default:"mqttv5" placeholder:"VERSION" group:"Load" help:"mqttv5, mqttv311 or mqttv31. (${default})"`
	IDPrefix    string        `short:"I" name:"id-prefix" placeholder:"PREFIX" group:"Load" help:"Client ids are PREFIX and a number. Default: bench-, something random, and the number."`
	Netem       netemOption   `placeholder:"SETTINGS" group:"Load" help:"Make the path worse, through a proxy in this process: loss=1%,delay=50ms,rate=10mbit or some of them, in each direction. Loss over TCP is a model, see ngmq help bench."`

	Format    string        `enum:"text,json,csv" default:"text" placeholder:"FORMAT" group:"Output" help:"Of the result: text, json or csv. (${default})"`
	Out       string        `short:"o" type:"path" placeholder:"FILE" group:"Output" help:"Write the result there."`
	Histogram bool          `group:"Output" help:"Show histograms in the text."`
	Progress  time.Duration `default:"1s" placeholder:"TIME" group:"Output" help:"Show the state this often; 0: never. (${default})"`

	target
}

// messageFlags are those of benchmarks with messages.
type messageFlags struct {
	Topic     string `short:"t" placeholder:"PATTERN" group:"Load" help:"Topic: %i is the number of the client, %c its id, %u the user name, %s the number of the stream. Default: bench/%c, with several streams bench/%c/%s."`
	QoS       byte   `short:"q" name:"qos" default:"0" placeholder:"QOS" group:"Load" help:"Quality of service: 0, 1 or 2. (${default})"`
	Streams   int    `default:"1" placeholder:"N" group:"Load" help:"QUIC: use N data streams, as EMQX does, each with a topic of its own. (${default}: the control stream)"`
	Datagrams bool   `group:"Load" help:"QUIC: messages of QoS 0 in datagrams, there and back, as far as the server knows that; what is lost is not sent again."`
	Messages  uint64 `short:"n" placeholder:"N" group:"Load" help:"End when each client has published N messages; sub: when all together have received N."`
}

// publishFlags are those of benchmarks that publish.
type publishFlags struct {
	Size     int     `short:"s" default:"64" placeholder:"BYTES" group:"Load" help:"Size of payloads. (${default})"`
	Rate     float64 `short:"r" placeholder:"N" group:"Load" help:"Messages per second of each client. Default: as fast as possible; rtt: one under way at a time on each stream."`
	Retain   bool    `group:"Load" help:"Messages are retained."`
	Inflight int     `short:"M" name:"max-inflight" default:"100" placeholder:"N" group:"Load" help:"Messages of QoS 1 and 2 of a client that may be unacknowledged. (${default})"`
}

// netemOption is the value of --netem.
type netemOption netem.Params

// UnmarshalText reads e.g. loss=1%,delay=50ms.
func (n *netemOption) UnmarshalText(text []byte) error {
	p, err := netem.Parse(string(text))
	*n = netemOption(p)
	return err
}

type (
	benchConn struct{ benchFlags }
	benchSub  struct {
		messageFlags
		benchFlags
	}
	benchPub struct {
		messageFlags
		publishFlags
		benchFlags
	}
	benchRTT struct {
		messageFlags
		publishFlags
		benchFlags
	}
)

// Run connects clients.
func (b *benchConn) Run(c *console) error {
	return b.run(c, func(cfg *bench.Config) { cfg.Kind = bench.Conn })
}

// Run subscribes.
func (b *benchSub) Run(c *console) error {
	return b.run(c, func(cfg *bench.Config) {
		cfg.Kind = bench.Sub
		b.apply(cfg)
	})
}

// Run publishes.
func (b *benchPub) Run(c *console) error {
	return b.run(c, func(cfg *bench.Config) {
		cfg.Kind = bench.Pub
		b.messageFlags.apply(cfg)
		b.publishFlags.apply(cfg)
	})
}

// Run publishes and receives.
func (b *benchRTT) Run(c *console) error {
	return b.run(c, func(cfg *bench.Config) {
		cfg.Kind = bench.RoundTrip
		b.messageFlags.apply(cfg)
		b.publishFlags.apply(cfg)
		roundTripDefaults(cfg)
	})
}

// roundTripTime is how long round trips are measured unless the user says so.
const roundTripTime = 10 * time.Second

func roundTripDefaults(cfg *bench.Config) {
	if cfg.Duration == 0 && cfg.Messages == 0 {
		cfg.Duration = roundTripTime
	}
}

func (f *messageFlags) apply(cfg *bench.Config) {
	cfg.Topic, cfg.QoS, cfg.Streams, cfg.Datagrams, cfg.Messages = f.Topic, f.QoS, f.Streams, f.Datagrams, f.Messages
}

func (f *publishFlags) apply(cfg *bench.Config) {
	cfg.Size, cfg.Rate, cfg.Retain, cfg.MaxInflight = f.Size, f.Rate, f.Retain, f.Inflight
}

// config is what every benchmark has, for one server.
func (b *benchFlags) config(c *console, address string) (bench.Config, error) {
	o := b.options(c)
	server, err := remote.Parse(address, o)
	if err != nil {
		return bench.Config{}, err
	}
	b.warn(c, address)
	cfg := bench.Config{
		Server: server, TLS: o.TLS, Username: o.Username, Password: o.Password, Version: packet.Version(b.Protocol),
		IDPrefix: b.IDPrefix, Clients: b.Clients, ConnectRate: b.ConnectRate, Timeout: b.ConnTimeout, KeepAlive: b.KeepAlive, NoReconnect: b.NoReconnect,
		Warmup: b.Warmup, Duration: b.Duration, CongestionControl: o.CongestionControl, Netem: netem.Params(b.Netem), Logger: o.Logger,
	}
	if b.KeepAlive == 0 {
		cfg.KeepAlive = -1
	}
	return cfg, nil
}

func (b *benchFlags) validate(c *console) error {
	wrong := b.target.validate(c)
	wrong.check(b.Clients < 1, "--clients must be 1 or more")
	wrong.check(b.Proxy != "" && quicURL(b.URL), overProxy)
	wrong.check(b.Proxy != "" && b.Netem != netemOption{}, "--netem is a proxy itself: leave --proxy out")
	wrong.check(b.QlogDir != "", "--qlog-dir is for single connections: see pub, sub and rr")
	return errors.Join(wrong...)
}

// run does one benchmark and prints its result.
func (b *benchFlags) run(c *console, change func(*bench.Config)) error {
	if err := b.validate(c); err != nil {
		return err
	}
	address, _, err := b.server()
	if err != nil {
		return err
	}
	cfg, err := b.config(c, address)
	if err != nil {
		return err
	}
	change(&cfg)
	report, err := b.measure(c, cfg, string(cfg.Kind))
	if err != nil {
		return err
	}
	err = b.output(c, func(w io.Writer) error { return writeReport(w, report, b.Format, b.Histogram) })
	if err == nil && report.Failed+report.Lost > 0 {
		return &failed{exitLost, fmt.Errorf("%d of %s could not connect, %s", report.Failed, clientCount(int64(report.Clients)), lossText(report.Lost, report.Reconnected))}
	}
	return err
}

// measure runs a benchmark with its progress on the terminal.
func (b *benchFlags) measure(c *console, cfg bench.Config, title string) (*bench.Report, error) {
	r, err := bench.New(c, cfg)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	stop := showProgress(c, r, b.Progress, title, cfg)
	report, err := r.Do(c)
	stop()
	var refused *client.ReasonError
	switch {
	case err == nil:
		return report, nil
	case c.Err() != nil:
		return nil, errInterrupted
	case errors.As(err, &refused):
		return nil, &failed{exitRefused, fmt.Errorf("%w%s", err, refusalHint(refused.Code))}
	case errors.Is(err, context.Canceled):
		return nil, errInterrupted
	}
	return nil, &failed{exitNoServer, fmt.Errorf("%w%s", err, b.connectHint(err))}
}

// output gives write the file of -o, or the console.
func (b *benchFlags) output(c *console, write func(io.Writer) error) error {
	if b.Out == "" {
		return write(c.stdout)
	}
	f, err := os.Create(b.Out)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
