package endpoint

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
	"github.com/ngmq/ngmq/ngtcp2/quiclb"
)

// RetryPolicy says when a client has to prove its address with a Retry packet
// before a connection is made (RFC 9000 section 8.1.2).
type RetryPolicy uint8

const (
	// RetryNever makes connections at once. ngtcp2 still sends no more than
	// three times what it received before the address is validated. A client
	// whose first datagram was lost gets a Retry all the same when another one
	// arrives: it is how to ask for all of its ClientHello again.
	RetryNever RetryPolicy = iota
	// RetryAlways costs every new client one more round trip. With this policy
	// and the next, a client gets a token for its next connection (NEW_TOKEN),
	// which then needs no Retry.
	RetryAlways
	// RetryAuto asks for it while more than half of MaxHandshakes are under way.
	RetryAuto
)

// Defaults of Config, each for its field's zero value.
const (
	DefaultMaxConns         = 1 << 20          // connections; some 44 KB each
	DefaultMaxHandshakes    = 4096             // half-open connections; two seconds of one core's handshakes
	DefaultHandshakeTimeout = 10 * time.Second // RFC 9002's PTO doubles to 4 s in that time
	DefaultIdleTimeout      = 2 * time.Minute  // what MQTT clients bring: 90 to 120 s
	DefaultCloseTimeout     = 3 * time.Second  // three initial PTOs
	DefaultMaxBidiStreams   = 64               // NanoMQ opens 5 at once, EMQX allows 10
	DefaultMaxUniStreams    = 16
	DefaultStreamWindow     = 256 << 10 // bytes; fills 20 Mbit/s at 100 ms
	DefaultConnWindow       = 1 << 20   // bytes; four full streams
)

const (
	maxWorkers = 256 // the worker number is one byte of the CID
	secretLen  = 32  // bytes of a random ResetSecret or TokenSecret
	minSecret  = 16  // bytes
	maxSecret  = 64  // bytes; the binding's limit
	maxWindow  = 1 << 30
	// maxDatagram is the largest DATAGRAM frame in bytes: more fits no UDP datagram
	// (RFC 9221 section 3).
	maxDatagram = 65535
)

// Config describes an Endpoint. The zero value is a client. All limits hold for
// the whole Endpoint unless said otherwise.
type Config struct {
	// TLS is the server role's context (it stays the caller's and must outlive
	// the Endpoint). Needed with Addrs.
	TLS *crypto.Context
	// Addrs are UDP addresses to listen on, "host:port"; with port 0 the system
	// chooses (see Endpoint.Addrs). Empty: client only.
	Addrs []string
	// Handler gets the connections of the server role. Needed with Addrs.
	Handler Handler
	// LocalAddr is the address of this host that outgoing connections are made from; one
	// of an interface. Only servers of its family can be reached then. Default: the
	// address that the system routes from.
	LocalAddr netip.Addr
	// Workers is the number of event loops; 0 = GOMAXPROCS, at most 256. When a server on
	// Linux has less than GOMAXPROCS (in all Endpoints of the process), with one address,
	// its workers wait in system calls, without Go's scheduler: with few messages a second
	// that takes a sixth to a third less CPU time.
	Workers int
	// Retry is the address validation policy; default RetryNever.
	Retry RetryPolicy
	// MaxConns bounds live connections of both roles, MaxHandshakes those of
	// the server role whose handshake is not complete. A client beyond them is
	// refused with CONNECTION_REFUSED. 0 = DefaultMaxConns,
	// DefaultMaxHandshakes.
	MaxConns, MaxHandshakes int
	// HandshakeTimeout ends incomplete handshakes, and is how long a Retry token is
	// good for. A client that is silent for half of it during its handshake is given up
	// as well. 0 = DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// IdleTimeout ends silent connections (the smaller one of both sides
	// counts); 0 = DefaultIdleTimeout.
	IdleTimeout time.Duration
	// KeepAlive sends a PING after this time of silence; 0 = never. See also
	// Conn.SetKeepAlive.
	KeepAlive time.Duration
	// CloseTimeout bounds a graceful close: the wait for acknowledgements
	// before CONNECTION_CLOSE. 0 = DefaultCloseTimeout.
	CloseTimeout time.Duration
	// MaxBidiStreams and MaxUniStreams are how many streams a peer may have
	// open at once; closed ones are replenished. 0 = DefaultMaxBidiStreams,
	// DefaultMaxUniStreams; negative = none.
	MaxBidiStreams, MaxUniStreams int
	// StreamWindow and ConnWindow are the receive windows in bytes: what a peer
	// may send ahead of Stream.Consume. 0 = DefaultStreamWindow,
	// DefaultConnWindow. They are not tuned up unless Settings sets MaxWindow.
	StreamWindow, ConnWindow int
	// MaxDatagram is the largest DATAGRAM frame in bytes that is accepted (RFC 9221):
	// the payload and 3 bytes. At most 65535, which is the usual choice, whatever fits
	// a packet; 0 = none. See DatagramHandler.
	MaxDatagram int
	// EarlyData lets clients of the server role send before their handshake is
	// complete (0-RTT); TLS has to allow it too (crypto.Config.EarlyData). Handler
	// then gets connections as soon as such data has arrived. Anybody who saw the
	// first packets of a client can send a copy of them, to this server or another
	// one with the same ticket keys, as often as the ticket is valid, and the
	// application will see the same early data again on a connection that never
	// completes its handshake (RFC 8446 section 8, RFC 9001 section 9.2).
	// crypto.Config.EarlyDataOnce prevents it for the servers of one process; nothing
	// below the application does for others. So act on early data (Stream.Early) only if
	// that may happen twice; hold back everything else, and answers that tell what
	// nobody else may know, until HandshakeHandler.OnHandshakeCompleted. Default
	// off: early data is rejected, and new tickets do not allow it.
	EarlyData bool
	// Settings and Params, when set, change what the fields above made of the
	// defaults, for each new connection. Any goroutine of the Endpoint calls
	// them; they must not block.
	Settings func(*ngtcp2.Settings)
	Params   func(*ngtcp2.TransportParams)
	// PreferredAddrs are addresses of this server, one IPv4 and one IPv6 "ip:port" at
	// most, that its clients are asked to go to after the handshake, for instance
	// from an address that many servers share (anycast) to this server's own. They
	// are listened on too. With port 0 the system chooses. Default none (RFC 9000
	// section 9.6).
	PreferredAddrs []string
	// Versions are the QUIC versions that are spoken, best first. A server answers
	// others with Version Negotiation; a client that gets one tries again with the
	// first version that both have (RFC 9368). Default ngtcp2.VersionV1, VersionV2.
	Versions []uint32
	// DisableActiveMigration asks peers not to migrate; a NAT may still change
	// their address (RFC 9000 section 18.2, disable_active_migration).
	DisableActiveMigration bool
	// ResetSecret (16 to 64 bytes) makes stateless reset tokens, TokenSecret
	// (16 bytes or more) Retry tokens. Servers behind one address share them;
	// a server that keeps them over a restart can reset old connections. Empty:
	// random.
	ResetSecret, TokenSecret []byte
	// ReceiveBuffer and SendBuffer are socket buffer sizes in bytes; 0 = 7 MiB.
	ReceiveBuffer, SendBuffer int
	// NoGRO and NoGSO switch the kernel's batching of datagrams off.
	NoGRO, NoGSO bool
	// Logger gets what an operator should see: failing sockets. nil: silent.
	Logger *slog.Logger
	// Qlog, when set, makes the file that a connection's qlog goes to (qlog 0.3 as a
	// JSON text sequence, RFC 7464); QlogDir makes files in a directory. An error is
	// logged, and the connection goes without. It is called, written to and closed by
	// one goroutine of the Endpoint, whose end waits for it. 512 connections at a time
	// are recorded; what is left out, or comes faster than it is written, is counted
	// (LogsMissed). It costs 0.7 us of CPU per packet (measured on an AMD EPYC).
	// Default: none.
	Qlog Qlog
	// LogQUIC sends ngtcp2's own log to Logger, at debug level, with the connection's
	// ODCID: several lines per packet. Limits are as for Qlog. It costs 4 us of CPU per
	// packet with slog.TextHandler. Default off.
	LogQUIC bool

	// LoadBalancer, when set, gives the Connection IDs that this Endpoint chooses a form
	// that a load balancer in front of several servers routes by (QUIC-LB; package
	// quiclb). The worker is found in them as well. Packets that belong to another server
	// of the load balancer are dropped. Servers with the same TokenSecret take each
	// other's tokens (Retry). Without a Key the draft advises against further CIDs for a
	// connection, which a migration needs: they are issued all the same. For another key
	// see Endpoint.RotateLoadBalancer. Default: one byte of worker number, eight random
	// bytes.
	LoadBalancer *quiclb.Config

	preferred *preferredAddrs // PreferredAddrs
	servers   []*quiclb.Server
}

// Validate returns everything that is wrong with c, joined, each naming the
// field and the remedy.
func (c *Config) Validate() error {
	var errs []error
	bad := func(wrong bool, field, remedy string) {
		if wrong {
			errs = append(errs, fmt.Errorf("endpoint: Config.%s: %s", field, remedy))
		}
	}
	server := len(c.Addrs) > 0
	bad(server && c.TLS == nil, "TLS", "a server needs a crypto.Context: set it")
	bad(c.TLS != nil && c.TLS.Role() != crypto.Server, "TLS", "is for the server role: clients set DialConfig.TLS")
	bad(server && c.Handler == nil, "Handler", "a server needs one: set it")
	bad(!server && c.Handler != nil, "Addrs", "a Handler without an address gets no connection: set Addrs")
	for _, a := range c.Addrs {
		_, _, err := net.SplitHostPort(a)
		bad(err != nil, "Addrs", fmt.Sprintf("%q: use host:port", a))
	}
	_, err := parsePreferred(c.PreferredAddrs)
	bad(err != nil, "PreferredAddrs", fmt.Sprint(err))
	bad(len(c.PreferredAddrs) > 0 && !server, "PreferredAddrs", "is for the server role: set Addrs")
	for _, v := range c.Versions {
		bad(!ngtcp2.IsSupportedVersion(v), "Versions", fmt.Sprintf("0x%x: use ngtcp2.VersionV1 or VersionV2", v))
	}
	bad(c.Workers < 0 || c.Workers > maxWorkers, "Workers", "use 0 (one per core) to 256")
	bad(c.Retry > RetryAuto, "Retry", "use RetryNever, RetryAlways or RetryAuto")
	bad(c.MaxConns < 0, "MaxConns", "must not be negative")
	bad(c.MaxHandshakes < 0, "MaxHandshakes", "must not be negative")
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"HandshakeTimeout", c.HandshakeTimeout}, {"IdleTimeout", c.IdleTimeout},
		{"KeepAlive", c.KeepAlive}, {"CloseTimeout", c.CloseTimeout}} {
		bad(d.value < 0, d.field, "must not be negative")
	}
	bad(c.StreamWindow < 0 || c.StreamWindow > maxWindow, "StreamWindow", "use 0 (default) to 1 GiB")
	bad(c.ConnWindow < 0 || c.ConnWindow > maxWindow, "ConnWindow", "use 0 (default) to 1 GiB")
	bad(c.MaxDatagram < 0 || c.MaxDatagram > maxDatagram, "MaxDatagram", "use 0 (none) to 65535")
	bad(c.EarlyData && !server, "EarlyData", "is for the server role: clients set DialConfig.EarlyData")
	bad(badSecret(c.ResetSecret), "ResetSecret", "use 16 to 64 random bytes, or none")
	bad(badSecret(c.TokenSecret), "TokenSecret", "use 16 to 64 random bytes, or none")
	if c.LoadBalancer != nil {
		err := c.LoadBalancer.Validate()
		bad(err != nil, "LoadBalancer", fmt.Sprint(err))
	}
	bad(c.LogQUIC && c.Logger == nil, "LogQUIC", "needs a Logger: set it")
	bad(c.ReceiveBuffer < 0, "ReceiveBuffer", "must not be negative")
	bad(c.SendBuffer < 0, "SendBuffer", "must not be negative")
	return errors.Join(errs...)
}

// makeServers makes what makes the Connection IDs, one for each worker.
func (c *Config) makeServers() (err error) {
	if c.LoadBalancer != nil {
		c.servers, err = quiclb.Servers(*c.LoadBalancer, c.Workers)
	}
	return err
}

func badSecret(s []byte) bool { return len(s) > 0 && (len(s) < minSecret || len(s) > maxSecret) }

// withDefaults is c with its zero fields filled.
func (c Config) withDefaults() Config {
	c.preferred, _ = parsePreferred(c.PreferredAddrs) // Validate has seen them
	if len(c.Versions) == 0 {
		c.Versions = supportedVersions
	}
	setInt(&c.Workers, runtime.GOMAXPROCS(0))
	c.Workers = min(c.Workers, maxWorkers)
	setInt(&c.MaxConns, DefaultMaxConns)
	setInt(&c.MaxHandshakes, DefaultMaxHandshakes)
	setInt(&c.MaxBidiStreams, DefaultMaxBidiStreams)
	setInt(&c.MaxUniStreams, DefaultMaxUniStreams)
	setInt(&c.StreamWindow, DefaultStreamWindow)
	setInt(&c.ConnWindow, DefaultConnWindow)
	setDuration(&c.HandshakeTimeout, DefaultHandshakeTimeout)
	setDuration(&c.IdleTimeout, DefaultIdleTimeout)
	setDuration(&c.CloseTimeout, DefaultCloseTimeout)
	setSecret(&c.ResetSecret)
	setSecret(&c.TokenSecret)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setInt(v *int, def int) {
	if *v == 0 {
		*v = def
	}
}

func setDuration(v *time.Duration, def time.Duration) {
	if *v == 0 {
		*v = def
	}
}

func setSecret(s *[]byte) {
	if len(*s) == 0 {
		*s = make([]byte, secretLen)
		_, _ = rand.Read(*s) // never fails
	}
}

// settings are the local settings of a new connection.
func (c *Config) settings(now ngtcp2.Timestamp) ngtcp2.Settings {
	s := ngtcp2.DefaultSettings()
	s.HandshakeTimeout = c.HandshakeTimeout
	s.AvailableVersions = c.Versions
	if c.Settings != nil {
		c.Settings(&s)
	}
	s.InitialTS = now
	return s
}

// params are the transport parameters of a new connection.
func (c *Config) params() ngtcp2.TransportParams {
	p := ngtcp2.DefaultTransportParams()
	p.InitialMaxStreamDataBidiLocal = uint64(c.StreamWindow)
	p.InitialMaxStreamDataBidiRemote = uint64(c.StreamWindow)
	p.InitialMaxStreamDataUni = uint64(c.StreamWindow)
	p.InitialMaxData = uint64(c.ConnWindow)
	p.InitialMaxStreamsBidi = uint64(max(c.MaxBidiStreams, 0))
	p.InitialMaxStreamsUni = uint64(max(c.MaxUniStreams, 0))
	p.MaxIdleTimeout = c.IdleTimeout
	p.ActiveConnectionIDLimit = activeCIDLimit
	p.MaxDatagramFrameSize = uint64(c.MaxDatagram)
	p.MaxUDPPayloadSize = udp.MaxDatagram
	p.DisableActiveMigration = c.DisableActiveMigration
	if c.Params != nil {
		c.Params(&p)
	}
	return p
}
