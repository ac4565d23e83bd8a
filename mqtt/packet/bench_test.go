package packet

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchCases are the packets of the hot path, and CONNECT.
var benchCases = []struct {
	name string
	v    Version
	p    Packet
	free bool // decoding must not allocate
}{
	{"PublishSmall/3.1.1", V311, &Publish{Topic: []byte("sensors/room1/temp"), Payload: []byte("21.5 degrees C")}, true},
	{"PublishSmall/5.0", V50, &Publish{Topic: []byte("sensors/room1/temp"), Payload: []byte("21.5 degrees C")}, true},
	{"PublishQoS1/5.0", V50, &Publish{QoS: 1, PacketID: 7, Topic: []byte("sensors/room1/temp"), Payload: []byte("21.5 degrees C")}, true},
	{"PublishProperties/5.0", V50, &Publish{
		QoS: 1, PacketID: 7, Topic: []byte("sensors/room1/temp"), Payload: []byte("21.5 degrees C"),
		Properties: props(num(MessageExpiryInterval, 60), num(TopicAlias, 3), text(ContentType, "text/plain"), user("unit", "celsius")),
	}, true},
	{"Publish64KiB/5.0", V50, &Publish{Topic: []byte("sensors/room1/temp"), Payload: bytes.Repeat([]byte("x"), 64<<10)}, true},
	{"Puback/3.1.1", V311, &Puback{PacketID: 7}, true},
	{"Puback/5.0", V50, &Puback{PacketID: 7}, true},
	{"PubackCode/5.0", V50, &Puback{PacketID: 7, ReasonCode: NoMatchingSubscribers}, true},
	{"PubackProperties/5.0", V50, &Puback{PacketID: 7, ReasonCode: NoMatchingSubscribers, Properties: props(text(ReasonString, "nobody"))}, true},
	{"Pubrec/5.0", V50, &Pubrec{PacketID: 7}, true},
	{"Pubrel/5.0", V50, &Pubrel{PacketID: 7}, true},
	{"Pubcomp/5.0", V50, &Pubcomp{PacketID: 7}, true},
	{"Pingreq/5.0", V50, &Pingreq{}, true},
	{"Connect/5.0", V50, &Connect{
		ProtocolName: "MQTT", Version: V50, CleanStart: true, KeepAlive: 60, ClientID: "client-0001",
		Username: new("user"), Password: []byte("password"), Properties: props(num(SessionExpiryInterval, 3600), num(ReceiveMaximum, 100)),
	}, false},
}

// The hot path does not allocate: decoding within a chunk and across chunks,
// encoding into a slice with capacity.
func TestNoAllocations(t *testing.T) {
	for _, c := range benchCases {
		t.Run(c.name, func(t *testing.T) {
			b := c.p.AppendTo(nil, c.v)
			require.Zero(t, testing.AllocsPerRun(100, func() { b = c.p.AppendTo(b[:0], c.v) }), "AppendTo")
			if !c.free {
				return
			}
			d := NewDecoder(0)
			d.SetVersion(c.v)
			require.Zero(t, testing.AllocsPerRun(100, func() { mustDecode(t, d, b) }), "one chunk")
			if len(b) > retainBuffer {
				return
			}
			require.Zero(t, testing.AllocsPerRun(100, func() {
				d.Feed(b[:len(b)/2])
				if p, err := d.Next(); p != nil || err != nil {
					t.Fatal(p, err)
				}
				mustDecode(t, d, b[len(b)/2:])
			}), "two chunks")
		})
	}
}

func TestNoAllocationsReadingProperties(t *testing.T) {
	p := props(num(MessageExpiryInterval, 60), num(TopicAlias, 3), text(ContentType, "text/plain"), user("unit", "celsius"), num(SubscriptionIdentifier, 1))
	dst := make(Properties, 0, len(p))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		n := uint32(0)
		v, _ := p.Uint(TopicAlias)
		s, _ := p.Bytes(ContentType)
		for id := range p.SubscriptionIdentifiers() {
			n += id
		}
		for k, v := range p.UserProperties() {
			n += uint32(len(k) + len(v))
		}
		dst = p.AppendExcept(dst[:0], TopicAlias, SubscriptionIdentifier)
		if v != 3 || len(s) != 10 || n != 12 || len(dst) == 0 {
			t.Fatal("wrong values")
		}
	}))
}

func mustDecode(t testing.TB, d *Decoder, chunk []byte) {
	d.Feed(chunk)
	if p, err := d.Next(); p == nil || err != nil {
		t.Fatal(p, err)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			chunk := c.p.AppendTo(nil, c.v)
			d := NewDecoder(0)
			d.SetVersion(c.v)
			b.ReportAllocs()
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				mustDecode(b, d, chunk)
			}
		})
	}
}

// BenchmarkDecodeBatch decodes 100 small PUBLISH packets per chunk, as they come
// out of one read.
func BenchmarkDecodeBatch(b *testing.B) {
	var chunk []byte
	for range 100 {
		chunk = benchCases[1].p.AppendTo(chunk, V50)
	}
	d := NewDecoder(0)
	d.SetVersion(V50)
	b.ReportAllocs()
	b.SetBytes(int64(len(chunk)))
	n := 0
	for b.Loop() {
		d.Feed(chunk)
		for p, _ := d.Next(); p != nil; p, _ = d.Next() {
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
}

// BenchmarkDecodeSplit decodes a 64 KiB PUBLISH that arrives in chunks of 1,200
// bytes, as QUIC delivers it.
func BenchmarkDecodeSplit(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			packet := (&Publish{Topic: []byte("t"), Payload: make([]byte, size)}).AppendTo(nil, V50)
			d := NewDecoder(0)
			d.SetVersion(V50)
			b.ReportAllocs()
			b.SetBytes(int64(len(packet)))
			for b.Loop() {
				for rest := packet; len(rest) > 0; {
					n := min(1200, len(rest))
					d.Feed(rest[:n])
					rest = rest[n:]
					p, err := d.Next()
					if err != nil || (p == nil) != (len(rest) > 0) {
						b.Fatal(p, err)
					}
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			dst := c.p.AppendTo(nil, c.v)
			b.ReportAllocs()
			b.SetBytes(int64(len(dst)))
			for b.Loop() {
				dst = c.p.AppendTo(dst[:0], c.v)
			}
		})
	}
}

// BenchmarkEncodeHead is what one more receiver of a shared payload costs.
func BenchmarkEncodeHead(b *testing.B) {
	p := benchCases[4].p.(*Publish)
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = p.AppendHead(dst[:0], V50)
	}
}
