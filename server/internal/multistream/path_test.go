//go:build !noquic

package multistream

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// path is a UDP relay between one client and the server: datagrams take a time, those that
// lose says so are lost, and those to the client can be held up.
type path struct {
	inner, outer *net.UDPConn
	delay        time.Duration                       // each way
	lose         func(toClient bool, bytes int) bool // by one goroutine for each direction; nil: none
	queues       [2]chan flying

	mu     sync.Mutex
	client netip.AddrPort
	held   bool
	parked [][]byte // to the client
}

// flying is a datagram on its way.
type flying struct {
	due  time.Time
	data []byte
}

// pathTo makes a path to the server, which ends with the test.
func pathTo(t testing.TB, s *running, delay time.Duration, lose func(toClient bool, bytes int) bool) *path {
	t.Helper()
	p := &path{delay: delay, lose: lose}
	var err error
	p.inner, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	p.outer, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.Addrs().QUIC[0]))
	require.NoError(t, err)
	var all sync.WaitGroup
	for i, read := range []func([]byte) (int, error){p.fromServer, p.fromClient} {
		p.queues[i] = make(chan flying, 10_000)
		all.Go(func() { p.receive(i == 0, read, p.queues[i]) })
		all.Go(func() { p.deliver(i == 0, p.queues[i]) })
	}
	t.Cleanup(func() {
		s.stop() // while its last packets arrive
		p.inner.Close()
		p.outer.Close()
		all.Wait()
	})
	return p
}

// addr is where the client connects to.
func (p *path) addr() string { return p.inner.LocalAddr().String() }

func (p *path) fromServer(b []byte) (int, error) { return p.outer.Read(b) }

func (p *path) fromClient(b []byte) (int, error) {
	n, from, err := p.inner.ReadFromUDPAddrPort(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = from
	return n, err
}

// receive puts what comes from one side into the queue.
func (p *path) receive(toClient bool, read func([]byte) (int, error), queue chan<- flying) {
	defer close(queue)
	buf := make([]byte, 65536)
	for {
		n, err := read(buf)
		if err != nil {
			return
		}
		if p.lose != nil && p.lose(toClient, n) {
			continue
		}
		select {
		case queue <- flying{time.Now().Add(p.delay), append([]byte(nil), buf[:n]...)}:
		default: // a full queue loses too
		}
	}
}

// deliver brings to the other side what is due.
func (p *path) deliver(toClient bool, queue <-chan flying) {
	for d := range queue {
		if wait := time.Until(d.due); wait > 0 {
			<-time.After(wait)
		}
		if toClient {
			p.toClient(d.data)
		} else {
			p.outer.Write(d.data)
		}
	}
}

func (p *path) toClient(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.parked = append(p.parked, data)
	} else {
		p.inner.WriteToUDPAddrPort(data, p.client)
	}
}

// hold keeps what comes for the client from now on.
func (p *path) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
}

// release lets it go, and tells how many bytes it is.
func (p *path) release() (bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, data := range p.parked {
		bytes += len(data)
		p.inner.WriteToUDPAddrPort(data, p.client)
	}
	p.held, p.parked = false, nil
	return bytes
}
