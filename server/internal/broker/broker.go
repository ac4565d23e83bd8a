package broker

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/mqtt/topic"
)

// Broker is the MQTT server without its network: sessions, subscriptions, retained
// messages, wills and the clients that are connected now. All methods may be called
// from any goroutine.
type Broker struct {
	cfg   Config
	ctx   context.Context // for the logger only
	base  time.Time       // when broker time began
	epoch int64           // Unix time of base in nanoseconds

	subs      topic.Tree[*outlet, *subscription]
	shares    shares
	handlers  topic.Tree[uint64, handler]
	routers   sync.Pool // of *router
	timers    *timers
	expiries  expiries
	addresses addresses
	count     counters

	later func(where string, f func() error) // has f done in the background, see Protect

	foreign      bool          // functions of the program are in cfg
	handlerOrder atomic.Uint64 // handlers added so far
	retains      atomic.Uint64 // messages given to the retained store so far
	closing      atomic.Bool   // Shutdown has been called
	logLimits    [numLogTopics]logLimit

	mu       sync.Mutex // who has which session; see the package doc
	clients  map[*Client]struct{}
	connects uint64        // CONNECTs that have come; see Session.order
	drained  chan struct{} // closed when Shutdown waits and the last client is gone
}

// New makes a broker. cfg must have passed Config.Validate. Run has to be called for
// timeouts and expiry to work.
func New(cfg Config) *Broker {
	b := &Broker{
		cfg:     cfg.withDefaults(),
		ctx:     context.Background(),
		timers:  newTimers(),
		clients: make(map[*Client]struct{}),
		routers: sync.Pool{New: newRouter},
	}
	b.later = func(where string, f func() error) { go func() { _ = b.Protect(where, f) }() }
	b.expiries.byMessage = make(map[*Message]*retainedExpiry)
	b.foreign = len(cfg.Authenticators) > 0 || !reflect.ValueOf(cfg.Handlers).IsZero()
	b.base = b.cfg.Now()
	b.epoch = b.base.UnixNano()
	if b.cfg.SysInterval > 0 {
		b.startSys()
	}
	return b
}

// now is broker time: Unix time in nanoseconds, but it does not jump when the wall
// clock is set.
func (b *Broker) now() int64 { return b.epoch + int64(b.cfg.Now().Sub(b.base)) }

// Shutdown refuses new clients (0x88), sends DISCONNECT 0x8B to 5.0 clients, asks
// every transport to close and waits until all clients are Closed or ctx is done,
// whose error it then returns. Sessions stay as they are.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.closing.Store(true)
	b.mu.Lock()
	if b.drained == nil {
		b.drained = make(chan struct{})
		if len(b.clients) == 0 {
			close(b.drained)
		}
	}
	clients := make([]*Client, 0, len(b.clients))
	for c := range b.clients {
		clients = append(clients, c)
	}
	b.mu.Unlock()
	for _, c := range clients {
		c.kick(packet.ServerShuttingDown, "server is shutting down")
	}
	select {
	case <-b.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// remove forgets a client whose connection is gone.
func (b *Broker) remove(c *Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.clients[c]; !ok {
		return
	}
	delete(b.clients, c)
	if b.drained != nil && len(b.clients) == 0 {
		select {
		case <-b.drained:
		default:
			close(b.drained)
		}
	}
}

// Disconnect ends the connection of a client with a DISCONNECT that carries code and
// reports whether there was one.
func (b *Broker) Disconnect(clientID string, code packet.ReasonCode) bool {
	return b.DisconnectFor(clientID, &Error{Code: code})
}

// DisconnectFor ends the connection of a client with a DISCONNECT that says what cause
// does, an error made by Refuse or Redirect, and reports whether there was one. For any
// other error the code is UnspecifiedError.
func (b *Broker) DisconnectFor(clientID string, cause error) bool {
	e := &Error{Code: packet.UnspecifiedError}
	errors.As(cause, &e)
	b.mu.Lock()
	s := b.cfg.Sessions.Lookup(clientID)
	b.mu.Unlock()
	if s == nil {
		return false
	}
	s.mu.Lock()
	c := s.client
	s.mu.Unlock()
	if c == nil {
		return false
	}
	c.kickFor(e)
	return true
}

// Full reports whether MaxClients connections are open, so that a listener can turn
// a stranger away before it costs anything.
func (b *Broker) Full() bool { return b.count.connections.Load() >= int64(b.cfg.MaxClients) }

func (b *Broker) logRefused(c *Client, e *Error, cause error) {
	info := c.connInfo()
	b.log(logRefused, slog.LevelWarn, "client refused", "code", e.Code.String(), "cause", cause.Error(),
		"transport", info.Transport, "remote", info.Remote)
}

func (b *Broker) logClosed(c *Client, e *Error) {
	id, info := "", c.connInfo()
	if c.info != nil {
		id = c.info.ID
	}
	b.log(logClosed, slog.LevelWarn, "client closed", "client", id, "code", e.Code.String(), "reason", e.Reason,
		"transport", info.Transport, "remote", info.Remote)
}

func (b *Broker) logStreamReset(st *Stream, e *StreamError) {
	b.log(logClosed, slog.LevelWarn, "stream reset", "client", st.c.info.ID, "stream", st.id, "code", e.Code.String(), "reason", e.Reason)
}

func (b *Broker) logDropped(s *Session, text string) {
	b.log(logDropped, slog.LevelWarn, text, "client", s.id)
}

func (b *Broker) logInvalidReply(filter string, err error) {
	b.log(logHandler, slog.LevelError, "subscribe handler replied with an invalid message", "filter", filter, "error", err)
}
