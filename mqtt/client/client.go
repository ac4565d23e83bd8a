package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Client is an MQTT client: one session, and at most one network connection at a
// time. All methods may be called by any goroutine. Calls that take a context wait
// for the server until the context ends; the operation itself is not taken back
// when it does.
type Client struct {
	opts    Options
	session *session

	mu         sync.Mutex
	link       *link // nil while not connected
	connecting bool
	last       *link // the link before, whose messages are delivered first
	clientID   string
	connack    packet.Connack
}

// New makes a client that is not connected yet. The error is that of
// [Options.Validate].
func New(opts Options) (*Client, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	return &Client{opts: opts, session: newSession(), clientID: opts.ClientID}, nil
}

// Dial makes a client for one server and connects it.
func Dial(ctx context.Context, url string, opts Options) (*Client, error) {
	opts.Servers = []string{url}
	c, err := New(opts)
	if err != nil {
		return nil, err
	}
	if _, err := c.Connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Connect opens a network connection to the first server that accepts, sends
// CONNECT and waits for CONNACK. When the server has kept the session,
// unacknowledged messages are sent again before Connect returns; when not, they
// are forgotten.
//
// The error joins those of all servers: *[ReasonError] for a refusal, else what
// the network or TLS says. [ErrConnected] while a connection is there.
func (c *Client) Connect(ctx context.Context) (packet.Connack, error) {
	if err := c.startConnecting(); err != nil {
		return packet.Connack{}, err
	}
	defer c.stopConnecting()
	var errs []error
	for _, url := range c.opts.Servers {
		ack, err := c.connectTo(ctx, url)
		if err == nil {
			return ack, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", redacted(url), err))
		if ctx.Err() != nil {
			break
		}
	}
	return packet.Connack{}, errors.Join(errs...)
}

func (c *Client) startConnecting() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connecting || c.link != nil {
		return ErrConnected
	}
	c.connecting = true
	return nil
}

func (c *Client) stopConnecting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connecting = false
}

// connectTo tries one server.
func (c *Client) connectTo(ctx context.Context, url string) (packet.Connack, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	srv, err := parseURL(url)
	if err != nil {
		return packet.Connack{}, err
	}
	nc, err := dial(ctx, srv, &c.opts)
	if err != nil {
		return packet.Connack{}, err
	}
	connect := c.opts.connect(srv)
	connect.ClientID = c.ClientID()
	l := newLink(c, nc)
	ack, err := l.handshake(ctx, connect)
	if err != nil {
		nc.Close()
		return packet.Connack{}, err
	}
	if err := c.adopt(ctx, l, ack); err != nil {
		return packet.Connack{}, err
	}
	return *ack, nil
}

// adopt makes l the connection of c.
func (c *Client) adopt(ctx context.Context, l *link, ack *packet.Connack) error {
	if !ack.SessionPresent && c.opts.Version != packet.V31 || !c.opts.ResumeSession {
		c.session.clear()
	}
	l.start(c.previous(l, ack))
	if err := l.resend(ctx); err != nil {
		l.end(err)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.gone { // lost meanwhile
		return &ConnectionLostError{l.err}
	}
	c.link = l
	return nil
}

// previous notes the new connection and gives the one before.
func (c *Client) previous(l *link, ack *packet.Connack) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.last
	c.last, c.connack = l, *ack
	if id, ok := ack.Properties.Bytes(packet.AssignedClientIdentifier); ok {
		c.clientID = string(id)
	}
	return before
}

// current is the connection, or ErrNotConnected.
func (c *Client) current() (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return nil, ErrNotConnected
	}
	return c.link, nil
}

// detach takes a link that has come to its end off the client, and reports whether
// it was the connection.
func (c *Client) detach(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.gone = true
	connected := c.link == l
	if connected {
		c.link = nil
	}
	return connected
}

// ClientID is the client identifier: that of the options, or after Connect the one
// that the server has assigned.
func (c *Client) ClientID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clientID
}

// Connack is the server's answer to the last successful Connect; its properties
// tell the server's limits.
func (c *Client) Connack() packet.Connack {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connack
}

// Done is closed when the present connection ends; it is closed already when there
// is none.
func (c *Client) Done() <-chan struct{} {
	if l, err := c.current(); err == nil {
		return l.done
	}
	return closedChannel
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Disconnect sends DISCONNECT and closes the connection: no will is published.
// Waiting calls return ErrClosed; messages that OnMessage has not seen yet are
// dropped, unacknowledged. A call of OnMessage that is under way may take a second
// more to return, so that its message is acknowledged first; inside OnMessage,
// call Disconnect in a goroutine of its own.
func (c *Client) Disconnect(ctx context.Context) error {
	return c.DisconnectWith(ctx, &packet.Disconnect{})
}

// DisconnectWith is Disconnect with a reason code (e.g. packet.DisconnectWithWill)
// and properties; 3.x sends neither.
func (c *Client) DisconnectWith(ctx context.Context, p *packet.Disconnect) error {
	l, err := c.current()
	if err != nil {
		return err
	}
	return l.disconnect(ctx, p)
}

// Close ends the connection without DISCONNECT: the server publishes the will. It
// is safe to call at any time.
func (c *Client) Close() error {
	l, err := c.current()
	if err != nil {
		return nil
	}
	l.local.Store(true)
	l.end(ErrClosed)
	return nil
}

func randomID() string {
	b := make([]byte, randomIDEntropy)
	rand.Read(b)
	return randomIDPrefix + hex.EncodeToString(b)
}
