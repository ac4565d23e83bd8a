//go:build !noquic

package quic

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParseFlowHeader(t *testing.T) {
	cases := map[string]struct {
		bytes []byte
		want  flowHeader
	}{
		"control":         {[]byte{0x11, 0, 0x0C}, flowHeader{kind: controlFlow, flags: 0x0C}},
		"client":          {[]byte{0x12, 2, 0, 0}, flowHeader{kind: clientDataFlow, id: 2}},
		"server":          {[]byte{0x13, 3, 0x41, 0x2C, 1}, flowHeader{kind: serverDataFlow, id: 3, expiry: 300, flags: flowClean}},
		"long integers":   {[]byte{0x12, 0xC0, 0, 0, 0, 0, 0, 0, 2, 0x80, 0, 0, 1, 0x50}, flowHeader{kind: clientDataFlow, id: 2, expiry: 1, flags: flowQoS | flowSubscriptions}},
		"largest":         {append(append([]byte{0x12}, bytes.Repeat([]byte{0xFF}, 16)...), 0xFF), flowHeader{kind: clientDataFlow, id: 1<<62 - 1, expiry: 1<<62 - 1, flags: 0xFF}},
		"two byte id":     {[]byte{0x12, 0x7F, 0xFE, 0, 0}, flowHeader{kind: clientDataFlow, id: 1<<14 - 2}},
		"control, id 300": {[]byte{0x11, 0x41, 0x2C, 0}, flowHeader{kind: controlFlow, id: 300}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for n := range c.bytes {
				_, size := parseFlowHeader(c.bytes[:n])
				assert.Zero(t, size, "% x", c.bytes[:n])
			}
			h, size := parseFlowHeader(append(bytes.Clone(c.bytes), 0x30, 0))
			assert.Equal(t, len(c.bytes), size)
			assert.LessOrEqual(t, size, maxFlowHeader)
			assert.Equal(t, c.want, h)
		})
	}
}

func TestFlowRefusal(t *testing.T) {
	for _, c := range []struct {
		header flowHeader
		code   uint64
	}{
		{flowHeader{id: 2}, FlowNoError},
		{flowHeader{id: 1<<62 - 2, flags: flowClean | flowAbort | flowQoS | flowSubscriptions | 2<<2}, FlowNoError},
		{flowHeader{}, FlowBadID},
		{flowHeader{id: 3}, FlowNotOwner},
		{flowHeader{id: 2, flags: flowOptional}, FlowOptionalHeader},
		{flowHeader{id: 2, flags: flowTopicAlias}, FlowPersistentTopic},
		{flowHeader{id: 2, flags: flowTolerance}, FlowRefused},
	} {
		assert.Equal(t, c.code, c.header.refusal(), "%+v", c.header)
	}
}

func TestFlowTypes(t *testing.T) {
	for b := range 256 {
		assert.Equal(t, b > 0x10 && b < 0x20, isFlowType(byte(b)), "%x", b)
	}
}

func TestFlowCodes(t *testing.T) {
	names := make(map[string]bool)
	for code, c := range FlowCodes {
		assert.True(t, code == 0 || code >= 0xB3 && code <= 0xC1, "%x", code)
		assert.LessOrEqual(t, c.Level, uint8(2))
		names[c.Name] = true
	}
	assert.Len(t, names, 16)
}

// A header is read the same in one piece and byte by byte, and written so that it is read
// again.
func FuzzFlowHeader(f *testing.F) {
	f.Add([]byte{0x12, 2, 0, 0})
	f.Add([]byte{0x11, 0, 0})
	f.Add([]byte{0x13, 0xC0, 0, 0, 0, 0, 0, 0, 3, 0x41, 0x2C, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, size := parseFlowHeader(b)
		assert.LessOrEqual(t, size, min(len(b), maxFlowHeader))
		if size == 0 {
			return
		}
		_, short := parseFlowHeader(b[:size-1])
		assert.Zero(t, short)
		again := h.append(nil)
		assert.LessOrEqual(t, len(again), size)
		read, n := parseFlowHeader(again)
		assert.Equal(t, h, read)
		assert.Equal(t, len(again), n)
	})
}
