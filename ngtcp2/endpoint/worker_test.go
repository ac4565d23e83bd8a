package endpoint

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint/internal/udp"
)

// Shutdown answers for closed connections for drainTime, not for their three PTOs.
func TestShutdownDrainsBriefly(t *testing.T) {
	leakCheck(t)
	slow := func(p *ngtcp2.TransportParams) { p.MaxAckDelay = 16 * time.Second } // of the peer's PTO
	l := echoServer(t, Config{Workers: 1})
	client, err := New(Config{Workers: 1, Params: slow})
	require.NoError(t, err)
	c := dial(t, client, l.Addr().String())
	ask(t, c, []byte("x"))
	require.NoError(t, c.Close())
	closed(t, c)
	eventually(t, func() bool { s := l.Endpoint().Stats(); return s.Conns == 0 }, "still open at the server")
	start := time.Now()
	require.NoError(t, l.Shutdown(within(t)))
	assert.Less(t, time.Since(start), waitLimit/2, "three PTOs are 48 s and more")
	require.NoError(t, client.Shutdown(within(t)))
}

// A worker that is to end before it has heard of Shutdown tells its peers.
func TestCutTellsPeers(t *testing.T) {
	leakCheck(t)
	reason := make(chan error, 1)
	server := start(t, Config{Workers: 1, TLS: serverTLS(t), Addrs: []string{"127.0.0.1:0"},
		Handler: onConn(func(*Conn) ConnHandler { return closeLog{closed: reason} })})
	client, err := New(Config{Workers: 1})
	require.NoError(t, err)
	_, err = client.Dial(within(t), server.Addrs()[0].String(), DialConfig{TLS: clientTLS(t), Handler: silentHandler{}})
	require.NoError(t, err)
	client.cut.Do(func() { close(client.quit) })
	select {
	case err := <-reason:
		var ae *ngtcp2.ApplicationError
		assert.ErrorAs(t, err, &ae)
	case <-time.After(waitLimit):
		assert.Fail(t, "the server was not told")
	}
	require.NoError(t, client.Shutdown(within(t)))
}

type closeLog struct {
	silentHandler
	closed chan error
}

func (c closeLog) OnClosed(err error) { c.closed <- err }

// idleWorker has no socket, and nobody who runs it.
func idleWorker(t *testing.T) *worker {
	t.Helper()
	core, err := NewCore(Config{})
	require.NoError(t, err)
	t.Cleanup(core.Free)
	return newWorker(core, nil)
}

func listenUDP(t *testing.T) *udp.Socket {
	t.Helper()
	s, err := udp.Listen(udp.Config{Addr: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// What comes in during the last turn of a socket's reader is not forgotten.
func TestReaderLeavesNothing(t *testing.T) {
	w := idleWorker(t)
	s, other := listenUDP(t), listenUDP(t)
	ran, closed := false, error(nil)
	w.core.inbox.post(func() {
		closed = s.Close() // as retire does
		w.core.inbox.post(func() { ran = true })
	})
	<-w.core.InboxSignal()
	_, err := other.WriteBatch([]byte{1}, []Transmit{{Remote: s.LocalAddr(), Len: 1, SegmentSize: 1}})
	require.NoError(t, err)
	w.read(s)
	require.NoError(t, closed)
	assert.True(t, ran)
}

// A connection whose packets come to another worker's socket, which has none of its own,
// closes as fast as others: that worker forwards until the end.
func TestShutdownForwards(t *testing.T) {
	leakCheck(t)
	l := echoServer(t, Config{Workers: 4})
	nat := newNAT(t, l.Addr().(*net.UDPAddr).AddrPort())
	conn := dial(t, start(t, Config{Workers: 1}), nat.addr())
	ask(t, conn, []byte("x")) // a handshake stays at one address (RFC 9000 section 9)
	eventually(t, func() bool {
		nat.rebind(t)
		ask(t, conn, []byte("x"))
		before := l.Endpoint().Stats()
		ask(t, conn, []byte("y"))
		after := l.Endpoint().Stats()
		return after.Count(Forwarded) > before.Count(Forwarded)
	}, "no packet came to another worker")
	began := time.Now()
	require.NoError(t, l.Shutdown(within(t)))
	assert.Less(t, time.Since(began), waitLimit/2, "nothing waits for CloseTimeout")
}

// One goroutine at a time makes turns without waiting; the one that stops sets the timer.
func TestOneGoroutineDrives(t *testing.T) {
	w := idleWorker(t)
	a, b := new(udp.Socket), new(udp.Socket)
	assert.True(t, w.drive(true, a))
	assert.False(t, w.drive(true, b), "a does it")
	assert.False(t, w.drive(false, nil))
	w.drainBy = ngtcp2.Now().Add(time.Minute)
	assert.False(t, w.drive(false, nil))
	assert.Equal(t, ngtcp2.NoExpiry, w.armed, "a looks at the clock")
	assert.True(t, w.drive(true, a))
	assert.False(t, w.drive(false, a))
	assert.Equal(t, w.drainBy, w.armed)
	assert.True(t, w.drive(true, b))
	w.handOver()
	<-w.core.InboxSignal()
	assert.True(t, w.drive(true, nil), "b has left")
}

// The reader of a server's only socket waits in system calls while GOMAXPROCS is above the
// number of them: it has the worker's timer and inbox, and gives them back.
func TestBlockingReader(t *testing.T) {
	leakCheck(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(int(blockers.Load()) + 3))
	l := echoServer(t, Config{Workers: 2})
	other := echoServer(t, Config{Workers: 1})
	for _, w := range l.Endpoint().workers {
		assert.Same(t, w.sockets[0], w.core.inbox.reader.Load())
	}
	assert.Nil(t, other.Endpoint().workers[0].core.inbox.reader.Load(), "none is left")
	c := dial(t, start(t, Config{Workers: 1}), l.Addr().String())
	ask(t, c, []byte("x"))
	for _, w := range l.Endpoint().workers {
		ran := make(chan struct{})
		w.core.inbox.post(func() { close(ran) })
		<-ran
	}
	require.NoError(t, l.Shutdown(within(t)))
	assert.Zero(t, l.Endpoint().workers[0].core.inbox.reader.Load())
}

// A reader that waits in system calls is told of an earlier deadline, and leaves the turns
// to the goroutine that makes them.
func TestBlockingReaderDeadline(t *testing.T) {
	w := idleWorker(t)
	s := listenUDP(t)
	if s.Block() != nil {
		return // only Linux has it
	}
	w.core.inbox.reader.Store(s)
	assert.Negative(t, w.patience(), "no deadline")
	b := s.NewBatch()
	w.arm(ngtcp2.Now().Add(time.Hour), nil)
	require.NoError(t, s.WaitBatch(b, -1), "an earlier one interrupts")
	assert.InDelta(t, time.Hour, w.patience(), float64(time.Minute))
	w.arm(ngtcp2.Now(), s)
	assert.Zero(t, w.patience())
	w.busy = true
	assert.Negative(t, w.patience(), "run makes the turns")
	w.drainBy = ngtcp2.Now().Add(time.Minute)
	assert.False(t, w.drive(false, nil))
	require.NoError(t, s.WaitBatch(b, -1), "run has stopped")
	w.unblock(s)
	w.core.inbox.ring()
	<-w.core.InboxSignal()
	assert.Equal(t, ngtcp2.NoExpiry, w.armed, "run sets the timer")
}
