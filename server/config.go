package server

import (
	"crypto/tls"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/ngmq/ngmq/ngtcp2/quiclb"
)

// Off as a listen address switches that transport off.
const Off = "off"

// DefaultTCP is the TCP address of the zero Config: loopback like DefaultQUIC, so that
// a server that nobody configured serves nobody else.
const DefaultTCP = "127.0.0.1:1883" // IANA "mqtt"

// Defaults of Config.Timeouts.
const (
	// DefaultHandshakeTimeout bounds a QUIC or TLS handshake. Five round trips over
	// a bad mobile link fit; a silent peer is gone soon.
	DefaultHandshakeTimeout = 10 * time.Second
	// DefaultConnectTimeout bounds the time from the network connection to a
	// complete CONNECT packet [MQTT-3.1.0-1 and section 3.1.4 of both standards ask
	// for "a reasonable amount of time"].
	DefaultConnectTimeout = 10 * time.Second
	// DefaultWriteTimeout ends a TCP or TLS client that takes nothing for so long.
	DefaultWriteTimeout = 20 * time.Second
	// DefaultIdleTimeout is the QUIC idle timeout that the server offers. The
	// shorter one of both ends is effective; clients bring 90 s and 120 s. It only
	// has to notice dead paths: MQTT keep alive decides about silent clients.
	DefaultIdleTimeout = 120 * time.Second
	// DefaultShutdownTimeout is how long Run waits for clients to take the last
	// packet when its context ends. ngmqd promises to exit within 5 s.
	DefaultShutdownTimeout = 3 * time.Second
)

// DefaultMaxConnections is the limit of network connections of the zero Config: a
// guard against running out of file descriptors and memory (an idle QUIC client
// costs about 42 KB), not a measure of what the server can carry.
const DefaultMaxConnections = 100_000

// DefaultSysInterval is how often $SYS/broker/ is brought up to date; that of mosquitto.
const DefaultSysInterval = 10 * time.Second

// Config says what a Server does. The zero Config works and is safe: it serves
// QUIC and TCP on loopback addresses, to anonymous clients of this machine, with a
// development certificate that lives in memory. New copies the Config.
type Config struct {
	// QUIC, TCP, TLS, WS (WebSocket) and WSS (secure WebSocket) are the addresses to
	// listen on, "host:port". An empty list means DefaultQUIC, DefaultTCP and none of
	// the others; the list {Off} means none. Port 0 lets the system choose; see
	// Server.Addrs. A host that resolves to anything but loopback needs AllowAnonymous,
	// Authenticators or Handlers.Connect. A build without QUIC (tag noquic) refuses
	// addresses for it.
	//
	// An address other than for QUIC may name the networks of proxies:
	// "host:port?proxy=10.0.0.0/8&proxy=192.168.1.2". A connection from there has to
	// begin with a PROXY protocol header, version 1 or 2, and the addresses in it are
	// those of the client. Whoever comes from elsewhere is served as who he is.
	//
	// WebSocket is at the path /mqtt, with the subprotocol mqtt or mqttv3.1.
	QUIC, TCP, TLS, WS, WSS []string

	// Unix are the paths of Unix sockets to listen on, "/run/ngmq.sock", or
	// "unix:///run/ngmq.sock?mode=0660" for another mode than DefaultUnixMode. Clients
	// there need no credentials, like those on loopback addresses. The file of a server that is gone is replaced. An empty
	// list and {Off} mean none.
	Unix []string

	// Origins are the web pages that may connect over WebSocket, as browsers name them
	// ("https://example.org"). Empty: all of them, as with other servers. Clients
	// that are no web pages name no origin and are not asked.
	Origins []string

	// CertFile and KeyFile name the PEM files of the certificate chain and private
	// key for QUIC, TLS and WSS. Both empty: a development CA and certificate are made;
	// see DataDir.
	CertFile, KeyFile string

	// ClientCAFile names a PEM file with the CAs of clients over QUIC, TLS and WSS, which
	// then have to show a certificate, as ClientCert says. Empty: they are asked for none.
	// Addresses of these transports may be reached by other machines then, if
	// certificates are required.
	ClientCAFile string
	// ClientCRLFile names a PEM file with certificate revocation lists of these CAs. A client
	// certificate is then refused unless its issuer has a list there that is valid and
	// does not name it. It is read again when it has changed, within 10 s; resumed QUIC
	// and TLS sessions are held to it too. Who is connected already stays. Default:
	// nothing is revoked.
	ClientCRLFile string
	// ClientCert says whether clients may do without a certificate; default
	// ClientCertRequired.
	ClientCert ClientCert
	// CertUsername says what of a client certificate becomes the user name that handlers
	// see; default CertUsernameOff. A certificate without it is refused. With
	// ClientCertOptional, and on other transports, clients without a certificate have the
	// user name that they give themselves: let Handlers.Connect check their password, or
	// ConnInfo.TLS.PeerVerified.
	CertUsername CertUsername

	// DataDir is the directory for what outlives the process: the development CA
	// and certificate (dev-ca.crt, dev.crt, dev.key), and the secret by which a server
	// that was killed tells its QUIC clients so when it is back (quic-reset.key). It is
	// made when missing. Empty: nothing is written, and both are new ones at each start.
	DataDir string

	// AllowAnonymous admits clients without credentials on addresses that other
	// machines can reach. On loopback addresses they are always admitted, unless
	// Handlers.Connect decides.
	AllowAnonymous bool

	// Authenticators are methods of enhanced authentication (MQTT 5.0 section 4.12), such
	// as SCRAM makes one. With any of them clients without credentials are refused on
	// loopback addresses too, unless AllowAnonymous or Handlers.Connect admits them or they
	// have shown a certificate of ClientCAFile.
	Authenticators []Authenticator

	// Handlers are functions of the embedding program. Handlers.Connect, when set,
	// alone decides who is let in.
	Handlers Handlers

	// Limits bounds what clients can make the server hold.
	Limits Limits

	// Timeouts are the deadlines of connections.
	Timeouts Timeouts

	// ResponsePrefix, when not empty, is the beginning of the Response Information that
	// 5.0 clients get who ask for it: with "response/" the client "a" is told
	// "response/a/" (MQTT 5.0 section 4.10). A client identifier that is not a level of a
	// topic gets none. Who may use these topics is up to the handlers.
	ResponsePrefix string

	// CheckPayloadFormat refuses messages and wills that say to be UTF-8 (Payload Format
	// Indicator) and are not, with 0x99; at QoS 0 they vanish. Default: payloads are not
	// looked at.
	CheckPayloadFormat bool

	// SysInterval is how often the server publishes its numbers as retained messages in
	// $SYS/broker/, with the topics of mosquitto: clients, messages, bytes, subscriptions,
	// load. Clients that may subscribe to $SYS/# see them, and none can publish there.
	// Default DefaultSysInterval; negative: never, and $SYS is a topic like others.
	SysInterval time.Duration
	// Version is what $SYS/broker/version says. Default: the name of this module and the
	// version that the program was built with.
	Version string

	// Workers is the number of QUIC event loops; 0 means one per core. They are cheaper
	// when GOMAXPROCS is above it: see endpoint.Config.
	Workers int

	// Retry says when a QUIC client has to prove its address with a Retry before the
	// server spends anything on it (RFC 9000 section 8.1.2), which costs one round
	// trip; default RetryAuto.
	Retry RetryPolicy

	// StreamClients serves QUIC clients for which every stream is an MQTT connection: a
	// bidirectional stream of the client that begins with CONNECT is a client of its own,
	// with its own place in MaxConnections, and its end is that client's alone. Default
	// off: a connection is one client, and a CONNECT on another stream than the first
	// resets that stream.
	StreamClients bool
	// MQTTNext serves QUIC clients that offer the ALPN "MQTT-next", with flow headers; default
	// MQTTNextOff.
	MQTTNext MQTTNext
	// SingleSubscription makes a subscription of a QUIC client replace the one with the
	// same filter on another of its streams, as it does on one stream. Default: each
	// stream gets a copy of the messages.
	SingleSubscription bool

	// CongestionControl is what the server sends to QUIC clients by; default
	// CongestionCubic.
	CongestionControl CongestionControl
	// QoSPriority says in which order a QUIC client gets what waits for it on several data
	// streams: that with QoS 2 subscriptions, or none, first, then those with QoS 1 at
	// most, then those with QoS 0. A stream goes by the highest QoS that has been
	// subscribed to on it; one that always has something to send can keep later ones
	// waiting. Default: they take turns. The control stream always goes before them, so
	// that an answer there does not wait for messages elsewhere.
	QoSPriority bool
	// Datagrams says whether QUIC clients may send messages with QoS 0 in datagrams (RFC
	// 9221), and get them so: a whole PUBLISH packet in each. A datagram that is lost is
	// not sent again, and none waits for another one or for a stream; so messages of one
	// topic may come in another order. What fits in no datagram, or finds too many that
	// wait, goes on the stream as without; retained messages for a new subscription always
	// do. From clients the server takes nothing else in a datagram: what is no such packet,
	// comes before the CONNECT has been accepted, in early data, or from a client that has
	// to wait (RateWait) is dropped. Stats counts all of it. Default DatagramsOnRequest: no
	// datagram is sent to a client that has not asked with the User Property
	// "ngmq-datagrams" = "qos0" in its CONNECT.
	Datagrams Datagrams

	// LoadBalancer, when set, gives QUIC Connection IDs a form that a load balancer in
	// front of several servers routes by, so that a client whose address changes stays
	// with its server (QUIC-LB, see package quiclb). Each server has a ServerID of its
	// own, the rest is the same. Default nil: they tell nobody else anything.
	LoadBalancer *LoadBalancer
	// LoadBalancerKeyFile names a file with LoadBalancer.Key in 32 hexadecimal digits,
	// as openssl rand -hex 16 makes them; LoadBalancer.ID may stand before it, in decimal
	// and with a space between. It is read again within 10 s of a change: another key with
	// another ID is taken into use, and connections keep the Connection IDs that they
	// have, so that the load balancer needs both for a while (see package quiclb). What
	// cannot be used is logged, and changes nothing. Default "": LoadBalancer has the key.
	LoadBalancerKeyFile string
	// NoMigration asks QUIC clients not to migrate (disable_active_migration, RFC 9000
	// section 18.2). A NAT may change their address all the same: as section 9 asks, the
	// server then makes sure that they are there, and goes on. To PreferredAddrs they go.
	NoMigration bool
	// PreferredAddrs are addresses of this server, "ip:port", one IPv4 and one IPv6 at
	// most, that QUIC clients are asked to go to after the handshake: its own behind
	// an address that many servers share (RFC 9000 section 9.6). They are listened on,
	// and count as addresses of QUIC. With port 0 the system chooses. Default none.
	PreferredAddrs []string

	// EarlyData says whether QUIC clients may send before the handshake is complete
	// (0-RTT); default EarlyDataOff.
	//
	// Early data may be a copy that somebody else sends, from any address, to any server
	// with the same ticket keys. So before the handshake is complete the server does no
	// more than to answer a CONNECT that it would let in, which nobody but the client can
	// read. The rest is kept until then: session, will, subscriptions, messages. If the
	// answer has become another one meanwhile, the connection ends with an error.
	//
	// Handlers.Connect and Authorize are asked before the answer: once for each connection,
	// and for each copy that somebody sends. ConnInfo.TLS.EarlyData tells them.
	EarlyData EarlyData

	// TicketKeysFile names a file with the keys of session tickets, for servers that
	// clients reach by one name: a client that comes to another one resumes its session
	// all the same. Package crypto/ticketkeys describes the file, ngmqd ticket-keys makes
	// it. It is read again when it has changed, within 10 s. Who has it can read early
	// data and take over resumed sessions. It is for QUIC, and for TLS and WSS. Default:
	// keys of this process alone, a new one every 12 hours. Tickets are good for 2 hours.
	TicketKeysFile string

	// KeyLogFile, when not empty, gets the TLS secrets of all QUIC and TLS connections
	// in the NSS key log format, for packet analysers. Whoever reads it reads the
	// traffic. It is appended to and made with mode 0600; one that is open to group or
	// others is refused.
	KeyLogFile string

	// QlogDir, when not empty, is the directory for a qlog file per QUIC connection,
	// ODCID_server.sqlog, closed when the connection ends. It is made with mode 0700
	// when missing. 512 connections at a time are recorded. For looking at problems: it
	// costs time and disk space for each packet.
	QlogDir string
	// LogQUIC sends the QUIC library's own log to Logger at debug level: several lines
	// per packet. As costly as QlogDir.
	LogQUIC bool

	// Faults makes the server misbehave towards every client, for those who test
	// clients; never for anything else. The server warns when it starts, and New refuses
	// them on addresses that other machines can reach, unless FaultsInPublic says so
	// too. Default: none.
	Faults []Fault
	// FaultsInPublic lets Faults be used on addresses that other machines can reach.
	FaultsInPublic bool

	// Logger gets the server's log; nil means none.
	Logger *slog.Logger
}

// LoadBalancer is what a server and the load balancers in front of it agree upon: config
// rotation bits (ID), ServerID, NonceLen, and a Key for all but plaintext.
type LoadBalancer = quiclb.Config

// Limits bounds what clients can make the server hold. Zero fields mean the
// default that is named with each.
type Limits struct {
	// MaxConnections is the number of network connections of all transports at
	// once, DefaultMaxConnections by default; further ones are refused.
	MaxConnections int
	// MaxConnectionsPerIP is the same for one IPv4 address or IPv6 network of /64; by
	// default it is not limited, for everybody behind a NAT or proxy shares an address.
	// A CONNECT above it gets 0x97 (Quota exceeded); when more wait to be told, further
	// connections are closed at once.
	MaxConnectionsPerIP int
	// MaxConnectRate and MaxConnectRatePerIP are the CONNECT packets per second, of
	// everybody and of one address, counted likewise; as many may come at once. Further
	// ones get 0x9F (Connection rate exceeded; 3.x: 0x03) before anybody looks at their
	// credentials, and do not count. By default they are not limited.
	MaxConnectRate, MaxConnectRatePerIP int
	// MaxStreams is the number of bidirectional streams that a QUIC client may have open at
	// once, the control stream included; 64, at most 65,536; negative: the control stream
	// alone. MaxUniStreams is the same for its unidirectional streams; 16; negative:
	// none. Closed ones make room for others.
	MaxStreams, MaxUniStreams int
	// MaxSessions is the number of sessions, connected or not; 200,000.
	MaxSessions int
	// MaxPacketSize is the largest MQTT packet taken from a client, in bytes; 8 MiB.
	MaxPacketSize int
	// ReceiveMaximum is the number of QoS 2 messages that a client may have open
	// towards the server [MQTT 5.0, 3.2.2.3.3]; 1,024.
	ReceiveMaximum uint16
	// MaxInflight is the number of QoS 1 and 2 messages in flight towards one
	// client, whatever larger Receive Maximum it names; 1,024.
	MaxInflight int
	// MaxQueuedMessages and MaxQueuedBytes bound what waits for one session, connected
	// or not; QueuePolicy says what becomes of further messages; 10,000 and 32 MiB.
	MaxQueuedMessages, MaxQueuedBytes int
	// MaxQueuedAge is how long a message may wait for a session, counted from its
	// arrival, before it is dropped as if it had expired; by default for ever. What has
	// been sent and is not acknowledged is kept.
	MaxQueuedAge time.Duration
	// QueuePolicy says what happens when the queue of a session is full; DropNew.
	QueuePolicy QueuePolicy
	// TopicAliasMaximum is how many topic aliases a 5.0 client may use, and
	// OutgoingTopicAliasMaximum how many the server uses towards one that accepts them,
	// at most 256; 16 and 16; negative: none. A client that uses more is disconnected
	// with 0x94 (Topic Alias invalid).
	TopicAliasMaximum, OutgoingTopicAliasMaximum int
	// MaxSubscriptions is the number of subscriptions of one session; 4,096.
	MaxSubscriptions int
	// MaxSubscribeRate is the number of filters per second in the SUBSCRIBE packets of
	// one client; further ones get 0x97 in the SUBACK. By default it is not limited.
	MaxSubscribeRate int
	// MaxMessageRate and MaxByteRate are the PUBLISH packets and the bytes of all packets
	// that one client may send per second; as much may come at once. RatePolicy says what
	// becomes of more. By default they are not limited.
	MaxMessageRate, MaxByteRate int
	// RatePolicy is RateWait (default): the server does not read from the client for a
	// while, so that it has to wait; or RateDisconnect: it is disconnected with 0x96
	// (Message rate too high).
	RatePolicy RatePolicy
	// MaxTopicLength is the length of topic names and filters in bytes; 65,535.
	// MaxTopicLevels is the number of their levels; 128. A PUBLISH above them gets 0x90
	// (Topic Name invalid), a filter 0x8F (Topic Filter invalid).
	MaxTopicLength, MaxTopicLevels int
	// MaxOfflineBytes is the size of the messages that are kept for all sessions
	// without a connection together; further ones are dropped and counted. 0 means 1 GiB.
	MaxOfflineBytes int64
	// MaxSessionExpiry caps how long a session is kept without a connection, with a
	// resolution of a second; by default it is not capped.
	MaxSessionExpiry time.Duration
	// MaxWillDelay caps how long a will waits after its connection was lost, with a
	// resolution of a second; by default it is not capped.
	MaxWillDelay time.Duration
	// MaxKeepAlive caps the keep alive of 5.0 clients (Server Keep Alive), in
	// seconds; by default it is not capped.
	MaxKeepAlive uint16
}

// Timeouts are the deadlines of connections. Zero fields mean the Default
// constants.
type Timeouts struct {
	Handshake time.Duration // QUIC and TLS handshake, with PROXY header and WebSocket
	Connect   time.Duration // from the network connection to a complete CONNECT, TLS included
	Write     time.Duration // all but QUIC: one write that the client does not take
	Idle      time.Duration // QUIC idle timeout offered
	Shutdown  time.Duration // Run: time for clients to take the last packet
}

// withDefaults returns c with defaults in place of zero values.
func (c Config) withDefaults() Config {
	c.QUIC = addresses(c.QUIC, DefaultQUIC)
	c.TCP = addresses(c.TCP, DefaultTCP)
	c.TLS = addresses(c.TLS, Off)
	c.WS = addresses(c.WS, Off)
	c.WSS = addresses(c.WSS, Off)
	c.Unix = addresses(c.Unix, Off)
	c.Limits.MaxConnections = or(c.Limits.MaxConnections, DefaultMaxConnections)
	c.SysInterval = or(c.SysInterval, DefaultSysInterval)
	c.Version = or(c.Version, "ngmq "+moduleVersion())
	c.Timeouts.Handshake = or(c.Timeouts.Handshake, DefaultHandshakeTimeout)
	c.Timeouts.Connect = or(c.Timeouts.Connect, DefaultConnectTimeout)
	c.Timeouts.Write = or(c.Timeouts.Write, DefaultWriteTimeout)
	c.Timeouts.Idle = or(c.Timeouts.Idle, DefaultIdleTimeout)
	c.Timeouts.Shutdown = or(c.Timeouts.Shutdown, DefaultShutdownTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// moduleVersion is the version of this module in the program that is running.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == modulePath && m.Version != "" {
			return m.Version
		}
	}
	return "(devel)"
}

const modulePath = "github.com/ngmq/ngmq"

// addresses applies the default and takes Off entries away.
func addresses(list []string, byDefault string) []string {
	if len(list) == 0 {
		list = []string{byDefault}
	}
	var on []string
	for _, a := range list {
		if a != Off {
			on = append(on, a)
		}
	}
	return on
}

func or[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}

// minTLS is the oldest version on the TLS listener. QUIC is TLS 1.3 by definition.
const minTLS = tls.VersionTLS12

// alpn is the application protocol of MQTT over QUIC; optional on TLS over TCP.
const alpn = "mqtt"
