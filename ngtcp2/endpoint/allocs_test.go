//go:build !asan

// AddressSanitizer makes cgo calls allocate.

package endpoint

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// An echo of a small message allocates nothing in either Core.
func TestEchoAllocatesNothing(t *testing.T) {
	w := newWire(t)
	_, s := w.connect(t)
	msg := make([]byte, 100)
	turn := func() {
		_, _ = s.Write(msg)
		for range 3 {
			w.step(time.Millisecond)
		}
	}
	for range 200 {
		turn()
	}
	before := w.echoed
	allocs := testing.AllocsPerRun(1000, turn)
	assert.Zero(t, allocs)
	assert.Equal(t, before+1001*len(msg), w.echoed)
}

// Nor does a datagram, there and back, with its acknowledgement.
func TestDatagramAllocatesNothing(t *testing.T) {
	w, d := datagramWire(t)
	msg := make([]byte, 1000)
	turn := func() {
		_ = d.conn.SendDatagram(msg, 1)
		for range 3 {
			w.step(time.Millisecond)
		}
	}
	for range 200 {
		turn()
	}
	before := d.got.Load()
	assert.Zero(t, testing.AllocsPerRun(1000, turn))
	assert.EqualValues(t, before+1001, d.got.Load())
}
