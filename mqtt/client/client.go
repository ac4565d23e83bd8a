package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Client is an MQTT client: one session, and at most one network connection at a
// time. All methods may be called by any goroutine. Calls that take a context wait
// for the server until the context ends; the operation itself is not taken back
// when it does.
type Client struct {
	opts     Options
	session  *session
	notices  notifier
	router   router
	requests requests

	probeTimeout time.Duration // for streams; tests shorten it
	probeAgain   time.Duration // the same
	dialer       dialer
	dropped      atomic.Uint64 // messages of QoS 0, by the inbox

	mu         sync.Mutex
	link       *link         // nil while not connected
	changed    chan struct{} // closed and replaced when link is set, or nobody connects any more
	connecting bool
	last       *link // the link before, whose messages are delivered first
	clientID   string
	connack    packet.Connack
	resumable  bool    // the server keeps the session of an earlier connection
	keeper     *keeper // nil unless something keeps the client connected
	stops      int     // calls of Disconnect and Close

	worked     string               // the server of the last connection
	avoidUntil time.Time            // until then it is tried first
	ready      *dialed              // a connection to a better server
	single     map[string]time.Time // servers that know one stream only: when to ask again
	references references
}

// New makes a client that is not connected yet. The error is that of
// [Options.Validate], or of opening Queue.File.
func New(opts Options) (*Client, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	c := &Client{opts: opts, session: newSession(opts.Reconnect), clientID: opts.ClientID, probeTimeout: defaultProbeTimeout, probeAgain: defaultProbeAgain, changed: make(chan struct{})}
	c.requests.init()
	sessions, err := openSessions(opts.TLS.SessionFile, c.report)
	if err != nil {
		return nil, err
	}
	c.dialer = dialer{&c.opts, sessions}
	if opts.OnDelivered != nil {
		c.session.finished = func(p *Pending) { c.notices.tell(func() { opts.OnDelivered(p) }) }
	}
	if opts.Reconnect {
		c.session.queue.init(opts.Queue)
	}
	if opts.Queue.File != "" {
		s, messages, received, err := openStore(opts.Queue, c.report)
		if err != nil {
			return nil, err
		}
		c.session.store = s
		c.session.load(messages, received)
	}
	return c, nil
}

// Dial makes a client for one server and connects it.
func Dial(ctx context.Context, url string, opts Options) (*Client, error) {
	opts.Servers = []string{url}
	c, err := New(opts)
	if err != nil {
		return nil, err
	}
	if _, err := c.Connect(ctx); err != nil {
		c.Close() // Queue.File is free for the next attempt
		return nil, err
	}
	return c, nil
}

// Connect opens a network connection to the first server that accepts, sends
// CONNECT and waits for CONNACK. When the server has kept the session,
// unacknowledged messages are sent again; when not, they are forgotten, or with
// [Options.Reconnect] sent as new ones. With Reconnect a client that has been connected
// once stays so.
//
// The error joins those of all servers: *[ReasonError] for a refusal, else what
// the network or TLS says. [ErrConnected] while a connection is there, or is being made;
// [ErrClosed] when Disconnect or Close was called meanwhile.
func (c *Client) Connect(ctx context.Context) (packet.Connack, error) {
	stops, err := c.startConnecting()
	if err != nil {
		return packet.Connack{}, err
	}
	defer c.stopConnecting()
	l, err := c.connectAny(ctx)
	if err != nil {
		return packet.Connack{}, err
	}
	if !c.keep(l, stops) {
		l.local.Store(true)
		l.end(ErrClosed)
		return packet.Connack{}, ErrClosed
	}
	return l.connack, nil
}

// connectAny tries the servers.
func (c *Client) connectAny(ctx context.Context) (*link, error) {
	var errs []error
	if d := c.takeReady(); d != nil {
		l, err := c.connectOver(ctx, d)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	t := tour{rest: c.referenced(c.remembered(c.servers()))}
	for len(t.rest) > 0 && ctx.Err() == nil {
		var won *dialed
		var err error
		if won, t.rest, err = c.race(ctx, t.rest); err == nil {
			single := c.knownSingle(won.url)
			var l *link
			if l, err = c.connectOver(ctx, won); err == nil {
				return l, nil
			}
			if c.knownSingle(won.url) && !single { // a second stream was too much for it
				t.rest = slices.Insert(t.rest, 0, won.url)
			}
			t.follow(c.followable(err, won.url), won.url)
		}
		errs = append(errs, err)
	}
	err := cmp.Or(errors.Join(errs...), ctx.Err())
	c.opts.Metrics.ConnectFailed(err)
	return nil, err
}

// servers are the URLs in the order in which to try them.
func (c *Client) servers() []string {
	list := slices.Clone(c.opts.Servers)
	if c.opts.RandomServer {
		mrand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return list
}

// startConnecting lets one goroutine connect; it counts the calls of Disconnect and Close
// so far.
func (c *Client) startConnecting() (stops int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connecting || c.link != nil || c.keeper != nil {
		return 0, ErrConnected
	}
	if !c.session.open() {
		return 0, ErrClosed
	}
	c.connecting, c.resumable = true, false
	return c.stops, nil
}

func (c *Client) stopConnecting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connecting = false
}

// connectOver makes a network connection an MQTT connection.
func (c *Client) connectOver(ctx context.Context, d *dialed) (*link, error) {
	ctx, cancel := context.WithDeadline(ctx, d.deadline)
	defer cancel()
	if d.early && c.opts.HeadStart > 0 {
		defer d.proveEarly(c.opts.HeadStart, cancel)()
	}
	connect := c.connectPacket(d.srv)
	l := newLink(c, d.nc)
	l.server = d.url
	ack, err := l.handshake(ctx, connect)
	if err != nil {
		d.nc.Close()
		if d.early {
			c.dialer.sessions.forget(c.dialer.sessionKey(d.srv))
		}
		return nil, fmt.Errorf("%s: %w", redacted(d.url), err)
	}
	if err := c.adopt(ctx, l, ack, !connect.CleanStart); err != nil {
		return nil, fmt.Errorf("%s: %w", redacted(d.url), err)
	}
	c.note(d.url)
	c.opts.Metrics.Connected(redacted(d.url), time.Since(d.began))
	return l, nil
}

// connectPacket is the CONNECT for the next connection.
func (c *Client) connectPacket(srv server) *packet.Connect {
	p := c.opts.connect(srv)
	c.mu.Lock()
	defer c.mu.Unlock()
	p.ClientID = c.clientID
	if c.resumable {
		p.CleanStart = false
	}
	return p
}

// adopt makes l the connection of c.
func (c *Client) adopt(ctx context.Context, l *link, ack *packet.Connack, resume bool) error {
	kept := resume && (ack.SessionPresent || c.opts.Version == packet.V31)
	if !kept {
		c.session.renew()
	}
	l.connack = *ack
	c.session.gather()
	l.start(c.previous(l))
	l.probe(ctx)
	l.useDatagrams(ctx)
	if !ack.SessionPresent && c.opts.Reconnect {
		l.restoreSubscriptions()
	}
	if c.opts.Reconnect {
		go l.feed()
	} else if err := l.resend(ctx); err != nil {
		l.end(err)
		return err
	}
	return c.attach(l)
}

// attach lets l be used. It fails when the connection has been lost meanwhile.
func (c *Client) attach(l *link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.gone {
		return &ConnectionLostError{l.err}
	}
	c.link = l
	c.announce()
	if f := c.opts.OnConnected; f != nil {
		c.notices.tell(func() { f(l.connack) })
	}
	return nil
}

// announce wakes those who wait in available.
func (c *Client) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// previous notes the new connection and gives the one before.
func (c *Client) previous(l *link) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.last
	c.last, c.connack = l, l.connack
	if id, ok := l.connack.Properties.Bytes(packet.AssignedClientIdentifier); ok {
		c.clientID = string(id)
	}
	c.resumable = c.opts.Reconnect && c.opts.Version == packet.V50 && c.opts.SessionExpiry > 0
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

// available is the connection; with Reconnect it waits for one.
func (c *Client) available(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, changed, kept := c.link, c.changed, c.keeper != nil
		c.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case !kept:
			return nil, ErrNotConnected
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
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

// Disconnect sends DISCONNECT and closes the connection: no will is published. Nothing
// connects again before the next Connect or Start.
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
	kept := c.stopKeeping()
	l, err := c.current()
	if err == nil {
		err = l.disconnect(ctx, p)
	} else if kept {
		err = nil
	}
	if c.opts.Reconnect {
		c.session.abandon(ErrClosed)
	}
	c.dialer.sessions.save()
	return err
}

// Close ends the connection without DISCONNECT: the server publishes the will. It
// is safe to call at any time. A client with a Queue.File cannot be used afterwards, and
// has the error of that file, if there was one.
func (c *Client) Close() error {
	c.stopKeeping()
	if l, err := c.current(); err == nil {
		l.local.Store(true)
		l.end(ErrClosed)
	}
	if c.opts.Reconnect {
		c.session.abandon(ErrClosed)
	}
	c.dialer.sessions.save()
	return c.session.store.close()
}

// report tells the application an error that no call can return.
func (c *Client) report(err error) {
	c.opts.Logger.Warn("mqtt client", "error", err)
	if f := c.opts.OnError; f != nil {
		c.notices.tell(func() { f(err) })
	}
}

func randomID() string {
	b := make([]byte, randomIDEntropy)
	rand.Read(b)
	return randomIDPrefix + hex.EncodeToString(b)
}
