package udp

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	pathA = netip.MustParseAddrPort("192.0.2.1:1000")
	pathB = netip.MustParseAddrPort("[2001:db8::1]:2000")
)

func run(off, n, seg int) Transmit {
	return Transmit{Remote: pathA, Off: off, Len: n, SegmentSize: seg}
}

func TestCoalesce(t *testing.T) {
	other := run(1200, 1200, 1200)
	other.Remote = pathB
	marked := run(1200, 1200, 1200)
	marked.ECN = 2
	cases := []struct {
		name string
		in   []Transmit
		want []Transmit
	}{
		{"adjacent full datagrams merge", []Transmit{run(0, 1200, 1200), run(1200, 1200, 1200)}, []Transmit{run(0, 2400, 1200)}},
		{"a shorter one may end a run", []Transmit{run(0, 1200, 1200), run(1200, 70, 70)}, []Transmit{run(0, 1270, 1200)}},
		{"nothing follows a short one", []Transmit{run(0, 1270, 1200), run(1270, 1200, 1200)}, []Transmit{run(0, 1270, 1200), run(1270, 1200, 1200)}},
		{"a longer one starts a run", []Transmit{run(0, 1200, 1200), run(1200, 1300, 1300)}, []Transmit{run(0, 1200, 1200), run(1200, 1300, 1300)}},
		{"a gap starts a run", []Transmit{run(0, 1200, 1200), run(1300, 1200, 1200)}, []Transmit{run(0, 1200, 1200), run(1300, 1200, 1200)}},
		{"another peer starts a run", []Transmit{run(0, 1200, 1200), other}, []Transmit{run(0, 1200, 1200), other}},
		{"another ECN mark starts a run", []Transmit{run(0, 1200, 1200), marked}, []Transmit{run(0, 1200, 1200), marked}},
		{"at most MaxSegments", []Transmit{run(0, MaxSegments*100, 100), run(MaxSegments*100, 100, 100)},
			[]Transmit{run(0, MaxSegments*100, 100), run(MaxSegments*100, 100, 100)}},
		{"at most MaxRunBytes", []Transmit{run(0, 64000, 1600), run(64000, 1600, 1600)},
			[]Transmit{run(0, 64000, 1600), run(64000, 1600, 1600)}},
		{"no segment size is one datagram", []Transmit{run(0, 300, 0), run(300, 300, 0)}, []Transmit{run(0, 600, 300)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []Transmit
			for _, in := range c.in {
				got = Coalesce(got, in)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestSplit(t *testing.T) {
	cases := []struct {
		name       string
		in         Transmit
		gso        bool
		head, rest int
	}{
		{"one datagram", run(0, 500, 1200), true, 500, 0},
		{"a run at once", run(0, 5000, 1200), true, 5000, 0},
		{"without GSO one by one", run(0, 5000, 1200), false, 1200, 3800},
		{"the last is shorter", run(3600, 1400, 1200), false, 1200, 200},
		{"too many segments", run(0, 100*100, 100), true, MaxSegments * 100, 3600},
		{"too many bytes", run(0, 90000, 9000), true, 63000, 27000},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			head, rest := Split(c.in, c.gso)
			assert.Equal(t, c.head, head.Len)
			assert.Equal(t, c.rest, rest.Len)
			assert.Equal(t, c.in.Off, head.Off)
			assert.Equal(t, c.in.Off+c.head, rest.Off)
		})
	}
}

func TestMessageSegments(t *testing.T) {
	m := Message{Off: 100, Len: 2500, Stride: 1200}
	require.Equal(t, 3, m.Count())
	off, n := m.Segment(2)
	assert.Equal(t, uint32(2500), off)
	assert.Equal(t, uint32(100), n)
	empty := Message{Off: 100}
	require.Equal(t, 1, empty.Count())
	_, n = empty.Segment(0)
	assert.Zero(t, n)
}

// FuzzSplit: the datagrams of a received message, and the messages of a run to
// send, cover their bytes exactly, in order, within the limits.
func FuzzSplit(f *testing.F) {
	f.Add(uint16(2500), uint16(1200), true)
	f.Add(uint16(0), uint16(0), false)
	f.Add(uint16(65535), uint16(1), true)
	f.Fuzz(func(t *testing.T, n, size uint16, gso bool) {
		m := Message{Off: 7, Len: uint32(n), Stride: uint32(size)}
		at := m.Off
		for i := range m.Count() {
			off, l := m.Segment(i)
			require.Equal(t, at, off)
			require.True(t, l > 0 || n == 0)
			at += l
		}
		require.Equal(t, m.Off+m.Len, at)

		rest, pos := run(3, int(n), int(size)), 3
		for rest.Len > 0 {
			var head Transmit
			whole := rest
			head, rest = Split(rest, gso)
			require.Positive(t, head.Len)
			require.Equal(t, pos, head.Off)
			if !whole.single() {
				require.LessOrEqual(t, head.Len, max(MaxRunBytes, int(size)))
				require.LessOrEqual(t, head.Len, int(size)*MaxSegments)
				require.True(t, rest.Len == 0 || head.Len%int(size) == 0)
				require.True(t, gso || head.Len <= int(size))
			}
			pos += head.Len
		}
		require.Equal(t, 3+int(n), pos)
	})
}

// FuzzCoalesce: merging changes neither the bytes nor the datagram boundaries.
func FuzzCoalesce(f *testing.F) {
	f.Add([]byte{10, 10, 10, 5, 10})
	f.Add([]byte{1, 200, 200, 201})
	f.Fuzz(func(t *testing.T, sizes []byte) {
		var ts []Transmit
		var want, got [][2]int
		off := 0
		for i, s := range sizes {
			n := int(s)*8 + 1
			next := run(off, n, n)
			next.ECN = uint8(i / 50 & 3)
			want = append(want, [2]int{off, n})
			ts = Coalesce(ts, next)
			off += n
		}
		for _, run := range ts {
			for run.Len > 0 {
				var head Transmit
				head, run = Split(run, false)
				got = append(got, [2]int{head.Off, head.Len})
			}
		}
		require.Equal(t, want, got)
	})
}
