package packet

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// publishOf makes a QoS 0 PUBLISH for 3.1.1 with the given Remaining Length.
func publishOf(remaining int) *Publish {
	return &Publish{Topic: []byte("t"), Payload: bytes.Repeat([]byte{'x'}, remaining-3)}
}

// Borders of the length of the Remaining Length (MQTT 5.0 table 2-1).
func TestRemainingLengthBorders(t *testing.T) {
	for remaining, head := range map[int]int{3: 2, 127: 2, 128: 3, 16383: 3, 16384: 4, 2097151: 4, 2097152: 5} {
		p := publishOf(remaining)
		b := p.AppendTo(nil, V311)
		require.Len(t, b, head+remaining)
		require.Equal(t, len(b), p.Size(V311))
		got, rest, err := decodeOne(V311, b)
		require.NoError(t, err)
		require.Zero(t, rest)
		require.True(t, bytes.Equal(p.Payload, got.(*Publish).Payload))

		d := NewDecoder(uint32(len(b)))
		d.SetVersion(V311)
		require.Nil(t, feed(t, d, b[:len(b)-1]))
		require.NotNil(t, feed(t, d, b[len(b)-1:]), "exactly the maximum packet size")

		d = NewDecoder(uint32(len(b)) - 1)
		d.SetVersion(V311)
		d.Feed(b[:head])
		_, err = d.Next()
		require.Equal(t, PacketTooLarge, requireLegalError(t, err, "").Code, "known from the fixed header")
	}
}

func TestLargestPacket(t *testing.T) {
	p := &Publish{Topic: []byte("t"), Payload: make([]byte, MaxRemainingLength-3)}
	assert.Equal(t, MaxPacketSize, p.Size(V311))
	assert.Equal(t, []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, 't'}, p.AppendHead(nil, V311))
	p.Payload = make([]byte, MaxRemainingLength-2)
	var e *Error
	require.ErrorAs(t, Validate(p, V311), &e)
	assert.Equal(t, PacketTooLarge, e.Code)

	d := NewDecoder(0)
	d.SetVersion(V311)
	assert.Nil(t, feed(t, d, []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F}))
	assert.Equal(t, 5, d.Buffered())
	f, err := d.frame([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F})
	assert.Nil(t, err)
	assert.Equal(t, frame{head: 5, total: MaxPacketSize}, f)
}

// A Remaining Length that lies costs what arrives, not what it announces.
func TestLyingRemainingLength(t *testing.T) {
	d := NewDecoder(0)
	d.SetVersion(V50)
	require.Nil(t, feed(t, d, []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, 't', 0}))
	require.LessOrEqual(t, cap(d.buf), minBuffer)
	chunk := make([]byte, 1000)
	for range 1000 {
		require.Nil(t, feed(t, d, chunk))
		require.LessOrEqual(t, cap(d.buf), growth*len(d.buf)+minBuffer)
	}
	require.Equal(t, 9+1000*1000, d.Buffered())
}

// Lengths inside a packet that lie are found without allocating for them.
func TestLyingLengthsInside(t *testing.T) {
	for _, c := range []string{
		"30 06 FF FF 'abcd'",                              // topic
		"30 08 00 01 't' FF FF FF 7F 00",                  // property length
		"30 08 00 01 't' 04 03 FF FF 00",                  // property value
		"82 0A 00 01 00 FF FF 'abcde'",                    // filter
		"10 0D 00 04 'MQTT' 05 02 00 00 00 FF FF",         // client identifier
		"10 10 00 04 'MQTT' 05 02 00 00 FF FF FF 7F 0000", // property length
	} {
		b := parseBytes(t, c)
		b[1] = byte(len(b) - 2)
		allocated := testing.AllocsPerRun(10, func() {
			_, _, err := decodeOne(V50, b)
			require.Equal(t, MalformedPacket, err.(*Error).Code)
		})
		assert.Less(t, allocated, 20.0, c)
	}
}

func TestMaxPacketSize(t *testing.T) {
	d := NewDecoder(100)
	d.Feed([]byte{0x10, 99})
	_, err := d.Next()
	e := requireLegalError(t, err, "")
	assert.Equal(t, Error{Code: PacketTooLarge, Type: CONNECT, Reason: e.Reason}, *e)
	assert.Zero(t, d.Buffered(), "nothing is kept after an error")

	d.Init(0)
	d.SetVersion(V50)
	d.SetMaxPacketSize(4)
	assert.NotNil(t, feed(t, d, []byte{0x40, 2, 0, 1}))
	d.Feed([]byte{0x40, 3, 0, 1, 0x10})
	_, err = d.Next()
	assert.Equal(t, PacketTooLarge, requireLegalError(t, err, "MQTT-3.2.2-15").Code)

	d = NewDecoder(1<<32 - 1)
	assert.Equal(t, MaxPacketSize, d.limit)
}

// The buffer of a large packet does not stay with an idle connection.
func TestBufferIsReleased(t *testing.T) {
	d := NewDecoder(0)
	d.SetVersion(V311)
	for _, size := range []int{1000, 1 << 20, retainBuffer - 10} {
		b := publishOf(size).AppendTo(nil, V311)
		require.Nil(t, feed(t, d, b[:10]))
		require.NotNil(t, feed(t, d, b[10:]))
		require.Zero(t, d.Buffered())
		require.Nil(t, feed(t, d, nil))
		require.LessOrEqual(t, cap(d.buf), retainBuffer)
	}
}

// A large packet can be read to where it is wanted, in pieces of any size, and whatever its
// neighbours are; memory follows what has arrived.
func TestSpace(t *testing.T) {
	var stream []byte
	var want [][]byte
	for _, size := range []int{10, 40_000, 100, 300_000, 70_000, 20_000, 5} {
		p := publishOf(size)
		stream = p.AppendTo(stream, V311)
		want = append(want, p.Payload)
	}
	for _, piece := range []int{1000, 3000, 1 << 20} {
		d := NewDecoder(0)
		d.SetVersion(V311)
		var got [][]byte
		direct := 0
		for rest := stream; len(rest) > 0; {
			if space := d.Space(); space != nil {
				n := copy(space[:min(piece, len(space))], rest)
				d.Filled(n)
				rest = rest[n:]
				direct += n
			} else {
				n := min(2048, len(rest))
				d.Feed(rest[:n:n])
				rest = rest[n:]
			}
			for {
				p, err := d.Next()
				require.NoError(t, err)
				if p == nil {
					break
				}
				got = append(got, bytes.Clone(p.(*Publish).Payload))
			}
			require.LessOrEqual(t, cap(d.buf), 2*growth*d.Buffered()+retainBuffer)
		}
		assert.True(t, slices.EqualFunc(want, got, bytes.Equal))
		assert.Greater(t, direct, 350_000)
	}
}

// Whole packets inside a chunk are views of it.
func TestNoCopyWithinChunk(t *testing.T) {
	b := (&Publish{QoS: 1, PacketID: 1, Topic: []byte("topic"), Properties: props(user("k", "v")), Payload: []byte("payload")}).AppendTo(nil, V50)
	d := NewDecoder(0)
	d.SetVersion(V50)
	d.Feed(b)
	p, err := d.Next()
	require.NoError(t, err)
	q := p.(*Publish)
	assert.Same(t, &b[4], &q.Topic[0])
	assert.Same(t, &b[len(b)-7], &q.Payload[0])
	assert.Same(t, &b[12], &q.Properties[0])
	assert.Equal(t, len(q.Topic), cap(q.Topic), "append to it must not write into the chunk")
	assert.Equal(t, len(q.Properties), cap(q.Properties))
	assert.Equal(t, len(q.Payload), cap(q.Payload))
}

// Packets that outlive the input do not point into it.
func TestOwnedPackets(t *testing.T) {
	for _, c := range validCases(t) {
		switch values[c.name].(type) {
		case *Publish, *Puback, *Pubrec, *Pubrel, *Pubcomp:
			continue
		}
		d := decoderFor(c.version, c.bytes)
		chunk := bytes.Clone(c.bytes)
		d.Feed(chunk)
		p, err := d.Next()
		require.NoError(t, err)
		for i := range chunk {
			chunk[i] = 0xAA
		}
		require.Equal(t, snapshot(values[c.name]), snapshot(p), c.name)
	}
}

func TestManyPacketsInOneChunk(t *testing.T) {
	var stream []byte
	var want []Packet
	for _, c := range validCases(t) {
		if c.version == V50 {
			stream = append(stream, c.bytes...)
			want = append(want, snapshot(values[c.name]))
		}
	}
	for _, step := range []int{1, 2, 3, 7, 16, 61, 300, len(stream)} {
		d := NewDecoder(0)
		d.SetVersion(V50)
		var got []Packet
		for rest := stream; len(rest) > 0; {
			n := min(step, len(rest))
			chunk := bytes.Clone(rest[:n])
			rest = rest[n:]
			d.Feed(chunk)
			got = append(got, drain(t, d)...)
			for i := range chunk { // nobody may look at the chunk any more
				chunk[i] = 0xAA
			}
		}
		require.Equal(t, want, got, "chunks of %d", step)
	}
}

func drain(t *testing.T, d *Decoder) (list []Packet) {
	t.Helper()
	for {
		p, err := d.Next()
		require.NoError(t, err)
		if p == nil {
			return list
		}
		list = append(list, snapshot(p))
	}
}

// Feeding before Next has used up the chunk loses nothing.
func TestFeedTwice(t *testing.T) {
	a := (&Puback{PacketID: 1}).AppendTo(nil, V50)
	b := (&Puback{PacketID: 2}).AppendTo(nil, V50)
	d := NewDecoder(0)
	d.SetVersion(V50)
	d.Feed(a)
	d.Feed(b[:1])
	d.Feed(b[1:])
	assert.Equal(t, 8, d.Buffered())
	assert.Equal(t, []Packet{&Puback{PacketID: 1}, &Puback{PacketID: 2}}, drain(t, d))
}

func TestKeep(t *testing.T) {
	chunk := (&Puback{PacketID: 1}).AppendTo(nil, V50)
	chunk = (&Puback{PacketID: 2}).AppendTo(chunk, V50)
	d := NewDecoder(0)
	d.SetVersion(V50)
	require.NotNil(t, feed2(t, d, chunk))
	d.Keep()
	clear(chunk)
	assert.Equal(t, []Packet{&Puback{PacketID: 2}}, drain(t, d))
}

func feed2(t *testing.T, d *Decoder, chunk []byte) Packet {
	t.Helper()
	d.Feed(chunk)
	p, err := d.Next()
	require.NoError(t, err)
	return p
}

// The version changes between the CONNECT and what the client sends after it.
func TestVersionAfterConnect(t *testing.T) {
	for _, v := range []Version{V31, V311, V50} {
		stream := (&Connect{Version: v, CleanStart: true, ClientID: "c"}).AppendTo(nil, 0)
		stream = (&Pingreq{}).AppendTo(stream, v)
		stream = (&Subscribe{PacketID: 1, Subscriptions: []Subscription{{Filter: "f"}}}).AppendTo(stream, v)
		d := NewDecoder(0)
		d.Feed(stream)
		p, err := d.Next()
		require.NoError(t, err)
		require.Equal(t, v, p.(*Connect).Version)
		require.Zero(t, d.Version())
		d.SetVersion(p.(*Connect).Version)
		require.Equal(t, v, d.Version())
		rest := drain(t, d)
		require.Len(t, rest, 2)
		require.Equal(t, "f", rest[1].(*Subscribe).Subscriptions[0].Filter)
	}
	d := NewDecoder(0)
	d.SetVersion(7)
	assert.Zero(t, d.Version())
	assert.IsType(t, &Pingresp{}, feed(t, d, []byte{0xD0, 0}))
}

func TestReadPacket(t *testing.T) {
	stream := (&Publish{Topic: []byte("a"), Payload: []byte("1")}).AppendTo(nil, V50)
	stream = (&Pingresp{}).AppendTo(stream, V50)
	for _, r := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream)), iotest.DataErrReader(bytes.NewReader(stream))} {
		d := NewDecoder(0)
		d.SetVersion(V50)
		buf := make([]byte, 64)
		p, err := d.ReadPacket(r, buf)
		require.NoError(t, err)
		require.Equal(t, "a", string(p.(*Publish).Topic))
		p, err = d.ReadPacket(r, buf)
		require.NoError(t, err)
		require.IsType(t, &Pingresp{}, p)
		_, err = d.ReadPacket(r, buf)
		require.Equal(t, io.EOF, err)
	}
}

func TestReadPacketErrors(t *testing.T) {
	d := NewDecoder(0)
	d.SetVersion(V50)
	_, err := d.ReadPacket(strings.NewReader("\x30\x05\x00"), make([]byte, 8))
	assert.Equal(t, io.ErrUnexpectedEOF, err)

	broken := errors.New("broken")
	_, err = NewDecoder(0).ReadPacket(iotest.ErrReader(broken), make([]byte, 8))
	assert.Equal(t, broken, err)

	_, err = NewDecoder(0).ReadPacket(strings.NewReader("\x00\x00"), make([]byte, 8))
	assert.Equal(t, MalformedPacket, requireLegalError(t, err, "").Code)
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", MaxStringSize+1)
	cases := []struct {
		name string
		p    Packet
		v    Version
		want ReasonCode
	}{
		{"MQTT-4.7.3-3 topic", &Publish{Topic: []byte(long)}, V50, MalformedPacket},
		{"MQTT-4.7.3-3 filter", &Subscribe{PacketID: 1, Subscriptions: []Subscription{{Filter: long}}}, V50, MalformedPacket},
		{"MQTT-4.7.3-3 filter to leave", &Unsubscribe{PacketID: 1, Filters: []string{long}}, V50, MalformedPacket},
		{"long client identifier", &Connect{ClientID: long}, V50, MalformedPacket},
		{"long user name", &Connect{Username: &long}, V50, MalformedPacket},
		{"long will", &Connect{Will: &Will{Topic: "t", Payload: []byte(long)}}, V50, MalformedPacket},
		{"MQTT-3.3.2-2", &Publish{Topic: []byte("a/#")}, V50, TopicNameInvalid},
		{"MQTT-2.2.1-3", &Publish{Topic: []byte("a"), QoS: 1}, V50, ProtocolError},
		{"MQTT-3.3.1-4", &Publish{Topic: []byte("a"), QoS: 3, PacketID: 1}, V50, MalformedPacket},
		{"MQTT-3.8.3-2", &Subscribe{PacketID: 1}, V50, ProtocolError},
		{"MQTT-3.1.2-22 of 3.1.1", &Connect{ClientID: "c", Password: []byte("p")}, V311, MalformedPacket},
		{"MQTT-3.1.3-8 of 3.1.1", &Connect{}, V311, ClientIdentifierNotValid},
		{"AUTH in 3.1.1", &Auth{}, V311, ProtocolError},
		{"MQTT-3.15.2-1", &Auth{ReasonCode: 1}, V50, ProtocolError},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var e *Error
			require.ErrorAs(t, Validate(c.p, c.v), &e)
			assert.Equal(t, c.want, e.Code, e.Reason)
			assert.Equal(t, c.p.Type(), e.Type)
		})
	}
	assert.NoError(t, Validate(&Connect{ClientID: "c", Password: []byte("p")}, V50))
}

// Strings that cannot be encoded are cut: the stream stays in step.
func TestLongStringsAreCut(t *testing.T) {
	p := &Publish{Topic: bytes.Repeat([]byte("x"), MaxStringSize+1)}
	b := p.AppendTo(nil, V50)
	assert.Len(t, b, p.Size(V50))
	got, rest, err := decodeOne(V50, b)
	require.NoError(t, err)
	assert.Zero(t, rest)
	assert.Len(t, got.(*Publish).Topic, MaxStringSize)
}

// MQTT-1.5.4-1, MQTT-1.5.4-2, MQTT-1.5.4-3: every place in the eight byte steps.
func TestStrings(t *testing.T) {
	for size := range 35 {
		plain := bytes.Repeat([]byte("a"), size)
		assert.True(t, validString(plain))
		assert.True(t, plainTopic(plain))
		for i := range size {
			for c := range 256 {
				b := bytes.Clone(plain)
				b[i] = byte(c)
				assert.Equal(t, c > 0 && c < 0x80, validString(b))
				assert.Equal(t, c > 0 && c < 0x80 && c != '+' && c != '#', plainTopic(b), "%q", b)
			}
		}
		for _, s := range []string{"é", "€", "\uFEFF", "😀", "\u0001\u007f", "\uFFFE"} {
			b := append(bytes.Clone(plain), s...)
			assert.True(t, validString(b), "%q", b)
			assert.Nil(t, checkTopicName(b))
		}
		for _, s := range []string{"\x80", "\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "é\x00"} {
			b := append(bytes.Clone(plain), s...)
			assert.False(t, validString(b), "%q", b)
			assert.Equal(t, MalformedPacket, checkTopicName(b).Code)
		}
	}
}

func TestVarint(t *testing.T) {
	for v, want := range map[int]string{
		0: "00", 127: "7F", 128: "80 01", 16383: "FF 7F", 16384: "80 80 01",
		2097151: "FF FF 7F", 2097152: "80 80 80 01", MaxRemainingLength: "FF FF FF 7F",
	} {
		b := AppendVariableByteInteger(nil, v)
		assert.Equal(t, parseBytes(t, want), b)
		assert.Equal(t, len(b), VariableByteIntegerSize(v))
		got, n := readVarint(append(b, 0xAA))
		assert.Equal(t, len(b), n)
		assert.EqualValues(t, v, got)
		for i := range b {
			_, n := readVarint(b[:i])
			assert.Zero(t, n)
		}
	}
	for _, bad := range []string{"80 00", "FF 80 00", "80 80 80 00", "80 80 80 80", "FF FF FF FF 01"} {
		_, n := readVarint(parseBytes(t, bad))
		assert.Zero(t, n, "MQTT-1.5.5-1 %s", bad)
	}
}

// The memory of a list of filters is bounded whatever the packet size.
func TestMaxFilters(t *testing.T) {
	subscribe := &Subscribe{PacketID: 1, Subscriptions: make([]Subscription, MaxFilters)}
	unsubscribe := &Unsubscribe{PacketID: 1, Filters: make([]string, MaxFilters)}
	require.NoError(t, Validate(subscribe, V50))
	require.NoError(t, Validate(unsubscribe, V311))
	subscribe.Subscriptions = append(subscribe.Subscriptions, Subscription{})
	unsubscribe.Filters = append(unsubscribe.Filters, "")
	assert.Equal(t, QuotaExceeded, requireLegalError(t, Validate(subscribe, V50), "").Code)
	assert.Equal(t, QuotaExceeded, requireLegalError(t, Validate(unsubscribe, V311), "").Code)
}
