//go:build linux

package udp

import (
	"bytes"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func listen(t testing.TB, cfg Config) *Socket {
	t.Helper()
	s, err := Listen(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// target is s's address with the unspecified host replaced.
func target(s *Socket, host string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), s.LocalAddr().Port())
}

// readAll reads n datagrams and returns their bytes and the messages.
func readAll(t testing.TB, s *Socket, n int) (data [][]byte, msgs []Message) {
	t.Helper()
	b := s.NewBatch()
	for len(data) < n {
		require.NoError(t, s.ReadBatch(b))
		for _, m := range b.Msgs {
			for i := range m.Count() {
				off, l := m.Segment(i)
				data = append(data, bytes.Clone(b.Buf[off:off+l]))
			}
			msgs = append(msgs, m)
		}
	}
	return data, msgs
}

// pattern is a run of datagrams with recognisable first bytes.
func pattern(n, size, last int) ([]byte, Transmit) {
	buf := make([]byte, 0, n*size+last)
	for i := range n {
		buf = append(buf, bytes.Repeat([]byte{byte(i)}, size)...)
	}
	buf = append(buf, bytes.Repeat([]byte{0xEE}, last)...)
	return buf, Transmit{Len: len(buf), SegmentSize: size}
}

func TestSendReceive(t *testing.T) {
	cases := []struct{ name, listen, send, host string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "[::1]:0", "::1"},
		{"dual stack, IPv4 peer", "[::]:0", "127.0.0.1:0", "127.0.0.1"},
		{"dual stack, IPv6 peer", "[::]:0", "[::1]:0", "::1"},
		{"dual stack sender", "127.0.0.1:0", "[::]:0", "127.0.0.1"},
		{"wildcard, second loopback address", "0.0.0.0:0", "127.0.0.1:0", "127.0.0.9"},
	}
	for _, c := range cases {
		for _, mode := range []struct {
			name  string
			plain bool
		}{{"coalesced", false}, {"plain", true}} {
			t.Run(c.name+"/"+mode.name, func(t *testing.T) {
				rx := listen(t, Config{Addr: c.listen, NoGRO: mode.plain})
				tx := listen(t, Config{Addr: c.send, NoGSO: mode.plain})
				buf, run := pattern(5, 1200, 77)
				run.Remote, run.ECN = target(rx, c.host), 2
				rest, err := tx.WriteBatch(buf, []Transmit{run})
				require.NoError(t, err)
				require.Empty(t, rest)
				data, msgs := readAll(t, rx, 6)
				require.Len(t, data, 6)
				assert.Equal(t, buf, bytes.Join(data, nil))
				for _, m := range msgs {
					assert.Equal(t, target(rx, c.host), m.Local)
					assert.Equal(t, tx.LocalAddr().Port(), m.Remote.Port())
					assert.Equal(t, uint8(2), m.ECN)
					assert.False(t, m.Remote.Addr().Is4In6())
				}
				if !mode.plain && tx.gso.Load() && rx.gro {
					assert.Len(t, msgs, 1, "GSO to GRO over loopback stays one message")
				}
			})
		}
	}
}

// The answer leaves from the address that was asked, on a wildcard socket.
func TestSourceAddress(t *testing.T) {
	server := listen(t, Config{Addr: "[::]:0"})
	client := listen(t, Config{Addr: "127.0.0.1:0"})
	_, err := client.WriteBatch([]byte("ask"), []Transmit{{Remote: target(server, "127.0.0.7"), Len: 3}})
	require.NoError(t, err)
	_, msgs := readAll(t, server, 1)
	_, err = server.WriteBatch([]byte("say"), []Transmit{{Local: msgs[0].Local, Remote: msgs[0].Remote, Len: 3}})
	require.NoError(t, err)
	_, msgs = readAll(t, client, 1)
	assert.Equal(t, target(server, "127.0.0.7"), msgs[0].Remote)
}

func TestReusePort(t *testing.T) {
	a := listen(t, Config{Addr: "127.0.0.1:0"})
	_, err := Listen(Config{Addr: a.LocalAddr().String(), ReusePort: true})
	require.Error(t, err, "not shared yet")
	require.NoError(t, a.Share())
	b := listen(t, Config{Addr: a.LocalAddr().String(), ReusePort: true})
	assert.Equal(t, a.LocalAddr(), b.LocalAddr())
	_, err = Listen(Config{Addr: a.LocalAddr().String()})
	require.Error(t, err, "another program's first socket")
	reached := map[*Socket]bool{}
	for range 64 { // sources spread over both
		tx := listen(t, Config{Addr: "127.0.0.1:0"})
		_, err := tx.WriteBatch([]byte("x"), []Transmit{{Remote: a.LocalAddr(), Len: 1}})
		require.NoError(t, err)
	}
	for _, s := range []*Socket{a, b} {
		batch := s.NewBatch()
		require.NoError(t, s.ReadBatch(batch))
		reached[s] = len(batch.Msgs) > 0
	}
	assert.Len(t, reached, 2)
}

func TestCloseUnblocksRead(t *testing.T) {
	s := listen(t, Config{Addr: "127.0.0.1:0"})
	done := make(chan error)
	go func() { done <- s.ReadBatch(s.NewBatch()) }()
	require.NoError(t, s.Close())
	assert.ErrorIs(t, <-done, net.ErrClosed)
	_, err := s.WriteBatch([]byte("x"), []Transmit{{Remote: pathA, Len: 1}})
	assert.ErrorIs(t, err, net.ErrClosed)
}

func TestPollDoesNotWait(t *testing.T) {
	rx, tx := listen(t, Config{Addr: "127.0.0.1:0"}), listen(t, Config{Addr: "127.0.0.1:0"})
	b := rx.NewBatch()
	require.NoError(t, rx.PollBatch(b))
	assert.Empty(t, b.Msgs)
	_, err := tx.WriteBatch([]byte("x"), []Transmit{{Remote: rx.LocalAddr(), Len: 1}})
	require.NoError(t, err)
	for len(b.Msgs) == 0 {
		require.NoError(t, rx.PollBatch(b))
	}
	assert.Equal(t, uint32(1), b.Msgs[0].Len)
	require.NoError(t, rx.Close())
	assert.ErrorIs(t, rx.PollBatch(b), net.ErrClosed)
}

func TestTooLongDatagramIsCounted(t *testing.T) {
	rx := listen(t, Config{Addr: "127.0.0.1:0", NoGRO: true})
	tx := listen(t, Config{Addr: "127.0.0.1:0"})
	buf := make([]byte, MaxDatagram+2)
	_, err := tx.WriteBatch(buf, []Transmit{{Remote: rx.LocalAddr(), Len: len(buf)}, {Remote: rx.LocalAddr(), Len: 5}})
	require.NoError(t, err)
	b, cut := rx.NewBatch(), 0
	for len(b.Msgs) == 0 {
		require.NoError(t, rx.ReadBatch(b))
		cut += b.Truncated
	}
	assert.Equal(t, 1, cut)
	assert.Equal(t, uint32(5), b.Msgs[0].Len)
}

// script answers sendmmsg calls one by one, then lets the kernel do the rest.
func script(s *Socket, answers ...func(hdrs []mmsghdr) (int, syscall.Errno)) {
	real := s.tx.send
	s.tx.send = func(fd uintptr, hdrs []mmsghdr) (int, syscall.Errno) {
		if len(answers) == 0 {
			return real(fd, hdrs)
		}
		f := answers[0]
		answers = answers[1:]
		return f(hdrs)
	}
}

func fail(e syscall.Errno) func([]mmsghdr) (int, syscall.Errno) {
	return func([]mmsghdr) (int, syscall.Errno) { return 0, e }
}

func TestGSOFallback(t *testing.T) {
	for _, c := range []struct {
		errno syscall.Errno
		after bool
	}{{unix.EIO, false}, {unix.EINVAL, true}} {
		t.Run(c.errno.Error(), func(t *testing.T) {
			rx, tx := listen(t, Config{Addr: "127.0.0.1:0"}), listen(t, Config{Addr: "127.0.0.1:0"})
			tx.gso.Store(true)
			script(tx, fail(c.errno))
			buf, run := pattern(3, 500, 20)
			run.Remote = rx.LocalAddr()
			rest, err := tx.WriteBatch(buf, []Transmit{run})
			require.NoError(t, err)
			require.Empty(t, rest)
			data, _ := readAll(t, rx, 4)
			assert.Equal(t, buf, bytes.Join(data, nil))
			assert.Equal(t, c.after, tx.gso.Load())
			assert.Zero(t, tx.Refused())
		})
	}
}

func TestBlockedKeepsTheRest(t *testing.T) {
	rx, tx := listen(t, Config{Addr: "127.0.0.1:0"}), listen(t, Config{Addr: "127.0.0.1:0", NoGSO: true})
	script(tx, func(hdrs []mmsghdr) (int, syscall.Errno) { return sendOne(tx, hdrs) }, fail(unix.EAGAIN))
	buf, run := pattern(3, 500, 0)
	run.Remote = rx.LocalAddr()
	rest, err := tx.WriteBatch(buf, []Transmit{run})
	require.ErrorIs(t, err, ErrBlocked)
	require.Len(t, rest, 1)
	assert.Equal(t, 500, rest[0].Off)
	rest, err = tx.WriteBatch(buf, rest)
	require.NoError(t, err)
	require.Empty(t, rest)
	data, _ := readAll(t, rx, 3)
	assert.Equal(t, buf, bytes.Join(data, nil))
}

// sendOne sends the first message only, as a full socket buffer makes the kernel do.
func sendOne(s *Socket, hdrs []mmsghdr) (n int, e syscall.Errno) {
	_ = s.raw.Control(func(fd uintptr) { n, e = sendmmsg(fd, hdrs[:1]) })
	return n, e
}

// A datagram that can not be sent does not hold up those behind it.
func TestRefusedDatagramIsSkipped(t *testing.T) {
	rx, tx := listen(t, Config{Addr: "127.0.0.1:0"}), listen(t, Config{Addr: "127.0.0.1:0"})
	buf := make([]byte, 70000)
	_, err := tx.WriteBatch(buf, []Transmit{
		{Remote: rx.LocalAddr(), Len: 66000}, // longer than UDP can carry
		{Remote: rx.LocalAddr(), Off: 66000, Len: 9},
	})
	require.NoError(t, err)
	data, _ := readAll(t, rx, 1)
	assert.Len(t, data[0], 9)
	assert.Equal(t, uint64(1), tx.Refused())
}

func TestSource(t *testing.T) {
	a, err := Source(netip.MustParseAddrPort("127.0.0.1:9"))
	require.NoError(t, err)
	assert.Equal(t, netip.MustParseAddr("127.0.0.1"), a)
}

func TestControlRoundTrip(t *testing.T) {
	var b [controlSpace]byte
	local := netip.MustParseAddrPort("[fe80::1%7]:1")
	n := putControl(b[:], &Transmit{Local: local, Remote: pathB, Len: 5000, SegmentSize: 1200, ECN: 1})
	got := parseControl(b[:n])
	assert.Equal(t, local.Addr(), got.dst)
	assert.Equal(t, uint8(1), got.tos)
	for cut := range n { // no prefix reads beyond its end
		parseControl(b[:cut])
	}
}

func TestBatchAllocs(t *testing.T) {
	rx, tx := listen(t, Config{Addr: "127.0.0.1:0"}), listen(t, Config{Addr: "127.0.0.1:0"})
	buf, run := pattern(4, 1200, 0)
	run.Remote, run.Local, run.ECN = rx.LocalAddr(), tx.LocalAddr(), 2
	b, ts := rx.NewBatch(), make([]Transmit, 1)
	require.NoError(t, loop(rx, tx, b, buf, ts, run))
	allocs := testing.AllocsPerRun(100, func() { _ = loop(rx, tx, b, buf, ts, run) })
	assert.Zero(t, allocs)
}

func loop(rx, tx *Socket, b *Batch, buf []byte, ts []Transmit, run Transmit) error {
	ts[0] = run
	if _, err := tx.WriteBatch(buf, ts); err != nil {
		return err
	}
	return rx.ReadBatch(b)
}

func BenchmarkRun(b *testing.B) {
	rx, tx := listen(b, Config{Addr: "127.0.0.1:0"}), listen(b, Config{Addr: "127.0.0.1:0"})
	buf, run := pattern(40, 1200, 0)
	run.Remote = rx.LocalAddr()
	batch, ts := rx.NewBatch(), make([]Transmit, 1)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		require.NoError(b, loop(rx, tx, batch, buf, ts, run))
	}
}
