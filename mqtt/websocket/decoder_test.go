package websocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// frame is a masked frame; fin and opcode are its first byte.
func frame(first byte, payload string) []byte {
	b := appendMasked(nil, 0, []byte(payload))
	b[0] = first
	return b
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// decodeAll feeds b in pieces of the given size.
func decodeAll(t testing.TB, b []byte, size int) (payload, ping []byte, err error) {
	t.Helper()
	var d Decoder
	d.Init(true, 1<<20)
	for b := bytes.Clone(b); len(b) > 0 && err == nil; {
		piece := b[:min(size, len(b))]
		b = b[len(piece):]
		var got []byte
		got, err = d.Decode(piece)
		payload = append(payload, got...)
		if p := d.TakePing(); p != nil {
			ping = p
		}
	}
	return payload, ping, err
}

func TestDecodeInAnyPieces(t *testing.T) {
	long := strings.Repeat("0123456789", 7000) // three sizes of the length field
	stream := join(
		frame(0x82, "one"), frame(0x02, "tw"), frame(0x89, "are you there?"), frame(0x00, ""), frame(0x80, "o"),
		frame(0x82, ""), frame(0x8A, "unasked"), frame(0x82, long[:200]), frame(0x82, long),
		frame(0x89, ""), frame(0x82, "end"),
	)
	want := "onetwo" + long[:200] + long + "end"
	for _, size := range []int{1, 2, 3, 7, 64, 2 << 10, len(stream)} {
		payload, ping, err := decodeAll(t, stream, size)
		require.NoError(t, err)
		assert.True(t, want == string(payload), "pieces of %d", size)
		assert.NotNil(t, ping)
		assert.Empty(t, ping, "the last ping counts")
	}
}

func TestDecodeMistakes(t *testing.T) {
	huge := func(first byte, length uint64) []byte {
		b := binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length)
		return append(b, 1, 2, 3, 4)
	}
	for name, c := range map[string]struct {
		b    []byte
		code ws.StatusCode
	}{
		"text":                         {frame(0x81, "hello"), ws.StatusUnsupportedData},
		"empty text":                   {frame(0x01, ""), ws.StatusUnsupportedData},
		"not masked":                   {[]byte{0x82, 1, 'x'}, ws.StatusProtocolError},
		"reserved bit":                 {frame(0xC2, "compressed"), ws.StatusProtocolError},
		"reserved opcode":              {frame(0x83, "x"), ws.StatusProtocolError},
		"continuation of nothing":      {frame(0x80, "x"), ws.StatusProtocolError},
		"new message within another":   {join(frame(0x02, "a"), frame(0x82, "b")), ws.StatusProtocolError},
		"fragmented ping":              {frame(0x09, "x"), ws.StatusProtocolError},
		"large ping":                   {frame(0x89, strings.Repeat("x", 126)), ws.StatusProtocolError},
		"large frame":                  {huge(0x82, 1<<20+1), ws.StatusMessageTooBig},
		"length of more than 63 bits":  {huge(0x82, 1<<63), ws.StatusMessageTooBig},
		"ping of more than 63 bits":    {huge(0x89, 1<<63), ws.StatusMessageTooBig},
		"half a close code":            {frame(0x88, "x"), ws.StatusProtocolError},
		"close code out of range":      {frame(0x88, "\x00\x01"), ws.StatusProtocolError},
		"close reason that is no text": {frame(0x88, "\x03\xe8\xff"), ws.StatusProtocolError},
	} {
		for _, size := range []int{1, 1 << 20} {
			payload, _, err := decodeAll(t, join(frame(0x82, "before"), c.b), size)
			var e *Error
			require.ErrorAs(t, err, &e, name)
			assert.Equal(t, c.code, e.Code, name)
			assert.False(t, e.Peer || e.Normal(), name)
			assert.True(t, strings.HasPrefix(string(payload), "before"), name)
		}
	}
}

func TestDecodeClose(t *testing.T) {
	for body, want := range map[string]Error{
		"":               {Code: ws.StatusNoStatusRcvd, Peer: true},
		"\x03\xe8":       {Code: ws.StatusNormalClosure, Peer: true},
		"\x03\xe9bye":    {Code: ws.StatusGoingAway, Reason: "bye", Peer: true},
		"\x03\xea broke": {Code: ws.StatusProtocolError, Reason: " broke", Peer: true},
	} {
		payload, _, err := decodeAll(t, join(frame(0x82, "last"), frame(0x88, body), frame(0x82, "never")), 1<<10)
		assert.Equal(t, "last", string(payload))
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, want, *e)
		assert.Equal(t, want.Code != ws.StatusProtocolError, e.Normal())
	}
}

func TestPutHeader(t *testing.T) {
	for size, want := range map[int]string{
		0: "\x82\x00", 125: "\x82\x7d", 126: "\x82\x7e\x00\x7e", 65535: "\x82\x7e\xff\xff",
		65536: "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
	} {
		room := make([]byte, HeadRoom)
		n := PutHeader(room, size)
		assert.Equal(t, want, string(room[HeadRoom-n:]))
	}
	assert.Equal(t, "\x8a\x02hi", string(AppendControl(nil, ws.OpPong, []byte("hi"))))
	assert.Equal(t, "\x88\x02\x03\xeb", string(AppendClose(nil, ws.StatusUnsupportedData, "")))
	assert.Equal(t, "\x88\x00", string(AppendClose(nil, ws.StatusNoStatusRcvd, "")))
	assert.Len(t, AppendClose(nil, ws.StatusNormalClosure, strings.Repeat("x", 500)), 127)
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var d Decoder
	d.Init(true, 1<<20)
	stream := frame(0x82, strings.Repeat("x", 1000))
	buf := make([]byte, len(stream))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		copy(buf, stream)
		if p, err := d.Decode(buf); len(p) != 1000 || err != nil {
			t.Error("not decoded")
		}
	}))
}

func FuzzDecoder(f *testing.F) {
	f.Add(join(frame(0x02, "a"), frame(0x89, "b"), frame(0x80, "c")), uint8(3))
	f.Add(frame(0x88, "\x03\xe8"), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		whole, _, err := decodeAll(t, b, max(len(b), 1))
		pieces, _, err2 := decodeAll(t, b, int(size)+1)
		if !bytes.Equal(whole, pieces) || (err == nil) != (err2 == nil) {
			t.Fatalf("%x in pieces of %d: %x %v, not %x %v", b, size+1, pieces, err2, whole, err)
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("error %T", err)
		}
	})
}
