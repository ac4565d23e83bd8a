package interop

import (
	"context"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/stretchr/testify/assert"
)

// trace keeps what quic-go tells in its qlog of one or more connections.
type trace struct {
	mu      sync.Mutex
	ecn     qlog.ECNState
	phase   qlog.KeyPhase // of the 1-RTT keys
	retries int
}

// config is quicGoConfig, traced.
func (r *trace) config() *quic.Config {
	c := quicGoConfig()
	c.Tracer = func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return r }
	return c
}

func (r *trace) AddProducer() qlogwriter.Recorder { return r }
func (r *trace) SupportsSchemas(string) bool      { return true }
func (r *trace) Close() error                     { return nil }

func (r *trace) RecordEvent(e qlogwriter.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := e.(type) {
	case qlog.ECNStateUpdated:
		r.ecn = e.State
	case qlog.KeyUpdated:
		r.phase = max(r.phase, e.KeyPhase)
	case qlog.PacketReceived:
		if e.Header.PacketType == qlog.PacketTypeRetry {
			r.retries++
		}
	}
}

// keyPhase counts the key updates of both sides.
func (r *trace) keyPhase() qlog.KeyPhase {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phase
}

// wantECN: the other side's acknowledgements count the marks of quic-go's packets.
func (r *trace) wantECN(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Equal(t, qlog.ECNStateCapable, r.ecn)
}

func (r *trace) retried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.retries
}
