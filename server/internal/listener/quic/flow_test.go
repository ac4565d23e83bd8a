//go:build !noquic

package quic

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStrayHeader(t *testing.T) {
	headers := map[int][]byte{
		4:  {0x12, 2, 0, 0},
		5:  {0x12, 0x40, 0x41, 0, 0x7F},
		18: {0x12, 0xC0, 1, 2, 3, 4, 5, 6, 7, 0xC0, 1, 2, 3, 4, 5, 6, 7, 0},
	}
	for want, header := range headers {
		for n := range header {
			_, complete, ok := strayHeader(header[:n])
			assert.True(t, ok)
			assert.False(t, complete, "% x", header[:n])
		}
		size, complete, ok := strayHeader(append(header, 0x30, 0))
		assert.True(t, ok && complete)
		assert.Equal(t, want, size)
	}
	size, complete, ok := strayHeader([]byte{0x30})
	assert.True(t, ok && complete, "no header")
	assert.Zero(t, size)
	_, _, ok = strayHeader([]byte{0x12, 0, 0, 0x80})
	assert.False(t, ok)
}
