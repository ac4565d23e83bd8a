package netem

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts datagrams of UDP and segments of TCP, of both directions.
type Stats struct{ Relayed, Lost, Dropped atomic.Int64 }

const (
	maxDatagram = 64 << 10 // bytes
	// maxQueue is how many datagrams wait for their delay at most; more are dropped.
	maxQueue = 1 << 14
	// socketBuffer is what the sockets ask of the kernel, in bytes: the proxy shall be the
	// bottleneck only where it is meant to.
	socketBuffer = 4 << 20
)

// udpProxy relays between any number of clients and one server. Every client has a
// socket of its own towards the server, as behind a NAT.
type udpProxy struct {
	*Proxy
	front *net.UDPConn
	mu    sync.Mutex
	backs map[netip.AddrPort]*net.UDPConn
	queue [2]chan datagram
}

// datagram is on its way.
type datagram struct {
	due  time.Time
	data []byte
	to   func([]byte)
}

func (p *Proxy) startUDP() error {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	u := &udpProxy{Proxy: p, front: front, backs: map[netip.AddrPort]*net.UDPConn{}}
	enlarge(front)
	for i := range u.queue {
		u.queue[i] = make(chan datagram, maxQueue)
		go u.deliver(u.queue[i])
	}
	p.addr = front.LocalAddr().String()
	p.close = u.end
	go u.readClients()
	return nil
}

// enlarge asks for larger buffers; the system may grant less.
func enlarge(c *net.UDPConn) {
	_ = c.SetReadBuffer(socketBuffer)
	_ = c.SetWriteBuffer(socketBuffer)
}

func (u *udpProxy) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.front.Close()
	for _, back := range u.backs {
		back.Close()
	}
}

func (u *udpProxy) readClients() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := u.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if back := u.back(from); back != nil {
			u.relay(0, buf[:n], func(b []byte) { _, _ = back.Write(b) }) // a refused datagram is a lost one
		}
	}
}

// back is the socket of a client towards the server, opened at first sight.
func (u *udpProxy) back(client netip.AddrPort) *net.UDPConn {
	u.mu.Lock()
	defer u.mu.Unlock()
	if back := u.backs[client]; back != nil {
		return back
	}
	select {
	case <-u.ended:
		return nil
	default:
	}
	conn, err := net.Dial("udp", u.target)
	if err != nil {
		return nil
	}
	back := conn.(*net.UDPConn)
	enlarge(back)
	u.backs[client] = back
	go u.readServer(back, client)
	return back
}

func (u *udpProxy) readServer(back *net.UDPConn, client netip.AddrPort) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := back.Read(buf)
		select {
		case <-u.ended:
			return
		default:
		}
		if err == nil { // else the server's host has refused a datagram: it may come up yet
			u.relay(1, buf[:n], func(b []byte) { _, _ = u.front.WriteToUDPAddrPort(b, client) })
		}
	}
}

// relay decides about one datagram.
func (u *udpProxy) relay(direction int, data []byte, to func([]byte)) {
	if u.lost() {
		u.Stats.Lost.Add(1)
		return
	}
	sent, ok := u.links[direction].enter(len(data), time.Now())
	if !ok {
		u.Stats.Dropped.Add(1)
		return
	}
	if u.params.Delay == 0 && u.params.Rate == 0 {
		u.Stats.Relayed.Add(1)
		to(data)
		return
	}
	select {
	case u.queue[direction] <- datagram{sent.Add(u.params.Delay), append([]byte(nil), data...), to}:
		u.Stats.Relayed.Add(1)
	default:
		u.Stats.Dropped.Add(1)
	}
}

// deliver sends datagrams when they are due. They are in order, for all have the same delay.
func (u *udpProxy) deliver(queue <-chan datagram) {
	for {
		select {
		case d := <-queue:
			if !u.wait(d.due) {
				return
			}
			d.to(d.data)
		case <-u.ended:
			return
		}
	}
}
