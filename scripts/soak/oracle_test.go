package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is what the oracle says about messages of one publisher that come on a stream.
func told(b *inbox, o *oracle, qos byte, on order, numbers ...uint32) (wrong []string) {
	for _, n := range numbers {
		if w := b.take(o, message{7, qos, n}, on); w != "" {
			wrong = append(wrong, w)
		}
	}
	return wrong
}

func TestOracle(t *testing.T) {
	for name, k := range map[string]struct {
		qos     byte
		numbers []uint32
		wrong   string
		missing []uint32
	}{
		"in order":            {2, []uint32{1, 2, 3}, "", nil},
		"lost":                {2, []uint32{1, 3}, "", []uint32{2}},
		"lost at the end":     {1, []uint32{1, 2}, "", []uint32{3}},
		"duplicate at QoS 0":  {0, []uint32{1, 2, 3, 2}, "duplicated: message 2 of client 7 at QoS 0", nil},
		"repetition at QoS 1": {1, []uint32{1, 2, 1, 2, 3}, "", nil},
		"duplicate at QoS 2":  {2, []uint32{1, 2, 2, 3}, "duplicated: message 2 of client 7 at QoS 2", nil},
		"out of order, QoS 1": {1, []uint32{1, 3, 2}, "out of order: message 2 of client 7 at QoS 1 came after 3 on the same stream", nil},
		"out of order, QoS 2": {2, []uint32{2, 1, 3}, "out of order: message 1 of client 7 at QoS 2 came after 2 on the same stream", nil},
		"QoS 0 in a datagram": {0, []uint32{1, 3, 2}, "", nil},
		"for somebody else":   {3, []uint32{1}, "message 1 of client 7 at QoS 3 is not for this client", []uint32{1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			var o oracle
			b := inbox{of: map[int]*[levels]sequence{7: {}}}
			wrong := told(&b, &o, k.qos, make(order), k.numbers...)
			if k.wrong == "" {
				assert.Empty(t, wrong)
			} else {
				assert.Equal(t, []string{k.wrong}, wrong)
			}
			if k.qos < levels {
				missing := b.of[7][k.qos].missing(published{last: 3})
				slices.Sort(missing)
				assert.Equal(t, k.missing, missing)
			}
		})
	}
}

// What waits on one stream may be overtaken on another.
func TestOrderIsPerStream(t *testing.T) {
	var o oracle
	b := inbox{of: map[int]*[levels]sequence{7: {}}}
	control, data := make(order), make(order)
	assert.Empty(t, told(&b, &o, 2, data, 3, 4))
	assert.Empty(t, told(&b, &o, 2, control, 1, 2))
	assert.Empty(t, b.of[7][2].missing(published{last: 4}))
	assert.EqualValues(t, 2, o.late.Load())
	assert.EqualValues(t, 4, o.delivered[2].Load())
}

func TestPayload(t *testing.T) {
	m := message{5, 1, 300}
	p := m.appendPayload(nil, 10)
	got, err := parseMessage(p)
	require.NoError(t, err)
	assert.Equal(t, m, got)
	p[headSize+3]++
	_, err = parseMessage(p)
	assert.ErrorContains(t, err, "damaged at byte 12")
	_, err = parseMessage(p[:4])
	assert.ErrorContains(t, err, "4 bytes")
}

func TestViolationsAreBounded(t *testing.T) {
	var o oracle
	for range maxShown + 10 {
		o.violation("wrong", "history")
	}
	assert.Len(t, o.shown, maxShown)
	assert.EqualValues(t, maxShown+10, o.violations.Load())
}

func TestMemoryBounds(t *testing.T) {
	start := map[string]float64{"go_heap": 1e6, "files": 10}
	all := bounds(start, 100)
	assert.Empty(t, above(start, all))
	assert.Equal(t, "files is 15, at most 14; sessions is 1, at most 0", above(map[string]float64{"files": 15, "sessions": 1}, all))
	flat, growing := make([]float64, 40), make([]float64, 40)
	for i := range flat {
		flat[i], growing[i] = 100e6, 100e6+float64(i)*5e6
	}
	assert.Empty(t, grown(flat))
	assert.Contains(t, grown(growing), "RSS was 172.5 MB in the second quarter of the time, 272.5 MB in the last")
	assert.Empty(t, grown(growing[:3]))
}
