// Package bench loads an MQTT server with many clients and measures.
//
//	Config -> New -> Run: connect (rate) -> subscribe -> publish (rate, streams) -> Report
//
// It has a client of its own, which is made of callbacks: a connection that is silent
// costs no goroutine over QUIC and one over TCP, and no buffers. All QUIC connections
// share the sockets of one ngtcp2/endpoint.
//
// # Goroutines
//
//	dialers        at most maxDialing: dial, CONNECT, SUBSCRIBE of one client each
//	reconnector    as many, which do so again for clients that lost their connection
//	publishers     one per client that publishes
//	QUIC workers   call the callbacks of their connections (package endpoint)
//	TCP readers    one per connection; a writer while there is something to write
//	keeper         PINGREQ for everybody
package bench

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/netem"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// Kind says what the clients do.
type Kind string

// Kinds.
const (
	Conn      Kind = "conn" // connect and be there
	Pub       Kind = "pub"  // publish
	Sub       Kind = "sub"  // subscribe and receive
	RoundTrip Kind = "rtt"  // receive what they publish themselves
)

const (
	// MinStamped is the smallest payload that carries a time stamp, in bytes.
	MinStamped = stampSize
	// MaxClients bounds Config.Clients: ports and memory end sooner.
	MaxClients = 1 << 20
	// MaxStreams bounds Config.Streams; servers allow 10 to 100.
	MaxStreams = 256 // and topics: a byte of the time stamp
	// maxDialing is how many connections come about at a time.
	maxDialing = 64
	// maxPayload is the largest payload, in bytes; brokers have limits of their own.
	maxPayload = 64 << 20
)

// Config says what to do. Zero fields mean the default that is named.
type Config struct {
	Kind     Kind
	Server   remote.Server
	TLS      client.TLS
	Username string
	Password []byte
	Version  packet.Version // default MQTT 5
	IDPrefix string         // client ids are this and the number; default "bench-" and something random

	Clients     int           // default 1
	ConnectRate float64       // connections begun per second; default as fast as they come about, 64 at a time
	Timeout     time.Duration // for each client to be connected and subscribed; default 30 s
	KeepAlive   time.Duration // PINGREQ after three quarters of this; default 60 s, negative = off

	// Topic is a pattern: %i is the number of the client from 0, %c its id, %u the user
	// name, %s the number of the topic (of the stream, when there are as many), %% a
	// percent sign. Default "bench/%c", with several topics "bench/%c/%s".
	Topic   string
	Size    int     // of payloads, in bytes; 64. Times need MinStamped.
	QoS     byte    // of messages and subscriptions
	Retain  bool    // messages are retained
	Rate    float64 // messages per second of each client. 0: as fast as possible; RoundTrip: one under way at a time
	Streams int     // QUIC: publish and subscribe on so many data streams; 1 = the control stream

	// Datagrams has messages of QoS 0 go in QUIC datagrams, there and back, as far as the
	// server knows that and they fit; the others go on streams. What is lost is not repeated.
	Datagrams bool

	Topics int // of each client, one after the other; default one for each stream

	MaxInflight int           // messages of QoS 1 and 2 that wait for their acknowledgement, of each client; 100
	Messages    uint64        // ends when each client has published, or all together received, so many; 0 = no limit
	NoReconnect bool          // a client that loses its connection stays away
	Warmup      time.Duration // not counted, once all are connected
	Duration    time.Duration // of what is counted; 0 = until Messages, or the context ends

	CongestionControl client.CongestionControl // of QUIC

	Netem  netem.Params // a path made worse on purpose
	Logger *slog.Logger // of the sockets and failed clients; nil: none
}

// Validate returns all that is wrong, joined; the names are those of ngmq bench.
func (c *Config) Validate() error {
	var errs []error
	check := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Clients < 0 || c.Clients > MaxClients, "--clients %d: 1 to %d", c.Clients, MaxClients)
	check(c.ConnectRate < 0 || c.Rate < 0, "--connect-rate and --rate are not negative")
	check(c.Size < 0 || c.Size > maxPayload, "--size %d: 0 to %d bytes", c.Size, maxPayload)
	check(c.Kind == RoundTrip && c.Size != 0 && c.Size < MinStamped, "--size %d: a round trip needs %d bytes for its time stamp", c.Size, MinStamped)
	check(c.QoS > 2, "--qos must be 0, 1 or 2")
	check(c.Streams < 0 || c.Streams > MaxStreams, "--streams %d: 1 to %d", c.Streams, MaxStreams)
	check(c.Topics < 0 || c.Topics > MaxStreams, "topics %d: 1 to %d", c.Topics, MaxStreams)
	check(c.MaxInflight < 0 || c.MaxInflight > 65535, "--max-inflight %d: 1 to 65535", c.MaxInflight)
	check(c.Streams > 1 && !c.Server.QUIC(), "--streams needs QUIC: give a quic:// URL")
	check(c.Datagrams && !c.Server.QUIC(), "--datagrams needs QUIC: give a quic:// URL")
	check(c.Datagrams && c.QoS > 0, "--datagrams are for QoS 0: leave --qos out")
	check(c.Netem != netem.Params{} && c.Server.Transport == "unix", "--netem needs a network: give a URL that is not unix://")
	check(c.Duration < 0 || c.Warmup < 0 || c.Timeout < 0, "times are not negative")
	if err := c.validateTopic(); err != nil {
		errs = append(errs, fmt.Errorf("--topic %q: %w", c.Topic, err))
	}
	return errors.Join(errs...)
}

func (c *Config) validateTopic() error {
	name := expand(c.topic(), 0, "id", "user", 0)
	if strings.ContainsRune(name, '\x00') {
		return errors.New("after % stands i, c, u, s or %")
	}
	if c.Kind == Sub {
		return topic.ValidateFilter(name)
	}
	return topic.ValidateName(name)
}

func (c *Config) topic() string {
	switch {
	case c.Topic != "":
		return c.Topic
	case c.Streams > 1 || c.Topics > 1:
		return "bench/%c/%s"
	}
	return "bench/%c"
}

// expand fills in a topic pattern; what is unknown becomes a zero byte.
func expand(pattern string, number int, id, user string, stream int) string {
	var b strings.Builder
	for {
		text, rest, found := strings.Cut(pattern, "%")
		b.WriteString(text)
		if !found {
			return b.String()
		}
		if rest == "" {
			rest = "\x00"
		}
		switch rest[0] {
		case 'i':
			b.WriteString(strconv.Itoa(number))
		case 'c':
			b.WriteString(id)
		case 'u':
			b.WriteString(user)
		case 's':
			b.WriteString(strconv.Itoa(stream))
		case '%':
			b.WriteByte('%')
		default:
			b.WriteByte(0)
		}
		pattern = rest[1:]
	}
}

// withDefaults is a copy with every default filled in.
func (c Config) withDefaults(random string) Config {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&c.Clients, 1)
	set(&c.Streams, 1)
	set(&c.Topics, c.Streams)
	set(&c.Size, 64)
	set(&c.MaxInflight, 100)
	if c.Version == 0 {
		c.Version = packet.V50
	}
	if c.IDPrefix == "" {
		c.IDPrefix = "bench-" + random + "-"
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Topic = c.topic()
	return c
}
