package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/hist"
	"github.com/ngmq/ngmq/cmd/ngmq/internal/netem"
	"github.com/ngmq/ngmq/mqtt/packet"
)

// dialer opens connections to one server.
type dialer interface {
	dial(ctx context.Context, o owner) (link, error)
	close()
}

// counters of messages.
type counters struct{ sent, acked, received atomic.Uint64 }

// Run is a benchmark. New makes it, Do does it once; Progress may be asked for meanwhile.
type Run struct {
	cfg    Config
	dialer dialer
	proxy  *netem.Proxy // nil without Config.Netem

	clients     []*benchClient
	reconnector *reconnector
	datagrams   struct{ received, lost atomic.Uint64 }

	total   counters // from the beginning
	counted counters // while measuring

	measuring atomic.Bool
	ending    atomic.Bool
	connected atomic.Int64
	live      atomic.Int64
	failed    atomic.Int64
	losses    atomic.Int64

	handshakes, connects, latency, acks hist.Histogram
	errors                              causes

	once     sync.Once
	finished chan struct{} // closed when Messages have been received
	began    time.Time
	from     atomic.Pointer[time.Time] // when measuring began
	lasted   time.Duration             // of the measuring
	setup    time.Duration
	settling time.Duration // how long the last acknowledgements and round trips may take
	rss      int64         // of this process before
}

// New checks cfg, opens the sockets and starts the proxy of Config.Netem. The caller
// calls Close.
func New(ctx context.Context, cfg Config) (*Run, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Run{cfg: cfg.withDefaults(strings.ToLower(rand.Text()[:6])), finished: make(chan struct{}), settling: settleTime, rss: residentBytes()}
	if r.cfg.Datagrams {
		r.settling = lostAfter
	}
	r.clients, r.reconnector = make([]*benchClient, r.cfg.Clients), newReconnector(r)
	server, err := r.cfg.Server.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	if r.cfg.Netem != (netem.Params{}) {
		network := "tcp"
		if server.QUIC() {
			network = "udp"
		}
		if r.proxy, err = netem.Start(network, server.Addr, r.cfg.Netem); err != nil {
			return nil, fmt.Errorf("--netem: %w", err)
		}
		server.Addr = r.proxy.Addr()
	}
	if server.QUIC() {
		r.dialer, err = newQUICDialer(server, &r.cfg)
	} else {
		r.dialer, err = newTCPDialer(server, &r.cfg.TLS)
	}
	if err != nil {
		r.closeProxy()
		return nil, err
	}
	return r, nil
}

func (r *Run) closeProxy() {
	if r.proxy != nil {
		r.proxy.Close()
	}
}

// Close ends what is still open.
func (r *Run) Close() {
	r.dialer.close()
	r.closeProxy()
}

// Do connects, loads and measures until Config.Duration or Config.Messages, or until ctx
// ends, which is a normal end too, then disconnects. The error says that no client could
// be set up.
func (r *Run) Do(ctx context.Context) (*Report, error) {
	r.began = time.Now()
	loading, done := context.WithCancel(ctx)
	defer done()
	for i := range r.clients {
		r.clients[i] = newClient(r, i)
	}
	r.reconnector.start(loading)
	keeper, stop := context.WithCancel(context.Background())
	defer stop()
	go r.keepAlive(keeper) // the first client may have to wait long for the last
	if err := r.connectAll(ctx); err != nil {
		return nil, err
	}
	r.setup = time.Since(r.began)
	if r.cfg.Warmup == 0 { // the first message counts
		r.count()
	}
	var publishing sync.WaitGroup
	if r.cfg.Kind == Pub || r.cfg.Kind == RoundTrip {
		r.startPublishers(loading, &publishing)
	}
	r.measure(ctx, &publishing)
	done()
	publishing.Wait()
	r.reconnector.wait()
	report := r.report()
	r.disconnectAll()
	return report, nil
}

// connectAll sets the clients up, at the rate.
func (r *Run) connectAll(ctx context.Context) error {
	var all sync.WaitGroup
	slots := make(chan struct{}, maxDialing)
	for i, c := range r.clients {
		if !r.turn(ctx, i) {
			break
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		all.Go(func() { r.connect(ctx, c); <-slots })
	}
	all.Wait()
	if r.connected.Load() == 0 {
		if err := r.errors.first(); err != nil {
			return err
		}
		return ctx.Err()
	}
	return nil
}

// turn waits until it is the i-th client's turn.
func (r *Run) turn(ctx context.Context, i int) bool {
	if r.cfg.ConnectRate == 0 {
		return ctx.Err() == nil
	}
	due := r.began.Add(time.Duration(float64(i) / r.cfg.ConnectRate * float64(time.Second)))
	select {
	case <-time.After(time.Until(due)):
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Run) connect(ctx context.Context, c *benchClient) {
	err := c.connect(ctx)
	if err == nil {
		r.connected.Add(1)
		return
	}
	c.giveUp()
	r.failed.Add(1)
	r.cfg.Logger.Debug("a client could not be set up", "client", c.id, "cause", err)
	r.errors.add(err)
}

func (r *Run) startPublishers(ctx context.Context, all *sync.WaitGroup) {
	for _, c := range r.clients {
		for _, publish := range c.publishers() {
			all.Go(func() { publish(ctx) })
		}
	}
}

// measure waits for the warm-up, then counts until the end.
func (r *Run) measure(ctx context.Context, publishing *sync.WaitGroup) {
	published := make(chan struct{})
	if r.cfg.Messages > 0 && (r.cfg.Kind == Pub || r.cfg.Kind == RoundTrip) {
		go func() { publishing.Wait(); r.settle(ctx); close(published) }()
	}
	wait := func(d time.Duration) bool { // reports whether it is over
		var timer <-chan time.Time
		if d > 0 {
			timer = time.After(d)
		}
		select {
		case <-timer:
			return false
		case <-ctx.Done():
		case <-published:
		case <-r.finished:
		}
		return true
	}
	if r.cfg.Warmup > 0 {
		if wait(r.cfg.Warmup) {
			return
		}
		r.count()
	}
	if r.cfg.Kind != Conn || r.cfg.Duration > 0 {
		wait(r.cfg.Duration)
	}
	r.measuring.Store(false)
	r.lasted = time.Since(*r.from.Load())
}

// count begins the measuring.
func (r *Run) count() {
	from := time.Now()
	r.from.Store(&from)
	r.measuring.Store(true)
}

// settleTime is how long the last acknowledgements and round trips may take without
// datagrams.
const settleTime = 5 * time.Second

// settle waits until everything that was published is acknowledged, or has come back.
func (r *Run) settle(ctx context.Context) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(r.settling); time.Now().Before(end) && ctx.Err() == nil && r.live.Load() > 0; <-ticker.C {
		sent := r.total.sent.Load()
		acked := r.cfg.QoS == 0 || r.total.acked.Load() >= sent
		if acked && (r.cfg.Kind != RoundTrip || r.total.received.Load() >= sent) {
			return
		}
	}
}

func (r *Run) finish() { r.once.Do(func() { close(r.finished) }) }

// sweeps are how many parts a keep alive time has, in which as many parts of the clients
// send PINGREQ.
const sweeps = 64

// keepAlive sends a PINGREQ for each client within three quarters of the keep alive time.
func (r *Run) keepAlive(ctx context.Context) {
	if r.cfg.KeepAlive < 0 {
		return
	}
	ping := (&packet.Pingreq{}).AppendTo(nil, r.cfg.Version)
	ticker := time.NewTicker(r.cfg.KeepAlive * 3 / 4 / sweeps)
	defer ticker.Stop()
	for part := 0; ; part = (part + 1) % sweeps {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		for i := part; i < len(r.clients); i += sweeps {
			if conn := r.clients[i].current(); conn != nil {
				conn.link.send(0, ping)
			}
		}
	}
}

// disconnectTime is how long the end of all connections may take.
const disconnectTime = 5 * time.Second

func (r *Run) disconnectAll() {
	r.ending.Store(true)
	bye := (&packet.Disconnect{}).AppendTo(nil, r.cfg.Version)
	for _, c := range r.clients {
		if conn := c.current(); conn != nil {
			conn.link.send(0, bye)
			conn.link.end()
		}
	}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(disconnectTime); r.live.Load() > 0 && time.Now().Before(end); {
		<-ticker.C
	}
}

// lost notes a connection that ended by itself.
func (r *Run) lost(err error) {
	r.losses.Add(1)
	r.errors.add(fmt.Errorf("lost: %w", err))
}

// maxCauses bounds the different errors that are kept.
const maxCauses = 20

// causes counts errors by their text.
type causes struct {
	mu     sync.Mutex
	one    error
	counts map[string]int
}

func (e *causes) add(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.one == nil {
		e.one, e.counts = err, map[string]int{}
	}
	text := plainError(err)
	if _, known := e.counts[text]; !known && len(e.counts) >= maxCauses {
		text = "other errors"
	}
	e.counts[text]++
}

// plainError leaves out the addresses, which differ from connection to connection.
func plainError(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return strings.Replace(err.Error(), op.Error(), op.Op+": "+op.Err.Error(), 1)
	}
	return err.Error()
}

func (e *causes) first() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.one
}
