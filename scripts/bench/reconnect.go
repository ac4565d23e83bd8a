package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/scripts/internal/generator"
	"github.com/ngmq/ngmq/scripts/internal/process"
)

// way is one way to connect: to a server at an address, until the CONNACK is there, and
// then a PINGREQ and its answer, so that the server has done all its work.
type way struct {
	name    string
	tcp     bool
	connect func(ctx context.Context, addr string, number int) (connack time.Duration, err error)
}

// figure begins the names of its figures, such as reconnect_quic_0-rtt.
func (w *way) figure() string {
	return "reconnect_" + strings.ToLower(strings.NewReplacer(", ", "_", " ", "_").Replace(w.name))
}

// reconnects measures what it costs to come back: round trips until the CONNACK, and CPU
// time of the server process, over QUIC and over TCP with TLS 1.3. All use X25519.
func (b *bench) reconnects(ctx context.Context) error {
	p, err := startServer(ctx, b.ngmqd, "--tls", "127.0.0.1:0", "--early-data", "on")
	if err != nil {
		return err
	}
	defer p.Stop()
	f, err := newFleet(p, classic, b.sockets)
	if err != nil {
		return err
	}
	defer f.close()
	ways, err := waysBack(ctx, p, f)
	if err != nil {
		return err
	}
	var contenders []contender
	for _, w := range ways {
		contenders = append(contenders, func() (float64, error) { return b.costOf(ctx, p, w) })
	}
	res, err := compare(b.rounds, contenders...)
	if err != nil {
		return err
	}
	for i, w := range ways {
		trips, err := roundTrips(ctx, p, w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		b.report.figure(w.figure()+"_round_trips", float64(trips), "RTT")
		b.report.figure(w.figure()+"_server_cpu", res[i].cpu, "us")
		b.report.row(line{what: fmt.Sprintf("CONNACK over %s (round trips: %d)", w.name, trips), value: number(res[i].cpu) + " us",
			ratio: fmt.Sprintf("%.2f of QUIC, full", res[i].ratio)})
	}
	return nil
}

// waysBack are all of them, full handshakes first; sessions to resume are got here.
func waysBack(ctx context.Context, p *process.Server, f *fleet) ([]way, error) {
	session, err := f.visit(ctx)
	if err != nil {
		return nil, err
	}
	quic := func(name string, cfg endpoint.DialConfig, want func(*endpoint.Conn) bool) way {
		return way{name: name, connect: func(ctx context.Context, addr string, number int) (time.Duration, error) {
			return f.comeBack(ctx, addr, number, cfg, want)
		}}
	}
	full, err := tlsClient(p)
	if err != nil {
		return nil, err
	}
	resuming := full.Clone()
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	if _, err := connectTLS(ctx, p.Addrs.TLS, 0, resuming, false); err != nil {
		return nil, err
	}
	overTLS := func(name string, cfg *tls.Config, resumed bool) way {
		return way{name: name, tcp: true, connect: func(ctx context.Context, addr string, number int) (time.Duration, error) {
			return connectTLS(ctx, addr, number, cfg, resumed)
		}}
	}
	return []way{
		quic("QUIC, full", endpoint.DialConfig{}, func(c *endpoint.Conn) bool { return !c.TLS().Resumed }),
		quic("QUIC, resumed", endpoint.DialConfig{Session: session}, func(c *endpoint.Conn) bool { return c.TLS().Resumed }),
		quic("QUIC, 0-RTT", endpoint.DialConfig{Session: session, EarlyData: true}, func(c *endpoint.Conn) bool { return c.EarlyData() == endpoint.EarlyAccepted }),
		overTLS("TCP and TLS 1.3, full", full, false),
		overTLS("TCP and TLS 1.3, resumed", resuming, true),
	}, nil
}

// costOf is the CPU time of the server per connection, in microseconds.
func (b *bench) costOf(ctx context.Context, p *process.Server, w way) (float64, error) {
	addr := p.Addrs.QUIC
	if w.tcp {
		addr = p.Addrs.TLS
	}
	before, err := generator.ProcessCPU(p.PID())
	if err != nil {
		return 0, err
	}
	if err := generator.Each(b.perRound, atOnce, func(i int) error { _, err := w.connect(ctx, addr, i); return err }); err != nil {
		return 0, fmt.Errorf("%s: %w", w.name, err)
	}
	after, err := generator.ProcessCPU(p.PID())
	return generator.Micros(after-before) / float64(b.perRound), err
}

// oneWay is the delay of the path on which round trips are counted, far above what the
// work takes.
const oneWay = 50 * time.Millisecond

// roundTrips counts them by the time to the CONNACK on a slow path. The relay itself
// answers TCP's SYN, so that this round trip is added.
func roundTrips(ctx context.Context, p *process.Server, w way) (int, error) {
	relay, to, extra := relayUDP, p.Addrs.QUIC, 0
	if w.tcp {
		relay, to, extra = relayTCP, p.Addrs.TLS, 1
	}
	addr, stop, err := relay(to, oneWay)
	if err != nil {
		return 0, err
	}
	defer stop()
	took, err := w.connect(ctx, addr, 0)
	return extra + int(math.Round(float64(took)/float64(2*oneWay))), err
}

// visit connects to get a session to resume.
func (f *fleet) visit(ctx context.Context) ([]byte, error) {
	sessions := make(chan []byte, 1)
	c := newClient("bench-visitor")
	_, err := f.sockets[0].Dial(ctx, f.addr, endpoint.DialConfig{TLS: f.tls, ServerName: "localhost", Handler: c, Ready: c.ready, OnSession: func(b []byte) {
		select {
		case sessions <- b:
		default:
		}
	}})
	if err != nil {
		return nil, err
	}
	select {
	case b := <-sessions:
		return b, nil
	case <-ctx.Done():
		return nil, errors.New("no session ticket came")
	}
}

// comeBack connects by QUIC and closes the connection again.
func (f *fleet) comeBack(ctx context.Context, addr string, number int, cfg endpoint.DialConfig, want func(*endpoint.Conn) bool) (time.Duration, error) {
	c := newClient(fmt.Sprintf("bench-%d", number))
	cfg.TLS, cfg.ServerName, cfg.Handler, cfg.Ready = f.tls, "localhost", c, c.ready
	began := time.Now()
	if _, err := f.sockets[number%len(f.sockets)].Dial(ctx, addr, cfg); err != nil {
		return 0, err
	}
	p, err := c.call(ctx, nil)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	if a, ok := p.(*packet.Connack); !ok || a.ReasonCode != packet.Success {
		return 0, fmt.Errorf("CONNECT was answered by %+v", p)
	}
	if _, err := c.call(ctx, &packet.Pingreq{}); err != nil {
		return 0, err
	}
	as := make(chan bool, 1)
	c.conn.Post(func() {
		as <- want(c.conn)
		c.conn.Close(0, "")
	})
	if !<-as {
		return 0, errors.New("the handshake was of another kind")
	}
	return took, nil
}

// tlsClient trusts the server.
func tlsClient(p *process.Server) (*tls.Config, error) {
	pem, err := os.ReadFile(p.CA())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, NextProtos: []string{alpn}}, nil
}

// connectTLS does over TCP what comeBack does over QUIC.
func connectTLS(ctx context.Context, addr string, number int, cfg *tls.Config, resumed bool) (time.Duration, error) {
	began := time.Now()
	d := tls.Dialer{Config: cfg}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	in := packet.NewDecoder(0)
	in.SetVersion(version)
	ask := func(p packet.Packet) (packet.Packet, error) {
		if _, err := conn.Write(p.AppendTo(nil, version)); err != nil {
			return nil, err
		}
		return in.ReadPacket(conn, make([]byte, 1024))
	}
	p, err := ask(&packet.Connect{ClientID: fmt.Sprintf("bench-%d", number), CleanStart: true})
	took := time.Since(began)
	if a, ok := p.(*packet.Connack); err == nil && (!ok || a.ReasonCode != packet.Success) {
		err = fmt.Errorf("CONNECT was answered by %+v", p)
	}
	if err == nil {
		_, err = ask(&packet.Pingreq{})
	}
	if err == nil && conn.(*tls.Conn).ConnectionState().DidResume != resumed {
		err = errors.New("the handshake was of another kind")
	}
	return took, err
}

// late is what a relay has taken and gives on at a time.
type late struct {
	at   time.Time
	data []byte
}

// delay gives what read takes to write, later.
func delay(by time.Duration, read func([]byte) (int, error), write func([]byte) error) {
	queue := make(chan late, 1000)
	go func() {
		for l := range queue {
			time.Sleep(time.Until(l.at))
			_ = write(l.data) // the other end may be gone
		}
	}()
	defer close(queue)
	buf := make([]byte, 65536)
	for {
		n, err := read(buf)
		if err != nil {
			return
		}
		queue <- late{time.Now().Add(by), append([]byte(nil), buf[:n]...)}
	}
}

// relayUDP stands between one client and a server; each way takes the time by.
func relayUDP(to string, by time.Duration) (addr string, stop func(), err error) {
	near, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", nil, err
	}
	far, err := net.Dial("udp", to)
	if err != nil {
		near.Close()
		return "", nil, err
	}
	client := make(chan net.Addr, 1)
	known := false
	go delay(by, func(b []byte) (int, error) {
		n, from, err := near.ReadFrom(b)
		if !known && err == nil {
			known = true
			client <- from
		}
		return n, err
	}, func(b []byte) error { _, err := far.Write(b); return err })
	go func() {
		to, ok := <-client
		if ok {
			delay(by, far.Read, func(b []byte) error { _, err := near.WriteTo(b, to); return err })
		}
	}()
	return near.LocalAddr().String(), func() { near.Close(); far.Close() }, nil
}

// relayTCP is the same over TCP, for one connection.
func relayTCP(to string, by time.Duration) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer far.Close()
		go delay(by, far.Read, func(b []byte) error { _, err := near.Write(b); return err })
		delay(by, near.Read, func(b []byte) error { _, err := far.Write(b); return err })
	}()
	return l.Addr().String(), func() { l.Close() }, nil
}
