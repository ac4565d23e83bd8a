package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/scripts/internal/generator"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

const (
	groupSize = 4 // clients that receive what each of them publishes
	endpoints = 4 // of clients over QUIC; the last two are behind a bad network each
	badFrom   = 2
	workers   = 2  // of an endpoint, with an address each, which a NAT may change
	atOnce    = 32 // connections that are made at a time in the beginning
	// poolSize is how many clients have places on the same shared connection.
	poolSize = 4 * int(kinds)
	// natKeepAlive is after what silence a client over QUIC sends a PING: behind a NAT that has
	// given it another address the server cannot reach it before.
	natKeepAlive = 2 * time.Second
	// rebindEvery is how often a NAT gives some client another address.
	rebindEvery = 2 * time.Second
)

// counts are what has happened, beside messages.
type counts struct {
	connects                         [kinds]atomic.Int64
	resumes, takeovers, takenOver    atomic.Int64
	disconnects, failedDials, pings  atomic.Int64
	tlsResumed, early, earlyRejected atomic.Int64
	migrations, failedMigrations     atomic.Int64
	abandoned, rehomed, discarded    atomic.Int64
	datagramsIn, publishedEarly      atomic.Int64

	mu       sync.Mutex
	losses   map[string]int // connections that nobody ended, by reason
	failures map[string]int // attempts to connect that failed, while the server was there
}

func (c *counts) lose(why string) { c.add(&c.losses, why) }
func (c *counts) fail(why string) { c.add(&c.failures, why) }

func (c *counts) add(to *map[string]int, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *to == nil {
		*to = make(map[string]int)
	}
	(*to)[why]++
}

// fleet is all clients and what they share.
type fleet struct {
	cfg       config
	server    *server
	addrs     process.Addresses // of all its processes
	began     time.Time
	oracle    oracle
	count     counts
	clients   []*client
	endpoints []*endpoint.Endpoint
	nats      []*nat
	quic      *crypto.Context
	tls       *tls.Config
	pools     []pool
	injected  atomic.Bool
	held      atomic.Bool           // nobody publishes
	paused    [][levels]atomic.Bool // by group: nor at this QoS
	kills     atomic.Uint32         // how often the server has been ended
	starts    atomic.Uint32         // and been started again
	finish    chan struct{}         // closed: schedules end
	running   sync.WaitGroup

	mu       sync.Mutex
	suspects map[int]bool // publishers of messages that went wrong
}

// pool is the shared connection of some clients.
type pool struct {
	mu      sync.Mutex
	carrier *carrier
}

func newFleet(cfg config, s *server) (*fleet, error) {
	f := &fleet{cfg: cfg, server: s, addrs: s.Addrs, began: time.Now(), finish: make(chan struct{}), suspects: make(map[int]bool),
		pools: make([]pool, cfg.clients/poolSize+1), paused: make([][levels]atomic.Bool, cfg.clients/groupSize+1)}
	if err := errors.Join(f.openTLS(), f.openNetwork()); err != nil {
		f.close()
		return nil, err
	}
	for i := range cfg.clients {
		f.clients = append(f.clients, newClient(f, i, kind(i)%kinds))
	}
	return f, nil
}

func (f *fleet) openTLS() (err error) {
	pem, err := os.ReadFile(f.server.CA())
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	f.tls = &tls.Config{RootCAs: roots, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	f.quic, err = crypto.NewContext(crypto.Config{Role: crypto.Client, CAPEM: pem, ALPN: []string{"mqtt"}})
	return err
}

func (f *fleet) openNetwork() error {
	for i := range endpoints {
		e, err := endpoint.New(endpoint.Config{Workers: workers, KeepAlive: natKeepAlive, MaxDatagram: maxDatagram - 1})
		if err != nil {
			return err
		}
		f.endpoints = append(f.endpoints, e)
		if i >= badFrom {
			n, err := newNAT(f.addrs.QUIC, f.cfg.loss)
			if err != nil {
				return err
			}
			f.nats = append(f.nats, n)
		}
	}
	return nil
}

// group gives the clients that receive what a client publishes.
func (f *fleet) group(id int) (members []int) {
	first := f.groupOf(id) * groupSize
	for i := first; i < min(first+groupSize, f.cfg.clients); i++ {
		members = append(members, i)
	}
	return members
}

func (f *fleet) groupOf(id int) int { return id / groupSize }

// network is which endpoint a client has.
func (f *fleet) network(id int) int { return id / int(kinds) % endpoints }

func (f *fleet) endpointOf(id int) *endpoint.Endpoint { return f.endpoints[f.network(id)] }

// addrOf is where a client finds the server.
func (f *fleet) addrOf(id int) string {
	if n := f.network(id); n >= badFrom {
		return f.nats[n-badFrom].addr()
	}
	return f.addrs.QUIC
}

// join puts a link of c on the shared connection of its pool, which it makes when needed.
func (f *fleet) join(ctx context.Context, c *client, l *quicLink, first []byte) error {
	p := &f.pools[c.id/poolSize]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carrier != nil && p.carrier.join(l, first) {
		return nil
	}
	err := dialQUIC(ctx, f.endpointOf(c.id), f.addrOf(c.id), c.dialConfig(false), l, first)
	p.carrier = l.carrier
	return err
}

// copies is how often the oracle is told of a message: once, unless a mistake is injected.
func (f *fleet) copies(m message) int {
	if f.cfg.inject == "" || m.qos != 2 || m.number < 2 || !f.injected.CompareAndSwap(false, true) {
		return 1
	}
	if f.cfg.inject == injectDrop {
		return 0
	}
	return 2
}

func (f *fleet) suspect(publisher int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.suspects[publisher] = true
}

// connect connects all clients for the first time, and starts nothing.
func (f *fleet) connect(ctx context.Context) error {
	return generator.Each(len(f.clients), atOnce, func(i int) error {
		c := f.clients[i]
		return c.reconnect(ctx, c.home, false)
	})
}

// start runs the schedules until ctx ends; then clients stay connected until finish.
func (f *fleet) start(ctx context.Context) {
	for _, c := range f.clients {
		f.running.Go(func() { c.run(ctx) })
	}
	for _, n := range f.nats {
		f.running.Go(func() {
			ticker := time.NewTicker(rebindEvery)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					n.rebind()
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

// unfinished is how many messages are not acknowledged by the server, and how many have not
// come to a client that they are for.
func (f *fleet) unfinished() (unacknowledged, missing int) {
	last := f.last()
	for _, c := range f.clients {
		c.mu.Lock()
		unacknowledged += len(c.order)
		for publisher, levels := range c.inbox.of {
			for qos := 1; qos < len(levels); qos++ {
				missing += len(levels[qos].missing(last[publisher][qos]))
			}
		}
		c.mu.Unlock()
	}
	return unacknowledged, missing
}

// last is what has been published, by publisher.
func (f *fleet) last() [][levels]published {
	last := make([][levels]published, len(f.clients))
	for i, c := range f.clients {
		c.mu.Lock()
		for qos := range c.lanes {
			last[i][qos] = published{c.lanes[qos].last, c.lanes[qos].excused}
		}
		c.mu.Unlock()
	}
	return last
}

// judge reports every message that is lost.
func (f *fleet) judge() {
	last := f.last()
	for _, c := range f.clients {
		c.mu.Lock()
		for _, o := range c.order {
			c.wrong("never acknowledged: %s", o.m)
		}
		for publisher, levels := range c.inbox.of {
			for qos := 1; qos < len(levels); qos++ {
				for _, number := range levels[qos].missing(last[publisher][qos]) {
					f.suspect(publisher)
					c.wrong("lost: %s", message{publisher, byte(qos), number})
				}
			}
		}
		c.mu.Unlock()
	}
}

// close ends the network of the clients.
func (f *fleet) close() {
	for _, e := range f.endpoints {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = e.Shutdown(ctx) // what is open then is cut off
		cancel()
	}
	for _, n := range f.nats {
		n.close()
	}
	if f.quic != nil {
		f.quic.Close()
	}
}
