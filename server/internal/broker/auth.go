package broker

import (
	"bytes"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Authenticator is a method of enhanced authentication (MQTT 5.0 section 4.12).
type Authenticator interface {
	// Method is the Authentication Method that clients ask for by name.
	Method() string
	// Begin starts the authentication of a client, or its re-authentication. The
	// Username of info is the one of the CONNECT, which nothing has checked.
	Begin(info *ClientInfo) Exchange
}

// Exchange is one authentication. The goroutine that owns the client calls it; it must
// not block.
type Exchange interface {
	// Next takes the Authentication Data of the client, valid during the call, and gives
	// that of the answer; either may be empty. done tells that the client is
	// authenticated. An *Error refuses it with its code, any other error with
	// NotAuthorized (0x87).
	Next(data []byte) (reply []byte, done bool, err error)
	// User is who has been authenticated; called after done.
	User() string
}

// maxAuthSteps is how many messages of a client one exchange may take; SCRAM needs two or
// three, Kerberos four.
const maxAuthSteps = 16

// authentication is the enhanced authentication of a connection. Owner only.
type authentication struct {
	by       Authenticator
	method   string
	exchange Exchange        // under way, else nil
	steps    int             // of exchange
	connect  *packet.Connect // that waits to be authenticated, nil later
	user     string
	data     []byte // for the CONNACK
}

// authenticator finds the one of a method, nil when there is none.
func (b *Broker) authenticator(method []byte) Authenticator {
	for _, a := range b.cfg.Authenticators {
		if a.Method() == string(method) {
			return a
		}
	}
	return nil
}

// beginAuth begins the authentication that a CONNECT asks for.
func (c *Client) beginAuth(p *packet.Connect, by Authenticator) error {
	c.auth = &authentication{by: by, method: by.Method(), connect: cloneConnect(p)}
	if err := c.beginExchange(); err != nil {
		return c.refuse(err)
	}
	data, _ := p.Properties.Bytes(packet.AuthenticationData)
	return c.authStep(data)
}

func (c *Client) beginExchange() error {
	c.auth.steps = 0
	return c.b.Protect("authenticator", func() error {
		c.auth.exchange = c.auth.by.Begin(c.info)
		return nil
	})
}

// onAuth goes on with an authentication, or begins the re-authentication of a client
// that has been let in.
func (c *Client) onAuth(p *packet.Auth) error {
	a := c.auth
	if a == nil {
		return &Error{Code: packet.ProtocolError, Reason: "AUTH without Authentication Method in the CONNECT [MQTT-4.12.0-7]"}
	}
	method, _ := p.Properties.Bytes(packet.AuthenticationMethod)
	want := packet.ContinueAuthentication
	if a.exchange == nil {
		want = packet.Reauthenticate
	}
	switch {
	case p.ReasonCode != want:
		return &Error{Code: packet.ProtocolError, Reason: "AUTH has another reason code than " + want.String() + " [MQTT-4.12.0-3]"}
	case string(method) != a.method: // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
		return c.authFailed(&Error{Code: packet.BadAuthenticationMethod, Reason: "not the Authentication Method of the CONNECT"})
	}
	if want == packet.Reauthenticate {
		if err := c.beginExchange(); err != nil {
			return c.authFailed(err)
		}
	}
	data, _ := p.Properties.Bytes(packet.AuthenticationData)
	return c.authStep(data)
}

// authStep hands the data of the client to the exchange and answers with AUTH, or with
// CONNACK when a new client is authenticated.
func (c *Client) authStep(data []byte) error {
	a := c.auth
	if a.steps++; a.steps > maxAuthSteps {
		return c.authFailed(&Error{Code: packet.NotAuthorized, Reason: "authentication takes too many steps"})
	}
	var reply []byte
	var done bool
	err := c.b.Protect("authenticator", func() (err error) {
		reply, done, err = a.exchange.Next(data)
		return err
	})
	switch {
	case err != nil:
		return c.authFailed(err)
	case !done:
		return c.reply(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: a.properties(reply)}) // [MQTT-4.12.0-2]
	}
	return c.authenticated(reply)
}

// authenticated ends an exchange that has succeeded.
func (c *Client) authenticated(data []byte) error {
	a := c.auth
	user := a.exchange.User()
	a.exchange = nil
	if a.connect == nil {
		if user != a.user {
			return c.authFailed(&Error{Code: packet.NotAuthorized, Reason: "re-authentication as another user"})
		}
		return c.reply(&packet.Auth{ReasonCode: packet.Success, Properties: a.properties(data)})
	}
	p := a.connect
	a.connect, a.user, a.data = nil, user, bytes.Clone(data)
	c.info.Username = user
	return c.admit(p)
}

// authFailed refuses a client that is not authenticated [MQTT-4.12.0-4], or ends the
// connection of one that was [MQTT-4.12.1-2].
func (c *Client) authFailed(err error) error {
	if c.session == nil {
		return c.refuse(err)
	}
	e := refusal(err, packet.DISCONNECT)
	c.b.logClosed(c, e)
	return c.over(e, c.disconnect(e))
}

// properties are those of AUTH and CONNACK [MQTT-4.12.0-5].
func (a *authentication) properties(data []byte) packet.Properties {
	props := packet.AppendString(nil, packet.AuthenticationMethod, a.method)
	if len(data) > 0 {
		props = packet.AppendBinary(props, packet.AuthenticationData, data)
	}
	return props
}

// cloneConnect copies a CONNECT, which belongs to the decoder.
func cloneConnect(p *packet.Connect) *packet.Connect {
	q := *p
	q.Password = bytes.Clone(p.Password)
	q.Properties = bytes.Clone(p.Properties)
	if p.Will != nil {
		w := *p.Will
		w.Payload, w.Properties = bytes.Clone(w.Payload), bytes.Clone(w.Properties)
		q.Will = &w
	}
	return &q
}
