package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// earlyBehaviours are those of clients that come back with a ticket.
var earlyBehaviours = []behaviour{
	{name: "CONNECT, SUBSCRIBE, PUBLISH in early data", run: earlyData, cell: needsEarly},
	{name: "0-RTT rejected, sent again on the same stream ids", run: earlyRejected, cell: needsEarly},
	{name: "0-RTT replay of a QoS 1 PUBLISH and of a will", run: earlyReplayed, cell: needsEarly, once: true},
	{name: "resumption with an expired client certificate", run: expiredCertificate, cell: needsTickets, once: true},
}

const noteNotEarly = "it sends no early data"

func needsEarly(h habit) (bool, string) {
	if !h.early {
		return false, noteNotEarly
	}
	return true, ""
}

// withTicket connects once for the ticket and gives the place for connections with early data.
func (p *place) withTicket(t *testing.T) *place {
	t.Helper()
	c := p.connect(t, connectOptions{})
	p.config.ClientSessionCache.(*ticketCache).wait(t) // it may be lost, and come again later
	c.disconnect()
	early := *p
	early.dial = dialGoEarly
	return &early
}

// sentEarly sends a CONNECT, and on a stream for each a SUBSCRIBE and a PUBLISH, before anything is known
// of the server.
func sentEarly(t *testing.T, c *emulated, o connectOptions, topic string, qos byte) (in, out *lane, m *packets.Publish) {
	t.Helper()
	c.control.send(c.connectPacket(o))
	in, out = c.stream(false), c.stream(false)
	m = c.publication(topic, "early", qos)
	in.send(&packets.Subscribe{PacketID: c.id(), Properties: &packets.Properties{}, Subscriptions: []packets.SubOptions{{Topic: topic + "/in", QoS: 2}}})
	out.send(m)
	return in, out, m
}

func earlyData(t *testing.T, p *place) {
	early := p.withTicket(t)
	for qos := range byte(3) {
		topic := unique("habits/early")
		watch := p.watch(t, topic, qos)
		c := early.dialed(t, connectOptions{})
		in, out, m := sentEarly(t, c, connectOptions{}, topic, qos)
		c.connack()
		expect[*packets.Suback](in)
		out.accepted(qos, m.PacketID)
		watch.gets(qos, topic, "early")
		assert.True(t, c.mux.(goMux).conn.ConnectionState().Used0RTT)
		c.publish(out, topic+"/in", "later", 2)
		in.gets(2, topic+"/in", "later")
		watch.ping()
		c.disconnect()
	}
}

// earlyRejected: a server with other keys takes the place of the one that gave the ticket. quic-go leaves it
// to its user to send again, on streams that begin with 0 again.
func earlyRejected(t *testing.T, p *place) {
	other := *p
	other.broker = broker
	other.config = p.config.Clone()
	other.config.RootCAs = rootsOf(t, p.broker, broker)
	first := *p
	first.config = other.config
	first.withTicket(t)
	require.NoError(t, p.path.Redirect(broker.quic))
	other.dial = dialGoEarly
	topic := unique("habits/rejected")
	watch := other.watch(t, topic, 2)
	c := other.dialed(t, connectOptions{})
	sentEarly(t, c, connectOptions{}, topic, 2)
	conn := c.mux.(goMux).conn
	_, err := c.control.s.Read(make([]byte, 1))
	require.ErrorIs(t, err, quic.Err0RTTRejected)
	conn, err = conn.NextConnection(within(t, lanePatience))
	require.NoError(t, err)
	c = other.over(t, goMux{conn}, connectOptions{session: c.session})
	in, out, m := sentEarly(t, c, connectOptions{}, topic, 2)
	assert.Equal(t, []int64{0, 4, 8}, []int64{c.control.s.id(), in.s.id(), out.s.id()})
	c.connack()
	assert.False(t, c.present, "the CONNECT that was rejected had no effect")
	expect[*packets.Suback](in)
	out.accepted(2, m.PacketID)
	watch.gets(2, topic, "early")
	watch.ping()
	assert.False(t, conn.ConnectionState().Used0RTT)
	c.disconnect()
}

func rootsOf(t *testing.T, list ...*brokerProcess) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	for _, b := range list {
		pem, err := os.ReadFile(b.ca)
		require.NoError(t, err)
		require.True(t, pool.AppendCertsFromPEM(pem))
	}
	return pool
}

// earlyReplayed: somebody on the path sends copies of what a client has sent, from elsewhere.
func earlyReplayed(t *testing.T, p *place) {
	var mu sync.Mutex
	var seen [][]byte
	early := p.withTicket(t)
	early.path = path(t, p.broker.quic, Damage{Filter: func(toServer bool, datagram []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		if toServer {
			seen = append(seen, append([]byte(nil), datagram...))
		}
		return true
	}})
	topic := unique("habits/replay")
	watch := p.watch(t, topic, 1)
	c := early.dialed(t, connectOptions{})
	_, out, m := sentEarly(t, c, connectOptions{will: topic}, topic, 1)
	c.connack()
	out.accepted(1, m.PacketID)
	assert.True(t, c.mux.(goMux).conn.ConnectionState().Used0RTT)
	watch.gets(1, topic, "early")
	c.disconnect()
	mu.Lock()
	copies := seen
	mu.Unlock()
	replay(t, p.broker.quic, copies)
	from := p.plain(t, false, connectOptions{})
	from.publish(from.control, topic, "end", 1)
	watch.gets(1, topic, "end")
	watch.ping()
}

// replay sends datagrams from a new address until the server has answered with the beginning of a handshake.
func replay(t *testing.T, addr string, datagrams [][]byte) {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	require.NoError(t, err)
	defer conn.Close()
	buf := make([]byte, 1500)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for _, d := range datagrams {
			conn.Write(d)
		}
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		for {
			n, err := conn.Read(buf)
			if err != nil {
				break
			}
			if n > 1000 && buf[0]&0xF0 == 0xC0 { // an Initial packet with a ServerHello
				return
			}
		}
	}
	require.Fail(t, "the server answers no copy")
}

// certificateLife is how long the client's certificate is good for: two connections have to come about.
const certificateLife = 8 * time.Second

// certificateBroker asks clients for a certificate of the CA of the matrix.
var certificateBroker = sharedBroker(func() []string {
	return []string{"--early-data", "on", "--client-ca", certFile(caName + ".crt")}
})

// clientCertificate is signed by that CA.
func clientCertificate(t *testing.T, notAfter time.Time) tls.Certificate {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(certFile(caName+".crt"), certFile(caName+".key"))
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := x509.Certificate{SerialNumber: big.NewInt(notAfter.UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// expiredCertificate: a ticket is good for no longer than the certificate that the client has shown.
func expiredCertificate(t *testing.T, p *place) {
	b, err := certificateBroker()
	require.NoError(t, err)
	require.NoError(t, p.path.Redirect(b.quic))
	here := *p
	here.broker = b
	here.config, err = b.tlsConfig("mqtt")
	require.NoError(t, err)
	here.config.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	end := time.Now().Add(certificateLife)
	here.config.Certificates = []tls.Certificate{clientCertificate(t, end)}
	topic := unique("habits/expired")
	watch := here.watch(t, topic, 1)
	here.connect(t, connectOptions{}).disconnect()
	again := here.connect(t, connectOptions{})
	assert.True(t, again.mux.state().DidResume, "while it is good")
	again.disconnect()
	<-time.After(time.Until(end.Truncate(time.Second).Add(1100 * time.Millisecond)))
	if p.early {
		here.dial = dialGoEarly
	}
	m, err := here.dial(within(t, lanePatience), p.path.Addr(), here.config)
	if err == nil { // the client's side of the handshake is complete before the server has the certificate
		defer m.end(0)
		c := here.over(t, m, connectOptions{})
		c.control.s.Write(encoded(c.connectPacket(connectOptions{}), c.publication(topic, "from outside", 1)))
		_, err = c.control.read()
		_, closed := m.closed(within(t, lanePatience))
		err = errors.Join(err, closed)
	}
	if p.noMigration { // x/net/quic
		assert.ErrorContains(t, err, "CRYPTO_ERROR(45)")
	} else {
		assert.ErrorContains(t, err, "CRYPTO_ERROR 0x12d (remote): tls: expired certificate")
	}
	from := here.plain(t, false, connectOptions{})
	from.publish(from.control, topic, "end", 1)
	watch.gets(1, topic, "end")
}
