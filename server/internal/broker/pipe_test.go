package broker

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// pipe is a stream connection with a reader and a writer goroutine: Feed and Flush run
// at the same time, as with a TCP listener.
type pipe struct {
	net.Conn
	wake chan struct{}
	once sync.Once
	end  chan struct{}
	buf  []byte
}

func (p *pipe) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pipe) Close(packet.ReasonCode)           { p.once.Do(func() { close(p.end) }) }
func (p *pipe) Info() ConnInfo                    { return ConnInfo{Transport: "pipe"} }
func (p *pipe) Room() int                         { return 4096 - len(p.buf) }
func (p *pipe) Write(b []byte)                    { p.buf = append(p.buf, b...) }
func (p *pipe) WritePayload(b []byte, _ *Message) { p.buf = append(p.buf, b...) }

// serve runs one connection in the way of a stream listener.
func serve(b *Broker, conn net.Conn) {
	p := &pipe{Conn: conn, wake: make(chan struct{}, 1), end: make(chan struct{})}
	c := b.NewClient(p)
	var writer sync.WaitGroup
	writer.Go(func() { p.writeLoop(c) })
	chunk := make([]byte, 512)
	var err error
	for err == nil {
		var n int
		if n, err = conn.Read(chunk); n > 0 && err == nil {
			err = c.Feed(chunk[:n])
		}
	}
	p.Close(CloseCode(err))
	writer.Wait()
	c.Closed(err)
}

func (p *pipe) writeLoop(c *Client) {
	defer p.Conn.Close()
	for ended := false; !ended; {
		select {
		case <-p.wake:
		case <-p.end:
			ended = true
		}
		for {
			c.Flush(p)
			if len(p.buf) == 0 {
				break
			}
			if _, err := p.Conn.Write(p.buf); err != nil {
				return
			}
			p.buf = p.buf[:0]
		}
	}
}

// caller is a blocking MQTT client on the other end of the pipe.
type caller struct {
	t     *testing.T
	conn  net.Conn
	dec   packet.Decoder
	chunk [2048]byte
}

func call(t *testing.T, b *Broker, id string) *caller {
	near, far := net.Pipe()
	go serve(b, far)
	require.NoError(t, near.SetDeadline(time.Now().Add(20*time.Second)))
	c := &caller{t: t, conn: near}
	c.dec.Init(0)
	c.dec.SetVersion(packet.V50)
	c.send(stressConnect(id, 3600, false))
	_, ok := c.next().(*packet.Connack)
	require.True(t, ok)
	return c
}

func (c *caller) send(p packet.Packet) {
	_, err := c.conn.Write(p.AppendTo(nil, packet.V50))
	assert.NoError(c.t, err)
}

// next reads one packet; nil when the connection is over.
func (c *caller) next() packet.Packet {
	for {
		p, err := c.dec.Next()
		if err != nil {
			c.t.Error(err)
			return nil
		}
		if p != nil {
			return keep(p)
		}
		n, err := c.conn.Read(c.chunk[:])
		if err != nil {
			return nil
		}
		c.dec.Feed(c.chunk[:n])
	}
}

// listen acknowledges everything and counts messages until it has n.
func (c *caller) listen(n int) (got []string) {
	for len(got) < n {
		switch p := c.next().(type) {
		case nil:
			return got
		case *packet.Publish:
			got = append(got, string(p.Payload))
			if p.QoS == 1 {
				c.send(&packet.Puback{PacketID: p.PacketID})
			} else if p.QoS == 2 {
				c.send(&packet.Pubrec{PacketID: p.PacketID})
			}
		case *packet.Pubrel:
			c.send(&packet.Pubcomp{PacketID: p.PacketID})
		}
	}
	return got
}

func TestReaderAndWriterGoroutines(t *testing.T) {
	b := New(Config{AllowAnonymous: true})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { b.Run(ctx) })
	const pairs, each = 8, 300
	var wg sync.WaitGroup
	var callers []*caller
	for i := range pairs {
		topic := fmt.Sprint("pair/", i)
		s, p := call(t, b, fmt.Sprint("s", i)), call(t, b, fmt.Sprint("p", i))
		callers = append(callers, s, p)
		s.send(&packet.Subscribe{PacketID: 1, Subscriptions: []packet.Subscription{{Filter: topic, QoS: 2}}})
		_, ok := s.next().(*packet.Suback)
		require.True(t, ok)
		wg.Go(func() {
			got := s.listen(each)
			if assert.Len(t, got, each) {
				assert.Equal(t, fmt.Sprint(each-1), got[each-1])
			}
		})
		wg.Go(func() {
			for n := range each {
				qos := byte(i % 3)
				p.send(pub(topic, fmt.Sprint(n), qos, uint16(qos)))
				switch qos {
				case 1:
					p.next()
				case 2:
					p.next()
					p.send(&packet.Pubrel{PacketID: 2})
					p.next()
				}
			}
		})
	}
	wg.Wait()

	old := call(t, b, "s0") // takes over while the old one is connected
	old.send(&packet.Pingreq{})
	assert.IsType(t, &packet.Pingresp{}, old.next())
	for _, c := range callers {
		c.conn.Close()
	}
	done := make(chan error)
	go func() { done <- b.Shutdown(t.Context()) }()
	d, ok := old.next().(*packet.Disconnect)
	require.True(t, ok)
	assert.Equal(t, packet.ServerShuttingDown, d.ReasonCode)
	assert.Nil(t, old.next(), "the connection is closed")
	assert.NoError(t, <-done)
	cancel()
	run.Wait()
}

// Run wakes up for a timer that is set while it sleeps.
func TestRunWakesUp(t *testing.T) {
	b := New(Config{AllowAnonymous: true, ConnectTimeout: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go b.Run(ctx)
	near, far := net.Pipe()
	go serve(b, far)
	require.NoError(t, near.SetDeadline(time.Now().Add(10*time.Second)))
	_, err := near.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF, "the CONNECT deadline was kept")
}
