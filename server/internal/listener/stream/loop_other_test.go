//go:build !linux

package stream

import (
	"testing"

	"github.com/ngmq/ngmq/server/internal/broker"
)

// startTestLoop gives what tests serve connections with: goroutines.
func startTestLoop(testing.TB, *broker.Broker) *Loop { return nil }
