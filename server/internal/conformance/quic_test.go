//go:build !noquic

package conformance

import (
	"context"
	"net"
	"sync"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
)

// transports that every test goes over.
var transports = []string{"tcp", "quic"}

var anyQUIC = []string{"127.0.0.1:0"}

// dialer is the QUIC side of all clients.
type dialer struct {
	*endpoint.Endpoint
	trust *crypto.Context
}

var quicDialer = sync.OnceValues(func() (d dialer, err error) {
	d.trust, err = crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: shared().CAFile(), ALPN: []string{"mqtt"}})
	if err != nil {
		return d, err
	}
	d.Endpoint, err = endpoint.New(endpoint.Config{Workers: 1})
	return d, err
})

func dialQUIC(ctx context.Context, s *server.Server) (net.Conn, error) {
	d, err := quicDialer()
	if err != nil {
		return nil, err
	}
	return d.DialConn(ctx, s.Addrs().QUIC[0].String(), endpoint.DialConfig{TLS: d.trust})
}

// stopDialing frees what the clients shared.
func stopDialing() {
	d, err := quicDialer()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d.Shutdown(ctx)
	d.trust.Close()
}
