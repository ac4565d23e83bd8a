package main

import (
	"time"

	"github.com/ngmq/ngmq/server"
)

// limitFlags are the limits that an operator sets, but for those of queues, see
// protocolFlags; 0 and absent are the default that is
// named.
type limitFlags struct {
	MaxConnections          int               `placeholder:"N" help:"Connections of all transports at once; 100000."`
	MaxConnectionsPerIP     int               `name:"max-connections-per-ip" placeholder:"N" help:"Connections of one IPv4 address or IPv6 /64 at once; not limited."`
	MaxConnectRate          int               `placeholder:"N" help:"CONNECT packets per second, of everybody; not limited."`
	MaxConnectRatePerIP     int               `name:"max-connect-rate-per-ip" placeholder:"N" help:"CONNECT packets per second of one IPv4 address or IPv6 /64; not limited."`
	MaxStreams              int               `placeholder:"N" help:"Streams of one QUIC client at once, the control stream included, -1 for that alone; 64."`
	MaxUniStreams           int               `placeholder:"N" help:"Unidirectional streams of one QUIC client at once, -1 for none; 16."`
	MaxSessions             int               `placeholder:"N" help:"Sessions, connected or not; 200000."`
	MaxSessionExpiry        time.Duration     `placeholder:"TIME" help:"How long a session is kept without a connection, such as 24h; not limited."`
	MaxKeepAlive            uint16            `placeholder:"SECONDS" help:"Keep alive of 5.0 clients; not limited."`
	MaxWillDelay            time.Duration     `placeholder:"TIME" help:"How long a will may be delayed, such as 10m; not limited."`
	MaxPacketSize           int               `placeholder:"BYTES" help:"MQTT packet from a client; 8388608."`
	MaxMessageRate          int               `placeholder:"N" help:"PUBLISH packets per second from one client; not limited."`
	MaxByteRate             int               `placeholder:"BYTES" help:"Bytes per second from one client; not limited."`
	RatePolicy              server.RatePolicy `placeholder:"POLICY" default:"wait" help:"A client above its rates has to wait, or is sent away: wait or disconnect. Default: ${default}."`
	MaxInflight             int               `placeholder:"N" help:"Messages of QoS 1 and 2 in flight to one client; 1024."`
	MaxReceive              uint16            `placeholder:"N" help:"Messages of QoS 2 in flight from one client (Receive Maximum); 1024."`
	MaxOfflineBytes         int64             `placeholder:"BYTES" help:"Size of the messages for all sessions without a connection; 1073741824."`
	MaxSubscriptions        int               `placeholder:"N" help:"Subscriptions of one session; 4096."`
	MaxSubscribeRate        int               `placeholder:"N" help:"Filters in SUBSCRIBE packets per second from one client; not limited."`
	MaxTopicLength          int               `placeholder:"BYTES" help:"Length of topics and filters; 65535."`
	MaxTopicLevels          int               `placeholder:"N" help:"Levels of topics and filters; 128."`
	MaxTopicAliases         int               `placeholder:"N" help:"Topic aliases that a 5.0 client may use, -1 for none; 16."`
	MaxOutgoingTopicAliases int               `placeholder:"N" help:"Topic aliases that the server uses towards a 5.0 client, up to 256, -1 for none; 16."`
}

func (f *limitFlags) limits() server.Limits {
	return server.Limits{
		MaxConnections: f.MaxConnections, MaxConnectionsPerIP: f.MaxConnectionsPerIP,
		MaxConnectRate: f.MaxConnectRate, MaxConnectRatePerIP: f.MaxConnectRatePerIP,
		MaxStreams: f.MaxStreams, MaxUniStreams: f.MaxUniStreams,
		MaxSessions: f.MaxSessions, MaxSessionExpiry: f.MaxSessionExpiry,
		MaxKeepAlive: f.MaxKeepAlive, MaxWillDelay: f.MaxWillDelay,
		MaxPacketSize: f.MaxPacketSize, MaxMessageRate: f.MaxMessageRate, MaxByteRate: f.MaxByteRate, RatePolicy: f.RatePolicy,
		MaxInflight: f.MaxInflight, ReceiveMaximum: f.MaxReceive,
		MaxOfflineBytes:  f.MaxOfflineBytes,
		MaxSubscriptions: f.MaxSubscriptions, MaxSubscribeRate: f.MaxSubscribeRate,
		MaxTopicLength: f.MaxTopicLength, MaxTopicLevels: f.MaxTopicLevels,
		TopicAliasMaximum: f.MaxTopicAliases, OutgoingTopicAliasMaximum: f.MaxOutgoingTopicAliases,
	}
}
