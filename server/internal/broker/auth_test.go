package broker

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
)

// scramMethod is SCRAM-SHA-256 as an Authenticator.
type scramMethod struct{ *scram.Server }

func (scramMethod) Method() string               { return scram.Method }
func (m scramMethod) Begin(*ClientInfo) Exchange { return m.Server.Begin() }

var scramUsers = func() scram.Users {
	users := scram.Users{}
	for _, user := range []string{"ada", "bob"} {
		c, err := scram.NewCredential("pw-"+user, scram.MinIterations)
		if err != nil {
			panic(err)
		}
		users[user] = c
	}
	return users
}()

func authWorld(t *testing.T, change ...func(*Config)) *world {
	with := func(c *Config) {
		c.AllowAnonymous = false
		c.Authenticators = []Authenticator{scramMethod{scram.NewServer(scramUsers)}, echo{}}
	}
	return newWorld(t, append([]func(*Config){with}, change...)...)
}

// echo is a method that takes its time: it repeats what it gets until it gets "end".
type echo struct{}

func (echo) Method() string             { return "ECHO" }
func (echo) Begin(*ClientInfo) Exchange { return echo{} }
func (echo) User() string               { return "echo" }
func (echo) Next(data []byte) ([]byte, bool, error) {
	switch string(data) {
	case "fail":
		return nil, false, errors.New("no")
	case "banned":
		return nil, false, Refuse(packet.Banned, "go away")
	case "panic":
		panic("x")
	}
	return data, string(data) == "end", nil
}

func authProps(method string, data []byte) packet.Properties {
	props := packet.AppendString(nil, packet.AuthenticationMethod, method)
	if data != nil {
		props = packet.AppendBinary(props, packet.AuthenticationData, data)
	}
	return props
}

func withAuth(method string, data []byte) connectOption {
	return func(c *packet.Connect) { c.Properties = append(c.Properties, authProps(method, data)...) }
}

// begin sends a CONNECT with enhanced authentication.
func (w *world) begin(id, method string, data []byte, options ...connectOption) *peer {
	p := w.dial(packet.V50)
	c := &packet.Connect{ClientID: id, CleanStart: true}
	for _, o := range append(options, withAuth(method, data)) {
		o(c)
	}
	p.send(c)
	return p
}

func authData(t *testing.T, props packet.Properties, method string) []byte {
	assert.Equal(t, method, stringOf(props, packet.AuthenticationMethod)) // MQTT-4.12.0-5
	data, _ := props.Bytes(packet.AuthenticationData)
	return data
}

// login authenticates by SCRAM and gives the CONNACK.
func (w *world) login(user, password string, options ...connectOption) (*peer, *packet.Connack) {
	c, err := scram.NewClient(user, password)
	require.NoError(w.t, err)
	p := w.begin(user, scram.Method, c.First(), options...)
	step := expect[*packet.Auth](p)
	assert.Equal(w.t, packet.ContinueAuthentication, step.ReasonCode) // MQTT-4.12.0-2
	reply, _, err := c.Next(authData(w.t, step.Properties, scram.Method))
	require.NoError(w.t, err)
	p.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProps(scram.Method, reply)})
	ack := expect[*packet.Connack](p)
	if ack.ReasonCode == packet.Success {
		_, done, err := c.Next(authData(w.t, ack.Properties, scram.Method))
		require.NoError(w.t, err)
		assert.True(w.t, done)
	}
	return p, ack
}

// again re-authenticates by SCRAM until the last answer of the broker.
func (p *peer) again(user, password string) {
	c, err := scram.NewClient(user, password)
	require.NoError(p.t, err)
	p.send(&packet.Auth{ReasonCode: packet.Reauthenticate, Properties: authProps(scram.Method, c.First())})
	step := expect[*packet.Auth](p)
	reply, _, err := c.Next(authData(p.t, step.Properties, scram.Method))
	require.NoError(p.t, err)
	p.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProps(scram.Method, reply)})
}

func TestScram(t *testing.T) {
	var seen []string
	w := authWorld(t, func(c *Config) {
		c.Handlers.Connect = func(e *ConnectEvent) error {
			seen = append(seen, e.AuthMethod+" "+e.Client.Username)
			if e.Client.Username == "bob" {
				return Refuse(packet.Banned, "")
			}
			return nil
		}
	})
	p, ack := w.login("ada", "pw-ada", withWill("will", 1, false, nil))
	assert.Equal(t, packet.Success, ack.ReasonCode)
	assert.Equal(t, "ada", p.c.Info().Username)
	watcher, _ := w.login("ada", "pw-ada", func(c *packet.Connect) { c.ClientID = "watcher" })
	watcher.subscribe(1, "will")
	p.lose()
	assert.Equal(t, []string{"will"}, payloads(watcher.take()), "the CONNECT was kept whole")
	_, ack = w.login("bob", "pw-bob")
	assert.Equal(t, packet.Banned, ack.ReasonCode)
	_, ack = w.login("ada", "wrong")
	assert.Equal(t, packet.NotAuthorized, ack.ReasonCode)
	_, ack = w.login("nobody", "wrong")
	assert.Equal(t, packet.NotAuthorized, ack.ReasonCode)
	assert.Equal(t, []string{"SCRAM-SHA-256 ada", "SCRAM-SHA-256 ada", "SCRAM-SHA-256 bob"}, seen)
	proves(t, "MQTT-4.12.0-2", "MQTT-4.12.0-4", "MQTT-4.12.0-5")
}

func TestAuthNeedsNoAnonymity(t *testing.T) {
	w := authWorld(t)
	_, ack := w.login("ada", "pw-ada")
	assert.Equal(t, packet.Success, ack.ReasonCode)
	for _, v := range versions {
		_, ack = w.tryConnect(v, "anonymous")
		assert.Equal(t, packet.NotAuthorized, ack.ReasonCode)
	}
}

// A verified certificate is a credential too.
func TestAuthOrCertificate(t *testing.T) {
	w := authWorld(t)
	for identity, want := range map[string]packet.ReasonCode{"": packet.NotAuthorized, "CN=device": packet.Success} {
		p := w.dial(packet.V50)
		p.tr.info.TLS = &TLSInfo{PeerIdentity: identity}
		p.send(&packet.Connect{ClientID: "a", CleanStart: true})
		assert.Equal(t, want, expect[*packet.Connack](p).ReasonCode, identity)
	}
}

func TestAuthMethodUnknown(t *testing.T) { // MQTT-4.12.0-1
	w := authWorld(t)
	p := w.begin("a", "KERBEROS", nil)
	assert.Equal(t, packet.BadAuthenticationMethod, expect[*packet.Connack](p).ReasonCode)
	assert.Error(t, p.err)
	proves(t, "MQTT-4.12.0-1")
}

func TestAuthManySteps(t *testing.T) {
	w := authWorld(t)
	p := w.begin("a", "ECHO", nil)
	for range maxAuthSteps {
		got := p.take()
		require.Len(t, got, 1)
		if ack, ok := got[0].(*packet.Connack); ok {
			assert.Equal(t, packet.NotAuthorized, ack.ReasonCode)
			break
		}
		p.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProps("ECHO", []byte("on"))})
	}
	assert.Error(t, p.err)

	p = w.begin("a", "ECHO", []byte("end"))
	ack := expect[*packet.Connack](p)
	assert.Equal(t, "end", string(authData(t, ack.Properties, "ECHO")))
}

func TestAuthRefused(t *testing.T) { // MQTT-4.12.0-4
	for data, want := range map[string]packet.ReasonCode{
		"fail": packet.NotAuthorized, "banned": packet.Banned, "panic": packet.UnspecifiedError,
	} {
		p := authWorld(t).begin("a", "ECHO", []byte(data))
		assert.Equal(t, want, expect[*packet.Connack](p).ReasonCode)
		assert.Error(t, p.err)
	}
}

// What else may come before CONNACK: DISCONNECT, nothing more [MQTT-3.1.2-30].
func TestDuringAuth(t *testing.T) {
	for name, q := range map[string]packet.Packet{
		"CONNECT":   &packet.Connect{ClientID: "a"},
		"PUBLISH":   pub("t", "x", 0, 0),
		"PINGREQ":   &packet.Pingreq{},
		"0x19":      &packet.Auth{ReasonCode: packet.Reauthenticate, Properties: authProps("ECHO", nil)},
		"0x00":      &packet.Auth{ReasonCode: packet.Success, Properties: authProps("ECHO", nil)},
		"no method": &packet.Auth{},
	} {
		p := authWorld(t).begin("a", "ECHO", nil)
		p.take()
		p.send(q)
		p.none()
		assert.Equal(t, packet.ProtocolError, CloseCode(p.err), name)
		p.lose()
	}
	w := authWorld(t)
	p := w.begin("a", "ECHO", nil)
	p.take()
	p.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProps("OTHER", nil)})
	assert.Equal(t, packet.BadAuthenticationMethod, expect[*packet.Connack](p).ReasonCode)
	p = w.begin("a", "ECHO", nil)
	p.take()
	p.send(&packet.Disconnect{})
	p.none()
	assert.Equal(t, packet.NormalDisconnection, CloseCode(p.err))
	p.lose()
	assert.Zero(t, w.Stats().Sessions)
	proves(t, "MQTT-3.1.2-30", "MQTT-4.12.0-3")
}

// A stranger has the time and the memory of a CONNECT, not of a client.
func TestAuthLimits(t *testing.T) {
	w := authWorld(t, func(c *Config) { c.MaxConnectSize, c.ConnectTimeout = 1000, 5*time.Second })
	p := w.begin("a", "ECHO", nil)
	p.take()
	p.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProps("ECHO", make([]byte, 2000))})
	assert.Equal(t, packet.PacketTooLarge, CloseCode(p.err))
	p.lose()
	p = w.begin("a", "ECHO", nil)
	p.take()
	w.advance(6 * time.Second)
	assert.True(t, p.tr.closed)
}

func TestAuthWithoutMethod(t *testing.T) { // MQTT-4.12.0-6, MQTT-4.12.0-7
	w := authWorld(t, func(c *Config) { c.AllowAnonymous = true })
	p, ack := w.tryConnect(packet.V50, "a")
	assert.False(t, ack.Properties.Has(packet.AuthenticationMethod))
	p.send(&packet.Auth{ReasonCode: packet.Reauthenticate, Properties: authProps("ECHO", nil)})
	p.closes(packet.ProtocolError)
	old := w.connect(packet.V311, "old")
	old.raw((&packet.Auth{ReasonCode: packet.Reauthenticate, Properties: authProps("ECHO", nil)}).AppendTo(nil, packet.V50))
	assert.Error(t, old.err)
	proves(t, "MQTT-4.12.0-6", "MQTT-4.12.0-7")
}

func TestReauthentication(t *testing.T) { // MQTT-4.12.1-1, MQTT-4.12.1-2
	w := authWorld(t)
	p, _ := w.login("ada", "pw-ada")
	for range 2 {
		p.again("ada", "pw-ada")
		done := expect[*packet.Auth](p)
		assert.Equal(t, packet.Success, done.ReasonCode)
		assert.NotEmpty(t, authData(t, done.Properties, scram.Method))
	}
	p.send(&packet.Auth{ReasonCode: packet.Reauthenticate, Properties: authProps(scram.Method, []byte("n,,n=ada,r=x"))}, &packet.Pingreq{})
	assert.Len(t, p.take(), 2, "everything else goes on meanwhile")
	p.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProps(scram.Method, []byte("x"))})
	p.closes(packet.NotAuthorized)

	p, _ = w.login("ada", "pw-ada")
	p.again("ada", "wrong")
	p.closes(packet.NotAuthorized)
	p, _ = w.login("ada", "pw-ada")
	p.again("bob", "pw-bob")
	p.closes(packet.NotAuthorized)
	p, _ = w.login("ada", "pw-ada")
	p.send(&packet.Auth{ReasonCode: packet.Reauthenticate, Properties: authProps("ECHO", []byte("end"))})
	p.closes(packet.BadAuthenticationMethod)
	p, _ = w.login("ada", "pw-ada")
	p.send(&packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: authProps(scram.Method, nil)})
	p.closes(packet.ProtocolError)
	proves(t, "MQTT-4.12.1-1", "MQTT-4.12.1-2")
}

func TestAuthenticatorsAreChecked(t *testing.T) {
	assert.Error(t, (&Config{Authenticators: []Authenticator{nil}}).Validate())
	assert.Error(t, (&Config{Authenticators: []Authenticator{echo{}, echo{}}}).Validate())
	assert.NoError(t, (&Config{Authenticators: []Authenticator{echo{}}}).Validate())
}
