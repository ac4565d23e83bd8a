//go:build !noquic

package server_test

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// transports that every server test goes over.
var transports = []string{"tcp", "tls", "quic", "ws", "wss", "unix"}

// favourite is the transport where a test needs one of them.
const favourite = "quic"

var anyQUIC = anyPort

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		if err := serveAndReport(); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

// quicClients is what the QUIC clients of a server share.
type quicClients struct {
	clients *endpoint.Endpoint // made when first needed
	trust   *crypto.Context
}

// startClients runs the endpoint of the QUIC clients until stopClients.
func (r *running) startClients(t testing.TB) {
	t.Helper()
	if r.clients != nil {
		return
	}
	var err error
	r.trust, err = crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: r.caFile, ALPN: []string{"mqtt"}})
	require.NoError(t, err)
	r.clients, err = endpoint.New(endpoint.Config{Workers: 1})
	require.NoError(t, err)
}

func (q *quicClients) stopClients() {
	if q.clients == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), mqtttest.Patience)
	defer cancel()
	q.clients.Shutdown(ctx)
	q.trust.Close()
}

func (r *running) dialQUIC(t testing.TB, ctx context.Context) (net.Conn, error) {
	t.Helper()
	r.startClients(t)
	return r.clients.DialConn(ctx, r.Addrs().QUIC[0].String(), endpoint.DialConfig{TLS: r.trust})
}

// vandals of QUIC.
var vandals = []vandal{garbageUDP}

// garbageUDP sends datagrams that are random but for a first byte and version that
// make some of them look like QUIC.
func garbageUDP(s *running, r *rand.Rand) {
	conn, err := net.Dial("udp", s.Addrs().QUIC[0].String())
	if err != nil {
		return
	}
	defer conn.Close()
	for range 50 {
		b := randomBytes(r, 1+r.IntN(1500))
		if len(b) > 6 && r.IntN(2) == 0 {
			b[0] |= 0xC0
			copy(b[1:], "\x00\x00\x00\x01\x08") // version 1, a CID of 8 bytes
		}
		conn.Write(b)
	}
}

// heap is the C heap of ngtcp2 and its binding.
func heap() (blocks, bytes int64) { return ngtcp2.HeapBlocks(), ngtcp2.HeapBytes() }
