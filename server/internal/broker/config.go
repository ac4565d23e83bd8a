package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// Config is the configuration of a Broker. The zero value works and is safe: every
// limit has a default, and without an authenticator nobody is let in unless
// AllowAnonymous says so. A number that is 0 means its default.
type Config struct {
	// AllowAnonymous lets every client in when no Connect handler decides. User
	// names and passwords are then not looked at. Default false: CONNACK 0x87, but for
	// clients with a certificate that the listener has verified.
	AllowAnonymous bool
	// Authenticators are the methods of enhanced authentication for 5.0 clients that ask
	// for one. Whom one of them has authenticated is let in, unless the Connect handler
	// says otherwise. A method that is not here is refused with 0x8C. Default: none.
	Authenticators []Authenticator
	// Handlers of the embedding program.
	Handlers Handlers

	// CertUsername gives the user name of a client with a verified certificate, in place of
	// that in its CONNECT; "" refuses it. nil: the user name is that of the CONNECT.
	CertUsername func(*TLSInfo) string

	// MaxClients limits network connections, counted from NewClient to Closed. A
	// CONNECT above it gets 0x89 (Server busy). Default 100,000.
	MaxClients int
	// MaxConnectionsPerIP limits the connections of one IPv4 address or IPv6 network of
	// /64, as far as listeners tell it (Client.From). A CONNECT above it gets 0x97
	// (Quota exceeded); more than refusalSlots above it are closed at once. Default 0:
	// not limited, because a NAT, a proxy or a test is one address.
	MaxConnectionsPerIP int
	// MaxConnectRate and MaxConnectRatePerIP limit the CONNECT packets per second, of
	// everybody and of one address; that many may come at once. A CONNECT above it gets
	// 0x9F (Connection rate exceeded) before it is authenticated. Default 0: not limited.
	MaxConnectRate, MaxConnectRatePerIP int
	// MaxSessions limits sessions, connected or not. A CONNECT that would need one
	// more gets 0x97 (Quota exceeded). Default 200,000.
	MaxSessions int
	// ConnectTimeout is how long a connection may take until its CONNECT is
	// complete. Default 10 s.
	ConnectTimeout time.Duration
	// MaxKeepAlive is the longest keep alive interval that is granted, in seconds:
	// 5.0 clients that ask for more, or for none, are told it as Server Keep Alive;
	// 3.x clients cannot be told and keep theirs. Default 0: every interval is
	// granted, 0 = off included.
	MaxKeepAlive uint16
	// MaxSessionExpiry limits how long a session is kept without a connection.
	// 5.0 clients are told when they get less than they asked for. Default 0: what
	// the client asks for, for ever included. Resolution 1 s. It holds for 3.x
	// clients too: a session with Clean Session 0 has no interval of its own there
	// and ends with the next CONNECT of its client that has Clean Session 1, or
	// after this time; with 0 never, so set it where 3.x clients come and go for good.
	MaxSessionExpiry time.Duration
	// MaxWillDelay limits the Will Delay Interval: a longer one is shortened, which
	// clients are not told, for MQTT has no place for it. Default 0: any is granted.
	// Resolution 1 s.
	MaxWillDelay time.Duration
	// MaxClientIDLength in bytes; longer ones get 0x85. Default 1,024, at least 23
	// [MQTT-3.1.3-5].
	MaxClientIDLength int

	// MaxPacketSize is the largest packet taken from a client, in bytes, announced
	// as Maximum Packet Size; it limits the payload. A larger packet ends the
	// connection with 0x95. Default 8 MiB, at most packet.MaxPacketSize.
	MaxPacketSize int
	// MaxConnectSize is the same for the CONNECT packet, which comes from a
	// stranger. Default 256 KiB: two full 64 KiB fields and then some.
	MaxConnectSize int
	// ReceiveMaximum is how many QoS 2 messages a 5.0 client may have open towards
	// the broker; one more ends the connection with 0x93. Default 1,024.
	ReceiveMaximum uint16
	// TopicAliasMaximum is how many topic aliases a 5.0 client may use. Default 16;
	// negative: none.
	TopicAliasMaximum int
	// OutgoingTopicAliasMaximum is how many topic aliases the broker uses towards a 5.0
	// client that accepts them. Each may keep a topic name of up to 1,024 bytes. Default
	// 16, at most 256; negative: none.
	OutgoingTopicAliasMaximum int
	// MaxTopicLength in bytes, of topic names and filters. Default 65,535.
	MaxTopicLength int
	// MaxTopicLevels of topic names and filters. Default 128: matching costs time
	// and the tree costs memory per level.
	MaxTopicLevels int
	// MaxSubscriptions per session; more get 0x97 in the SUBACK. It limits their
	// memory too: it is enough for filters of 13 levels on the average. Default
	// 4,096.
	MaxSubscriptions int
	// MaxSubscribeRate limits the filters in the SUBSCRIBE packets of one client per
	// second; more get 0x97 in the SUBACK. Default 0: not limited.
	MaxSubscribeRate int
	// MaxMessageRate and MaxByteRate limit what one client sends per second: PUBLISH
	// packets, resends included, and bytes of all packets; that much may come at once.
	// Default 0: not limited.
	MaxMessageRate, MaxByteRate int
	// RatePolicy says what becomes of a client that sends more; default RateWait.
	RatePolicy RatePolicy

	// MaxInflight is how many QoS 1 and QoS 2 messages are open towards one client,
	// if its Receive Maximum is not lower. Default 1,024.
	MaxInflight int
	// MaxQueuedMessages is how many messages wait for one session, connected or
	// not. QueuePolicy says what becomes of further ones. Default 10,000.
	MaxQueuedMessages int
	// MaxQueuedBytes limits the size of the messages that wait for one session
	// (a message that waits for many is counted for each), and in the same way that
	// of the messages that have been sent and are not acknowledged: further ones
	// wait. One message is always taken. Default 32 MiB.
	MaxQueuedBytes int
	// MaxOfflineBytes limits the size of all messages together that are kept for
	// sessions without a connection (a message that waits for many is counted for
	// each). Further ones are dropped and counted. What a session has when its
	// connection ends is counted and kept. Default 1 GiB.
	MaxOfflineBytes int64
	// MaxQueuedAge is how long a message may wait for a session, connected or not,
	// counted from its arrival: after that it is not sent any more, as if it had
	// expired. Messages that have been sent and are not acknowledged are kept. Default
	// 0: for ever.
	MaxQueuedAge time.Duration
	// QueuePolicy says what happens to messages for a session whose queue is full.
	// Default DropNew.
	QueuePolicy QueuePolicy
	// SingleSubscription makes a subscription replace the one with the same filter that
	// the client has made on another stream, as it does on one stream. Default: each
	// of the streams gets a copy of the messages.
	SingleSubscription bool
	// Datagrams says what QUIC datagrams are for; default DatagramsOnRequest.
	Datagrams Datagrams
	// MaxPendingControl limits the encoded control packets (acknowledgements,
	// PINGRESP) that wait for one connection, in bytes. A client that sends requests
	// and does not read the answers is disconnected with 0x97. Default 1 MiB.
	MaxPendingControl int

	// MaxRetainedMessages: a retained message for one more topic is delivered but
	// not stored, and counted. Default 100,000.
	MaxRetainedMessages int
	// MaxRetainedBytes limits the size of all retained messages together, in the
	// same way, with 300 for each level of their topics; what the topic had before
	// is erased. Default 256 MiB.
	MaxRetainedBytes int64

	// ResponsePrefix, when not empty, is the beginning of the Response Information that
	// 5.0 clients get who ask for it: with "response/" the client "a" is told
	// "response/a/" (MQTT 5.0 section 4.10). Who may use these topics is up to the
	// handlers. It has to be the beginning of a topic name. Default: none is given.
	ResponsePrefix string
	// CheckPayloadFormat refuses messages and wills whose Payload Format Indicator says
	// UTF-8 and whose payload is not, with 0x99. Default: payloads are not looked at.
	CheckPayloadFormat bool
	// SysInterval is how often the numbers of the broker are published in $SYS/broker/,
	// retained, with the topics of mosquitto; clients cannot publish to $SYS then.
	// Default 0: never.
	SysInterval time.Duration
	// Version is the text of $SYS/broker/version. Default "ngmq".
	Version string

	// Sessions and Retained are the stores. Default: in memory.
	Sessions SessionStore
	Retained RetainedStore

	// Faults are mistakes that the broker makes on purpose towards every client, for
	// those who test clients. Default: none.
	Faults []Fault

	// Logger gets structured logs. Default: none are written.
	Logger *slog.Logger
	// Now is the clock, for tests. Default time.Now. It must not go backwards.
	Now func() time.Time
}

// Defaults of Config.
const (
	defaultMaxClients        = 100_000
	defaultMaxSessions       = 200_000
	defaultConnectTimeout    = 10 * time.Second
	defaultMaxClientID       = 1024
	minMaxClientID           = 23 // [MQTT-3.1.3-5]
	defaultMaxPacketSize     = 8 << 20
	defaultMaxConnectSize    = 256 << 10
	minMaxPacketSize         = 128 // a CONNECT of some use
	defaultReceiveMaximum    = 1024
	defaultTopicAliasMaximum = 16
	defaultMaxTopicLength    = packet.MaxStringSize
	defaultMaxTopicLevels    = 128
	defaultMaxSubscriptions  = 4096
	defaultMaxInflight       = 1024
	defaultMaxQueued         = 10_000
	defaultMaxQueuedBytes    = 32 << 20
	defaultMaxOfflineBytes   = 1 << 30
	defaultMaxPendingControl = 1 << 20
	defaultMaxRetained       = 100_000
	defaultMaxRetainedBytes  = 256 << 20
	maxRate                  = 1_000_000_000 // the resolution of broker time
)

// Validate reports every field that is out of range, joined; nil when there is none.
func (c *Config) Validate() error {
	var errs []error
	check := func(field string, value, low, high int64) {
		if value != 0 && (value < low || value > high) {
			errs = append(errs, fmt.Errorf("broker: %s is %d: use 0 for the default or a value from %d to %d", field, value, low, high))
		}
	}
	const many = 1 << 40
	check("MaxClients", int64(c.MaxClients), 1, many)
	check("MaxConnectionsPerIP", int64(c.MaxConnectionsPerIP), 1, many)
	check("MaxConnectRate", int64(c.MaxConnectRate), 1, maxRate)
	check("MaxConnectRatePerIP", int64(c.MaxConnectRatePerIP), 1, maxRate)
	check("MaxSubscribeRate", int64(c.MaxSubscribeRate), 1, maxRate)
	check("MaxMessageRate", int64(c.MaxMessageRate), 1, maxRate)
	check("MaxByteRate", int64(c.MaxByteRate), 1, many)
	check("MaxWillDelay", int64(c.MaxWillDelay), int64(time.Second), 1<<32*int64(time.Second))
	if c.RatePolicy >= numRatePolicies {
		errs = append(errs, fmt.Errorf("broker: RatePolicy is %s: use RateWait or RateDisconnect", c.RatePolicy))
	}
	check("MaxSessions", int64(c.MaxSessions), 1, many)
	check("ConnectTimeout", int64(c.ConnectTimeout), int64(time.Millisecond), int64(time.Hour))
	check("MaxSessionExpiry", int64(c.MaxSessionExpiry), int64(time.Second), 1<<32*int64(time.Second))
	check("MaxClientIDLength", int64(c.MaxClientIDLength), minMaxClientID, packet.MaxStringSize)
	check("MaxPacketSize", int64(c.MaxPacketSize), minMaxPacketSize, packet.MaxPacketSize)
	check("MaxConnectSize", int64(c.MaxConnectSize), minMaxPacketSize, packet.MaxPacketSize)
	check("TopicAliasMaximum", int64(c.TopicAliasMaximum), -1, 65_535)
	check("OutgoingTopicAliasMaximum", int64(c.OutgoingTopicAliasMaximum), -1, maxOutgoingAliases)
	check("MaxTopicLength", int64(c.MaxTopicLength), 1, packet.MaxStringSize)
	check("MaxTopicLevels", int64(c.MaxTopicLevels), 1, packet.MaxStringSize)
	check("MaxSubscriptions", int64(c.MaxSubscriptions), 1, many)
	check("MaxInflight", int64(c.MaxInflight), 1, maxPacketIDs)
	check("MaxQueuedMessages", int64(c.MaxQueuedMessages), 1, many)
	check("MaxQueuedBytes", int64(c.MaxQueuedBytes), 1, many)
	check("MaxOfflineBytes", c.MaxOfflineBytes, 1, 1<<50)
	check("MaxQueuedAge", int64(c.MaxQueuedAge), int64(time.Millisecond), 1<<32*int64(time.Second))
	check("QueuePolicy", int64(c.QueuePolicy), 0, int64(numQueuePolicies)-1)
	check("Datagrams", int64(c.Datagrams), 0, int64(numDatagrams)-1)
	check("SysInterval", int64(c.SysInterval), int64(time.Second), int64(24*time.Hour))
	check("MaxPendingControl", int64(c.MaxPendingControl), 1024, many)
	check("MaxRetainedMessages", int64(c.MaxRetainedMessages), 1, many)
	check("MaxRetainedBytes", c.MaxRetainedBytes, 1, 1<<50)
	methods := make(map[string]bool)
	for i, a := range c.Authenticators {
		if a == nil || a.Method() == "" || methods[a.Method()] {
			errs = append(errs, fmt.Errorf("broker: Authenticators[%d] has no method, or that of another one: leave it out", i))
			continue
		}
		methods[a.Method()] = true
	}
	if c.ResponsePrefix != "" && topic.ValidateName(c.ResponsePrefix) != nil {
		errs = append(errs, fmt.Errorf("broker: ResponsePrefix is %q: use the beginning of a topic name, without wildcards", c.ResponsePrefix))
	}
	for _, f := range c.Faults {
		errs = append(errs, f.Validate())
	}
	return errors.Join(errs...)
}

// withDefaults gives a copy with every default filled in.
func (c Config) withDefaults() Config {
	setDefault(&c.MaxClients, defaultMaxClients)
	setDefault(&c.MaxSessions, defaultMaxSessions)
	setDefault(&c.ConnectTimeout, defaultConnectTimeout)
	setDefault(&c.MaxClientIDLength, defaultMaxClientID)
	setDefault(&c.MaxPacketSize, defaultMaxPacketSize)
	setDefault(&c.MaxConnectSize, defaultMaxConnectSize)
	setDefault(&c.ReceiveMaximum, defaultReceiveMaximum)
	setDefault(&c.TopicAliasMaximum, defaultTopicAliasMaximum)
	setDefault(&c.OutgoingTopicAliasMaximum, defaultTopicAliasMaximum)
	setDefault(&c.MaxTopicLength, defaultMaxTopicLength)
	setDefault(&c.MaxTopicLevels, defaultMaxTopicLevels)
	setDefault(&c.MaxSubscriptions, defaultMaxSubscriptions)
	setDefault(&c.MaxInflight, defaultMaxInflight)
	setDefault(&c.MaxQueuedMessages, defaultMaxQueued)
	setDefault(&c.MaxQueuedBytes, defaultMaxQueuedBytes)
	setDefault(&c.MaxOfflineBytes, defaultMaxOfflineBytes)
	setDefault(&c.MaxPendingControl, defaultMaxPendingControl)
	setDefault(&c.MaxRetainedMessages, defaultMaxRetained)
	setDefault(&c.MaxRetainedBytes, defaultMaxRetainedBytes)
	setDefault(&c.Version, "ngmq")
	if c.Sessions == nil {
		c.Sessions = NewMemorySessions()
	}
	if c.Retained == nil {
		c.Retained = NewMemoryRetained()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.TopicAliasMaximum = max(c.TopicAliasMaximum, 0)
	c.MaxConnectSize = min(c.MaxConnectSize, c.MaxPacketSize)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
