package bench

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"
)

// benchClient is one MQTT client: its connections, one after the other, and what outlasts
// them. Publishers may run.
type benchClient struct {
	run    *Run
	number int
	id     string
	pong   []chan struct{} // by topic: the message that is under way has come back

	mu    sync.Mutex
	conn  *connection   // nil while there is none
	over  bool          // there will be none any more
	came  chan struct{} // closed when there is one again, or none any more; nil: nobody waits
	since time.Time     // when conn came
	tries int           // to connect again, since the last connection that lasted
}

func newClient(r *Run, number int) *benchClient {
	c := &benchClient{run: r, number: number, id: r.cfg.IDPrefix + strconv.Itoa(number)}
	if r.cfg.Kind == RoundTrip && r.cfg.Rate == 0 {
		for range r.cfg.Topics {
			c.pong = append(c.pong, make(chan struct{}, 1))
		}
	}
	return c
}

func (c *benchClient) topic(i int) string {
	return expand(c.run.cfg.Topic, c.number, c.id, c.run.cfg.Username, i)
}

// connect makes a connection, with all that belongs to it.
func (c *benchClient) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.run.cfg.Timeout)
	defer cancel()
	conn := &connection{run: c.run, client: c, ended: make(chan struct{})}
	if err := conn.setup(ctx); err != nil {
		return err
	}
	if !conn.setUp() {
		return errEnded
	}
	return nil
}

// current is the connection; nil while there is none.
func (c *benchClient) current() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// wait gives the connection, when there is one; nil when ctx ends before, or there will be none.
func (c *benchClient) wait(ctx context.Context) *connection {
	for {
		c.mu.Lock()
		conn, over := c.conn, c.over
		if conn == nil && !over && c.came == nil {
			c.came = make(chan struct{})
		}
		came := c.came
		c.mu.Unlock()
		if conn != nil || over {
			return conn
		}
		select {
		case <-came:
		case <-ctx.Done():
			return nil
		}
	}
}

// has notes a connection that has come about.
func (c *benchClient) has(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.since = conn, time.Now()
	c.wake()
	c.run.live.Add(1)
}

// giveUp notes that there will be no connection.
func (c *benchClient) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.wake()
}

// wake ends the waiting. c.mu is held.
func (c *benchClient) wake() {
	if c.came != nil {
		close(c.came)
		c.came = nil
	}
}

// lost notes the end of a connection that was up, and has a new one made.
func (c *benchClient) lost(conn *connection, err error) {
	c.mu.Lock()
	if c.conn == conn {
		c.conn = nil
	}
	c.mu.Unlock()
	c.run.live.Add(-1)
	if c.run.ending.Load() && errors.Is(err, errEnded) {
		return
	}
	c.run.lost(err)
	var refused *StreamError
	if c.run.cfg.NoReconnect || errors.As(err, &refused) { // which would be refused again
		c.giveUp()
	} else {
		c.run.reconnector.add(c)
	}
}

// returned lets the next message of a topic go.
func (c *benchClient) returned(topic int) {
	if topic >= len(c.pong) {
		return
	}
	select {
	case c.pong[topic] <- struct{}{}:
	default: // a copy, or somebody else's message
	}
}
