package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// CONNACKs that nobody takes, or no more, are violations; the client goes on.
func TestSecondConnack(t *testing.T) {
	f := &fleet{}
	c := &client{f: f, name: "soak-0", version: packet.V50}
	x := &connection{c: c, kind: overTCP, connack: make(chan *packet.Connack, 1)}
	x.decode(0)
	c.conn = x
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			x.onData(0, (&packet.Connack{}).AppendTo(nil, packet.V50))
		}
	}()
	select {
	case <-done:
	case <-time.After(answerTime):
		require.FailNow(t, "blocked")
	}
	assert.EqualValues(t, 2, f.oracle.violations.Load())
}
