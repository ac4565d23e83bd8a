package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Defaults and limits.
const (
	// DefaultKeepAlive is the keep alive time when Options.KeepAlive is 0; it is
	// what most clients use and below the NAT timeouts of TCP.
	DefaultKeepAlive = 60 * time.Second
	// NoKeepAlive turns PINGREQ off (Keep Alive 0 on the wire).
	NoKeepAlive time.Duration = -1
	// NeverExpires is the Options.SessionExpiry of a session that the server keeps
	// for ever (MQTT 5.0 section 3.1.2.11.2).
	NeverExpires uint32 = math.MaxUint32

	defaultConnectTimeout = 30 * time.Second
	defaultPingTimeout    = 10 * time.Second
	defaultMaxInflight    = 1024 // more than a bandwidth-delay product needs, little memory

	outboxSize      = 1 << 20 // bytes waiting to be written before senders have to wait
	firstReadSize   = 2 << 10 // bytes that an idle connection keeps for reading
	readSize        = 32 << 10
	closeTimeout    = time.Second // waits at the end: for OnMessage, for the server's end of stream
	maxKeepAlive    = math.MaxUint16 * time.Second
	dialedURL       = "mqtt://dial" // the server behind Options.Dial, for errors
	randomIDPrefix  = "ngmq-"
	randomIDEntropy = 8 // bytes; prefix and hex fit the 23 characters of MQTT 3.1
)

// Message is an application message, to publish or received.
type Message struct {
	// Topic name, without wildcards.
	Topic string
	// Payload may be empty.
	Payload []byte
	// QoS is 0, 1 or 2.
	QoS byte
	// Retain asks the server to keep the message; on a received message it tells
	// that the server had kept it (MQTT 5.0 section 3.3.1.3).
	Retain bool
	// Dup, received messages only: this may be a repetition.
	Dup bool
	// PacketID, received messages only: the server's packet identifier; 0 with QoS 0. For
	// logs and debugging: acknowledging is the client's business.
	PacketID uint16
	// Stream, to publish with StreamNamed: the name of the QUIC stream, at most 1024 bytes;
	// "" = the first one.
	Stream string
	// Properties, 5.0 only. To publish: those of PUBLISH except Topic Alias and
	// Subscription Identifier. Received: all but Topic Alias.
	Properties packet.Properties
}

// Options say how to connect. The zero value with a server is usable: MQTT 5.0,
// clean start, keep alive 60 s, servers verified with the system's roots.
type Options struct {
	// Servers are tried in order until one accepts; see the package doc for the
	// URLs. User name and password in a URL come before those below.
	Servers []string
	// RandomServer tries Servers in another order each time.
	RandomServer bool
	// HeadStart lets Servers race for the network connection (QUIC, TLS, WebSocket
	// handshakes included): the next one starts when the one before has failed, or after
	// this time. The first one that is there is used, and tried first for ReturnAfter;
	// with Reconnect and a session that outlasts the connection the client then goes back
	// to a server that stands before it, if it can be reached. Default 0: one after the
	// other; with Fallback DefaultHeadStart.
	HeadStart time.Duration
	// ReturnAfter defaults to DefaultReturnAfter.
	ReturnAfter time.Duration
	// Fallback puts mqtts:// and wss:// at the same host, with their default ports, behind
	// every quic:// server, for networks without UDP. With other ports, list the servers
	// and set HeadStart. Plain TCP is used only if listed.
	Fallback bool
	// FollowReference, 5.0 only, goes where a server sends the client, in its CONNACK or
	// DISCONNECT (Server Reference, MQTT 5.0 section 4.11): with packet.UseAnotherServer for
	// one connection, with packet.ServerMoved for the life of the Client, which tries the
	// server that has moved last. After a DISCONNECT the next Connect goes there, with
	// Reconnect at once. It gets the same user and password. At most five servers in a row
	// are followed, and never from QUIC, TLS or wss:// to one without encryption. Default: the
	// error is a *ReasonError with the reference.
	FollowReference bool
	// Dial, when set, opens each network connection in place of Servers, which must be
	// empty: for a server in the same process (server.Server.Dial) or a transport that
	// this package does not know. The client closes the connection.
	Dial func(context.Context) (net.Conn, error)
	// Endpoint, when set, carries the QUIC connections, together with those of other clients
	// and Dialers; see NewEndpoint. LocalAddr and QlogDir are then its own. Default: each
	// connection has sockets and goroutines of its own.
	Endpoint *Endpoint
	// LocalAddr is the address of this host to connect from, one of an interface. Only
	// servers of its family can be reached then. Not for Unix sockets. Default: the address
	// that the system routes from.
	LocalAddr netip.Addr

	// Proxy is a SOCKS5 proxy (RFC 1928) that leads to the servers: socks5h://host[:1080], or
	// with user and password (RFC 1929) socks5h://user:password@host, percent-encoded where
	// need be. It looks the names of the servers up. It carries TCP, and so TLS and WebSocket;
	// no connection goes past it but to Unix sockets: quic:// servers are left out of a list
	// that has others or with Fallback, and refused without. Default: none.
	Proxy string

	// Version of the protocol: packet.V50 (default), V311 or V31.
	Version packet.Version
	// ClientID, when empty, is chosen by the server (3.1: at random by the client).
	// A session that shall be resumed needs one.
	ClientID string
	// ResumeSession goes on with a session that the server has kept (Clean Start 0,
	// in 3.x Clean Session 0). Default: a new session.
	ResumeSession bool
	// SessionExpiry, 5.0 only: seconds that the server keeps the session after the
	// connection has ended. Default 0: the session ends with the connection.
	SessionExpiry uint32
	// Username and Password are not sent when empty.
	Username string
	Password []byte
	// Will is published by the server when the connection is lost; nil = none.
	Will *packet.Will
	// KeepAlive is the longest silence towards the server; default DefaultKeepAlive,
	// NoKeepAlive turns it off. Rounded up to seconds. A 5.0 server may override it.
	KeepAlive time.Duration
	// PingTimeout is how long a PINGRESP may take before the connection counts as
	// lost. Default 10 s.
	PingTimeout time.Duration
	// ConnectTimeout bounds each server's dial, handshake and CONNACK beside the
	// context. Default 30 s.
	ConnectTimeout time.Duration

	// MaxPacketSize is the largest packet accepted from the server, in bytes.
	// Default: the limit of the format, 256 MiB.
	MaxPacketSize uint32
	// MaxInflight is how many QoS 1 and QoS 2 messages may be unacknowledged
	// towards the server; its Receive Maximum counts when smaller. Default 1024.
	MaxInflight uint16
	// ReceiveMaximum, 5.0 only: how many QoS 1 and QoS 2 messages the server may
	// send without acknowledgement, which bounds those that wait for the handlers; in 3.x
	// the server alone decides. Default: 65535, the protocol's.
	ReceiveMaximum uint16
	// InboxBytes bounds the memory of received messages that wait for the handlers, in bytes:
	// beyond, the client stops reading, which slows the server down, and while it waits for an
	// answer drops messages of QoS 0 as the package doc says; those of QoS 1 and 2 may take
	// twice as much then. One message always has room: MaxPacketSize bounds that. Default
	// DefaultInboxBytes, 32 MiB; less for small devices, or thousands of clients in a program.
	InboxBytes int
	// TopicAliasMaximum, 5.0 only: topic aliases that the server may use. Default 0.
	TopicAliasMaximum uint16
	// TopicAliases, 5.0 only: how many topic aliases to use towards a server that allows
	// as many (its Topic Alias Maximum), for the topics that are published to first. They
	// shorten messages. Default 0.
	TopicAliases uint16
	// Properties, 5.0 only, are added to CONNECT: User Property, Request Problem
	// Information, Request Response Information.
	Properties packet.Properties

	// Reconnect connects again by itself after a connection is lost, restores
	// subscriptions if their session was lost too, and keeps messages in a queue
	// meanwhile: Publish waits for the acknowledgement over any number of connections.
	Reconnect bool
	// Backoff says when to try again.
	Backoff Backoff
	// Queue bounds the messages that are not acknowledged yet.
	Queue Queue

	// ResponseTopic, 5.0 only, is where Request gets its responses. Others must not use
	// it. Default: a random name below "ngmq/response/".
	ResponseTopic string
	// Auth does enhanced authentication, 5.0 only, e.g. SCRAM; nil = none.
	Auth Authenticator

	// Streams spreads messages over streams of a QUIC connection, if the server is one of
	// those that know that, such as ngmqd and EMQX; one that does not is found out by
	// the first Connect, which takes a round trip more for it, or two seconds; a connection
	// that is made five minutes later, or more, asks again. Default SingleStream. After a
	// reconnect to a session that was kept, its subscriptions are on the first stream.
	Streams Streams
	// MaxStreams bounds the streams beside the first. Default DefaultMaxStreams.
	MaxStreams int

	// Datagrams sends QoS 0 messages in QUIC datagrams (RFC 9221) to a server that takes
	// them, when they fit, and with 5.0 asks the server for the same: what is lost is not
	// sent again, and holds nothing up. Their order does not hold. What does not fit goes
	// on a stream; QUICInfo counts that. MQTT knows no datagrams: of other servers than
	// ngmqd expect that they drop them. Default: on streams.
	Datagrams bool
	// FollowNetwork moves a QUIC connection when the network of this host changes, from
	// Wi-Fi to Ethernet for instance: to the address that the system now routes from.
	// Linux only; elsewhere, or in one's own way, see Rebind.
	FollowNetwork bool
	// CongestionControl is what the client sends over QUIC by; default CongestionCubic.
	CongestionControl CongestionControl

	// TLS is used by quic://, mqtts://, ssl:// and wss://.
	TLS TLS

	// OnMessage takes the received messages that no handler of Handle takes; see the
	// package doc. nil drops them.
	OnMessage func(Message)
	// The functions that follow are called one at a time, in the order of what happened,
	// by a goroutine of their own. They may call all methods but should return soon: what
	// else there is to tell waits.

	// OnConnected is called for each new connection.
	OnConnected func(packet.Connack)
	// OnConnectionLost is called once per connection that ends without Disconnect
	// or Close, with the cause (a *ReasonError when the server sent DISCONNECT).
	OnConnectionLost func(cause error)
	// OnDelivered is called for each QoS 1 and QoS 2 message that is over: acknowledged
	// or refused. Wait does not block there.
	OnDelivered func(*Pending)
	// OnError gets what no call can return, with Reconnect: why an attempt to connect
	// failed, and a *ReasonError for a subscription that could not be restored.
	OnError func(error)
	// QlogDir, when not empty, is the directory for a qlog file per QUIC connection,
	// ODCID_client.sqlog. It is made with mode 0700 when missing.
	QlogDir string
	// OnPacket sees each packet that is handed to the connection (sent) or that came, for
	// debugging; nil = nobody. Several goroutines call it, with locks of the client held: it
	// must return at once, call no method of the client, and keep nothing of the packet,
	// which belongs to the client. Will, password and payloads are in there.
	OnPacket func(sent bool, p packet.Packet)
	// Metrics is told what happens; nil = nobody.
	Metrics Metrics
	// Logger takes debug lines and the warnings about TLS.Insecure, TLS.KeyLogFile and dropped
	// messages; nil = none.
	Logger *slog.Logger
}

// TLS says how servers are verified and how the client shows who it is.
type TLS struct {
	// CAFile names a PEM file with the certificate authorities to trust. Default:
	// those of the system. It is an error when no server is encrypted.
	CAFile string
	// CADir names a directory with such files, which are trusted beside CAFile. Files without
	// a certificate are left aside, and the names of the others do not matter.
	CADir string
	// CAPEM has certificates to trust, beside those of CAFile and CADir: PEM.
	CAPEM []byte
	// CertFile and KeyFile name the PEM files of a client certificate.
	CertFile, KeyFile string
	// ServerName is verified and sent as SNI. Default: the host of the URL.
	ServerName string
	// Insecure accepts any server certificate: whoever is in between can read and
	// change everything. For tests only.
	Insecure bool
	// MinVersion is tls.VersionTLS12, the default, or tls.VersionTLS13. QUIC has TLS 1.3.
	MinVersion uint16
	// CipherSuites of TLS 1.2 that are offered, e.g. tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256.
	// Those of TLS 1.3, and so of QUIC, cannot be chosen. Default: those of crypto/tls.
	CipherSuites []uint16
	// ALPN are the application protocols that are offered, the preferred first (RFC 7301).
	// Default: "mqtt" over QUIC, which needs one, and none over TLS. Not for WebSocket.
	ALPN []string
	// EarlyData sends the CONNECT with the first packets of a resumed QUIC connection.
	EarlyData EarlyData
	// SessionFile, when not empty, keeps sessions for the next program; default: in memory,
	// for this client. They resume QUIC and TLS connections, and are as secret as a
	// password: it is made with mode 0600, and one that is open to group or others is
	// refused.
	SessionFile string
	// NoResumption makes every handshake a full one.
	NoResumption bool
	// KeyLogFile, when not empty, gets the secrets of the connections in the NSS key
	// log format, for packet analysers: whoever reads it reads the traffic. It is
	// appended to and made with mode 0600; one that is open to group or others is
	// refused.
	KeyLogFile string
}

// Validate returns all that is wrong, joined.
func (o *Options) Validate() error {
	errs := []error{o.validateServers(), o.validateProxy(), o.validateSession(), o.TLS.validate(), o.validateReconnect(), validateCongestion(o.CongestionControl)}
	for name, d := range map[string]time.Duration{"PingTimeout": o.PingTimeout, "ConnectTimeout": o.ConnectTimeout} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("client: Options.%s is negative: use 0 for the default", name))
		}
	}
	if o.Endpoint != nil && (o.LocalAddr.IsValid() || o.QlogDir != "") {
		errs = append(errs, errors.New("client: Options.LocalAddr and QlogDir have no effect with Endpoint: set them in its EndpointOptions"))
	}
	if o.Streams > StreamNamed || o.MaxStreams < 0 {
		errs = append(errs, errors.New("client: Options.Streams is unknown, or MaxStreams negative: use one of the constants, and 0 for the default"))
	}
	if o.InboxBytes < 0 {
		errs = append(errs, errors.New("client: Options.InboxBytes is negative: use 0 for the default"))
	}
	if o.KeepAlive > maxKeepAlive {
		errs = append(errs, fmt.Errorf("client: Options.KeepAlive is above %s", maxKeepAlive))
	}
	return errors.Join(errs...)
}

func (o *Options) validateServers() error {
	switch {
	case o.Dial != nil && o.FollowReference:
		return errors.New("client: Options.FollowReference has no effect with Dial: leave one out")
	case o.Dial != nil && len(o.Servers) > 0:
		return errors.New("client: Options has both Servers and Dial: leave one out")
	case o.Dial != nil:
		return nil
	case len(o.Servers) == 0:
		return errors.New("client: Options.Servers is empty: give at least one URL, e.g. quic://localhost:14567")
	}
	var errs []error
	for _, server := range o.Servers {
		srv, err := parseURL(server)
		errs = append(errs, cmp.Or(err, checkQUIC(srv)))
	}
	return errors.Join(append(errs, o.TLS.checkUsed(o.Servers))...)
}

func (o *Options) validateSession() error {
	var errs []error
	switch o.Version {
	case 0, packet.V31, packet.V311, packet.V50:
	default:
		errs = append(errs, fmt.Errorf("client: Options.Version %d is unknown: use packet.V50, V311 or V31", o.Version))
	}
	if o.ResumeSession && o.ClientID == "" {
		errs = append(errs, errors.New("client: Options.ResumeSession needs a ClientID: without one the server cannot find the session"))
	}
	if o.version() == packet.V31 && len(o.ClientID) > 23 {
		errs = append(errs, errors.New("client: Options.ClientID is longer than the 23 characters that MQTT 3.1 allows"))
	}
	if o.Auth != nil && o.version() != packet.V50 {
		errs = append(errs, errors.New("client: Options.Auth needs MQTT 5.0"))
	}
	if o.Will != nil && o.Will.Topic == "" {
		errs = append(errs, errors.New("client: Options.Will has no Topic"))
	}
	if err := packet.Validate(o.connect(server{}), o.version()); len(errs) == 0 && err != nil {
		errs = append(errs, fmt.Errorf("client: Options make no valid CONNECT: %w", err))
	}
	return errors.Join(errs...)
}

// withDefaults is a copy with every default filled in.
func (o Options) withDefaults() Options {
	o.Servers = slices.Clone(o.Servers)
	if o.Dial != nil {
		o.Servers = []string{dialedURL}
	}
	if o.Fallback {
		o.Servers = withFallback(o.Servers)
		o.HeadStart = cmp.Or(o.HeadStart, DefaultHeadStart)
	}
	if o.Proxy != "" {
		o.Servers = slices.DeleteFunc(o.Servers, besideProxy)
	}
	o.ReturnAfter = cmp.Or(o.ReturnAfter, DefaultReturnAfter)
	o.Version = o.version()
	if o.Version == packet.V31 && o.ClientID == "" {
		o.ClientID = randomID()
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = DefaultKeepAlive
	}
	if o.PingTimeout == 0 {
		o.PingTimeout = defaultPingTimeout
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = defaultConnectTimeout
	}
	if o.MaxInflight == 0 {
		o.MaxInflight = defaultMaxInflight
	}
	o.Backoff, o.Queue = o.Backoff.withDefaults(), o.Queue.withDefaults()
	o.MaxStreams = cmp.Or(o.MaxStreams, DefaultMaxStreams)
	o.InboxBytes = cmp.Or(o.InboxBytes, DefaultInboxBytes)
	if o.OnPacket == nil {
		o.OnPacket = func(bool, packet.Packet) {}
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o *Options) version() packet.Version {
	if o.Version == 0 {
		return packet.V50
	}
	return o.Version
}
