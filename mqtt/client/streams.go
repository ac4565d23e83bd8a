package client

import (
	"context"
	"errors"
	"hash/maphash"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// Streams says how the messages of a QUIC connection are spread over streams, so that
// none waits for one on another stream that was lost on the way or is large. The order
// of messages holds on each stream.
type Streams uint8

const (
	// SingleStream is one stream for all: every server has that.
	SingleStream Streams = iota
	// StreamPerQoS has a stream for each QoS of messages and of subscriptions.
	StreamPerQoS
	// StreamPerTopic spreads topics and filters over Options.MaxStreams streams; one topic
	// is always on the same stream.
	StreamPerTopic
	// StreamNamed goes by Message.Stream and SubscribeOn.
	StreamNamed
)

const (
	// DefaultMaxStreams is what EMQX allows beside the first.
	DefaultMaxStreams = 9
	// defaultProbeTimeout is how long a server may take to answer on a data stream before it
	// counts as one that knows a single stream. Connect waits that long once.
	defaultProbeTimeout = 2 * time.Second
	// defaultProbeAgain is how long that counts: the answer may have been slow or lost once. A
	// connection that is made later asks again.
	defaultProbeAgain = 5 * time.Minute
	// maxStreamName is the limit of Message.Stream in bytes.
	maxStreamName = 1024
	// probeFilter is what UNSUBSCRIBE asks for on the first data stream: nobody has it.
	probeFilter = "ngmq/streams/none"
)

// streamOpener is a network connection of several streams.
type streamOpener interface {
	openStream(ctx context.Context) (net.Conn, error)
}

// lanes are the data lanes of a link. Methods may be called by any goroutine.
type lanes struct {
	readers sync.WaitGroup

	mu     sync.Mutex
	off    bool // single stream
	byName map[laneKey]*lane
}

// laneKey tells the lanes of a link apart: by number, and with StreamNamed by name.
type laneKey struct {
	number int
	name   string
}

var topicSeed = maphash.MakeSeed()

// messageKey is the lane of a message; ok is false for the control lane.
func (o *Options) messageKey(m string, stream string, qos byte) (key laneKey, ok bool) {
	switch o.Streams {
	case StreamPerQoS:
		return laneKey{number: int(qos) % o.MaxStreams}, true
	case StreamPerTopic:
		return laneKey{number: int(maphash.String(topicSeed, m) % uint64(o.MaxStreams))}, true
	case StreamNamed:
		return laneKey{name: stream}, stream != ""
	}
	return laneKey{}, false
}

// laneFor is where a message or a subscription goes: the control lane when there is no
// other.
func (l *link) laneFor(text, stream string, qos byte) *lane {
	key, ok := l.c.opts.messageKey(text, stream, qos)
	if !ok {
		return l.lane
	}
	return l.lanes.find(l, key)
}

// find gives the lane of a key, opened if need be.
func (s *lanes) find(l *link, key laneKey) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.byName[key]; a != nil {
		return a
	}
	if s.off || len(s.byName) >= l.c.opts.MaxStreams {
		return l.lane
	}
	a := s.open(l)
	if a == nil {
		a = l.lane // for this key for good: its messages keep their order
	}
	if s.byName == nil {
		s.byName = map[laneKey]*lane{}
	}
	s.byName[key] = a
	return a
}

// open opens a lane; nil when the server allows no more.
func (s *lanes) open(l *link) *lane {
	opener, ok := l.nc.(streamOpener)
	if !ok || s.off {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.c.probeTimeout)
	defer cancel()
	nc, err := opener.openStream(ctx)
	if err != nil {
		l.c.opts.Logger.Debug("no further stream", "error", err)
		return nil
	}
	a := newLane(l, nc)
	s.readers.Add(1)
	go func() {
		defer s.readers.Done()
		a.fail(a.read())
	}()
	go a.write()
	return a
}

// probe finds out whether the server knows data streams: it has to answer on one.
func (l *link) probe(ctx context.Context) {
	if l.c.opts.Streams == SingleStream {
		return
	}
	if !l.answersOnStream(ctx) {
		l.lanes.close()
	}
}

func (l *link) answersOnStream(ctx context.Context) bool {
	if _, ok := l.nc.(streamOpener); !ok || l.c.knownSingle(l.server) {
		return false
	}
	l.c.rememberSingle(l.server, true) // until the answer is here: it may end the connection
	ctx, cancel := context.WithTimeout(ctx, l.c.probeTimeout)
	defer cancel()
	l.lanes.mu.Lock()
	a := l.lanes.open(l)
	l.lanes.mu.Unlock()
	if a == nil {
		return false // allowed none now; perhaps later
	}
	err := a.ask(ctx)
	a.nc.Close()
	if err != nil {
		l.c.opts.Logger.Debug("the server answers on no further stream", "error", err)
		if errors.Is(err, errLaneEnded) {
			err = l.lane.ask(ctx) // is it the stream alone?
		}
		var lost *ConnectionLostError
		if errors.As(err, &lost) {
			<-l.done // at once: Connect has to see it
		}
		return false
	}
	l.c.rememberSingle(l.server, false)
	return true
}

// ask waits until the server has read all that was sent on a lane: it answers what comes
// last. (EMQX does not answer PINGREQ there.)
func (a *lane) ask(ctx context.Context) error {
	_, err := a.request(ctx, packet.UNSUBSCRIBE, func(id uint16) packet.Packet {
		return &packet.Unsubscribe{PacketID: id, Filters: []string{probeFilter}}
	})
	return err
}

// knownSingle and rememberSingle keep which server knows one stream only, for a time.
func (c *Client) knownSingle(server string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Before(c.single[server])
}

func (c *Client) rememberSingle(server string, single bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.single == nil {
		c.single = map[string]time.Time{}
	}
	if single {
		c.single[server] = time.Now().Add(c.probeAgain)
	} else {
		delete(c.single, server)
	}
}

// close lets no further lane be opened.
func (s *lanes) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = true
}

// drop takes a lane that has ended out, and has what waits on it done on the control
// lane: the server has forgotten the subscriptions of the stream.
func (s *lanes) drop(a *lane, cause error) {
	s.mu.Lock()
	if a.isEnded() {
		s.mu.Unlock()
		return
	}
	close(a.ended)
	used := false
	for key, other := range s.byName {
		if other == a {
			s.byName[key], used = a.link.lane, true
		}
	}
	s.mu.Unlock()
	a.nc.Close()
	l := a.link
	select {
	case <-l.done:
		return
	default:
	}
	if used {
		l.c.opts.Logger.Debug("a stream ended; the control stream takes over", "cause", cause)
	}
	go l.takeOver(a)
}

// takeOver sends again on the control lane what was not acknowledged on another.
func (l *link) takeOver(a *lane) {
	s := l.c.session
	ctx := context.Background() // the end of the connection ends it
	for _, x := range s.unfinished() {
		if p := s.again(x); p != nil && s.movedFrom(x, a) {
			if l.out.put(ctx, l.lane, p) != nil {
				return
			}
		}
	}
	for _, sub := range s.leftBy(a) {
		if l.subscribeAgain(l.lane, sub) != nil {
			return
		}
	}
}

// movedFrom takes x off a lane, and reports whether it was on it.
func (s *session) movedFrom(x *exchange, a *lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.lane != a {
		return false
	}
	x.lane = nil
	return true
}

// leftBy are the subscriptions that were made on a lane; they are on the control lane now.
// Calls that wait for an answer on it are told.
func (s *session) leftBy(a *lane) (left []subscribed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, x := range s.exchanges {
		if x.lane == a && x.kind != packet.PUBLISH {
			delete(s.exchanges, id)
			x.pending.complete(answer{err: errLaneEnded})
		}
	}
	for i := range s.subs {
		if s.subs[i].lane == a {
			s.subs[i].lane = nil
			left = append(left, s.subs[i])
		}
	}
	return slices.Clip(left)
}

// moved notes the lane of a subscription.
func (s *session) moved(filter string, a *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.subs {
		if s.subs[i].Filter == filter {
			s.subs[i].lane = a
		}
	}
}

// list is the data lanes in use.
func (s *lanes) list(l *link) (open []*lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.byName {
		if a != l.lane && !slices.Contains(open, a) {
			open = append(open, a)
		}
	}
	return open
}

// finishStreams lets what was written on data lanes arrive before the DISCONNECT. A FIN
// would do that too, but ends subscriptions.
func (l *link) finishStreams(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, a := range l.lanes.list(l) {
		all.Go(func() { _ = a.ask(ctx) })
	}
	all.Wait()
}
