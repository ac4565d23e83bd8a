package main

import (
	"github.com/ngmq/ngmq/mqtt/client"
)

// quicFlags are what QUIC has beyond one stream, for pub, sub, rr and shell. Other
// transports, and servers that do not know these things, go without.
type quicFlags struct {
	Streams   int    `default:"1" placeholder:"N" group:"QUIC" help:"Spread messages and subscriptions over N data streams, so that a lost packet, a large message or a slow subscription holds up one of them only. For many topics at once, on paths that lose packets; the order holds within each topic. ngmqd and EMQX know that. (${default}: the control stream alone)"`
	StreamBy  string `name:"stream-by" default:"topic" enum:"topic,qos" placeholder:"WHAT" group:"QUIC" help:"With --streams: what decides about the stream, topic or qos. (${default})"`
	Stream    string `xor:"streams" placeholder:"NAME" group:"QUIC" help:"Use one data stream in place of the control stream: what is called so in this process. Tells whether a server takes data streams."`
	Datagrams bool   `group:"QUIC" help:"Send messages of QoS 0 in datagrams, if the server takes them and they fit: what is lost is not sent again, and holds nothing up. For values that are outdated soon."`
	EarlyData string `name:"early-data" default:"off" enum:"off,auto,on" placeholder:"WHEN" group:"QUIC" help:"Send CONNECT with the first packets (0-RTT) of a connection that is resumed with --session-file, or by --reconnect: off, on, or auto, when it has no secrets and may come twice. Saves a round trip; others can send a copy of it. (${default})"`
	Sessions  string `name:"session-file" type:"path" placeholder:"FILE" group:"TLS and QUIC" help:"Keep TLS sessions there and resume them next time: saves certificates over TLS and QUIC, and is needed for --early-data. As secret as a password."`
}

// validate finds what kong cannot know.
func (f *quicFlags) validate(wrong *problems) {
	wrong.check(f.Streams < 1, "--streams must be 1 or more")
	wrong.check(f.Stream != "" && f.Streams > 1, "use --stream or --streams, not both")
}

// apply gives the flags to the client library.
func (f *quicFlags) apply(o *client.Options) {
	switch {
	case f.Stream != "":
		o.Streams = client.StreamNamed
	case f.Streams > 1 && f.StreamBy == "qos":
		o.Streams, o.MaxStreams = client.StreamPerQoS, f.Streams
	case f.Streams > 1:
		o.Streams, o.MaxStreams = client.StreamPerTopic, f.Streams
	}
	o.Datagrams = f.Datagrams
	o.TLS.SessionFile = f.Sessions
	o.TLS.EarlyData = map[string]client.EarlyData{"auto": client.EarlyDataAuto, "on": client.EarlyDataOn}[f.EarlyData]
}
