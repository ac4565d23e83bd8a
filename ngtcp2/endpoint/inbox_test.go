package endpoint

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func signalled(b *inbox) bool {
	select {
	case <-b.signal:
		return true
	default:
		return false
	}
}

// What comes in during a turn wakes nobody, and is not lost.
func TestInboxDuringATurn(t *testing.T) {
	b := newInbox()
	ran, dirty := 0, 0
	drain := func() { b.drain(func(*Conn) { dirty++ }) }

	b.wake(new(Conn))
	assert.True(t, signalled(&b), "outside of a turn")
	b.attend()
	drain()
	assert.False(t, b.leave())

	b.attend()
	b.wake(new(Conn))
	b.post(func() { ran++ })
	assert.False(t, signalled(&b))
	assert.True(t, b.leave(), "there is more to do")
	assert.False(t, signalled(&b))

	b.attend()
	drain()
	assert.False(t, b.leave())
	assert.Equal(t, 2, dirty)
	assert.Equal(t, 1, ran)
	b.post(func() {})
	assert.True(t, signalled(&b))
}
