package interop

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	xquic "golang.org/x/net/quic"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

// The rows of clients that are not ours in the usual interop cases.
const (
	quicGoClient  = "quic-go (QUIC)"
	xnetClient    = "x/net/quic (QUIC)"
	opensslClient = "openssl s_client -quic (QUIC)"
)

// secret makes stateless reset tokens that outlive a server.
var secret = []byte("interop stateless reset secret..")

// TestQuicGoClientCases: quic-go towards ngmqd.
func TestQuicGoClientCases(t *testing.T) {
	proves(t, quicGoClient, "v2", func(t *testing.T) {
		conn := opened(t, quicGoTo(broker.quic, &quic.Config{Versions: []quic.Version{quic.Version2}}))
		exchangeRaw(t, conn)
		assert.Equal(t, quic.Version2, conn.(*quicConn).conn.ConnectionState().Version)
	})
	proves(t, quicGoClient, "keyupdate", func(t *testing.T) {
		var r trace
		conn := opened(t, quicGoTo(broker.quic, r.config()))
		exchangeRaw(t, conn)
		r.wantKeyUpdate(t, conn)
	})
	proves(t, quicGoClient, "ecn", func(t *testing.T) {
		var r trace
		conn := opened(t, quicGoTo(broker.quic, r.config()))
		exchangeRaw(t, conn)
		r.wantECN(t, conn)
	})
	proves(t, quicGoClient, "resumption", func(t *testing.T) { resumption(t, quic.DialAddr) })
	proves(t, quicGoClient, "zerortt not taken, sent again", func(t *testing.T) { resumption(t, quic.DialAddrEarly) })
	proves(t, quicGoClient, "ipv6", func(t *testing.T) {
		exchangeRaw(t, opened(t, quicGoTo(startBroker6(t), nil)))
	})
}

// resumption connects twice with the same session cache: the second handshake uses the ticket.
func resumption(t *testing.T, dial func(context.Context, string, *tls.Config, *quic.Config) (*quic.Conn, error)) {
	cache := &ticketCache{cache: tls.NewLRUClientSessionCache(10), put: make(chan struct{}, 10)}
	config, err := broker.tlsConfig("mqtt")
	require.NoError(t, err)
	config.ClientSessionCache = cache
	for attempt := range 2 {
		conn, err := dial(within(t, patience), broker.quic, config, nil)
		require.NoError(t, err)
		defer conn.CloseWithError(0, "")
		stream, err := conn.OpenStreamSync(within(t, patience))
		require.NoError(t, err)
		exchangeRaw(t, &quicConn{Stream: stream, conn: conn})
		if attempt == 0 {
			select {
			case <-cache.put:
			case <-time.After(patience):
				require.FailNow(t, "no ticket came")
			}
			continue
		}
		<-conn.HandshakeComplete()
		state := conn.ConnectionState()
		assert.True(t, state.TLS.DidResume, "the second handshake was resumed")
		assert.False(t, state.Used0RTT, "the server takes no early data")
	}
}

// ticketCache tells when a ticket has come.
type ticketCache struct {
	cache tls.ClientSessionCache
	put   chan struct{}
}

func (c *ticketCache) Get(key string) (*tls.ClientSessionState, bool) { return c.cache.Get(key) }

func (c *ticketCache) Put(key string, state *tls.ClientSessionState) {
	c.cache.Put(key, state)
	if state != nil {
		c.put <- struct{}{}
	}
}

// startBroker6 is an ngmqd that also listens on the IPv6 loopback; it returns that address.
func startBroker6(t *testing.T) string {
	t.Helper()
	b, err := startBroker("--quic", "[::1]:0", "--cert", broker.dir+"/dev.crt", "--key", broker.dir+"/dev.key")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.stop()) })
	addrs := strings.FieldsFunc(b.quic, func(r rune) bool { return r == ',' || r == ' ' })
	addr := addrs[len(addrs)-1]
	require.True(t, strings.HasPrefix(addr, "[::1]:"), "listens on %s", b.quic)
	return addr
}

// TestXNetClientCases: x/net/quic towards ngmqd.
func TestXNetClientCases(t *testing.T) {
	proves(t, xnetClient, "keyupdate", func(t *testing.T) {
		conn := opened(t, xnetTo(broker.quic))
		exchangeRaw(t, conn)
		pings(t, conn)
	})
	proves(t, xnetClient, "ipv6", func(t *testing.T) { exchangeRaw(t, opened(t, xnetTo(startBroker6(t)))) })
}

// TestRetryOfOurs: with a listener of package endpoint that always sends Retry, one for each of the
// two datagrams that a ClientHello with a post-quantum key share takes.
func TestRetryOfOurs(t *testing.T) {
	l := serveOurs(t, endpoint.Config{Retry: endpoint.RetryAlways})
	addr := l.Addr().String()
	retries := func() uint64 {
		stats := l.Endpoint().Stats()
		return stats.Count(endpoint.Retries)
	}
	proves(t, quicGoClient, "retry", func(t *testing.T) {
		var r trace
		exchangeRaw(t, opened(t, quicGoTo(addr, r.config())))
		assert.Equal(t, 1, r.retried())
		assert.NotZero(t, retries())
	})
	proves(t, quicGoClient, "NEW_TOKEN spares the Retry", func(t *testing.T) {
		config := &quic.Config{TokenStore: quic.NewLRUTokenStore(1, 1)}
		exchangeRaw(t, opened(t, quicGoTo(addr, config)))
		before := retries()
		exchangeRaw(t, opened(t, quicGoTo(addr, config)))
		assert.Equal(t, before, retries())
	})
	proves(t, xnetClient, "retry", func(t *testing.T) {
		before := retries()
		exchangeRaw(t, opened(t, xnetTo(addr)))
		assert.Greater(t, retries(), before)
	})
	proves(t, opensslClient, "retry", func(t *testing.T) {
		before := retries()
		sClient(t, addr)
		assert.Greater(t, retries(), before)
	})
}

// TestResetOfOurs: a listener of package endpoint that has restarted resets the connections of clients.
func TestResetOfOurs(t *testing.T) {
	first := serveOurs(t, endpoint.Config{ResetSecret: secret})
	second := serveOurs(t, endpoint.Config{ResetSecret: secret})
	for _, c := range []struct {
		name string
		to   func(string) dialer
	}{{quicGoClient, quicTo}, {xnetClient, xnetTo}} {
		proves(t, c.name, "stateless reset", func(t *testing.T) {
			stats := second.Endpoint().Stats()
			before := stats.Count(endpoint.StatelessResets)
			err := restarted(t, c.to, first.Addr(), second.Addr())
			if c.name == quicGoClient {
				var reset *quic.StatelessResetError
				assert.ErrorAs(t, err, &reset)
			}
			stats = second.Endpoint().Stats()
			assert.Greater(t, stats.Count(endpoint.StatelessResets), before)
		})
	}
}

// restarted leads a connection to a server that does not know it, and returns what ends it, which
// must happen long before an idle timeout.
func restarted(t *testing.T, to func(string) dialer, first, second net.Addr) error {
	t.Helper()
	path := startPath(t, first.String())
	conn := opened(t, to(path.Addr()))
	exchangeRaw(t, conn)
	require.NoError(t, path.Redirect(second.String()))
	// A reset is shorter than what it answers (RFC 9000 section 10.3.3): servers answer nothing
	// as short as a PINGREQ.
	_, err := conn.Write(publish311("interop/reset", make([]byte, 200)))
	require.NoError(t, err)
	conn.SetReadDeadline(time.Now().Add(patience / 3))
	_, err = conn.Read(make([]byte, 16))
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	if timeout, ok := err.(net.Error); ok {
		_, reset := err.(*quic.StatelessResetError)
		require.True(t, reset || !timeout.Timeout(), "still open: %v", err)
	}
	return err
}

// publish311 is a PUBLISH of MQTT 3.1.1 at QoS 0, shorter than 16 KiB.
func publish311(topic string, payload []byte) []byte {
	n := 2 + len(topic) + len(payload)
	b := []byte{0x30, byte(n) | 0x80, byte(n >> 7), 0, byte(len(topic))}
	return append(append(b, topic...), payload...)
}

// TestOurClientCases: package endpoint towards quic-go and x/net/quic.
func TestOurClientCases(t *testing.T) {
	quicGo := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{}, &quic.Config{MaxIdleTimeout: idle})
	xnet := serveXNet(t, "127.0.0.1:0", &xquic.Config{MaxIdleTimeout: idle})
	for name, addr := range map[string]string{oursQuicGo: quicGo.Addr().String(), oursXNet: xnet.Addr().String()} {
		for _, suite := range []string{"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"} {
			what := map[bool]string{true: "chacha20", false: "aes256"}[strings.Contains(suite, "CHACHA")]
			proves(t, name, what, func(t *testing.T) {
				conn := opened(t, oursTo(t, addr, endpoint.DialConfig{TLS: ourTLS(t, suite)}))
				exchangeRaw(t, conn)
				assert.Equal(t, suite, conn.(ourConn).TLS().CipherSuite)
			})
		}
	}
	proves(t, oursQuicGo, "v2", func(t *testing.T) {
		for len(quicGo.conns) > 0 {
			<-quicGo.conns
		}
		exchangeRaw(t, opened(t, oursTo(t, quicGo.Addr().String(), endpoint.DialConfig{Version: ngtcp2.VersionV2})))
		assert.Equal(t, quic.Version2, (<-quicGo.conns).ConnectionState().Version)
	})
	proves(t, oursXNet, "keyupdate", func(t *testing.T) {
		conn := opened(t, oursTo(t, xnet.Addr().String(), endpoint.DialConfig{}))
		exchangeRaw(t, conn)
		pings(t, conn)
	})
	proves(t, oursQuicGo, "ipv6", func(t *testing.T) {
		s := serveQuicGo(t, "[::1]:0", &quic.Transport{}, nil)
		exchangeRaw(t, opened(t, oursTo(t, s.Addr().String(), endpoint.DialConfig{})))
	})
	proves(t, oursXNet, "ipv6", func(t *testing.T) {
		s := serveXNet(t, "[::1]:0", &xquic.Config{})
		exchangeRaw(t, opened(t, oursTo(t, s.Addr().String(), endpoint.DialConfig{})))
	})
}

// TestOurClientTraced: what quic-go's qlog says of our client.
func TestOurClientTraced(t *testing.T) {
	for name, want := range map[string]func(*trace, *testing.T, abortableConn){
		"keyupdate": (*trace).wantKeyUpdate, "ecn": (*trace).wantECN,
	} {
		proves(t, oursQuicGo, name, func(t *testing.T) {
			var r trace
			s := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{}, r.config())
			conn := opened(t, oursTo(t, s.Addr().String(), endpoint.DialConfig{}))
			exchangeRaw(t, conn)
			want(&r, t, conn)
		})
	}
}

// TestVersionNegotiation: the server offers no version of ours: the attempt ends at once.
func TestVersionNegotiation(t *testing.T) {
	quicGo := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{}, &quic.Config{Versions: []quic.Version{quic.Version2}})
	xnet := serveXNet(t, "127.0.0.1:0", &xquic.Config{})
	for _, c := range []struct {
		name, addr string
		version    uint32
	}{
		{oursQuicGo, quicGo.Addr().String(), ngtcp2.VersionV1},
		{oursXNet, xnet.Addr().String(), ngtcp2.VersionV2},
	} {
		proves(t, c.name, "version negotiation", func(t *testing.T) {
			_, err := oursTo(t, c.addr, endpoint.DialConfig{Version: c.version})(within(t, patience/3))
			var failed *ngtcp2.Error
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, ngtcp2.CodeRecvVersionNegotiation, failed.Code)
		})
	}
}

// TestRetryOfOthers: servers that always send Retry.
func TestRetryOfOthers(t *testing.T) {
	asked := make(chan net.Addr, 100)
	quicGo := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{VerifySourceAddress: func(a net.Addr) bool {
		asked <- a
		return true
	}}, nil)
	xnet := serveXNet(t, "127.0.0.1:0", &xquic.Config{RequireAddressValidation: true})
	tokens := make(chan []byte, 10)
	proves(t, oursQuicGo, "retry", func(t *testing.T) {
		exchangeRaw(t, opened(t, oursTo(t, quicGo.Addr().String(), endpoint.DialConfig{OnToken: func(b []byte) { tokens <- b }})))
		assert.Len(t, asked, 1)
	})
	proves(t, oursQuicGo, "NEW_TOKEN spares the Retry", func(t *testing.T) {
		var token []byte
		select {
		case token = <-tokens:
		case <-time.After(patience):
			require.FailNow(t, "no token came")
		}
		exchangeRaw(t, opened(t, oursTo(t, quicGo.Addr().String(), endpoint.DialConfig{Token: token})))
		assert.Len(t, asked, 1, "the second connection was taken at once")
	})
	proves(t, oursXNet, "retry", func(t *testing.T) {
		exchangeRaw(t, opened(t, oursTo(t, xnet.Addr().String(), endpoint.DialConfig{})))
	})
}

// TestResetOfOthers: a server that has restarted resets our client's connection. Not so x/net/quic:
// it gives no token for the Connection ID of the handshake, which clients go on using.
func TestResetOfOthers(t *testing.T) {
	dial := func(addr string) dialer { return oursTo(t, addr, endpoint.DialConfig{}) }
	proves(t, oursQuicGo, "stateless reset", func(t *testing.T) {
		key := quic.StatelessResetKey(secret)
		first := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{StatelessResetKey: &key}, nil)
		second := serveQuicGo(t, "127.0.0.1:0", &quic.Transport{StatelessResetKey: &key}, nil)
		assert.ErrorIs(t, restarted(t, dial, first.Addr(), second.Addr()), ngtcp2.ErrStatelessReset)
	})
}
