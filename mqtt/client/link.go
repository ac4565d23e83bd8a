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

// link is one network connection. Its goroutines are a reader and a writer for each of
// its lanes, the deliverer and the pinger; they end with it.
type link struct {
	*lane   // the control stream, or the only one
	c       *Client
	server  string // URL
	version packet.Version
	lanes   lanes // the data streams

	limits    limits
	slots     chan struct{} // one per QoS 1 or QoS 2 message that is not acknowledged
	keepAlive time.Duration // 0 = off
	datagrams chan struct{} // held by those on their way to the transport; nil = none are sent

	inbox     *inbox
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
		c: c, version: c.opts.Version,
		inbox: newInbox(c.opts.InboxBytes), delivered: make(chan struct{}), handling: make(chan struct{}, 1),
		began: time.Now(), done: make(chan struct{}),
	}
	l.lane = newLane(l, nc)
	return l
}

// start runs the goroutines. Messages are delivered after those of the link before.
func (l *link) start(before *link) {
	l.touch(&l.sent)
	l.touch(&l.received)
	l.startDatagrams()
	go l.read()
	go l.lane.write()
	go l.deliver(before)
	if l.keepAlive > 0 {
		go l.ping()
	}
	if l.c.opts.FollowNetwork {
		go l.follow()
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

// read is the reader of the control lane. When it and the others have ended, nothing more
// comes into the inbox.
func (l *link) read() {
	err := l.lane.read()
	l.end(l.explain(err))
	l.lanes.close()
	l.lanes.readers.Wait()
	l.inbox.close()
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
			l.out.flush(ctx, l.lane)
		}
		return mistake
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the server closed the connection: %w", io.EOF)
	}
	return err
}

// handle takes a packet that came on the control lane alone.
func (l *link) handle(p packet.Packet) error {
	switch p := p.(type) {
	case *packet.Disconnect:
		err := &ReasonError{Packet: packet.DISCONNECT, Code: p.ReasonCode, Properties: p.Properties}
		l.c.leftFor(err, l.server)
		return err
	case *packet.Auth:
		return l.handleAuth(p)
	}
	return unexpected(p)
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
			l.inbox.wake()
			l.out.putNow(&packet.Pingreq{})
			timer.Reset(min(limit, l.keepAlive))
		default:
			timer.Reset(l.keepAlive - idle)
		}
	}
}
