package main

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/server"
)

// defaultNonce is --quic-lb-nonce, in bytes: 2^64 Connection IDs before one of a server can
// come twice.
const defaultNonce = 8

// pathFlags are the flags about the ways of QUIC clients to the server: streams, load
// balancers and addresses that change.
type pathFlags struct {
	QuicLBServerID     string                   `name:"quic-lb-server-id" placeholder:"HEX" help:"Server ID, 1 to 15 bytes, that a load balancer finds in QUIC Connection IDs (QUIC-LB), different at each server. Default: none, Connection IDs are not for load balancers."`
	QuicLBConfig       uint8                    `name:"quic-lb-config" placeholder:"N" default:"0" help:"Config rotation bits of QUIC-LB, 0 to 6. Default: ${default}."`
	QuicLBNonce        int                      `name:"quic-lb-nonce" placeholder:"BYTES" help:"Length of the nonce of QUIC-LB, 4 to 18 bytes. Default: 8."`
	QuicLBKeyFile      string                   `name:"quic-lb-key-file" placeholder:"FILE" help:"File with the key of QUIC-LB, 32 hexadecimal digits, as openssl rand -hex 16 makes them; the config rotation bits may stand before them, as in 1 8f95... It is read again when it changes: another key with other bits is for new Connection IDs. Without it server IDs can be read by everybody."`
	StreamClients      bool                     `help:"Serve QUIC clients for which every stream is an MQTT connection of its own, with its own CONNECT."`
	MqttNext           server.MQTTNext          `name:"mqtt-next" placeholder:"WHEN" default:"off" help:"The draft MQTT-next, for QUIC clients that offer it as ALPN: data streams are flows with a header, and what the client wants is kept of a flow when its stream ends: off, on, server-flows (on, and subscriptions of the control stream get streams that the server opens). Default: ${default}."`
	SingleSubscription bool                     `help:"A QUIC client that subscribes to a filter on a second stream gets the messages there alone, not a copy on each stream."`
	CongestionControl  server.CongestionControl `placeholder:"HOW" default:"cubic" help:"How the server sends to QUIC clients over paths that may be full: cubic, bbr (faster where packets are lost for other reasons, but loses more itself on slow paths with short queues), or reno. Default: ${default}."`
	QosPriority        bool                     `name:"qos-priority" help:"On the data streams of a QUIC client, messages of subscriptions with a higher QoS go first. Otherwise the streams take turns. The control stream always goes before them."`
	Datagrams          server.Datagrams         `placeholder:"WHEN" default:"on-request" help:"QoS 0 messages in QUIC datagrams: on-request takes them, and sends them to clients whose CONNECT has the user property ngmq-datagrams=qos0; always sends them to all that take them; off. Default: ${default}."`
	NoMigration        bool                     `help:"Ask QUIC clients not to migrate to another address; one that a NAT gives them is served."`
	PreferredAddress   []string                 `placeholder:"ADDR" help:"Address IP:PORT of this server that QUIC clients are to go to after the handshake, for instance from one that many servers share; one IPv4 and one IPv6."`
}

// apply puts the flags into c.
func (f *pathFlags) apply(c *server.Config) error {
	c.NoMigration, c.PreferredAddrs = f.NoMigration, f.PreferredAddress
	c.CongestionControl = f.CongestionControl
	c.QoSPriority, c.Datagrams, c.MQTTNext = f.QosPriority, f.Datagrams, f.MqttNext
	c.StreamClients, c.SingleSubscription = f.StreamClients, f.SingleSubscription
	if f.QuicLBServerID == "" {
		if f.QuicLBKeyFile != "" || f.QuicLBConfig != 0 || f.QuicLBNonce != 0 {
			return errors.New("--quic-lb-config, --quic-lb-nonce, --quic-lb-key-file: have no effect without --quic-lb-server-id; give one")
		}
		return nil
	}
	id, err := hex.DecodeString(f.QuicLBServerID)
	if err != nil {
		return fmt.Errorf("--quic-lb-server-id: %w; use two hexadecimal digits per byte, such as 0a01", err)
	}
	c.LoadBalancer = &server.LoadBalancer{ID: f.QuicLBConfig, ServerID: id, NonceLen: cmp.Or(f.QuicLBNonce, defaultNonce)}
	c.LoadBalancerKeyFile = f.QuicLBKeyFile
	return nil
}
