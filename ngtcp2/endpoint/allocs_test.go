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
