package scram

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrServer says that the server did not prove that it knows the user, or sent something
// that a server that does would not send.
var ErrServer = errors.New("scram: the server did not authenticate itself")

// Client authenticates to a server, once. One goroutine at a time.
type Client struct {
	user, password string
	nonce          string
	bare           string // client-first-message-bare
	signature      []byte // that the server has to send
	state          int
}

// NewClient makes a client of a user, who has to be UTF-8 without control characters, as
// has the password.
func NewClient(user, password string) (*Client, error) {
	if err := errors.Join(checkText("user name", user), checkText("password", password)); err != nil {
		return nil, err
	}
	return &Client{user: user, password: password, nonce: rand.Text()}, nil
}

// header is the GS2 header: no channel binding, no authorisation identity.
const header = "n,,"

// First is the message with which the client begins.
func (c *Client) First() []byte {
	c.bare = "n=" + escape(c.user) + ",r=" + c.nonce
	return []byte(header + c.bare)
}

// Next takes the next message of the server and gives the answer to it. done tells that
// the server has proved that it knows the user; there is nothing to answer then. It
// derives keys from the password, which takes some milliseconds.
func (c *Client) Next(data []byte) (reply []byte, done bool, err error) {
	if len(data) > maxMessage {
		return nil, false, ErrSyntax
	}
	c.state++
	switch c.state {
	case 1:
		reply, err = c.final(string(data))
		return reply, false, err
	case 2:
		value, _, err := attribute(string(data), 'v')
		signature, e := decode(value)
		if err != nil || e != nil || !hmac.Equal(signature, c.signature) {
			return nil, false, ErrServer
		}
		return nil, true, nil
	}
	return nil, false, ErrSyntax
}

// final answers server-first-message.
func (c *Client) final(message string) ([]byte, error) {
	nonce, rest, err := attribute(message, 'r')
	if err != nil {
		return nil, err
	}
	salt, rest, err := attribute(rest, 's')
	if err != nil {
		return nil, err
	}
	rounds, _, err := attribute(rest, 'i')
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(nonce, c.nonce) || len(nonce) == len(c.nonce) {
		return nil, ErrServer
	}
	iterations, err := strconv.Atoi(rounds)
	if err != nil || iterations < MinIterations || iterations > MaxIterations {
		return nil, fmt.Errorf("%w: %.20q iterations", ErrServer, rounds)
	}
	raw, err := decode(salt)
	if err != nil || len(raw) == 0 {
		return nil, ErrSyntax
	}
	keys, err := derive(c.password, raw, iterations)
	if err != nil {
		return nil, err
	}
	b64 := base64.StdEncoding.EncodeToString
	without := "c=" + b64([]byte(header)) + ",r=" + nonce
	text := c.bare + "," + message + "," + without
	c.signature = mac(keys.server, text)
	return []byte(without + ",p=" + b64(xor(keys.client, mac(keys.stored, text)))), nil
}
