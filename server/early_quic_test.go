//go:build !noquic

package server_test

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/crypto/ticketkeys"
	mqttclient "github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// returning is a QUIC client that keeps its session.
type returning struct {
	t        *testing.T
	clients  *endpoint.Endpoint
	cfg      endpoint.DialConfig
	sessions chan []byte
}

func newReturning(t *testing.T, s *running) *returning {
	t.Helper()
	s.startClients(t)
	r := &returning{t: t, clients: s.clients, sessions: make(chan []byte, 10)}
	r.cfg = endpoint.DialConfig{TLS: s.trust, ServerName: "localhost", EarlyData: true, OnSession: func(b []byte) { r.sessions <- b }}
	return r
}

// dial connects; with a session it returns before the handshake.
func (r *returning) dial(addr string) (*endpoint.StreamConn, *mqtttest.Client) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), mqtttest.Patience)
	defer cancel()
	conn, err := r.clients.DialConn(ctx, addr, r.cfg)
	require.NoError(r.t, err)
	return conn, mqtttest.New(r.t, conn, packet.V50)
}

// leave closes the connection and waits for its end, while its relay is still there.
func (r *returning) leave(conn *endpoint.StreamConn) {
	r.t.Helper()
	conn.Close()
	select {
	case <-conn.Closed():
	case <-time.After(mqtttest.Patience):
		require.Fail(r.t, "the connection did not end")
	}
}

// handshake waits for the server's verdict on early data.
func (r *returning) handshake(conn *endpoint.StreamConn) crypto.ConnectionState {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), mqtttest.Patience)
	defer cancel()
	require.NoError(r.t, conn.Handshake(ctx))
	return conn.TLS()
}

// remember keeps the next session.
func (r *returning) remember() {
	r.t.Helper()
	select {
	case r.cfg.Session = <-r.sessions:
	case <-time.After(mqtttest.Patience):
		require.Fail(r.t, "no ticket came")
	}
}

// visit connects, takes the session and goes.
func (r *returning) visit(addr string) {
	r.t.Helper()
	conn, c := r.dial(addr)
	c.ConnectAs("visitor")
	r.remember()
	c.Send(&packet.Disconnect{})
	r.leave(conn)
}

// connects notes how the Connect handler was asked.
func connects(cfg *server.Config) chan *server.Client {
	asked := make(chan *server.Client, 100)
	cfg.Handlers.Connect = func(e *server.ConnectEvent) error { asked <- e.Client; return nil }
	return asked
}

func nextConnect(t *testing.T, asked chan *server.Client) *server.Client {
	t.Helper()
	select {
	case c := <-asked:
		return c
	case <-time.After(mqtttest.Patience):
		require.Fail(t, "no CONNECT came")
		return nil
	}
}

// wire encodes packets in one piece.
func wire(packets ...packet.Packet) (b []byte) {
	for _, p := range packets {
		b = p.AppendTo(b, packet.V50)
	}
	return b
}

// A client that returns sends everything with its first packets. It gets all its answers,
// in order and once, and what it asked for happens once.
func TestEarlyData(t *testing.T) {
	t.Parallel()
	cfg := server.Config{EarlyData: server.EarlyDataOn}
	asked := connects(&cfg)
	s := start(t, cfg)
	r := newReturning(t, s)
	addr := s.Addrs().QUIC[0].String()
	r.visit(addr)
	require.False(t, nextConnect(t, asked).Conn.TLS.Resumed)
	watch := connected(t, s, "tcp", packet.V50, "watch")
	watch.Subscribe("#", 1)
	nextConnect(t, asked)
	for round := range 3 {
		conn, c := r.dial(addr)
		will := &packet.Will{Topic: "will", Payload: []byte("gone")}
		c.Raw(wire(&packet.Connect{ClientID: "c", CleanStart: round == 0, Will: will,
			Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 60)},
			&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "own", QoS: 1}}},
			&packet.Publish{Topic: []byte("t"), Payload: []byte("hello"), QoS: 1, PacketID: 2}))
		assert.Equal(t, round > 0, mqtttest.Expect[*packet.Connack](c).SessionPresent)
		mqtttest.Expect[*packet.Suback](c)
		assert.EqualValues(t, 2, mqtttest.Expect[*packet.Puback](c).PacketID)
		watch.ExpectMessage("t", "hello")
		state := r.handshake(conn)
		assert.True(t, state.EarlyData && state.Resumed && state.Verified)
		info := nextConnect(t, asked)
		assert.True(t, info.Conn.TLS.EarlyData && info.Conn.TLS.Resumed)
		r.remember()
		c.Send(&packet.Disconnect{ReasonCode: packet.DisconnectWithWill})
		watch.ExpectMessage("will", "gone")
		conn.Close()
	}
	assert.Empty(t, asked, "asked once each")
	stats := s.clients.Stats()
	assert.EqualValues(t, 3, stats.Count(endpoint.EarlyDataAccepted))
}

// Early data is off unless asked for; its client sends everything again on the same streams.
// So it does when the server has other keys or takes every ticket once.
func TestEarlyDataRejectedAndResent(t *testing.T) {
	t.Parallel()
	on := start(t, server.Config{EarlyData: server.EarlyDataOn, QUIC: anyQUIC, TCP: []string{server.Off}})
	r := newReturning(t, on)
	r.visit(on.Addrs().QUIC[0].String())
	session := r.cfg.Session
	for name, mode := range map[string]server.EarlyData{"off": server.EarlyDataOff, "other keys": server.EarlyDataOn} {
		cfg := server.Config{EarlyData: mode, QUIC: anyQUIC, TCP: anyPort}
		asked := connects(&cfg)
		s := start(t, cfg)
		watch := connected(t, s, "tcp", packet.V50, "watch")
		watch.Subscribe("#", 2)
		nextConnect(t, asked)
		r.cfg.Session = session
		conn, c := r.dial(s.Addrs().QUIC[0].String())
		c.Raw(wire(&packet.Connect{ClientID: "c", CleanStart: true}, &packet.Publish{Topic: []byte("t"), Payload: []byte(name), QoS: 2, PacketID: 2}))
		mqtttest.Expect[*packet.Connack](c)
		mqtttest.Expect[*packet.Pubrec](c)
		state := r.handshake(conn)
		assert.True(t, state.EarlyDataRejected && !state.EarlyData, name)
		c.Send(&packet.Pubrel{PacketID: 2})
		mqtttest.Expect[*packet.Pubcomp](c)
		watch.ExpectMessage("t", name)
		watch.Ping()
		assert.False(t, nextConnect(t, asked).Conn.TLS.EarlyData)
		assert.Empty(t, asked)
		conn.Close()
	}
}

// flights is a UDP relay that keeps what clients send.
type flights struct {
	t         *testing.T
	near, far *net.UDPConn
	mu        sync.Mutex
	client    net.Addr
	kept      [][]byte
	held      [][]byte // from the server, while holding
	holding   bool
}

func newFlights(t *testing.T, to string) *flights {
	t.Helper()
	near, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	addr, err := net.ResolveUDPAddr("udp", to)
	require.NoError(t, err)
	far, err := net.DialUDP("udp", nil, addr)
	require.NoError(t, err)
	f := &flights{t: t, near: near, far: far}
	var ended sync.WaitGroup
	ended.Go(f.toServer)
	ended.Go(f.toClient)
	t.Cleanup(func() {
		near.Close()
		far.Close()
		ended.Wait()
	})
	return f
}

func (f *flights) toServer() {
	buf := make([]byte, 65536)
	for {
		n, from, err := f.near.ReadFrom(buf)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.client = from
		if f.holding && buf[0]&0x80 != 0 { // no late packets of a connection before it
			f.kept = append(f.kept, slices.Clone(buf[:n]))
		}
		f.mu.Unlock()
		f.far.Write(buf[:n])
	}
}

func (f *flights) toClient() {
	buf := make([]byte, 65536)
	for {
		n, err := f.far.Read(buf)
		if err != nil {
			return
		}
		f.mu.Lock()
		if f.holding {
			f.held = append(f.held, slices.Clone(buf[:n]))
		} else {
			f.near.WriteTo(buf[:n], f.client)
		}
		f.mu.Unlock()
	}
}

// hold keeps what clients send, and gives them no answer until release.
func (f *flights) hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holding, f.kept = true, nil
}

// release lets the client go on and gives what it has sent until now: early data.
func (f *flights) release() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holding = false
	for _, b := range f.held {
		f.near.WriteTo(b, f.client)
	}
	f.held = nil
	return slices.Clone(f.kept)
}

// replay sends a flight to a server from an address of its own.
func replay(t *testing.T, flight [][]byte, to string) {
	t.Helper()
	conn, err := net.Dial("udp", to)
	require.NoError(t, err)
	defer conn.Close()
	for _, b := range flight {
		_, err := conn.Write(b)
		require.NoError(t, err)
	}
}

// sharedKeys is a file of ticket keys.
func sharedKeys(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, ticketkeys.Keys(nil).Extend(time.Now(), time.Hour, 1).Write(file))
	return file
}

// Somebody sends a copy of a client's early data, QoS 1 message, will, clean start and
// subscription in it, to another server with the same ticket keys. The server answers, and nothing else happens, neither then nor when it gives up the handshake.
func TestEarlyDataReplayedHasNoEffect(t *testing.T) {
	t.Parallel()
	cfg := server.Config{EarlyData: server.EarlyDataOn, TicketKeysFile: sharedKeys(t), QUIC: anyQUIC, TCP: anyPort, Workers: 1}
	original := connects(&cfg)
	a := start(t, cfg)
	asked := connects(&cfg)
	events := make(chan string, 100)
	cfg.Handlers.Session = func(e *server.SessionEvent) { events <- e.ClientID }
	cfg.Timeouts.Handshake = 2 * time.Second // enough for the clients of the test
	cfg.Limits.MaxConnectRatePerIP = 5
	b := start(t, cfg)

	r := newReturning(t, a)
	way := newFlights(t, a.Addrs().QUIC[0].String())
	r.visit(way.near.LocalAddr().String())
	nextConnect(t, original)
	way.hold()
	conn, c := r.dial(way.near.LocalAddr().String())
	c.Raw(wire(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "will", Payload: []byte("gone"), Retain: true}},
		&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "#", QoS: 1}}},
		&packet.Publish{Topic: []byte("t"), Payload: []byte("pay 5"), QoS: 1, PacketID: 2, Retain: true}))
	require.True(t, nextConnect(t, original).Conn.TLS.EarlyData)
	flight := way.release()
	mqtttest.Expect[*packet.Connack](c)
	require.True(t, r.handshake(conn).EarlyData)
	mqtttest.Expect[*packet.Suback](c)
	r.leave(conn)

	watch := connected(t, b, "tcp", packet.V50, "watch")
	watch.Subscribe("#", 1)
	victim := client(t, b, "quic", packet.V50)
	victim.Connect(&packet.Connect{ClientID: "c", CleanStart: true, Properties: packet.AppendUint32(nil, packet.SessionExpiryInterval, 60)})
	victim.Subscribe("mine", 1)
	nextConnect(t, asked)
	nextConnect(t, asked)
	for len(events) > 0 {
		<-events
	}
	before := quietStats(b)
	replay(t, flight, b.Addrs().QUIC[0].String())
	info := nextConnect(t, asked)
	assert.Equal(t, "c", info.ID)
	assert.True(t, info.Conn.TLS.EarlyData)
	for range 3 { // further copies
		replay(t, flight, b.Addrs().QUIC[0].String())
	}
	victim.Ping()
	watch.Ping()
	assert.Equal(t, before, quietStats(b))
	require.Eventually(t, func() bool { return quicCount(b, "closed_handshake_timeout") == 1 }, mqtttest.Patience, time.Millisecond)
	assert.Empty(t, asked)
	assert.Equal(t, before, quietStats(b))
	victim.Ping()
	victim.Publish("mine", "still here", 1)
	watch.ExpectMessage("mine", "still here")
	victim.ExpectMessage("mine", "still here")
	assert.Empty(t, events)
	assert.Zero(t, quicCount(b, "early_data_accepted"))

	// Of one that takes tickets once a copy is no early data.
	cfg.EarlyData = server.EarlyDataSingleUse
	once := start(t, cfg)
	replay(t, flight, once.Addrs().QUIC[0].String())
	connected(t, once, "quic", packet.V50, "witness").Ping()
	assert.Equal(t, "witness", nextConnect(t, asked).ID, "the tickets are older than the server, which does not know whether they were used")
}

// quietStats are the numbers without those that the PINGREQs of a test change.
func quietStats(s *running) server.Stats {
	n := s.Stats()
	n.PacketsReceived, n.BytesReceived, n.PacketsSent, n.BytesSent = 0, 0, 0, 0
	return n
}

func quicCount(s *running, name string) uint64 {
	for n, v := range s.QUICStats(context.Background()) {
		if n == name {
			return v
		}
	}
	return 0
}

// Two servers that share a file of ticket keys are one to their clients.
func TestEarlyDataOfAnotherServer(t *testing.T) {
	t.Parallel()
	cfg := server.Config{EarlyData: server.EarlyDataOn, TicketKeysFile: sharedKeys(t), QUIC: anyQUIC, TCP: []string{server.Off}}
	a, b := start(t, cfg), start(t, cfg)
	r := newReturning(t, a)
	r.visit(a.Addrs().QUIC[0].String())
	for _, s := range []*running{b, a} {
		conn, c := r.dial(s.Addrs().QUIC[0].String())
		c.ConnectAs("c")
		assert.True(t, r.handshake(conn).EarlyData)
		r.remember()
		conn.Close()
	}
}

// With single use a client that uses its ticket again is served without early data.
func TestEarlyDataSingleUse(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{EarlyData: server.EarlyDataSingleUse, QUIC: anyQUIC, TCP: []string{server.Off}})
	r := newReturning(t, s)
	addr := s.Addrs().QUIC[0].String()
	r.visit(addr)
	for round := range 3 {
		conn, c := r.dial(addr)
		c.ConnectAs("c")
		state := r.handshake(conn)
		assert.True(t, state.Resumed)
		assert.Equal(t, round == 0, state.EarlyData)
		assert.Equal(t, round > 0, state.EarlyDataRejected)
		conn.Close()
	}
	r.remember() // of the last one
	conn, c := r.dial(addr)
	c.ConnectAs("c")
	assert.True(t, r.handshake(conn).EarlyData)
}

// Further streams carry early data too, which waits with the rest: what was asked for on a
// stream is answered there.
func TestEarlyDataOnDataStreams(t *testing.T) {
	t.Parallel()
	cfg := server.Config{EarlyData: server.EarlyDataOn, QUIC: anyQUIC, TCP: []string{server.Off}}
	asked := connects(&cfg)
	s := start(t, cfg)
	r := newReturning(t, s)
	way := newFlights(t, s.Addrs().QUIC[0].String())
	r.visit(way.near.LocalAddr().String())
	nextConnect(t, asked)
	way.hold()
	conn, c := r.dial(way.near.LocalAddr().String())
	var further [2]*mqtttest.Client
	for i := range further {
		stream, err := conn.Open(t.Context())
		require.NoError(t, err)
		further[i] = mqtttest.New(t, stream, packet.V50)
	}
	further[0].Raw(wire(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: "t", QoS: 1}}}))
	c.Raw(wire(&packet.Connect{ClientID: "c", CleanStart: true}))
	require.True(t, nextConnect(t, asked).Conn.TLS.EarlyData)
	further[1].Raw(wire(&packet.Publish{Topic: []byte("early"), Payload: []byte("x"), QoS: 1, PacketID: 2}))
	way.release()
	mqtttest.Expect[*packet.Connack](c)
	require.True(t, r.handshake(conn).EarlyData)
	mqtttest.Expect[*packet.Suback](further[0])
	mqtttest.Expect[*packet.Puback](further[1])
	c.Publish("t", "hello", 1)
	further[0].ExpectMessage("t", "hello")
	assert.Empty(t, asked)
	r.leave(conn)
}

// The client of this module, which keeps its sessions in a file, comes back with early data.
func TestEarlyDataOfOwnClient(t *testing.T) {
	t.Parallel()
	s := start(t, server.Config{EarlyData: server.EarlyDataOn, QUIC: anyQUIC, TCP: []string{server.Off}})
	id := mqttclient.TLS{SessionFile: filepath.Join(t.TempDir(), "sessions"), EarlyData: mqttclient.EarlyDataOn}
	for range 3 {
		require.NoError(t, knockWith(t, s, "quic://"+s.Addrs().QUIC[0].String(), id, ""))
	}
	assert.EqualValues(t, 2, quicCount(s, "early_data_accepted"))
}
