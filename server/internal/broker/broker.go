package broker

import (
	"context"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Broker is the MQTT server without its network: sessions, subscriptions, retained
// messages, wills and the clients that are connected now. All methods may be called
// from any goroutine.
type Broker struct {
	cfg   Config
	count counters
}

// New makes a broker. cfg must have passed Config.Validate. Run has to be called for
// timeouts and expiry to work.
func New(cfg Config) *Broker {
	return &Broker{cfg: cfg.withDefaults()}
}

// HandlePublish has fn called for every message from a client, wills included, whose
// topic matches the filter. "#" is every message but those of topics that begin with
// '$'. Several handlers of one message are called in the order in which they were
// added. It is meant to be called before the first client comes, but may be called
// at any time. The error tells that the filter is invalid or shared.
func (b *Broker) HandlePublish(filter string, fn PublishHandler) error { return nil }

// Publish delivers a message to all subscribers and stores it when p.Retain is set.
// Handlers are not called. p.Payload and p.Properties may be reused afterwards. The
// error is ErrInvalidTopic or tells about p.QoS or p.Properties.
func (b *Broker) Publish(p Publication) error { return nil }

// Run does what depends on time: keep alive, CONNECT deadlines, session and message
// expiry, will delays. It returns when ctx is done.
func (b *Broker) Run(ctx context.Context) { <-ctx.Done() }

// Shutdown refuses new clients (0x88), sends DISCONNECT 0x8B to 5.0 clients, asks
// every transport to close and waits until all clients are Closed or ctx is done,
// whose error it then returns. Sessions stay as they are.
func (b *Broker) Shutdown(ctx context.Context) error { return nil }

// Disconnect ends the connection of a client with a DISCONNECT that carries code and
// reports whether there was one.
func (b *Broker) Disconnect(clientID string, code packet.ReasonCode) bool { return false }

// Full reports whether MaxClients connections are open, so that a listener can turn
// a stranger away before it costs anything.
func (b *Broker) Full() bool { return b.count.connections.Load() >= int64(b.cfg.MaxClients) }
