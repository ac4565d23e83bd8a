package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// connection are the flags that pub, sub, rr and shell share.
type connection struct {
	target
	quicFlags

	ID          string   `short:"i" placeholder:"ID" group:"Session" help:"Client id. Default: chosen by the broker."`
	IDPrefix    string   `short:"I" name:"id-prefix" placeholder:"PREFIX" group:"Session" help:"Client id is PREFIX and the process id."`
	Protocol    protocol `short:"V" name:"protocol-version" default:"mqttv5" placeholder:"VERSION" group:"Session" help:"mqttv5, mqttv311 or mqttv31; 5, 311 or 31. (${default})"`
	KeepAlive   uint16   `short:"k" name:"keepalive" default:"60" placeholder:"SECONDS" group:"Session" help:"Keep alive; 0 turns it off. (${default})"`
	Persist     bool     `short:"c" name:"disable-clean-session" group:"Session" help:"Go on with the session that the broker kept, and have it kept again. Needs -i."`
	Expiry      expiry   `short:"x" name:"session-expiry-interval" placeholder:"SECONDS" group:"Session" help:"How long the broker keeps the session, -1 for ever (MQTT 5). With -c -1, else 0."`
	QoS         byte     `short:"q" name:"qos" default:"0" placeholder:"QOS" group:"Session" help:"Quality of service: 0, 1 or 2. (${default})"`
	MaxInflight uint16   `short:"M" name:"max-inflight" placeholder:"N" group:"Session" help:"Messages of QoS 1 and 2 that may be unacknowledged. (1024)"`

	Reconnect bool `group:"Session" help:"Connect again when the connection is lost, and subscribe again if the session was lost too."`
	SRV       bool `name:"srv" short:"S" group:"Server" help:"-h is a domain: connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order. The certificate has the name of the server if that is below the domain, else that of the domain."`
	Follow    bool `name:"follow-reference" group:"Server" help:"Go where the broker sends this client (MQTT 5 Server Reference) when it refuses the connection, or with --reconnect ends it: with the same user and password, to five brokers in a row at most, and never from an encrypted connection to one that is not."`
	Fallback  bool `group:"Server" help:"Try TLS and secure WebSocket at the same host too when QUIC gets nowhere."`

	Properties properties `short:"D" name:"property" placeholder:"COMMAND NAME VALUE" group:"Session" help:"MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will. May be repeated. Example: -D publish content-type text/plain, -D publish user-property KEY VALUE. publish topic-alias N shortens repeated topics by up to N aliases, as far as the broker allows; their numbers are chosen here."`

	WillTopic   string `placeholder:"TOPIC" group:"Will" help:"The broker publishes the will there when the connection is lost."`
	WillPayload string `placeholder:"TEXT" group:"Will" help:"Payload of the will."`
	WillQoS     byte   `name:"will-qos" default:"0" placeholder:"QOS" group:"Will" help:"Quality of service of the will."`
	WillRetain  bool   `group:"Will" help:"The broker keeps the will."`
}

// protocol is the value of -V.
type protocol packet.Version

// UnmarshalText takes mosquitto's names and plain numbers.
func (p *protocol) UnmarshalText(text []byte) error {
	switch strings.TrimPrefix(strings.ReplaceAll(string(text), ".", ""), "mqttv") {
	case "31":
		*p = protocol(packet.V31)
	case "311":
		*p = protocol(packet.V311)
	case "5", "50":
		*p = protocol(packet.V50)
	default:
		return fmt.Errorf("%q is not mqttv31, mqttv311 or mqttv5", text)
	}
	return nil
}

// expiry is the value of -x.
type expiry struct {
	set     bool
	seconds uint32
}

// UnmarshalText takes a number of seconds, or -1 or the infinity sign for ever.
func (e *expiry) UnmarshalText(text []byte) error {
	e.set = true
	if s := string(text); s == "-1" || s == "∞" {
		e.seconds = client.NeverExpires
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 32)
	e.seconds = uint32(n)
	if err != nil {
		return fmt.Errorf("%q is not a number of seconds, or -1", text)
	}
	return nil
}

// validate finds what kong cannot know.
func (f *connection) validate(c *console) error {
	wrong := f.target.validate(c)
	five := packet.Version(f.Protocol) == packet.V50
	wrong.check(f.QoS > 2, "-q must be 0, 1 or 2")
	wrong.check(f.WillQoS > 2, "--will-qos must be 0, 1 or 2")
	wrong.check(f.Persist && f.ID == "", "-c needs a client id: give one with -i")
	wrong.check(f.ID != "" && f.IDPrefix != "", "use -i or -I, not both")
	wrong.check(f.WillTopic == "" && (f.WillPayload != "" || f.WillQoS > 0 || f.WillRetain || f.Properties.of("will") != nil),
		"a will needs --will-topic")
	wrong.check(f.Expiry.set && f.Expiry.seconds > 0 && !five, "-x needs MQTT 5: -V mqttv5")
	wrong.check(f.Follow && !five, "--follow-reference needs MQTT 5: -V mqttv5")
	wrong.check((len(f.Properties.blocks) > 0 || f.Properties.aliases > 0) && !five, "-D needs MQTT 5: -V mqttv5")
	wrong.check(f.SRV && (f.URL != "" || f.Unix != "" || f.Port != 0), "-S finds host and port by -h: leave --url, --unix and -p out")
	wrong.check(f.SRV && f.Host == "", "-S needs a domain: give it with -h")
	wrong.check(f.Proxy != "" && quicURL(f.URL) && !f.Fallback, overProxy+", or add --fallback")
	f.quicFlags.validate(&wrong)
	return errors.Join(wrong...)
}

// options are the flags as the client library wants them.
func (f *connection) options(c *console) client.Options {
	o := f.target.options(c)
	o.Version, o.ClientID, o.ResumeSession, o.SessionExpiry = packet.Version(f.Protocol), f.clientID(), f.Persist, f.sessionExpiry()
	o.KeepAlive, o.MaxInflight = time.Duration(f.KeepAlive)*time.Second, f.MaxInflight
	o.Reconnect, o.Fallback, o.FollowReference = f.Reconnect, f.Fallback, f.Follow
	o.TopicAliases = f.Properties.aliases
	f.quicFlags.apply(&o)
	if f.Debug {
		debugPackets(c, &o)
	}
	if f.Reconnect && !f.Debug { // the log has it with -d
		o.OnError = func(err error) { c.warnf("%v", err) }
	}
	if f.KeepAlive == 0 {
		o.KeepAlive = client.NoKeepAlive
	}
	if f.WillTopic != "" {
		o.Will = &packet.Will{Topic: f.WillTopic, Payload: []byte(f.WillPayload), QoS: f.WillQoS, Retain: f.WillRetain,
			Properties: f.Properties.of("will")}
	}
	f.connectProperties(&o)
	return o
}

// connectProperties gives the properties of -D connect to the fields that are for them.
func (f *connection) connectProperties(o *client.Options) {
	given := f.Properties.of("connect")
	for p := range given.All() {
		switch p.ID {
		case packet.MaximumPacketSize:
			o.MaxPacketSize = p.Uint
		case packet.ReceiveMaximum:
			o.ReceiveMaximum = uint16(p.Uint)
		case packet.TopicAliasMaximum:
			o.TopicAliasMaximum = uint16(p.Uint)
		case packet.SessionExpiryInterval:
			if !f.Expiry.set {
				o.SessionExpiry = p.Uint
			}
		}
	}
	o.Properties = given.AppendExcept(nil, packet.MaximumPacketSize, packet.ReceiveMaximum,
		packet.TopicAliasMaximum, packet.SessionExpiryInterval)
}

func (f *connection) clientID() string {
	if f.IDPrefix != "" {
		return f.IDPrefix + strconv.Itoa(os.Getpid())
	}
	return f.ID
}

func (f *connection) sessionExpiry() uint32 {
	if f.Persist && !f.Expiry.set {
		return client.NeverExpires
	}
	return f.Expiry.seconds
}
