package stream

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ngmq/ngmq/server/internal/broker"
	"github.com/ngmq/ngmq/server/internal/mqtttest"
)

// A panic costs one connection, wherever it happens, and is logged with its stack.
func TestPanicCostsOneConnection(t *testing.T) {
	var log mqtttest.Log
	l, b := listen(t, broker.Config{Retained: mqtttest.NewFaulty(), Logger: slog.New(slog.NewTextHandler(&log, nil))}, time.Second)
	n := mqtttest.Panics(t, func() net.Conn { return dial(t, l) })
	assert.Eventually(t, func() bool { return b.Stats().HandlerPanics == uint64(n) }, mqtttest.Patience, time.Millisecond)
	assert.Regexp(t, `panic="a bug at panic" stack=.*mqtttest.Faulty.Store.*client.go`, log.String())
}

// So does one in the listener itself.
func TestPanicOfWriter(t *testing.T) {
	l, b := listen(t, broker.Config{}, time.Second)
	near, far := net.Pipe()
	defer far.Close()
	c := &conn{l: l, net: near, raw: new(net.TCPConn), written: make(chan struct{})}
	c.Wake() // there is no client
	<-c.written
	assert.NotNil(t, c.failed.Load())
	assert.EqualValues(t, 1, b.Stats().HandlerPanics)
}
