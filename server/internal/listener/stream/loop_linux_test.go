package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ngmq/ngmq/mqtt/packet"
	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// onGoroutines: connections have goroutines, as on other systems.
var onGoroutines bool

// startTestLoop gives what tests serve connections with: two workers, whatever the machine.
func startTestLoop(t testing.TB, b *broker.Broker) *Loop {
	t.Helper()
	if onGoroutines {
		return nil
	}
	loop, err := startLoop(b, 2)
	require.NoError(t, err)
	return loop
}

// Without a loop everything is the same.
func TestGoroutines(t *testing.T) {
	onGoroutines = true
	defer func() { onGoroutines = false }()
	t.Run("chunks", TestAnyChunking)
	t.Run("messages", TestManyMessagesInOrder)
	t.Run("half close", TestHalfClose)
	t.Run("unread input", TestLastPacketSurvivesUnreadInput)
	t.Run("slow consumer", TestSlowConsumerBlocksNobody)
	t.Run("late reader", TestLateReaderGetsEverything)
	t.Run("defer", TestDefer)
	t.Run("cut off", TestWaitCutsOffWhoDoesNotLeave)
	t.Run("panic", TestPanicCostsOneConnection)
}

// heapBytes is the live heap.
func heapBytes() uint64 {
	runtime.GC()
	runtime.GC() // empties pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// An idle connection has no goroutine and no buffer.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const n, most = 400, 3 << 10 // bytes each, the client's end included
	l, _ := listen(t, broker.Config{}, time.Minute)
	connect := (&packet.Connect{CleanStart: true}).AppendTo(nil, packet.V311)
	connack := make([]byte, 4)
	conns := make([]net.Conn, n)
	open := func(conns []net.Conn) {
		for i := range conns {
			conns[i] = dial(t, l)
			_, err := conns[i].Write(connect)
			require.NoError(t, err)
			_, err = conns[i].Read(connack)
			require.NoError(t, err)
		}
	}
	open(make([]net.Conn, 1))
	goroutines, before := runtime.NumGoroutine(), heapBytes()
	open(conns)
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines+2)
	assert.Less(t, (heapBytes()-before)/n, uint64(most))
	for _, c := range conns {
		c.Close()
	}
}

// A handler that takes its time holds up its client alone.
func TestHandlerHoldsUpItsClient(t *testing.T) {
	held, resume := make(chan struct{}), make(chan struct{})
	l, _ := listen(t, broker.Config{Handlers: broker.Handlers{Connect: func(e *broker.ConnectEvent) error {
		if e.Client.ID == "held" {
			close(held)
			<-resume
		}
		return nil
	}}}, time.Minute)
	slow := mqtttest.New(t, dial(t, l), packet.V50)
	slow.Send(&packet.Connect{ClientID: "held", CleanStart: true})
	<-held
	for i := range 4 { // on each worker
		connect(t, l, fmt.Sprint("c", i)).Ping()
	}
	close(resume)
	mqtttest.Expect[*packet.Connack](slow)
	slow.Ping()
}

// So does one whose CONNECT comes before its connection is set up, which the worker that
// accepts connections then finds.
func TestHandlerOfAnEarlyConnectHoldsUpItsClient(t *testing.T) {
	held, resume := make(chan struct{}), make(chan struct{})
	l, b := listen(t, broker.Config{Handlers: broker.Handlers{Connect: func(*broker.ConnectEvent) error {
		close(held)
		<-resume
		return nil
	}}}, time.Minute)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	defer unix.Close(fds[1])
	w := l.cfg.Loop.workers[0]
	c := &polled{l: l, w: w, fd: fds[0]}
	c.client = b.NewClient(c)
	require.True(t, l.add(c))
	c.number = w.number(c)
	c.reading.take()
	c.duty.take()
	_, err = unix.Write(fds[1], (&packet.Connect{ClientID: "early", CleanStart: true}).AppendTo(nil, packet.V50))
	require.NoError(t, err)
	assert.False(t, c.reading.take(), "what another worker notes")
	begun := make(chan struct{})
	go func() {
		c.begin(&round{w: w, buf: make([]byte, roundRead), most: mostLoopDeferred})
		close(begun)
	}()
	<-held
	select {
	case <-begun:
	case <-time.After(mqtttest.Patience):
		assert.Fail(t, "the worker is held up")
	}
	close(resume)
}

// A handler that panics refuses one client.
func TestHandlerPanics(t *testing.T) {
	l, b := listen(t, broker.Config{Handlers: broker.Handlers{Connect: func(e *broker.ConnectEvent) error {
		if e.Client.ID == "bad" {
			panic("a bug")
		}
		return nil
	}}}, time.Minute)
	good := connect(t, l, "good")
	bad := mqtttest.New(t, dial(t, l), packet.V50)
	bad.Send(&packet.Connect{ClientID: "bad", CleanStart: true})
	assert.True(t, mqtttest.Expect[*packet.Connack](bad).ReasonCode.IsError())
	good.Ping()
	assert.EqualValues(t, 1, b.Stats().HandlerPanics)
}

// So does a bug in the listener itself, whether it reads or writes.
func TestPanicOfPolled(t *testing.T) {
	var log mqtttest.Log
	l, b := listen(t, broker.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, time.Minute)
	other := connect(t, l, "other")
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	defer unix.Close(fds[1])
	c := &polled{l: l, w: l.cfg.Loop.workers[0], fd: fds[0]} // there is no client
	c.number = c.w.number(c)
	l.done.Add(1)
	require.NoError(t, c.w.watch(c.fd, c.number, polledEvents))
	c.Wake()
	assert.Eventually(t, func() bool { return c.written.Load() }, mqtttest.Patience, time.Millisecond)
	assert.Eventually(t, func() bool { return b.Stats().HandlerPanics >= 2 }, mqtttest.Patience, time.Millisecond)
	assert.Eventually(t, func() bool { return strings.Contains(log.String(), "where=writer") }, mqtttest.Patience, time.Millisecond)
	other.Ping()
}

// A connection that is reset is gone at once, with its will.
func TestReset(t *testing.T) {
	l, b := listen(t, broker.Config{}, time.Minute)
	watch := connect(t, l, "watch")
	watch.Subscribe("will", 0)
	conn := dial(t, l).(*net.TCPConn)
	c := mqtttest.New(t, conn, packet.V50)
	c.Connect(&packet.Connect{ClientID: "c", CleanStart: true, Will: &packet.Will{Topic: "will", Payload: []byte("gone")}})
	require.NoError(t, conn.SetLinger(0))
	require.NoError(t, conn.Close())
	watch.ExpectMessage("will", "gone")
	assert.Eventually(t, func() bool { return b.Stats().Connections == 1 }, mqtttest.Patience, time.Millisecond)
}

// trickle reads a little at a time for as long as there is something, or as it may.
func trickle(conn net.Conn, pause time.Duration, ended *atomic.Bool) {
	buf := make([]byte, 64<<10)
	for !ended.Load() {
		if _, err := conn.Read(buf); err != nil {
			return
		}
		time.Sleep(pause) // not a wait: the pace of the client
	}
}

// Who does not take what is sent is cut off after the write timeout, in the middle of a
// message; nobody else notices.
func TestFullSocketIsCutOff(t *testing.T) {
	l, b := listen(t, broker.Config{}, 300*time.Millisecond)
	conn := dial(t, l)
	deaf := mqtttest.New(t, conn, packet.V50)
	deaf.ConnectAs("deaf")
	deaf.Subscribe("big", 0)
	pub := connect(t, l, "pub")
	payload := strings.Repeat("x", 1<<20)
	for range 24 { // more than sockets take
		pub.Publish("big", payload, 0)
	}
	pub.Ping()
	assert.Eventually(t, func() bool { return b.Stats().Clients == 1 }, mqtttest.Patience, time.Millisecond)
	pub.Ping()
}

// A client that is slow, but reads, is not cut off: a deadline is for a part of what is
// sent, not for all of it. On a busy machine it takes longer ones to show that.
func TestSlowReaderLives(t *testing.T) {
	lives := slowReader(t, time.Second) || slowReader(t, 4*time.Second) || slowReader(t, 10*time.Second)
	assert.True(t, lives)
}

// slowReader says whether a client lives that reads for longer than the write timeout.
func slowReader(t *testing.T, timeout time.Duration) (lives bool) {
	l, b := listen(t, broker.Config{}, timeout)
	conn := dial(t, l)
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(64<<10))
	slow := mqtttest.New(t, conn, packet.V50)
	slow.ConnectAs("slow")
	slow.Subscribe("big", 0)
	var ended atomic.Bool
	read := make(chan struct{})
	go func() {
		trickle(conn, timeout/100, &ended)
		close(read)
	}()
	pub := connect(t, l, "pub")
	for range 16 {
		pub.Publish("big", strings.Repeat("x", 1<<20), 0)
	}
	pub.Ping()
	lives = true
	for begin := time.Now(); lives && time.Since(begin) < timeout*3/2; time.Sleep(10 * time.Millisecond) { // what is measured
		lives = b.Stats().Clients == 2
	}
	ended.Store(true)
	conn.Close()
	<-read
	return lives
}

// Room that comes between a write and the note that there is none is not missed.
func TestRoomIsNotMissed(t *testing.T) {
	l, _ := listen(t, broker.Config{}, time.Minute)
	c := &polled{l: l, w: l.cfg.Loop.workers[0]}
	assert.True(t, c.leaveFull(c.edges.Load()), "there is none")
	c.full.Store(false)
	before := c.edges.Load()
	c.edges.Add(1)
	assert.False(t, c.leaveFull(before), "there is: the caller goes on")
	assert.False(t, c.full.Load())
	c.deadline.Store(0)
}

// A worker that has connections which always have more to read serves the others too.
func TestGreedyPublishers(t *testing.T) {
	l, _ := listen(t, broker.Config{}, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	flood := (&packet.Publish{Topic: []byte("flood"), Payload: make([]byte, 100)}).AppendTo(nil, packet.V50)
	burst := []byte(strings.Repeat(string(flood), 1000))
	const publishers = 4
	for i := range publishers {
		c := connect(t, l, fmt.Sprint("greedy", i))
		go func() {
			for ctx.Err() == nil {
				c.Conn().Write(burst)
			}
			ended <- struct{}{}
		}()
	}
	for i := range 2 {
		c := connect(t, l, fmt.Sprint("modest", i))
		for range 5 {
			c.Ping()
		}
	}
	cancel()
	for range publishers {
		<-ended
	}
}

// A process that is out of file descriptors for a while goes on afterwards.
func TestAcceptErrorsDoNotEndTheLoop(t *testing.T) {
	l, b := listen(t, broker.Config{}, time.Minute)
	connect(t, l, "before")
	failures := 3
	a := &acceptor{l: l, w: l.cfg.Loop.workers[1], pause: minAcceptPause, accept: func(fd int) (int, syscall.Sockaddr, error) {
		if failures--; failures >= 0 {
			return 0, nil, unix.EMFILE
		}
		return accept4(fd)
	}}
	other, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer other.Close()
	raw, err := other.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		a.mu.Lock()
		a.fd, a.number = int(fd), a.w.number(a)
		err := a.w.watch(a.fd, a.number, unix.EPOLLIN)
		a.mu.Unlock()
		require.NoError(t, err)
		conn, err := net.Dial("tcp", other.Addr().String())
		require.NoError(t, err)
		c := mqtttest.New(t, conn, packet.V50)
		c.ConnectAs("patient")
		a.end()
		conn.Close()
	}))
	assert.Eventually(t, func() bool { return b.Stats().Connections == 1 }, mqtttest.Patience, time.Millisecond)
}

// Options of a connection are those of its listener's socket, for no system call.
func TestInheritedOptions(t *testing.T) {
	l, _ := listen(t, broker.Config{}, time.Minute)
	conn := connect(t, l, "c").Conn().(*net.TCPConn)
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.conns, 1)
	for c := range l.conns {
		fd := c.(*polled).fd
		for option, want := range map[[2]int]int{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY}:   1,
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE}:   1,
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}:  keepAliveIdle,
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}: keepAliveInterval,
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}:   keepAliveCount,
		} {
			got, err := unix.GetsockoptInt(fd, option[0], option[1])
			require.NoError(t, err)
			assert.Equal(t, want, got, "%d", option)
		}
		assert.Equal(t, conn.LocalAddr().String(), c.(*polled).Info().Remote.String())
		assert.Equal(t, conn.RemoteAddr().String(), c.(*polled).Info().Local.String())
	}
}

// A Unix socket is served like TCP, and has no addresses.
func TestUnixSocketOnLoop(t *testing.T) {
	l, b := listen(t, broker.Config{}, time.Minute)
	cfg := l.cfg
	path := filepath.Join(t.TempDir(), "mqtt.sock")
	u, err := ListenUnix(path, 0o600, cfg)
	require.NoError(t, err)
	ended := make(chan error)
	go func() { ended <- u.Serve(t.Context()) }()
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	c := mqtttest.New(t, conn, packet.V50)
	c.ConnectAs("c")
	c.Subscribe("big", 1)
	payload := strings.Repeat("x", 3<<20)
	go c.Publish("big", payload, 0)
	c.ExpectMessage("big", payload)
	require.NoError(t, u.Close())
	require.NoError(t, <-ended)
	c.Ping()
	conn.Close()
	u.Wait(t.Context())
	assert.Zero(t, b.Stats().Connections)
}

func TestAddrPortOf(t *testing.T) {
	lo, err := net.InterfaceByIndex(1)
	require.NoError(t, err)
	v6 := netip.MustParseAddr("fe80::1")
	assert.Equal(t, "127.0.0.1:5", addrPortOf(&syscall.SockaddrInet4{Port: 5, Addr: [4]byte{127, 0, 0, 1}}).String())
	assert.Equal(t, "127.0.0.1:5", addrPortOf(&syscall.SockaddrInet6{Port: 5, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()}).String())
	assert.Equal(t, "[fe80::1%"+lo.Name+"]:5", addrPortOf(&syscall.SockaddrInet6{Port: 5, ZoneId: 1, Addr: v6.As16()}).String())
	assert.Equal(t, "[fe80::1%99999]:5", addrPortOf(&syscall.SockaddrInet6{Port: 5, ZoneId: 99999, Addr: v6.As16()}).String())
	assert.False(t, addrPortOf(&syscall.SockaddrUnix{}).IsValid())
}

// What cannot be watched is closed.
func TestWatchFails(t *testing.T) {
	l, b := listen(t, broker.Config{}, time.Minute)
	file, err := unix.MemfdCreate("no socket", unix.MFD_CLOEXEC) // epoll takes no files
	require.NoError(t, err)
	r := &round{buf: make([]byte, 100), most: mostDeferred}
	l.admitPolled(file, netip.AddrPort{}, r)
	r.finish()
	assert.Eventually(t, func() bool { return b.Stats().Connections == 0 }, mqtttest.Patience, time.Millisecond)
	assert.True(t, errors.Is(unix.Close(file), unix.EBADF), "it is closed")
}
