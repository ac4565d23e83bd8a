package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/scram"
)

// Authenticator does enhanced authentication (MQTT 5.0 section 4.12). It may be used by
// many clients.
type Authenticator interface {
	// Method is the Authentication Method.
	Method() string
	// Begin starts an exchange: one for each connection and each Reauthenticate.
	Begin() (AuthExchange, error)
}

// AuthExchange is one exchange; one goroutine at a time uses it.
type AuthExchange interface {
	// First is the Authentication Data to begin with; nil = none.
	First() []byte
	// Next takes data of the server and gives the answer. done: there is nothing to answer,
	// and the server has proved what the method wants it to. An error ends the connection.
	Next(data []byte) (reply []byte, done bool, err error)
}

// SCRAM is SCRAM-SHA-256: client and server prove to each other that they know the
// password without sending it. See package scram.
func SCRAM(user, password string) Authenticator { return scramMethod{user, password} }

type scramMethod struct{ user, password string }

func (scramMethod) Method() string { return scram.Method }
func (s scramMethod) Begin() (AuthExchange, error) {
	c, err := scram.NewClient(s.user, s.password)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// authRun is one exchange under way.
type authRun struct {
	method   string
	exchange AuthExchange
	done     bool
	pending  *Pending // of Reauthenticate
}

var errNotAuthenticated = errors.New("client: the server did not complete the authentication")

// beginAuth starts an exchange and gives the properties to send; nil without Auth.
func (o *Options) beginAuth() (*authRun, packet.Properties, error) {
	if o.Auth == nil {
		return nil, nil, nil
	}
	exchange, err := o.Auth.Begin()
	if err != nil {
		return nil, nil, fmt.Errorf("client: Options.Auth: %w", err)
	}
	run := &authRun{method: o.Auth.Method(), exchange: exchange, pending: newPending("")}
	return run, run.properties(exchange.First()), nil
}

func (r *authRun) properties(data []byte) packet.Properties {
	p := packet.AppendString(nil, packet.AuthenticationMethod, r.method)
	if data != nil {
		p = packet.AppendBinary(p, packet.AuthenticationData, data)
	}
	return p
}

// step takes what the server sent in an AUTH, and gives the AUTH to answer with.
func (r *authRun) step(p *packet.Auth) (*packet.Auth, error) {
	if r == nil || p.ReasonCode != packet.ContinueAuthentication || r.done {
		return nil, unexpected(p)
	}
	if method, _ := p.Properties.Bytes(packet.AuthenticationMethod); string(method) != r.method {
		return nil, fmt.Errorf("client: the server went over to the authentication method %q", method)
	}
	data, _ := p.Properties.Bytes(packet.AuthenticationData)
	reply, done, err := r.exchange.Next(data)
	if err != nil {
		return nil, fmt.Errorf("client: authentication: %w", err)
	}
	r.done = done
	return &packet.Auth{ReasonCode: packet.ContinueAuthentication, Properties: r.properties(reply)}, nil
}

// finish takes the server's last word, in a CONNACK or AUTH of success.
func (r *authRun) finish(props packet.Properties) error {
	if r == nil || r.done {
		return nil
	}
	data, ok := props.Bytes(packet.AuthenticationData)
	if !ok {
		return errNotAuthenticated
	}
	_, done, err := r.exchange.Next(data)
	if err == nil && !done {
		err = errNotAuthenticated
	}
	return err
}

// Reauthenticate does the enhanced authentication of [Options.Auth] again, on the
// present connection. A refusal ends the connection.
func (c *Client) Reauthenticate(ctx context.Context) error {
	if c.opts.Auth == nil {
		return errors.New("client: Reauthenticate needs Options.Auth")
	}
	l, err := c.current()
	if err != nil {
		return err
	}
	run, props, err := c.opts.beginAuth()
	if err != nil {
		return err
	}
	l.authMu.Lock()
	if l.auth != nil {
		l.authMu.Unlock()
		return errors.New("client: Reauthenticate is under way already")
	}
	l.auth = run
	l.authMu.Unlock()
	l.out.putNow(&packet.Auth{ReasonCode: packet.Reauthenticate, Properties: props})
	if err := l.wait(ctx, run.pending.done); err != nil {
		return err
	}
	return run.pending.answer.err
}

// handleAuth takes an AUTH after the CONNACK.
func (l *link) handleAuth(p *packet.Auth) error {
	l.authMu.Lock()
	defer l.authMu.Unlock()
	run := l.auth
	if run != nil && p.ReasonCode == packet.Success {
		err := run.finish(p.Properties)
		l.auth = nil
		run.pending.complete(answer{err: err})
		return err
	}
	reply, err := run.step(p)
	if err != nil {
		return err
	}
	l.out.putNow(reply)
	return nil
}
