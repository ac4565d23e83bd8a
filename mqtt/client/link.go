package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// link is one network connection. Its goroutines are the reader, the writer, the
// deliverer and the pinger; they end with it.
type link struct {
	c       *Client
	nc      net.Conn
	version packet.Version
	out     *outbox
	dec     *packet.Decoder
	chunk   []byte // what the reader reads into

	limits    limits
	slots     chan struct{} // one per QoS 1 or QoS 2 message that is not acknowledged
	keepAlive time.Duration // 0 = off
	aliases   map[uint16]string

	inbox     chan delivery
	delivered chan struct{} // closed when the deliverer has ended
	handling  chan struct{} // capacity 1: held while OnMessage runs and is acknowledged

	began                  time.Time
	sent, received, pinged atomic.Int64 // since began; pinged 0 = no PINGREQ is due an answer

	once    sync.Once
	done    chan struct{} // closed at the end
	err     error         // the cause; set before done is closed
	local   atomic.Bool   // Disconnect or Close ends it
	leaving atomic.Bool   // goBack ends it
	gone    bool          // it is not, or no longer, the client's connection; under Client.mu

	authMu sync.Mutex
	auth   *authRun // Reauthenticate is under way

	connack     packet.Connack
	interrupted bool // under session.mu: the session does not use it any more
}

func newLink(c *Client, nc net.Conn) *link {
	l := &link{
		c: c, nc: nc, version: c.opts.Version,
		out: newOutbox(c.opts.Version, c.opts.Metrics), dec: packet.NewDecoder(c.opts.MaxPacketSize),
		chunk: make([]byte, readSize), aliases: map[uint16]string{},
		inbox: make(chan delivery, inboxSize), delivered: make(chan struct{}), handling: make(chan struct{}, 1),
		began: time.Now(), done: make(chan struct{}),
	}
	l.dec.SetVersion(l.version)
	return l
}

// start runs the goroutines. Messages are delivered after those of the link before.
func (l *link) start(before *link) {
	l.touch(&l.sent)
	l.touch(&l.received)
	go l.read()
	go func() {
		if err := l.out.writeTo(l.nc, l.done, func() { l.touch(&l.sent) }); err != nil {
			l.end(err)
		}
	}()
	go l.deliver(before)
	if l.keepAlive > 0 {
		go l.ping()
	}
}

// touch notes the present time.
func (l *link) touch(at *atomic.Int64) { at.Store(int64(time.Since(l.began)) + 1) }

// end closes the connection; the first cause counts. When done is closed, the
// client is ready for the next Connect.
func (l *link) end(cause error) {
	l.once.Do(func() {
		if l.leaving.Load() {
			cause = ErrReturned
		}
		l.err = cause
		l.c.session.interrupt(l, l.reason())
		connected := l.c.detach(l)
		if connected {
			l.c.opts.Metrics.Disconnected(cause)
		}
		close(l.done)
		l.nc.Close()
		l.c.opts.Logger.Debug("mqtt connection ended", "cause", cause, "local", l.local.Load())
		if f := l.c.opts.OnConnectionLost; connected && !l.local.Load() && f != nil {
			l.c.notices.tell(func() { f(cause) })
		}
	})
}

// reason is what waiting calls return after the end.
func (l *link) reason() error {
	if l.local.Load() {
		return ErrClosed
	}
	return &ConnectionLostError{l.err}
}

// wait waits for ch, ctx or the end of the connection.
func (l *link) wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return l.reason()
	}
}

// read is the reader: it takes packets off the connection until it ends.
func (l *link) read() {
	defer close(l.inbox)
	err := l.handleAll() // what came with the CONNACK
	for err == nil {
		var n int
		if n, err = l.nc.Read(l.chunk); n > 0 {
			l.touch(&l.received)
			l.dec.Feed(l.chunk[:n])
			err = errors.Join(l.handleAll(), err)
		}
	}
	l.end(l.explain(err))
}

// explain tells the server about its mistake when there was one, and gives the
// cause of the end.
func (l *link) explain(err error) error {
	var mistake *packet.Error
	if errors.As(err, &mistake) {
		if reply := mistake.Reply(); reply != nil {
			ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
			defer cancel()
			l.out.putNow(reply)
			l.out.flush(ctx, l)
		}
		return mistake
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the server closed the connection: %w", io.EOF)
	}
	return err
}

func (l *link) handleAll() error {
	for {
		p, err := l.dec.Next()
		if p == nil || err != nil {
			return err
		}
		l.c.opts.Metrics.Received(p.Type(), p.Size(l.version))
		if err := l.handle(p); err != nil {
			return err
		}
	}
}

func (l *link) handle(p packet.Packet) error {
	switch p := p.(type) {
	case *packet.Publish:
		return l.handlePublish(p)
	case *packet.Puback:
		l.finishPublish(p.PacketID, 1, packet.PUBACK, answer{code: p.ReasonCode, props: p.Properties})
	case *packet.Pubrec:
		l.handlePubrec(p)
	case *packet.Pubrel:
		l.handlePubrel(p)
	case *packet.Pubcomp:
		l.finishPublish(p.PacketID, 2, packet.PUBCOMP, answer{code: p.ReasonCode, props: p.Properties})
	case *packet.Suback:
		l.finish(p.PacketID, packet.SUBSCRIBE, answer{codes: p.ReasonCodes, props: p.Properties})
	case *packet.Unsuback:
		l.finish(p.PacketID, packet.UNSUBSCRIBE, answer{codes: p.ReasonCodes, props: p.Properties})
	case *packet.Pingresp:
		l.pinged.Store(0)
	case *packet.Disconnect:
		return &ReasonError{Packet: packet.DISCONNECT, Code: p.ReasonCode, Properties: p.Properties}
	case *packet.Auth:
		return l.handleAuth(p)
	default:
		return unexpected(p)
	}
	return nil
}

func unexpected(p packet.Packet) error {
	return &packet.Error{Code: packet.ProtocolError, Type: p.Type(), Version: packet.V50, Reason: "a server does not send this here"}
}

// ping is the pinger: PINGREQ when either direction was silent for the keep alive
// time [MQTT-3.1.2-20], and the end when the answer stays away.
func (l *link) ping() {
	timer := time.NewTimer(l.keepAlive)
	defer timer.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-timer.C:
		}
		now := time.Since(l.began)
		pinged, received := l.pinged.Load(), l.received.Load()
		limit := l.c.opts.PingTimeout
		idle := now - time.Duration(min(l.sent.Load(), received))
		switch {
		case pinged != 0 && now-time.Duration(max(pinged, received)) >= limit:
			l.end(ErrPingTimeout)
			return
		case pinged != 0:
			timer.Reset(limit - (now - time.Duration(max(pinged, received))))
		case idle >= l.keepAlive:
			l.touch(&l.pinged)
			l.out.putNow(&packet.Pingreq{})
			timer.Reset(min(limit, l.keepAlive))
		default:
			timer.Reset(l.keepAlive - idle)
		}
	}
}
