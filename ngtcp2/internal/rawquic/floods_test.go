package rawquic_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/crypto"
	"github.com/ngmq/ngmq/ngtcp2"
	"github.com/ngmq/ngmq/ngtcp2/endpoint"
	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// flood is traffic that is legal one packet at a time. Not more datagrams come
// back than were sent, and another connection is not harmed. ngtcp2 ends a
// connection with too many odd frames (Settings.GlitchRatelimBurst).
type flood struct {
	name    string
	packets int
	payload func(x *exchange, i int) []byte // of packet i
	header  rawquic.Header
	client  bool // the Core is the client
	noAck   bool
	held    bool  // the application consumes nothing
	bytes   int64 // bound on what the attacker's connection adds to C's heap, if above floodBytes
}

const (
	// floodBytes bounds what a flood may add to C's heap unless it says
	// otherwise, floodGo what it may add to Go's.
	floodBytes = 256 << 10
	floodGo    = 1 << 20
	// perTurn is how many packets arrive at once.
	perTurn = 10
)

func TestFloods(t *testing.T) {
	for _, f := range floods {
		t.Run(f.name, f.run)
	}
}

func (f *flood) run(t *testing.T) {
	x, bystander := f.world(t)
	goBefore, before, peak := goHeap(), ngtcp2.HeapBytes(), int64(0)
	x.grams = 0
	for i := 0; i < f.packets && x.Closed() == nil; i += perTurn {
		var batch [][]byte
		for k := i; k < i+perTurn; k++ {
			batch = append(batch, x.Seal(rawquic.App, f.header, f.payload(x, k)))
		}
		x.Received = nil
		x.deliver(batch...)
		peak = max(peak, ngtcp2.HeapBytes()-before)
		x.w.turn()
		peak = max(peak, ngtcp2.HeapBytes()-before)
		x.w.now = x.w.now.Add(time.Millisecond)
	}
	bystander.alive()
	goGrowth := int64(goHeap()) - int64(goBefore)
	t.Logf("C heap +%d bytes, Go heap %+d, %d datagrams back, close %+v", peak, goGrowth, x.grams, x.Closed())
	assert.LessOrEqual(t, peak, max(f.bytes, floodBytes), "C heap")
	assert.LessOrEqual(t, goGrowth, int64(floodGo), "Go heap")
	assert.LessOrEqual(t, x.grams, f.packets, "datagrams in answer")
}

// world is an attacker and an honest connection of the same Core.
func (f *flood) world(t *testing.T) (attacker, bystander *exchange) {
	var w *world
	begin := (*world).client
	if f.client {
		w, begin = newClient(t, withDatagrams), (*world).dial
	} else {
		w = newServer(t, withDatagrams)
	}
	w.held = f.held
	bystander = &exchange{raw: begin(w, 2, rawquic.Config{}), client: f.client}
	attacker = &exchange{raw: begin(w, 1, rawquic.Config{NoAck: f.noAck}), client: f.client}
	w.settle()
	for _, x := range []*exchange{attacker, bystander} {
		require.NoError(t, x.err)
		require.True(t, x.Complete())
	}
	return attacker, bystander
}

func goHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func withDatagrams(cfg *endpoint.Config, _ *crypto.Config) {
	cfg.Params = func(p *ngtcp2.TransportParams) { p.MaxDatagramFrameSize = 1200 }
}

// every makes n frames of one packet.
func every(n int, frame func(k int) []byte) (b []byte) {
	for k := range n {
		b = append(b, frame(k)...)
	}
	return b
}

var floods = []flood{
	// Some 10,000 gaps of 32 bytes: then ngtcp2 has had enough.
	{name: "CRYPTO in fragments with gaps", packets: 1000, bytes: 512 << 10, payload: func(_ *exchange, i int) []byte {
		return every(100, func(k int) []byte { return rawquic.Crypto(uint64(1+2*(i*100+k))%65000, []byte{0}) })
	}},
	{name: "STREAM in fragments with gaps", packets: 3000, bytes: 512 << 10, held: true, payload: func(x *exchange, i int) []byte {
		return every(100, func(k int) []byte {
			at := i*100 + k
			return rawquic.Stream(x.mine(uint64(at/130000)), uint64(1+2*(at%130000)), []byte{0}, false)
		})
	}},
	{name: "NEW_CONNECTION_ID that retires", packets: 2000, noAck: true, payload: func(_ *exchange, i int) []byte {
		return every(10, func(k int) []byte {
			n := uint64(i*10 + k + 1)
			return rawquic.NewCID(n, n, rawquic.Bytes(n|1<<61), token)
		})
	}},
	{name: "the same NEW_CONNECTION_ID", packets: 2000, payload: func(*exchange, int) []byte {
		return every(20, func(int) []byte { return rawquic.NewCID(1, 0, cidA, token) })
	}},
	{name: "RETIRE_CONNECTION_ID of what is issued", packets: 2000, noAck: true, payload: retireNext},
	{name: "PATH_CHALLENGE", packets: 2000, payload: func(*exchange, int) []byte {
		return every(100, func(k int) []byte { return rawquic.Bytes(rawquic.TypePathChallenge, "1234567", string(rune('a'+k%26))) })
	}},
	{name: "PATH_CHALLENGE without acknowledgements", packets: 2000, noAck: true, payload: func(*exchange, int) []byte {
		return every(100, func(int) []byte { return rawquic.Bytes(rawquic.TypePathChallenge, "12345678") })
	}},
	{name: "PING", packets: 5000, payload: func(*exchange, int) []byte { return bytes.Repeat([]byte{1}, 1000) }},
	{name: "streams that are reset at once", packets: 5000, payload: rapidReset},
	{name: "streams that are reset at once, without acknowledgements", packets: 2000, noAck: true, payload: func(x *exchange, i int) []byte {
		return rawquic.Bytes(rawquic.TypeResetStream, x.mine(uint64(i)), 0, 0, rawquic.TypeStopSending, x.mine(uint64(i)), 0)
	}},
	{name: "unidirectional streams that are reset at once", packets: 2000, noAck: true, payload: func(x *exchange, i int) []byte {
		return rawquic.Bytes(rawquic.TypeResetStream, x.myUni(uint64(i)), 0, 0)
	}},
	{name: "STOP_SENDING", packets: 2000, noAck: true, payload: func(x *exchange, i int) []byte {
		return every(100, func(k int) []byte { return rawquic.Bytes(rawquic.TypeStopSending, x.mine(uint64(k%60)), i*100+k) })
	}},
	{name: "packet numbers with gaps", packets: 5000, header: rawquic.Header{SkipPN: 1}, payload: func(*exchange, int) []byte { return []byte{1} }},
	{name: "ACK with many ranges", packets: 1000, payload: func(*exchange, int) []byte {
		return rawquic.Bytes(rawquic.TypeAck, 0, 0, 0, 0, bytes.Repeat(rawquic.Bytes(rawquic.TypeAck, 2, 0, 1, 0, 0, 0), 100))
	}},
	// Opens 50 streams, at 7 KB each.
	{name: "credit for nothing", packets: 2000, noAck: true, bytes: 512 << 10, payload: func(x *exchange, i int) []byte {
		return every(50, func(k int) []byte {
			n := uint64(1<<20 + i*50 + k)
			return rawquic.Bytes(rawquic.TypeMaxData, n, rawquic.TypeMaxStreamData, x.mine(uint64(k)), n, rawquic.TypeMaxStreamsBidi, n)
		})
	}},
	{name: "blocked", packets: 2000, noAck: true, payload: func(x *exchange, i int) []byte {
		return every(50, func(k int) []byte {
			return rawquic.Bytes(rawquic.TypeDataBlocked, i, rawquic.TypeStreamDataBlocked, x.mine(uint64(k)), i, rawquic.TypeStreamsBlockedBidi, 1)
		})
	}},
	// The events of 64 datagrams, of all connections of a Core, are kept at once.
	{name: "DATAGRAM", packets: 5000, bytes: 1 << 20, payload: func(*exchange, int) []byte {
		return every(200, func(int) []byte { return rawquic.Bytes(rawquic.TypeDatagram|1, 1, "x") })
	}},
	{name: "empty STREAM frames", packets: 2000, payload: func(x *exchange, _ int) []byte {
		return every(250, func(int) []byte { return rawquic.Stream(x.mine(0), 0, nil, false) })
	}},
	{name: "key updates", packets: 500, payload: func(x *exchange, i int) []byte {
		x.UpdateKeys()
		return []byte{1}
	}},
	{name: "NEW_TOKEN", packets: 2000, client: true, payload: func(_ *exchange, i int) []byte {
		return every(20, func(k int) []byte { return rawquic.Bytes(rawquic.TypeNewToken, 50, bytes.Repeat([]byte{byte(k)}, 50)) })
	}},
	{name: "tickets", packets: 500, client: true, payload: func(_ *exchange, i int) []byte {
		m := ticket(0xffffffff)
		return every(20, func(k int) []byte { return rawquic.Crypto(uint64((i*20+k)*len(m)), m) })
	}},
	{name: "half a TLS message", packets: 1000, client: true, payload: func(_ *exchange, i int) []byte {
		if i == 0 {
			return rawquic.Crypto(0, []byte{4, 0xff, 0xff, 0xff})
		}
		return rawquic.Crypto(uint64(4+(i-1)*1000), make([]byte, 1000))
	}},
	{name: "NEW_CONNECTION_ID that retires, to a client", packets: 2000, client: true, noAck: true, payload: func(_ *exchange, i int) []byte {
		n := uint64(i + 1)
		return rawquic.NewCID(n, n, rawquic.Bytes(n|1<<61), token)
	}},
}

// retireNext retires a CID that was just issued.
func retireNext(x *exchange, i int) []byte {
	b := []byte{rawquic.TypePing}
	for _, f := range x.Received {
		if f.Type == rawquic.TypeNewCID {
			b = append(b, rawquic.Bytes(rawquic.TypeRetireCID, f.ID)...)
		}
	}
	x.Received = nil
	return b
}

// rapidReset opens as many streams as it may, and resets them at once.
func rapidReset(x *exchange, _ int) []byte {
	x.allowed = max(x.allowed, endpoint.DefaultMaxBidiStreams)
	for _, f := range x.Received {
		if f.Type == rawquic.TypeMaxStreamsBidi {
			x.allowed = max(x.allowed, f.Value)
		}
	}
	b := []byte{rawquic.TypePing}
	for n := 0; n < 20 && x.opened < x.allowed; n++ {
		id := x.mine(x.opened)
		b = append(b, rawquic.Bytes(rawquic.Stream(id, 0, []byte("x"), false),
			rawquic.TypeResetStream, id, 0, 1, rawquic.TypeStopSending, id, 0)...)
		x.opened++
	}
	return b
}
