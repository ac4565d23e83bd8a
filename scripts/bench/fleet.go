package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/scripts/internal/generator"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

const (
	atOnce    = 16               // requests (handshakes, PINGREQs, ...) that are under way at a time
	closeTime = 10 * time.Second // for the end of all connections
)

// fleet is the generator: clients on a few sockets, each of which has an event loop.
// Connections of one socket share their UDP ports with each other, so that the kernel
// and the server could batch datagrams across them as they never can for clients on
// different machines. Neighbours are therefore put on different sockets.
type fleet struct {
	addr    string
	tls     *crypto.Context
	sockets []*endpoint.Endpoint
	made    int // clients
}

// newFleet opens the sockets. groups is the list of key exchange groups offered.
func newFleet(p *process.Server, groups string, sockets int) (*fleet, error) {
	tls, err := crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: p.CA(), ALPN: []string{alpn}, Groups: groups})
	if err != nil {
		return nil, err
	}
	f := &fleet{addr: p.Addrs.QUIC, tls: tls}
	for range sockets {
		e, err := endpoint.New(endpoint.Config{Workers: 1})
		if err != nil {
			f.close()
			return nil, err
		}
		f.sockets = append(f.sockets, e)
	}
	return f, nil
}

// close ends all connections.
func (f *fleet) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	var ended sync.WaitGroup
	for _, e := range f.sockets {
		ended.Go(func() { e.Shutdown(ctx) })
	}
	ended.Wait()
	f.tls.Close()
}

// connect makes n clients, each with its CONNACK.
func (f *fleet) connect(ctx context.Context, n int) ([]*client, error) {
	clients := make([]*client, n)
	first := f.made
	f.made += n
	return clients, generator.Each(n, atOnce, func(i int) (err error) {
		clients[i], err = f.dial(ctx, first+i)
		return err
	})
}

func (f *fleet) dial(ctx context.Context, number int) (*client, error) {
	c := newClient(fmt.Sprintf("bench-%d", number))
	e := f.sockets[number%len(f.sockets)]
	if _, err := e.Dial(ctx, f.addr, endpoint.DialConfig{TLS: f.tls, Handler: c, Ready: c.ready}); err != nil {
		return nil, err
	}
	p, err := c.call(ctx, nil)
	if err != nil {
		return nil, err
	}
	if a, ok := p.(*packet.Connack); !ok || a.ReasonCode != packet.Success {
		return nil, fmt.Errorf("%s: CONNECT was answered by %+v", c.id, p)
	}
	return c, nil
}
