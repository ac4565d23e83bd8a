//go:build !linux

package stream

import (
	"context"

	"github.com/ngmq/ngmq/server/internal/broker"
)

// Loop serves plain connections with event loops: on this system there are none.
type Loop struct{}

// NewLoop gives nil: connections have goroutines.
func NewLoop(*broker.Broker) (*Loop, error) { return nil, nil }

// Close does nothing.
func (*Loop) Close() {}

// worker is an event loop.
type worker struct{}

func (l *Listener) serveLoop(context.Context) error { return nil }
