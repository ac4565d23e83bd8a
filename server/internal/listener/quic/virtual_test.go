//go:build !noquic

package quic

import (
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/crypto/devcert"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server/internal/broker"
)

// virtual is a Listener and a client on a network of its own, in virtual time: what happens
// is the same in each run, and no machine is too slow for it.
type virtual struct {
	t     *testing.T
	b     *broker.Broker
	nodes [2]node // of the server, of the client
	delay time.Duration
	now   ngtcp2.Timestamp
	lose  func(toClient bool, bytes int) bool
	tls   *crypto.Context // the client's
}

type node struct {
	core *endpoint.Core
	addr netip.AddrPort
	in   []inFlight // in order of arrival
}

type inFlight struct {
	due  ngtcp2.Timestamp
	data []byte
}

const (
	server = 0
	client = 1
)

// newVirtual makes a network whose ways take delay. Nothing is lost at first.
func newVirtual(t *testing.T, delay time.Duration, cfg Config) *virtual {
	t.Helper()
	dev, err := devcert.Generate(t.TempDir())
	require.NoError(t, err)
	serverTLS, err := crypto.NewContext(crypto.Config{CertPEM: read(t, dev.CertFile), KeyPEM: read(t, dev.KeyFile), ALPN: []string{"mqtt"}})
	require.NoError(t, err)
	t.Cleanup(serverTLS.Close)
	v := &virtual{t: t, delay: delay, now: ngtcp2.Timestamp(time.Hour), lose: func(bool, int) bool { return false }}
	v.tls, err = crypto.NewContext(crypto.Config{Role: crypto.Client, CAFile: dev.CAFile, ALPN: []string{"mqtt"}})
	require.NoError(t, err)
	t.Cleanup(v.tls.Close)
	v.b = broker.New(broker.Config{AllowAnonymous: true})
	cfg.Broker, cfg.Logger = v.b, slog.New(slog.DiscardHandler)
	l := &Listener{cfg: cfg}
	v.nodes[server] = v.node("10.0.0.1:14567", endpoint.Config{TLS: serverTLS, Handler: l, Settings: cfg.settings, Addrs: []string{"10.0.0.1:14567"}})
	v.nodes[client] = v.node("10.0.0.2:4000", endpoint.Config{})
	return v
}

func (v *virtual) node(addr string, cfg endpoint.Config) node {
	core, err := endpoint.NewCore(cfg)
	require.NoError(v.t, err)
	v.t.Cleanup(core.Free)
	return node{core: core, addr: netip.MustParseAddrPort(addr)}
}

// pass lets time pass.
func (v *virtual) pass(d time.Duration) {
	end := v.now.Add(d)
	for {
		for i := range v.nodes {
			v.turn(i)
		}
		next := min(v.next(), end)
		idle := next > v.now
		v.now = max(v.now, next)
		if idle && v.now == end {
			return
		}
	}
}

// until lets time pass until done.
func (v *virtual) until(what string, done func() bool) {
	v.t.Helper()
	for range 10_000 {
		if done() {
			return
		}
		v.pass(time.Millisecond)
	}
	require.FailNow(v.t, "it does not happen", what)
}

// next is when something is due.
func (v *virtual) next() ngtcp2.Timestamp {
	at := ngtcp2.NoExpiry
	for i := range v.nodes {
		at = min(at, v.nodes[i].core.Expiry())
		if in := v.nodes[i].in; len(in) > 0 {
			at = min(at, in[0].due)
		}
	}
	return at
}

// turn lets a node do what is due, and puts what it sends on the way.
func (v *virtual) turn(i int) {
	n, other := &v.nodes[i], &v.nodes[1-i]
	for len(n.in) > 0 && n.in[0].due <= v.now {
		data := n.in[0].data
		n.in = n.in[1:]
		size := uint32(len(data))
		n.core.Receive(&endpoint.Batch{Buf: data, Msgs: []endpoint.Message{{Local: n.addr, Remote: other.addr, Len: size, Stride: size}}}, v.now)
	}
	n.core.HandleInbox(v.now)
	if n.core.Expiry() <= v.now {
		n.core.HandleExpiry(v.now)
	}
	for n.core.Busy() {
		buf, runs := n.core.Poll(v.now)
		for _, t := range runs {
			for data := range slices.Chunk(buf[t.Off:t.Off+t.Len], max(t.SegmentSize, 1)) {
				if !v.lose(i == server, len(data)) {
					other.in = append(other.in, inFlight{v.now.Add(v.delay), slices.Clone(data)})
				}
			}
		}
		n.core.Sent(nil)
	}
}

// subscriber is an MQTT client in virtual time.
type subscriber struct {
	refused
	v       *virtual
	conn    *endpoint.Conn
	control *virtualStream
	bytes   int // that have come on all streams
}

// virtualStream is a stream of a subscriber.
type virtualStream struct {
	s       *endpoint.Stream
	decoder *packet.Decoder
	stalled bool // what comes gets no credit and is not looked at
	bytes   int
	last    int // subscriber.bytes when the last of it came
	got     map[packet.Type]int
	took    map[string][]time.Duration // by topic: the latency of each message
}

// connect connects a client.
func (v *virtual) connect() *subscriber {
	v.t.Helper()
	c := &subscriber{v: v}
	path := ngtcp2.Path{Local: v.nodes[client].addr, Remote: v.nodes[server].addr}
	ended := false
	var err error
	c.conn, err = v.nodes[client].core.Connect(path, endpoint.DialConfig{TLS: v.tls, ServerName: "localhost", Handler: c}, v.now, func(e error) { ended, err = true, e })
	require.NoError(v.t, err)
	v.until("handshake", func() bool { return ended })
	require.NoError(v.t, err)
	c.control = c.open()
	c.control.send(&packet.Connect{ClientID: "c", CleanStart: true})
	v.until("CONNACK", func() bool { return c.control.got[packet.CONNACK] == 1 })
	return c
}

// open opens a stream.
func (c *subscriber) open() *virtualStream {
	c.v.t.Helper()
	s, err := c.conn.OpenStream()
	require.NoError(c.v.t, err)
	d := packet.NewDecoder(0)
	d.SetVersion(packet.V50)
	st := &virtualStream{s: s, decoder: d, got: map[packet.Type]int{}, took: map[string][]time.Duration{}}
	s.UserData = st
	return st
}

func (st *virtualStream) send(p packet.Packet) {
	st.s.Write(p.AppendTo(nil, packet.V50))
}

// subscribe subscribes on a stream.
func (c *subscriber) subscribe(st *virtualStream, filter string) { c.subscribeAt(st, filter, 0) }

func (c *subscriber) subscribeAt(st *virtualStream, filter string, qos byte) {
	n := st.got[packet.SUBACK]
	st.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: filter, QoS: qos}}})
	c.v.until("SUBACK", func() bool { return st.got[packet.SUBACK] == n+1 })
}

// publish publishes a message of so many bytes, which tells when it was.
func (v *virtual) publish(topic string, size int) {
	payload := make([]byte, size)
	binary.BigEndian.PutUint64(payload, uint64(v.now))
	require.NoError(v.t, v.b.Publish(broker.Publication{Topic: topic, Payload: payload}))
}

// OnStreamData implements endpoint.ConnHandler.
func (c *subscriber) OnStreamData(s *endpoint.Stream, data []byte, _ bool) {
	st := s.UserData.(*virtualStream)
	st.bytes += len(data)
	c.bytes += len(data)
	st.last = c.bytes
	if st.stalled {
		return
	}
	s.Consume(len(data))
	st.decoder.Feed(data)
	for {
		p, err := st.decoder.Next()
		require.NoError(c.v.t, err)
		if p == nil {
			return
		}
		st.got[p.Type()]++
		if m, ok := p.(*packet.Publish); ok {
			at := ngtcp2.Timestamp(binary.BigEndian.Uint64(m.Payload))
			st.took[string(m.Topic)] = append(st.took[string(m.Topic)], c.v.now.Sub(at))
		}
	}
}

// spread is the median and the 99th percentile.
func spread(list []time.Duration) (p50, p99 time.Duration) {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2], list[len(list)*99/100]
}
