package netem

import (
	"net"
	"sync"
	"time"
)

const (
	segment    = 1448                   // bytes, of a TCP segment with timestamps on Ethernet
	maxFlight  = 2048                   // segments of a connection's direction on their way: 3 MB, as large as socket buffers grow
	minRTO     = 200 * time.Millisecond // Linux; RFC 6298 says 1 s
	synTimeout = time.Second            // RFC 6298 section 2
)

// tcpProxy relays connections.
type tcpProxy struct {
	*Proxy
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

func (p *Proxy) startTCP() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	t := &tcpProxy{Proxy: p, listener: l, conns: map[net.Conn]bool{}}
	p.addr, p.close = l.Addr().String(), t.end
	go t.accept()
	return nil
}

func (t *tcpProxy) end() {
	t.listener.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.Close()
	}
}

// keep notes a connection, so that end closes it; it reports whether the proxy runs.
func (t *tcpProxy) keep(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.ended:
		c.Close()
		return false
	default:
		t.conns[c] = true
		return true
	}
}

func (t *tcpProxy) drop(c net.Conn) {
	c.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

func (t *tcpProxy) accept() {
	for {
		client, err := t.listener.Accept()
		if err != nil {
			return
		}
		go t.serve(client)
	}
}

// rtt is the round trip of the path.
func (t *tcpProxy) rtt() time.Duration { return 2 * t.params.Delay }

// serve relays one connection. The handshake has cost the client nothing yet, so what it
// sends first waits for the time of it.
func (t *tcpProxy) serve(client net.Conn) {
	if !t.keep(client) {
		return
	}
	defer t.drop(client)
	began := time.Now()
	server, err := net.Dial("tcp", t.target)
	if err != nil || !t.keep(server) {
		return
	}
	defer t.drop(server)
	established := began.Add(t.rtt())
	for timeout := synTimeout; t.handshakeLost(); timeout *= 2 {
		t.Stats.Lost.Add(1)
		established = established.Add(timeout)
	}
	var both sync.WaitGroup
	both.Go(func() { t.pump(0, client, server, established) })
	both.Go(func() { t.pump(1, server, client, began) })
	both.Wait()
}

// handshakeLost says whether the SYN or the SYN ACK is lost.
func (t *tcpProxy) handshakeLost() bool {
	syn, ack := t.lost(), t.lost()
	return syn || ack
}

// piece is a segment on its way; empty at the end of the stream.
type piece struct {
	due  time.Time
	data []byte
}

// pump relays one direction of a connection.
func (t *tcpProxy) pump(direction int, from, to net.Conn, notBefore time.Time) {
	flight := make(chan piece, maxFlight)
	go t.read(direction, from, flight, notBefore)
	var free time.Time // when what is in front has arrived
	var ahead *piece   // taken from flight to see when it was sent
	for {
		p := ahead
		if ahead = nil; p == nil {
			next, ok := <-flight
			if p = &next; !ok {
				break
			}
		}
		if len(p.data) == 0 {
			break
		}
		arrival := p.due
		if t.lost() {
			arrival, ahead = t.retransmit(p.due, flight)
		}
		if free.Before(arrival) {
			free = arrival
		}
		if !t.wait(free) {
			break
		}
		if _, err := to.Write(p.data); err != nil {
			break
		}
		t.Stats.Relayed.Add(1)
	}
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // the other direction may go on
	}
	_ = from.SetReadDeadline(time.Unix(1, 0)) // the reader ends
	for range flight {
	}
}

// retransmit is when a segment arrives that should have at due, and was lost: a round
// trip and a quarter after the next one, or after the timeout. It returns that next one.
func (t *tcpProxy) retransmit(due time.Time, flight <-chan piece) (time.Time, *piece) {
	t.Stats.Lost.Add(1)
	rto := t.rtt() + minRTO
	arrival := due.Add(rto)
	timer := time.NewTimer(time.Until(arrival))
	defer timer.Stop()
	var ahead *piece
	select {
	case next, ok := <-flight:
		if !ok {
			break
		}
		ahead = &next
		if found := next.due.Add(t.rtt() + t.rtt()/4); found.Before(arrival) {
			arrival = found
		}
	case <-timer.C:
	case <-t.ended:
	}
	for t.lost() { // the retransmission
		t.Stats.Lost.Add(1)
		arrival = arrival.Add(rto)
		rto *= 2
	}
	return arrival, ahead
}

func (t *tcpProxy) read(direction int, from net.Conn, flight chan<- piece, notBefore time.Time) {
	defer close(flight)
	for {
		buf := make([]byte, segment)
		n, err := from.Read(buf)
		now := time.Now()
		if now.Before(notBefore) {
			now = notBefore
		}
		if n > 0 {
			sent, ok := t.links[direction].enter(n, now)
			for ; !ok; sent, ok = t.links[direction].enter(n, time.Now()) { // TCP slows down
				if !t.wait(sent.Add(-bufferTime)) {
					return
				}
			}
			flight <- piece{sent.Add(t.params.Delay), buf[:n]}
		}
		if err != nil {
			flight <- piece{due: now.Add(t.params.Delay)}
			return
		}
	}
}
