//go:build !noquic

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/remote"
	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
)

const (
	// sockets is the number of workers, each with a socket: a server with several sockets
	// distributes clients by their address, and one address would load one of its cores.
	sockets = 8
	// maxUnacked is how much of a stream may wait for acknowledgement, in bytes.
	maxUnacked = 256 << 10
	// idleTimeout is longer than any keep alive here.
	idleTimeout = 10 * time.Minute
	// maxDatagram is the largest DATAGRAM frame that is taken, in bytes: whatever fits a packet.
	maxDatagram = 65535
)

// quicDialer opens connections of one endpoint.
type quicDialer struct {
	server   remote.Server
	name     string
	tls      *crypto.Context
	endpoint *endpoint.Endpoint
}

func newQUICDialer(server remote.Server, cfg *Config) (dialer, error) {
	tls, err := cfg.TLS.QUICContext()
	if err != nil {
		return nil, err
	}
	config := endpoint.Config{Workers: max(sockets, runtime.GOMAXPROCS(0)), IdleTimeout: idleTimeout, MaxConns: MaxClients, HandshakeTimeout: cfg.Timeout,
		LocalAddr: server.Local, Settings: remote.QUICSettings(cfg.CongestionControl), Logger: cfg.Logger}
	if cfg.Datagrams {
		config.MaxDatagram = maxDatagram
	}
	e, err := endpoint.New(config)
	if err != nil {
		tls.Close()
		return nil, err
	}
	return &quicDialer{server: server, name: server.ServerName(&cfg.TLS), tls: tls, endpoint: e}, nil
}

func (d *quicDialer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = d.endpoint.Shutdown(ctx) // what is open then is cut off
	d.tls.Close()
}

func (d *quicDialer) dial(ctx context.Context, o owner) (link, error) {
	l := &quicLink{owner: o}
	conn, err := d.endpoint.Dial(ctx, d.server.Addr, endpoint.DialConfig{TLS: d.tls, ServerName: d.name, Handler: l, Ready: l.ready})
	if err != nil {
		return nil, err
	}
	if conn == nil {
		return nil, errEnded
	}
	return l, nil
}

// quicLink is a connection whose streams are opened as they are needed: 0 is the control
// stream. Its ConnHandler methods run on the worker of the connection.
type quicLink struct {
	outbox
	conn      *endpoint.Conn
	owner     owner
	streams   []*endpoint.Stream // worker only
	datagrams []queuedDatagram   // worker only
	refused   error              // what the server did to a data stream; worker only
	local     bool               // under outbox.mu
}

// ready is called on the worker before anything else.
func (l *quicLink) ready(c *endpoint.Conn) { l.conn = c }

func (l *quicLink) send(stream int, p []byte) {
	if l.put(stream, p) {
		l.conn.Wake()
	}
}

// datagram counts as queued until the worker has handed it to QUIC, which keeps some for the
// congestion window; the others wait here.
func (l *quicLink) datagram(stream int, p []byte) {
	d := queuedDatagram{stream, bytes.Clone(p)}
	l.mu.Lock()
	l.total += len(d.data)
	l.mu.Unlock()
	l.conn.Post(func() {
		l.datagrams = append(l.datagrams, d)
		l.conn.MarkDirty()
	})
}

// queuedDatagram waits to be sent, or to go on a stream.
type queuedDatagram struct {
	stream int
	data   []byte
}

// sendDatagrams sends as many as QUIC takes. l.mu is held.
func (l *quicLink) sendDatagrams() {
	n := 0
	for _, d := range l.datagrams {
		err := l.conn.SendDatagram(d.data, 0)
		if errors.Is(err, ngtcp2.ErrDatagramQueueFull) {
			break
		}
		n++
		l.total -= len(d.data)
		if err != nil { // off, or too large
			l.append(d.stream, d.data)
		}
	}
	if n > 0 {
		l.datagrams = slices.Delete(l.datagrams, 0, n)
	}
	if n > 0 && l.total < highWater {
		l.wake()
	}
}

// OnDatagram, OnDatagramAcked and OnDatagramLost make it an endpoint.DatagramHandler.
func (l *quicLink) OnDatagram(p []byte, _ bool) { l.owner.onDatagram(p) }

// OnDatagramAcked needs nothing done.
func (l *quicLink) OnDatagramAcked(uint64) {}

// OnDatagramLost counts.
func (l *quicLink) OnDatagramLost(uint64) { l.owner.onDatagramLost() }

// end closes when everything has arrived.
func (l *quicLink) end() {
	l.mu.Lock()
	l.local = true
	l.mu.Unlock()
	l.conn.Post(func() {
		l.OnFlush()
		l.conn.CloseAfterFlush(endpoint.CodeOK, "")
	})
}

// OnFlush moves what is queued into the streams as far as they take it.
func (l *quicLink) OnFlush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sendDatagrams()
	for i := range l.queued {
		if len(l.queued[i]) == 0 {
			continue
		}
		s, err := l.stream(i)
		if err != nil {
			if !errors.Is(err, ngtcp2.ErrStreamIDBlocked) {
				l.refused = err
			}
			return
		}
		if n := min(len(l.queued[i]), maxUnacked-s.Buffered()); n > 0 {
			written, err := s.Write(l.queued[i][:n])
			l.take(i, written)
			if err != nil {
				return
			}
		}
	}
}

// stream opens streams up to i, in their order, for the server counts them.
func (l *quicLink) stream(i int) (*endpoint.Stream, error) {
	for len(l.streams) <= i {
		s, err := l.conn.OpenStream()
		if err != nil {
			return nil, err
		}
		s.UserData = len(l.streams)
		l.streams = append(l.streams, s)
	}
	return l.streams[i], nil
}

// OnStreamOpen refuses: servers of MQTT over QUIC open none.
func (l *quicLink) OnStreamOpen(s *endpoint.Stream) { s.Refuse(endpoint.CodeRefused) }

// OnStreamData hands data on and grants as much credit again.
func (l *quicLink) OnStreamData(s *endpoint.Stream, data []byte, fin bool) {
	if n, ok := s.UserData.(int); ok && len(data) > 0 {
		l.owner.onData(n, data)
		s.Consume(len(data))
	}
	if fin {
		l.lose(fmt.Errorf("the server has ended stream %d", s.ID()))
	}
}

// OnStreamReset ends the connection: a client of a benchmark needs all its streams.
func (l *quicLink) OnStreamReset(s *endpoint.Stream, code uint64) { l.streamLost(s, code) }

// OnStopSending does so too.
func (l *quicLink) OnStopSending(s *endpoint.Stream, code uint64) { l.streamLost(s, code) }

func (l *quicLink) streamLost(s *endpoint.Stream, code uint64) {
	if s.ID() == 0 {
		l.lose(fmt.Errorf("the server has reset the control stream with code %d", code))
		return
	}
	l.lose(&StreamError{s.ID(), code})
}

// lose closes the connection because of err.
func (l *quicLink) lose(err error) {
	l.mu.Lock()
	local := l.local
	l.mu.Unlock()
	if l.refused == nil && !local {
		l.refused = err
		l.conn.Close(endpoint.CodeAbnormal, "")
	}
}

// OnStreamClosed needs nothing done.
func (l *quicLink) OnStreamClosed(*endpoint.Stream) {}

// OnClosed is the end.
func (l *quicLink) OnClosed(err error) {
	l.close()
	l.mu.Lock()
	local := l.local
	l.mu.Unlock()
	switch {
	case local:
		err = nil
	case l.refused != nil:
		err = l.refused
	case err == nil:
		err = errEnded
	}
	l.owner.onClosed(err)
}
