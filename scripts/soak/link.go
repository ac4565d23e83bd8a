package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/ngmq/ngmq/mqtt/websocket"
)

// Slots are the streams of a client, whatever their ids are: 0 is the control stream, on
// 1 to 3 a client with data streams publishes at QoS 0 to 2, on 4 to 6 it subscribes.
const (
	publishing  = 1
	subscribing = publishing + levels
	slots       = subscribing + levels
	// datagramSlot is for QoS 0 in QUIC datagrams, each a whole packet.
	datagramSlot = slots
	allSlots     = slots + 1
)

// link is a network connection of a client. Its methods may be called from any goroutine and
// never block.
type link interface {
	// send queues p, which is copied, on a slot. After the end nothing is sent.
	send(slot int, p []byte)
	// abandon ends the stream of a slot; onSlotClosed follows.
	abandon(slot int, by ending)
	// giveUp closes a connection that others use as well, for it does not answer.
	giveUp()
	// end closes the connection, gracefully: after all that was sent.
	end(graceful bool)
}

// ending is how a client ends a stream.
type ending int

const (
	reset    ending = iota // both ways
	finished               // FIN
	stopped                // STOP_SENDING
	endings
)

// owner gets what arrives. Calls for one link come one after the other.
type owner interface {
	onData(slot int, p []byte)
	onSlotClosed(slot int)
	onClosed(err error)
}

// errEnded is why a link is closed that this side has ended.
var errEnded = errors.New("ended by this side")

const (
	dialTime  = 20 * time.Second
	readSize  = 4 << 10 // bytes at once from a socket
	maxFrame  = 1 << 20 // bytes of a WebSocket frame
	keptBytes = 1 << 10 // largest buffer that a silent link keeps
	writeTime = time.Minute
)

// byteLink is a link over TCP, TLS or WebSocket: all slots are one.
type byteLink struct {
	nc    net.Conn
	owner owner
	wake  chan struct{}

	mu       sync.Mutex
	queued   []byte
	ended    bool
	graceful bool
}

// dialBytes connects over TCP, and with config over TLS; webSocket: inside of it. The caller
// starts the link.
func dialBytes(ctx context.Context, addr string, config *tls.Config, webSocket bool, o owner) (*byteLink, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if config != nil {
		t := tls.Client(nc, config)
		nc, err = t, t.HandshakeContext(ctx)
	}
	if err == nil && webSocket {
		_ = nc.SetDeadline(time.Now().Add(dialTime))
		var ws *websocket.Conn
		if ws, err = websocket.Client(nc, &url.URL{Scheme: "ws", Host: addr, Path: websocket.Path}, maxFrame); err == nil {
			_ = nc.SetDeadline(time.Time{})
			nc = ws
		}
	}
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return &byteLink{nc: nc, owner: o, wake: make(chan struct{}, 1)}, nil
}

func (l *byteLink) start() {
	go l.write()
	go l.read()
}

func (l *byteLink) send(_ int, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.queued = append(l.queued, p...)
		l.signal()
	}
}

func (l *byteLink) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// abandon has nothing to do: there is one stream.
func (l *byteLink) abandon(int, ending) {}

// giveUp has nothing to do: nobody else is there.
func (l *byteLink) giveUp() {}

func (l *byteLink) end(graceful bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended, l.graceful = true, graceful
		l.signal()
	}
	if !graceful {
		_ = l.nc.Close()
	}
}

// take gives what is to be written, and whether it is the last.
func (l *byteLink) take() (p []byte, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, l.queued = l.queued, nil
	return p, l.ended
}

func (l *byteLink) write() {
	defer l.nc.Close()
	for range l.wake {
		p, last := l.take()
		if len(p) > 0 {
			_ = l.nc.SetWriteDeadline(time.Now().Add(writeTime))
			if _, err := l.nc.Write(p); err != nil {
				return
			}
		}
		if last {
			return
		}
	}
}

func (l *byteLink) read() {
	buf := make([]byte, readSize)
	for {
		n, err := l.nc.Read(buf)
		if n > 0 {
			l.owner.onData(0, buf[:n])
		}
		if err != nil {
			l.mu.Lock()
			if l.ended {
				err = errEnded
			}
			l.ended = true
			l.signal() // the writer ends
			l.mu.Unlock()
			l.owner.onClosed(fmt.Errorf("byte stream: %w", err))
			return
		}
	}
}
