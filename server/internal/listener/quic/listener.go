//go:build !noquic

package quic

import (
	"context"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/quiclb"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// Config is the configuration of a Listener.
type Config struct {
	Broker            *broker.Broker
	TLS               *crypto.Context  // server role, ALPN "mqtt"; stays the caller's
	Addrs             []netip.AddrPort // UDP addresses to listen on
	Workers           int              // event loops, 0 = one per core
	Retry             endpoint.RetryPolicy
	ResetSecret       []byte         // of stateless reset tokens; nil = random
	Qlog              endpoint.Qlog  // nil = none
	LogQUIC           bool           // ngtcp2's own log to Logger
	EarlyData         bool           // take early data; TLS has to allow it too
	MaxConnections    int            // 0 = the endpoint's default
	HandshakeTimeout  time.Duration  // 0 = the endpoint's default
	IdleTimeout       time.Duration  // offered; 0 = the endpoint's default
	LoadBalancer      *quiclb.Config // form of Connection IDs; nil = the endpoint's own
	NoMigration       bool
	PreferredAddrs    []netip.AddrPort
	MaxStreams        int                      // bidirectional streams of a client at a time, with the control stream; 0 = the endpoint's default
	MaxUniStreams     int                      // unidirectional ones; 0 = the endpoint's default, negative: none
	CongestionControl ngtcp2.CongestionControl // of what is sent to clients; the zero value is CCReno
	QoSPriority       bool                     // data streams with subscriptions of higher QoS are sent first
	Datagrams         bool                     // take QUIC datagrams (RFC 9221), and send them as the broker says
	Next              bool                     // connections that have negotiated "MQTT-next" have flow headers; ALPN of TLS has to offer it
	ServerFlows       bool                     // and subscriptions of their control stream get streams that the server opens
	StreamClients     bool                     // a bidirectional stream that begins with CONNECT is an MQTT connection of its own
	Logger            *slog.Logger             // required
}

// closeTimeout is how long a closed connection waits until the peer has acknowledged
// the last packet: a few round trips of a bad link, and short enough for a server
// that has 5 s to stop.
const closeTimeout = 2 * time.Second

// Listener serves MQTT on QUIC. Its methods may be called from any goroutine.
type Listener struct {
	cfg    Config
	ep     *endpoint.Endpoint
	closed atomic.Bool // Close: new connections are refused
}

// Listen opens the sockets; nothing is answered before Serve. The caller calls Shutdown
// in the end, also when it never calls Serve.
func Listen(cfg Config) (*Listener, error) {
	l := &Listener{cfg: cfg}
	c := endpoint.Config{
		TLS: cfg.TLS, Handler: l, Workers: cfg.Workers, ResetSecret: cfg.ResetSecret,
		MaxConns: cfg.MaxConnections, HandshakeTimeout: cfg.HandshakeTimeout, IdleTimeout: cfg.IdleTimeout,
		LoadBalancer: cfg.LoadBalancer, DisableActiveMigration: cfg.NoMigration,
		CloseTimeout: closeTimeout, Retry: cfg.Retry, Logger: cfg.Logger, Qlog: cfg.Qlog, LogQUIC: cfg.LogQUIC,
		EarlyData: cfg.EarlyData, MaxBidiStreams: cfg.MaxStreams, MaxUniStreams: cfg.MaxUniStreams,
	}
	c.Settings = cfg.settings
	if cfg.Datagrams {
		c.MaxDatagram = maxDatagram
	}
	for _, a := range cfg.Addrs {
		c.Addrs = append(c.Addrs, a.String())
	}
	for _, a := range cfg.PreferredAddrs {
		c.PreferredAddrs = append(c.PreferredAddrs, a.String())
	}
	ep, err := endpoint.New(c)
	if err != nil {
		return nil, err
	}
	l.ep = ep
	return l, nil
}

// settings are those of the transport of each connection.
func (c *Config) settings(s *ngtcp2.Settings) { s.CCAlgo = c.CongestionControl }

// Addrs are the addresses that the listener is bound to.
func (l *Listener) Addrs() []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, a := range l.ep.Addrs() {
		if udp, ok := a.(*net.UDPAddr); ok {
			ap := udp.AddrPort()
			addrs = append(addrs, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
		}
	}
	return addrs
}

// RotateLoadBalancer gives new Connection IDs another form, see endpoint.Endpoint.
func (l *Listener) RotateLoadBalancer(c quiclb.Config) error { return l.ep.RotateLoadBalancer(c) }

// Counters yields what the event loops have counted, see endpoint.LiveStats.
func (l *Listener) Counters(ctx context.Context) iter.Seq2[string, uint64] {
	stats, _ := l.ep.LiveStats(ctx) // without live connections after an error
	return func(yield func(string, uint64) bool) {
		if !yield("connections", uint64(stats.Conns)) || !yield("handshaking", uint64(stats.Handshakes)) ||
			!yield("send_refused", stats.SendRefused) {
			return
		}
		for counter, n := range stats.All() {
			if !yield(counter.String(), n) {
				return
			}
		}
	}
}

// Serve runs the event loops until ctx ends or Shutdown is called.
func (l *Listener) Serve(ctx context.Context) error { return l.ep.Run(ctx) }

// Close refuses new connections. Those that there are live on.
func (l *Listener) Close() { l.closed.Store(true) }

// Shutdown closes what connections there are, stops the event loops and closes the
// sockets. It returns when everything has ended; when ctx ends first the rest is cut
// off and its error is returned.
func (l *Listener) Shutdown(ctx context.Context) error { return l.ep.Shutdown(ctx) }

// OnConn implements endpoint.Handler: the handshake of a new connection is complete, or
// there is early data.
func (l *Listener) OnConn(qc *endpoint.Conn) (h endpoint.ConnHandler) {
	defer func() {
		if v := recover(); v != nil {
			l.cfg.Broker.LogPanic("new quic connection", v)
			qc.Close(uint64(packet.ImplementationSpecificError), errPanic.Error())
			h = refused{}
		}
	}()
	if !qc.HandshakeCompleted() {
		return newEarlyConn(l, qc)
	}
	return l.admit(qc)
}

// admit makes the client of a connection whose handshake is complete, unless there are too
// many.
func (l *Listener) admit(qc *endpoint.Conn) endpoint.ConnHandler {
	if l.closed.Load() {
		qc.Close(CloseCode(packet.ServerShuttingDown), "server is shutting down")
		return refused{}
	}
	if l.cfg.Broker.Full() {
		l.cfg.Logger.Debug("connection refused: too many", "listener", "quic", "remote", qc.RemoteAddr())
		qc.Close(CodeOverloaded, "too many connections")
		return refused{}
	}
	c := newConn(l, qc)
	if !c.client.From(qc.Path().Remote.Addr()) {
		qc.Close(CodeOverloaded, "too many connections from this address")
		c.client.Closed(nil)
		return refused{}
	}
	return c
}

// refused is the handler of a connection that has been closed right away.
type refused struct{}

func (refused) OnStreamOpen(*endpoint.Stream)               {}
func (refused) OnStreamData(*endpoint.Stream, []byte, bool) {}
func (refused) OnStreamReset(*endpoint.Stream, uint64)      {}
func (refused) OnStopSending(*endpoint.Stream, uint64)      {}
func (refused) OnStreamClosed(*endpoint.Stream)             {}
func (refused) OnFlush()                                    {}
func (refused) OnClosed(error)                              {}
