// Package probe times the phases of a connection until the CONNACK, for ngmq ping.
//
//	Prober.Run(kind) -> DNS -> TCP, TLS, WebSocket | QUIC handshake -> CONNECT, CONNACK -> PINGREQ, PINGRESP -> Result
package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/websocket"
)

// Kind says how TLS begins.
type Kind string

// Kinds, in the order in which they are tried: later ones need a ticket of an earlier one.
const (
	Full    Kind = "full"
	Resumed Kind = "resumed"
	Early   Kind = "0-RTT"
)

// pings is how many PINGREQ are sent; the fastest answer counts, for the others waited
// for something else.
const pings = 3

// maxFrame is the largest WebSocket frame, in bytes: the answers here are small.
const maxFrame = 1 << 20

// Config says what to probe.
type Config struct {
	Server  remote.Server
	TLS     client.TLS
	Connect *packet.Connect

	CongestionControl client.CongestionControl // of QUIC

	QlogDir string       // for a qlog file per QUIC connection; empty: none
	Logger  *slog.Logger // nil: none
}

// Phase is a part of the way to the CONNACK.
type Phase struct {
	Name string // "dns", "tcp" or "proxy", "tls", "ws", "quic", "connack"
	Time time.Duration
}

// Result is one connection.
type Result struct {
	Kind   Kind
	Addr   string // address that was connected to
	Phases []Phase
	Total  time.Duration
	Ping   time.Duration // of a PINGREQ on the connection
	Detail string        // what TLS settled on
}

// Prober keeps the sessions between its probes. One goroutine at a time may use it.
type Prober struct {
	cfg   Config
	tls   *tls.Config // nil but for TLS over TCP
	keys  io.Closer   // the key log of TLS
	cache tls.ClientSessionCache
	quic  *quicDialer // nil but for QUIC
}

// New prepares probes; Close frees what they need.
func New(cfg Config) (*Prober, error) {
	p := &Prober{cfg: cfg, cache: tls.NewLRUClientSessionCache(0), keys: io.NopCloser(nil)}
	var err error
	switch {
	case cfg.Server.QUIC():
		p.quic, err = newQUICDialer(cfg)
	case cfg.Server.Encrypted():
		p.tls, p.keys, err = cfg.Server.TLSConfig(&cfg.TLS)
	}
	return p, err
}

// Close frees the sockets.
func (p *Prober) Close() {
	_ = p.keys.Close() // every line has been written at once
	if p.quic != nil {
		p.quic.close()
	}
}

// Kinds are the kinds that the transport knows.
func (p *Prober) Kinds() []Kind {
	switch {
	case p.cfg.Server.QUIC():
		return []Kind{Full, Resumed, Early}
	case p.cfg.Server.Encrypted():
		return []Kind{Full, Resumed}
	}
	return []Kind{Full}
}

// dialed is a connection with what is known about it.
type dialed struct {
	net.Conn
	detail func() string // once the CONNACK is here
	end    func(context.Context)
}

// Run makes one connection. An error names the phase that it happened in, but for the
// error of a resumption that the server did not agree to, which is none: Detail says it.
func (p *Prober) Run(ctx context.Context, kind Kind) (r Result, err error) {
	stages := &stopwatch{last: time.Now()}
	r.Kind = kind
	began := stages.last
	server, err := p.cfg.Server.Resolve(ctx)
	if err != nil {
		return r, fmt.Errorf("dns: %w", err)
	}
	if p.cfg.Server.Named() {
		stages.lap("dns")
	}
	c, err := p.dial(ctx, server, kind, stages)
	if err != nil {
		return r, err
	}
	defer c.end(ctx)
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := p.connack(c, stages); err != nil {
		return r, fmt.Errorf("connack: %w", err)
	}
	r.Addr, r.Phases, r.Total = server.Addr, stages.phases, stages.last.Sub(began)
	if r.Ping, err = ping(c, p.cfg.Connect.Version); err != nil {
		return r, fmt.Errorf("ping: %w", err)
	}
	r.Detail = c.detail()
	_, _ = c.Write((&packet.Disconnect{}).AppendTo(nil, p.cfg.Connect.Version)) // the connection ends in any case
	return r, nil
}

// stopwatch takes the times of the phases.
type stopwatch struct {
	last   time.Time
	phases []Phase
}

func (s *stopwatch) lap(name string) {
	now := time.Now()
	s.phases = append(s.phases, Phase{name, now.Sub(s.last)})
	s.last = now
}

func (p *Prober) dial(ctx context.Context, server remote.Server, kind Kind, stages *stopwatch) (*dialed, error) {
	if p.quic != nil {
		c, err := p.quic.dial(ctx, server, kind)
		if err != nil {
			return nil, fmt.Errorf("quic: %w", err)
		}
		stages.lap("quic")
		return c, nil
	}
	phase := "tcp"
	if server.Proxy != "" {
		phase = "proxy"
	}
	nc, err := server.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", phase, err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(deadline) // a new socket takes one
	}
	stages.lap(phase)
	c := &dialed{Conn: nc, detail: func() string { return "no TLS" }, end: func(context.Context) { nc.Close() }}
	if err := p.wrap(ctx, c, server, kind, stages); err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// wrap adds TLS and WebSocket as far as the transport has them.
func (p *Prober) wrap(ctx context.Context, c *dialed, server remote.Server, kind Kind, stages *stopwatch) error {
	if server.Encrypted() {
		config := p.tls.Clone()
		if kind != Full {
			config.ClientSessionCache = p.cache
		} else {
			config.ClientSessionCache = onlyPut{p.cache}
		}
		secured := tls.Client(c.Conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		stages.lap("tls")
		c.Conn, c.detail = secured, func() string { return tlsDetail(secured.ConnectionState()) }
	}
	if server.Resource == nil {
		return nil
	}
	ws, err := websocket.Client(c.Conn, server.Resource, maxFrame)
	if err != nil {
		return fmt.Errorf("ws: %w", err)
	}
	stages.lap("ws")
	c.Conn = ws
	return nil
}

// onlyPut takes tickets and gives none.
type onlyPut struct{ tls.ClientSessionCache }

func (onlyPut) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

func tlsDetail(state tls.ConnectionState) string {
	text := tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite) + " " + state.CurveID.String()
	if state.DidResume {
		text += ", resumed"
	}
	return text
}

// connack sends CONNECT and waits for the CONNACK.
func (p *Prober) connack(c *dialed, stages *stopwatch) error {
	v := p.cfg.Connect.Version
	if _, err := c.Write(p.cfg.Connect.AppendTo(nil, v)); err != nil {
		return err
	}
	answer, err := read(c, v)
	if err != nil {
		return err
	}
	stages.lap("connack")
	switch a := answer.(type) {
	case *packet.Connack:
		if a.ReasonCode.IsError() {
			return &client.ReasonError{Packet: packet.CONNACK, Code: a.ReasonCode, Properties: a.Properties}
		}
		return nil
	default:
		return fmt.Errorf("the server sent %s instead of CONNACK", answer.Type())
	}
}

// ping is the shortest round trip of some.
func ping(c *dialed, v packet.Version) (best time.Duration, err error) {
	for i := range pings {
		began := time.Now()
		if _, err := c.Write((&packet.Pingreq{}).AppendTo(nil, v)); err != nil {
			return 0, err
		}
		answer, err := read(c, v)
		if err != nil {
			return 0, err
		}
		if answer.Type() != packet.PINGRESP {
			return 0, fmt.Errorf("the server sent %s instead of PINGRESP", answer.Type())
		}
		if took := time.Since(began); i == 0 || took < best {
			best = took
		}
	}
	return best, nil
}

// maxAnswer is the largest packet that is read, in bytes.
const maxAnswer = 64 << 10

func read(c *dialed, v packet.Version) (packet.Packet, error) {
	d := packet.NewDecoder(maxAnswer)
	d.SetVersion(v)
	return d.ReadPacket(c, make([]byte, 4096))
}
