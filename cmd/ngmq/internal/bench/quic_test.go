//go:build !noquic

package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/cmd/ngmq/internal/netem"
)

func TestStreams(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	for qos := range byte(3) {
		cfg := config(t, RoundTrip, urls["quic"], ca)
		cfg.QoS, cfg.Streams, cfg.Messages = qos, 5, 10
		r := do(t, cfg)
		clean(t, r)
		assert.EqualValues(t, 3*5*10, r.Received)
		assert.Equal(t, r.Sent, r.Received)
	}
}

func TestStreamsWithLoss(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	cfg := config(t, RoundTrip, urls["quic"], ca)
	cfg.QoS, cfg.Streams, cfg.Messages, cfg.Rate = 1, 4, 50, 200
	cfg.Netem = netem.Params{Loss: 0.05, Delay: 2 * time.Millisecond}
	r := do(t, cfg)
	clean(t, r)
	assert.EqualValues(t, 3*50, r.Received, "nothing is lost for good")
}

func TestDatagrams(t *testing.T) {
	urls, ca, _ := startServer(t, nil)
	cfg := config(t, RoundTrip, urls["quic"], ca)
	cfg.Datagrams, cfg.Messages, cfg.Rate = true, 20, 200
	r := do(t, cfg)
	clean(t, r)
	assert.EqualValues(t, 3*20, r.Received)
	assert.EqualValues(t, 3*20, r.DatagramsReceived)

	cfg.Size = 10000 // none fits: on streams, there and back
	r = do(t, cfg)
	clean(t, r)
	assert.EqualValues(t, 3*20, r.Received)
	assert.Zero(t, r.DatagramsReceived)

	cfg.Size, cfg.Messages = 64, 200
	cfg.Netem = netem.Params{Loss: 0.1}
	r = do(t, cfg)
	clean(t, r)
	assert.Less(t, r.Received, r.Sent, "what is lost stays lost")
	assert.Positive(t, r.DatagramsLost)
}
