//go:build !noquic

package multistream

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// receiver is the state that a client keeps of what it receives, across connections.
type receiver struct {
	mu         sync.Mutex
	rand       *rand.Rand
	generation int             // of the connection: what an old one brings is not looked at
	careless   bool            // some acknowledgements are left out
	seen       map[string]int  // by payload
	held       map[uint16]bool // QoS 2 messages whose PUBREL has not come
	freed      int             // of them, those whose PUBREL has come
	changed    chan struct{}
}

func newReceiver(seed uint64) *receiver {
	return &receiver{
		rand: rand.New(rand.NewPCG(seed, seed)), careless: true,
		seen: map[string]int{}, held: map[uint16]bool{}, changed: make(chan struct{}, 1),
	}
}

// handle does the receiver's part for p; false: the connection is an old one.
func (r *receiver) handle(c *mqtttest.Client, generation int, p packet.Packet) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if generation != r.generation {
		return false
	}
	answer := !r.careless || r.rand.IntN(3) > 0
	switch p := p.(type) {
	case *packet.Publish:
		if p.QoS == 1 || !r.held[p.PacketID] {
			r.seen[string(p.Payload)]++
		}
		var ack packet.Packet = &packet.Puback{PacketID: p.PacketID}
		if p.QoS == 2 {
			r.held[p.PacketID] = true
			ack = &packet.Pubrec{PacketID: p.PacketID}
		}
		if answer {
			c.Conn().Write(encode(ack))
		}
	case *packet.Pubrel:
		if r.held[p.PacketID] {
			delete(r.held, p.PacketID)
			r.freed++
		}
		if answer {
			c.Conn().Write(encode(&packet.Pubcomp{PacketID: p.PacketID}))
		}
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return true
}

// read handles what comes on a stream until the connection is an old one.
func (r *receiver) read(c *mqtttest.Client, generation int, all *sync.WaitGroup) {
	all.Go(func() {
		for {
			p, err := c.Read()
			if err != nil || !r.handle(c, generation, p) {
				return
			}
		}
	})
}

// next begins with another connection.
func (r *receiver) next() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generation++
	return r.generation
}

func (r *receiver) flip() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rand.IntN(2) == 0
}

// wait waits until n different messages have been seen.
func (r *receiver) wait(t *testing.T, n int) {
	t.Helper()
	patience := time.After(mqtttest.Patience)
	for {
		r.mu.Lock()
		seen := len(r.seen)
		r.mu.Unlock()
		if seen >= n {
			return
		}
		select {
		case <-r.changed:
		case <-patience:
			require.Fail(t, "messages are missing", "%d of %d have come", seen, n)
		}
	}
}

// sender is the state that a client keeps of what it sends at QoS 2: one message of each
// kind on each stream of each connection. Packet identifiers are the client's, not a
// stream's.
type sender struct {
	id       uint16
	released []uint16                   // PUBREC has come, PUBREL has perhaps been sent
	sent     map[uint16]*packet.Publish // PUBREC has not come
	total    int
}

func (s *sender) message() *packet.Publish {
	s.id++
	s.total++
	return message("from", fmt.Sprint(s.total), 2, s.id)
}

// begin leaves messages half sent on a data stream.
func (s *sender) begin(data *mqtttest.Client) {
	data.Send(s.message())
	data.Send(&packet.Pubrel{PacketID: mqtttest.Expect[*packet.Pubrec](data).PacketID})
	mqtttest.Expect[*packet.Pubcomp](data)
	data.Send(s.message())
	s.released = append(s.released, mqtttest.Expect[*packet.Pubrec](data).PacketID)
	p := s.message()
	data.Send(p)
	s.sent[p.PacketID] = p
}

// again ends on a new connection what was begun on another one. Messages for the client
// that come meanwhile go to r.
func (s *sender) again(t *testing.T, c *mqtttest.Client, r *receiver, generation int) {
	for _, p := range s.sent {
		p.Dup = true
		c.Send(p)
	}
	for _, id := range s.released {
		c.Send(&packet.Pubrel{PacketID: id})
	}
	for open := len(s.sent) + len(s.released); open > 0; {
		p, err := c.Read()
		require.NoError(t, err)
		switch p := p.(type) {
		case *packet.Pubrec:
			c.Send(&packet.Pubrel{PacketID: p.PacketID})
		case *packet.Pubcomp:
			open--
		default:
			r.handle(c, generation, p)
		}
	}
	s.released = nil
	clear(s.sent)
}

// A session with several data streams and QoS 1 and 2 messages in flight, both ways, goes
// from connection to connection: lost or taken over, over QUIC, TCP, TLS and WebSocket.
// Every message arrives, those at QoS 2 exactly once.
func TestSessionRoams(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { roam(t, seed) })
	}
}

func roam(t *testing.T, seed uint64) {
	t.Parallel()
	const streams, messages = 4, 12 // subscribing streams, messages for each and connection
	s := start(t, server.Config{})
	watch := s.over(t, "tcp")
	watch.ConnectAs("watch")
	watch.Subscribe("from", 2)
	from := s.publisher(t)
	r, sends := newReceiver(seed), &sender{sent: map[uint16]*packet.Publish{}}
	published := 0
	var readers sync.WaitGroup
	defer readers.Wait()
	var old *link
	route := []string{"quic", "quic", "tcp", "quic", "ws", "quic", "tls", "tcp", "quic", "quic"}
	for hop, transport := range route {
		takeover := r.flip()
		if old != nil && !takeover {
			old.cut()
		}
		generation := r.next()
		var c *mqtttest.Client
		var quic *client
		if transport == "quic" {
			quic = s.dial(t, packet.V50)
			c = quic.Client
		} else {
			c = s.over(t, transport)
		}
		ack := c.Connect(lasting("roamer"))
		assert.Equal(t, hop > 0, ack.SessionPresent)
		sends.again(t, c, r, generation)
		old = nil
		if quic != nil {
			old = quic.l
			for i := range streams {
				if hop > 0 && r.flip() {
					continue // it stays on control
				}
				data := quic.stream()
				data.Send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: fmt.Sprint("to/", i), QoS: 2}}})
				r.read(data, generation, &readers)
			}
		}
		r.read(c, generation, &readers)
		if hop == 0 {
			require.Eventually(t, func() bool { return s.Stats().Subscriptions == streams+1 }, mqtttest.Patience, time.Millisecond)
		}
		if hop == len(route)-1 {
			r.mu.Lock()
			r.careless = false
			r.mu.Unlock()
		}
		if quic != nil {
			sends.begin(quic.stream())
			sends.begin(quic.stream())
		}
		for range messages {
			for i := range streams {
				published++
				from.Publish(fmt.Sprint("to/", i), fmt.Sprintf("QoS %d %d", 1+published%2, published), byte(1+published%2))
			}
		}
		if hop < len(route)-1 {
			r.wait(t, published-streams*messages/2)
		}
	}
	r.wait(t, published)
	last := s.over(t, "tcp")
	generation := r.next()
	last.Connect(lasting("roamer"))
	sends.again(t, last, r, generation)
	unique := map[string]bool{}
	for _, text := range texts(receive(t, watch, sends.total)) {
		unique[text] = true
	}
	assert.Len(t, unique, sends.total)
	r.mu.Lock()
	defer r.mu.Unlock()
	for payload, n := range r.seen {
		if payload[4] == '2' {
			assert.Equal(t, 1, n, "%s", payload)
		}
	}
	s.Publish(server.Publication{Topic: "from", Payload: []byte("end"), QoS: 2})
	watch.ExpectMessage("from", "end") // and none twice
	assert.Empty(t, s.Stats().Dropped)
	assert.EqualValues(t, streams+1, s.Stats().Subscriptions)
}
