package rawquic_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/ngtcp2/internal/rawquic"
)

// The honest part of a Peer works: without that no answer to the rest says anything.
func TestHonestClient(t *testing.T) {
	w := newServer(t)
	w.echo = true
	r := w.connect(1, rawquic.Config{})
	r.send(rawquic.App, rawquic.Stream(0, 0, []byte("hello"), true))
	w.settle()
	require.NoError(t, r.err)
	assert.Equal(t, "hello", string(r.stream(0)))
	assert.Nil(t, r.Closed())
	assert.Zero(t, r.Unreadable)
}

func TestHonestServer(t *testing.T) {
	w := newClient(t)
	w.open = true
	r := w.dial(1, rawquic.Config{})
	w.settle()
	require.NoError(t, r.err)
	require.NoError(t, w.conns[0].err)
	require.True(t, r.Complete())
	assert.Equal(t, "hello", string(r.stream(0)))
	assert.Nil(t, r.Closed())
}

func TestHonestServerWithRetry(t *testing.T) {
	w := newClient(t)
	w.open = true
	r := w.dial(1, rawquic.Config{RetryToken: []byte("token")})
	w.settle()
	require.NoError(t, r.err)
	require.True(t, r.Complete())
	assert.Equal(t, "hello", string(r.stream(0)))
}

// stream is what has arrived of a stream.
func (r *raw) stream(id uint64) (data []byte) {
	for _, f := range r.Received {
		if f.Type == rawquic.TypeStream && f.ID == id && f.Offset == uint64(len(data)) {
			data = append(data, f.Data...)
		}
	}
	return data
}
