package bench

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/mqtt/client"
	"github.com/ngmq/ngmq/mqtt/websocket"
)

const (
	// readSize is what is read from a TCP connection at once, in bytes: every connection
	// has such a buffer.
	readSize = 8 << 10
	// writeTimeout ends connections that take nothing for so long.
	writeTimeout = 30 * time.Second
	// maxFrame is the largest WebSocket frame from the server, in bytes.
	maxFrame = maxPayload + 1<<20
)

// tcpDialer opens TCP, TLS, WebSocket and Unix connections.
type tcpDialer struct {
	server remote.Server
	config *tls.Config // nil without TLS
	keys   io.Closer   // the key log
}

func newTCPDialer(server remote.Server, t *client.TLS) (*tcpDialer, error) {
	d := &tcpDialer{server: server, keys: io.NopCloser(nil)}
	var err error
	if server.Encrypted() {
		d.config, d.keys, err = server.TLSConfig(t)
	}
	return d, err
}

func (d *tcpDialer) close() { _ = d.keys.Close() } // every line has been written at once

func (d *tcpDialer) dial(ctx context.Context, o owner) (link, error) {
	nc, err := d.server.Dial(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = nc.SetDeadline(deadline) // a new socket takes one
	wrapped, err := d.wrap(ctx, nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	_ = nc.SetDeadline(time.Time{})
	l := &tcpLink{nc: wrapped, owner: o}
	go l.read()
	return l, nil
}

func (d *tcpDialer) wrap(ctx context.Context, nc net.Conn) (net.Conn, error) {
	if d.config != nil {
		secured := tls.Client(nc, d.config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		nc = secured
	}
	if d.server.Resource == nil {
		return nc, nil
	}
	return websocket.Client(nc, d.server.Resource, maxFrame)
}

// tcpLink has one stream.
type tcpLink struct {
	outbox
	nc      net.Conn
	owner   owner
	writing bool // a writer runs; under outbox.mu
	local   bool // this side has ended it; under outbox.mu
}

func (l *tcpLink) send(_ int, p []byte) {
	l.put(0, p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.writing && !l.ended {
		l.writing = true
		go l.write()
	}
}

// datagram sends on the one stream that there is.
func (l *tcpLink) datagram(_ int, p []byte) { l.send(0, p) }

// write writes until nothing is queued.
func (l *tcpLink) write() {
	var buf []byte
	for {
		l.mu.Lock()
		if l.ended || len(l.queued) == 0 || len(l.queued[0]) == 0 {
			l.writing = false
			l.mu.Unlock()
			return
		}
		buf = append(buf[:0], l.queued[0]...)
		l.take(0, len(buf))
		l.mu.Unlock()
		_ = l.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := l.nc.Write(buf); err != nil {
			l.nc.Close() // the reader tells
		}
	}
}

func (l *tcpLink) read() {
	buf := make([]byte, readSize)
	for {
		n, err := l.nc.Read(buf)
		if n > 0 {
			l.owner.onData(0, buf[:n])
		}
		if err != nil {
			l.mu.Lock()
			if l.local {
				err = nil
			}
			l.mu.Unlock()
			l.close()
			l.nc.Close()
			l.owner.onClosed(err)
			return
		}
	}
}

// end lets what is queued go out: half a second is enough for a last packet.
func (l *tcpLink) end() {
	l.mu.Lock()
	l.local = true
	l.mu.Unlock()
	_ = l.nc.SetReadDeadline(time.Now().Add(lastPacketTime))
}

// lastPacketTime is how long the end of a connection waits for the server to close.
const lastPacketTime = 500 * time.Millisecond
